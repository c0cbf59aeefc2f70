package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	c, err := Parse("f.toml", []byte(`
[iscsi.limits]
connections = 100
connections_per_address = 10
sessions = 90
first_request_timeout = "2s"
login_timeout = "20s"
logins_per_second = 5
login_burst = 6
window = 7
queue = 8
memory = "100MiB"
unsolicited_memory = "1MiB"
text = "4KiB"
text_pdus = 9
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Limits{
		Connections: 100, ConnectionsPerAddress: 10, Sessions: 90, FirstRequestTimeout: 2 * time.Second, LoginTimeout: 20 * time.Second,
		LoginsPerSecond: 5, LoginBurst: 6, Window: 7, Queue: 8, Memory: 100 << 20, UnsolicitedMemory: 1 << 20, Text: 4 << 10, TextPDUs: 9,
	}
	if c.ISCSI.Limits != want {
		t.Errorf("limits %+v, want %+v", c.ISCSI.Limits, want)
	}
	old, err := Parse("f.toml", nil)
	if err != nil || old.ISCSI.Limits != defaultLimits() {
		t.Errorf("limits of an empty file: %+v, %v", old.ISCSI.Limits, err)
	}
	if d := Diff(old, c); !d.Network || d.Empty() || d.Listen {
		t.Errorf("Diff = %+v", d)
	}
	if d := Diff(old, old); !d.Empty() {
		t.Errorf("Diff with itself = %+v", d)
	}
}

func TestLimitErrors(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"connections = 0", "connections: 0 is not between 1 and 65536 (hint: each takes"},
		{"connections = \"many\"", "connections: it must be a whole number, not text (hint: write it without quotes)"},
		{"connections = 1e9", "connections: it must be a whole number, not a fraction (hint: write it as 48, without point and exponent)"},
		{"sessions = 65536", "sessions: 65536 is not between 1 and 65535"},
		{"login_timeout = \"10ms\"", "login_timeout: 10ms is not between 100ms and 5m0s"},
		{"login_timeout = 15", "login_timeout: it must be text, not a number"},
		{"first_request_timeout = \"0s\"", "first_request_timeout: 0s is not between 100ms and 5m0s"},
		{"memory = \"64KiB\"", "memory: 64KiB is not between 1MiB and 1TiB (hint: write it as \"48MiB\""},
		{"memory = \"64\"", `memory: "64" is no size`},
		{"text = \"1B\"", "text: 1B is not between 1KiB and 1MiB"},
		{"window = 1025", "window: 1025 is not between 1 and 1024"},
		{"conections = 5", `conections: unknown key (hint: did you mean "connections"?)`},
	} {
		_, err := Parse("f.toml", []byte("[iscsi.limits]\n"+tt.line+"\n"))
		if want := "f.toml:2: iscsi.limits." + tt.want; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v; want %s", tt.line, err, want)
		}
	}
}

// The defaults keep one address from taking all memory, and a file that does
// not says so.
func TestLimitWarning(t *testing.T) {
	l := defaultLimits()
	if errs, list := l.problems(), l.warnings(); len(errs) != 0 || len(list) != 0 {
		t.Errorf("defaults: %v, %v", errs, list)
	}
	l.ConnectionsPerAddress = 200
	if list := l.warnings(); len(list) != 1 || !strings.Contains(list[0], `200 connections_per_address can hold all memory of 48MiB`) || !strings.Contains(list[0], `memory = "150MiB"`) {
		t.Errorf("warnings %q", list)
	}
	for _, tt := range []struct {
		set  func(*Limits)
		want string
	}{
		{func(l *Limits) { l.Sessions = 5000 }, "sessions = 5000 is never met: connections = 1280 comes before (hint:"},
		{func(l *Limits) { l.Connections, l.Sessions = 60, 60 }, "connections_per_address = 64 is never met: connections = 60 comes before"},
		{func(l *Limits) { l.LoginTimeout = 4 * time.Second }, "first_request_timeout = 5s is never met: login_timeout = 4s comes before"},
	} {
		l := defaultLimits()
		tt.set(&l)
		if list := l.warnings(); len(list) != 1 || !strings.Contains(list[0], tt.want) {
			t.Errorf("warnings %q, want %s", list, tt.want)
		}
	}
	for n, want := range map[int64]string{0: "0B", 1: "1B", 1 << 10: "1KiB", 1536: "1536B", 3 << 29: "1536MiB", 1 << 40: "1TiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("sizeText(%d) = %s, want %s", n, got, want)
		}
	}
	for _, r := range limitRanges {
		if n := fmt.Sprint(r.key, r.hint); r.hint == "" || (r.number == nil) == (r.time == nil && r.size == nil) {
			t.Errorf("row %s", n)
		}
	}
}
