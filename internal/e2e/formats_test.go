//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"spindle/internal/lab"
)

// formatsDaemon serves a library from a drive that swaps at once.
func formatsDaemon(t *testing.T, dir string) *daemon {
	t.Helper()
	config := filepath.Join(t.TempDir(), "spindle.toml")
	text := fmt.Sprintf("[library]\ndirs = [%q]\n\n[drive.cd0]\nswap_hold = \"0s\"\n", dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return serve(t, "--config", config)
}

// TestFormats reads a disc of each format whole over iSCSI, and compares every
// sector and the table of contents with what it was made of.
func TestFormats(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	type disc struct {
		name string
		want *content
	}
	discs := make([]disc, len(formatDiscs))
	for i, f := range formatDiscs {
		lab.Need(t, f.tools...)
		m := &maker{t, filepath.Join(dir, fmt.Sprintf("disc %02d", i))}
		m.must(os.Mkdir(m.dir, 0o755))
		name, want := f.make(m)
		discs[i] = disc{filepath.Join(filepath.Base(m.dir), name), want}
	}
	d := formatsDaemon(t, dir)
	r := newReader(t, d)
	for i, f := range formatDiscs {
		t.Run(f.name, func(t *testing.T) {
			r.t = t
			if out, err := d.run("insert", "cd0", discs[i].name); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			r.ready()
			r.whole(discs[i].want)
		})
	}
}
