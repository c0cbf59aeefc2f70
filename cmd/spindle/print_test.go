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

func TestRedirectIsShown(t *testing.T) {
	var out strings.Builder
	printStatus(&out, &client.Status{Drives: []client.Drive{{Name: "cd0", Redirect: "192.0.2.8:3260"}}})
	if want := "redirect: cd0 sends its hosts to 192.0.2.8:3260\n"; !strings.Contains(out.String(), want) {
		t.Errorf("status %q, want %q", out.String(), want)
	}
}

func TestStatesOfImages(t *testing.T) {
	status := client.Status{Tasks: []client.Task{{Kind: "identify", Done: 5, Total: 20}, {Kind: "verify", Image: "a\n.iso", Done: 1, Total: 3}}}
	var out strings.Builder
	printStatus(&out, &status)
	for _, want := range []string{"task: identify 20 images, 25 %\n", "task: verify a?.iso, 33 %\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("status %q, want %q", out.String(), want)
		}
	}
	for _, tt := range []struct {
		state  string
		checks client.Checks
		want   string
	}{
		{"ready", client.Checks{State: "none"}, "ready"},
		{"truncated", client.Checks{State: "ok"}, "truncated, verified"},
		{"ready", client.Checks{State: "unchecked"}, "ready, unchecked"},
		{"ready", client.Checks{State: "failed"}, "ready, FAILED"},
		{"ready", client.Checks{State: "checking", Done: 1, Total: 2}, "ready, checking 50 %"},
	} {
		if got := checked(tt.state, &tt.checks); got != tt.want {
			t.Errorf("%s, %+v is shown as %q, want %q", tt.state, tt.checks, got, tt.want)
		}
	}
}

func TestAudioOfStatus(t *testing.T) {
	status := client.Status{Drives: []client.Drive{{Name: "cd0", Audio: &client.Audio{State: "paused", Track: 3, At: 41025}}, {Name: "cd1"}}}
	var out strings.Builder
	printStatus(&out, &status)
	if got, want := out.String(), "\naudio: cd0 is paused, track 3, block 41025\n"; !strings.HasSuffix(got, want) {
		t.Errorf("%q, want %q at the end", got, want)
	}
}
