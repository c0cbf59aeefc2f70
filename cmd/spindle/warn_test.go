package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/api/client"
)

// TestNoFile says why a file cannot be seen, when that is known.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	none := &client.Error{Message: "no daemon", Hint: "start it"}
	for name, want := range map[string]string{
		filepath.Join(dir, "none"):                       "no file " + filepath.Join(dir, "none") + ", and no daemon (hint: start it)",
		filepath.Join(dir, strings.Repeat("n", 300)):     "file name too long, and no daemon (hint: start it)",
		filepath.Join(dir, "none") + "/" + "below/x.iso": "no file ",
	} {
		if got := noFile(name, none).Error(); !strings.Contains(got, want) {
			t.Errorf("%q; want %q", got, want)
		}
	}
	if err := noFile("x", os.ErrClosed); err != os.ErrClosed {
		t.Errorf("another error became %v", err)
	}
	if err := noFile("x", nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}
