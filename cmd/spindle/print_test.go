package main

import (
	"io"
	"strings"
	"testing"

	"spindle/internal/api/client"
)

// Names of files do not steer the terminal that shows them, and stay in their
// line.
func TestNamesOfOthers(t *testing.T) {
	name := "a\x1b[31m\nb\t\u202e.iso"
	images := []client.Image{{Name: name, Error: name}}
	status := client.Status{Drives: []client.Drive{{Name: "cd0", Disc: name}}}
	for _, tt := range []struct {
		print func(io.Writer)
		want  string
	}{
		{func(w io.Writer) { printImages(w, images) }, "a?[31m?b??.iso"},
		{func(w io.Writer) { printStatus(w, &status) }, "a?[31m?b??.iso"},
	} {
		var out strings.Builder
		if err := (&app{out: &out}).show(nil, tt.print); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, tt.want) || strings.ContainsAny(got, "\x1b\t\u202e") || strings.Count(got, "\n") != 2 {
			t.Errorf("%q, want %q in the second line of two", got, tt.want)
		}
	}
	var out strings.Builder
	(&app{}).report(&out, &client.Error{Message: "image \x1b[31m: no"})
	if got, want := out.String(), "spindle: image ?[31m: no\n"; got != want {
		t.Errorf("report: %q, want %q", got, want)
	}
}
