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

// A shelf is a library of discs that a test makes before the daemon starts.
type shelf struct {
	t      *testing.T
	dir    string
	makers []*maker
	names  []string
	wants  []*content
}

// add makes a disc in a directory of its own and returns its number.
func (s *shelf) add(make func(m *maker) (string, *content)) int {
	s.t.Helper()
	i := len(s.makers)
	sub := fmt.Sprintf("disc %02d", i)
	m := &maker{s.t, filepath.Join(s.dir, sub)}
	m.must(os.Mkdir(m.dir, 0o755))
	name, want := make(m)
	s.makers, s.names, s.wants = append(s.makers, m), append(s.names, filepath.Join(sub, name)), append(s.wants, want)
	return i
}

// insert puts a disc into the drive by the verb, and waits until the reader
// can read it.
func (s *shelf) insert(d *daemon, r *reader, i int) *content {
	r.t.Helper()
	if _, err := d.run("insert", "cd0", s.names[i]); err != nil {
		r.t.Fatal(err)
	}
	r.ready()
	return s.wants[i]
}

// TestFormats reads a disc of each format whole over iSCSI, and compares every
// sector and the table of contents with what it was made of.
func TestFormats(t *testing.T) {
	t.Parallel()
	lib := &shelf{t: t, dir: t.TempDir()}
	for _, f := range formatDiscs {
		lab.Need(t, f.tools...)
		lib.add(f.make)
	}
	d := formatsDaemon(t, lib.dir)
	r := newReader(t, d)
	for i, f := range formatDiscs {
		t.Run(f.name, func(t *testing.T) {
			r.t = t
			r.whole(lib.insert(d, r, i))
		})
	}
}
