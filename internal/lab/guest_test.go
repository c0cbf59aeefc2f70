package lab

import (
	"strings"
	"testing"
)

func TestGuest(t *testing.T) {
	Need(t, "kernel", "mkudffs")
	t.Parallel()
	g := &Guest{
		Modules: []string{"loop max_loop=2", "udf"},
		Files:   map[string]string{"/disc.udf": ISO(t, Image{Kind: BareUDF, Label: "EMPTY"})},
		Data:    map[string][]byte{"/etc/motd": []byte("good morning\n")},
		Script: `
			cat /etc/motd
			mount -o loop,ro -t udf /disc.udf /mnt || exit 3
			mount | grep ' /mnt type udf ' || exit 4
			x=$(host greet "two words" "" 'a"b') || exit 1
			echo "answer: $x"
			host refuse && exit 2
			seq 1 2000
			exit 7`,
		Hooks: map[string]Hook{
			"greet": func(args []string) (string, error) { return strings.Join(args, "|"), nil },
		},
	}
	r := g.Run(t)
	if r.Status != 7 {
		t.Errorf("status %d; want 7", r.Status)
	}
	for _, want := range []string{"\ngood morning\n", "answer: two words||a\"b\n", "the test has no such hook\n", "\n2000\nLAB-STATUS=7"} {
		if !strings.Contains(r.Log, want) {
			t.Errorf("the console lacks %q", want)
		}
	}
}
