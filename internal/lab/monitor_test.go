package lab

import (
	"bufio"
	"fmt"
	"testing"
)

// The monitor answers its greeting once, lets events pass, and hands on errors.
func TestMonitor(t *testing.T) {
	ours, theirs, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	m := newMonitor(ours)
	defer m.close()
	got := make(chan string, 3)
	go func() {
		defer close(got)
		fmt.Fprintln(theirs, `{"QMP": {"version": {}, "capabilities": []}}`)
		in := bufio.NewScanner(theirs)
		for _, answer := range []string{`{"return": {}}`, `{"event": "NIC_RX_FILTER_CHANGED"}{"return": {}}`, `{"error": {"class": "x", "desc": "no such cable"}}`} {
			if !in.Scan() {
				return
			}
			got <- in.Text()
			fmt.Fprintln(theirs, answer)
		}
	}()
	if _, err := m.link([]string{"off"}); err != nil {
		t.Error(err)
	}
	if _, err := m.link([]string{"on"}); err == nil || err.Error() != "set_link: no such cable" {
		t.Errorf("%v; want what QEMU says", err)
	}
	if _, err := m.link([]string{"of"}); err == nil {
		t.Error("a cable went of")
	}
	for _, want := range []string{
		`{"execute":"qmp_capabilities"}`,
		`{"arguments":{"name":"lab","up":false},"execute":"set_link"}`,
		`{"arguments":{"name":"lab","up":true},"execute":"set_link"}`,
	} {
		if line := <-got; line != want {
			t.Errorf("QEMU was told %s; want %s", line, want)
		}
	}
}
