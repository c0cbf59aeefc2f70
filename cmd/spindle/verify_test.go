package main

import (
	"os"
	"strings"
	"testing"

	"spindle/internal/api/client"
)

// A bar is for a person at a terminal, and for nobody else.
func TestProgress(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if isTerminal(null) || isTerminal(w) {
		t.Errorf("terminals: %s %v, a pipe %v", os.DevNull, isTerminal(null), isTerminal(w))
	}
	t.Setenv("NO_COLOR", "1")
	for _, tt := range []struct {
		quiet       bool
		done, total int64
		want        string
	}{
		{false, 1 << 20, 4 << 20, "unpacking x.iso  25%"},
		{false, 0, 0, ""}, // it is not known yet
		{true, 1 << 20, 4 << 20, ""},
	} {
		var out strings.Builder
		p := &progress{w: &out, title: "x.iso", quiet: tt.quiet}
		p.of("unpack")(tt.done, tt.total)
		if got := out.String(); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") || strings.Contains(got, "\x1b[3") {
			t.Errorf("%+v prints %q", tt, got)
		}
		p.end()
	}
	if p := (&app{json: true}).progress("x"); !p.quiet {
		t.Error("--json has a bar")
	}
}

func TestPrintVerified(t *testing.T) {
	for _, tt := range []struct {
		v    client.Verified
		want string
	}{
		{client.Verified{Name: "a.iso", Checks: client.Checks{State: "ok", By: []string{"d/SHA256SUMS", "implantisomd5"}}}, "a.iso: OK (SHA256SUMS, implantisomd5)\n"},
		{client.Verified{Name: "a\n.iso", Checks: client.Checks{State: "failed", By: []string{"a.md5"}, Detail: "it is not"}}, "a?.iso: FAILED (a.md5): it is not\n"},
		{client.Verified{Name: "a.iso", Checks: client.Checks{State: "none", SHA256: "00ff"}}, "a.iso: no checksum\n  sha256 00ff\n"},
		{client.Verified{Name: "a.iso", Error: "no such file"}, "a.iso: not verified: no such file\n"},
	} {
		var out strings.Builder
		if printVerified(&out, &tt.v); out.String() != tt.want {
			t.Errorf("%+v is shown as %q, want %q", tt.v, out.String(), tt.want)
		}
	}
}
