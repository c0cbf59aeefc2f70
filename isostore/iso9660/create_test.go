package iso9660

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCreate writes a folder; nothing but the image is left beside it.
func TestCreate(t *testing.T) {
	t.Parallel()
	dir := plant(t, assorted)
	out := t.TempDir()
	dst := filepath.Join(out, "folder.iso")
	var last, total int64
	progress := func(done, all int64) {
		if done <= last {
			t.Errorf("progress goes from %d to %d", last, done)
		}
		last, total = done, all
	}
	if _, err := Create(t.Context(), dst, openRoot(t, dir), Options{}, progress); err != nil {
		t.Fatal(err)
	}
	want := bytesOf(t, volume(t, dir, Options{}))
	if got := mustRead(t, dst); got != string(want) {
		t.Error("the file differs from the volume")
	}
	if last != total || total != 2*int64(len(want)) {
		t.Errorf("progress ends at %d of %d; want %d", last, total, 2*len(want))
	}
	if names := entries(t, out); names != "folder.iso" {
		t.Errorf("there is %s", names)
	}
}

func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestCreateRefuses leaves the destination as it was when something is wrong.
func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	dir := plant(t, map[string]string{"sub/a": "a", "big": strings.Repeat("big", 1<<20)})
	out := t.TempDir()
	old := filepath.Join(out, "old.iso")
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "sub"), filepath.Join(out, "link")); err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(t.Context())
	grow := func(int64, int64) {
		if err := os.WriteFile(filepath.Join(dir, "sub/a"), []byte("more"), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, tt := range []struct {
		name     string
		ctx      context.Context
		dst      string
		o        Options
		progress func(done, total int64)
		err      string
	}{
		{"exists", t.Context(), old, Options{}, nil, "file already exists (hint: --force"},
		{"directory", t.Context(), out, Options{Force: true}, nil, "is a directory"},
		{"device", t.Context(), os.DevNull, Options{Force: true}, nil, "a device: not a file"},
		{"inside", t.Context(), filepath.Join(dir, "sub", "x.iso"), Options{}, nil, "the folder that is written"},
		{"inside by a link", t.Context(), filepath.Join(out, "link", "x.iso"), Options{}, nil, "the folder that is written"},
		{"no such directory", t.Context(), filepath.Join(out, "none", "x.iso"), Options{}, nil, "no such file"},
		{"boot image", t.Context(), filepath.Join(out, "x.iso"), Options{BootBIOS: "none"}, nil, "boot image none"},
		{"stopped", stop, filepath.Join(out, "x.iso"), Options{}, func(int64, int64) { cancel() }, "context canceled"},
		{"changed meanwhile", t.Context(), old, Options{Force: true}, grow, "changed while open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Create(tt.ctx, tt.dst, openRoot(t, dir), tt.o, tt.progress)
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Create = %v; want %q", err, tt.err)
			}
			if names := entries(t, out); names != "link old.iso" || mustRead(t, old) != "old" {
				t.Errorf("there is %s, and old.iso has %q", names, mustRead(t, old))
			}
		})
	}
	if _, err := Create(t.Context(), old, openRoot(t, dir), Options{Force: true}, nil); err != nil || len(mustRead(t, old)) < 3<<20 {
		t.Errorf("Create by force = %v, %d bytes", err, len(mustRead(t, old)))
	}
}

// TestCompare finds a file that does not hold what was written.
func TestCompare(t *testing.T) {
	t.Parallel()
	img := volume(t, plant(t, assorted), Options{})
	c := &creation{ctx: t.Context(), img: img, progress: func(int64, int64) {}}
	name := filepath.Join(t.TempDir(), "x")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(c.write(f), c.compare(name)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 3<<20-1); err != nil {
		t.Fatal(err)
	}
	if err := c.compare(name); err == nil || !strings.Contains(err.Error(), "byte 2097152 to 3145728") {
		t.Errorf("compare = %v; want the damaged bytes", err)
	}
	if err := f.Truncate(5); err != nil {
		t.Fatal(err)
	}
	if err := c.compare(name); err == nil || !strings.Contains(err.Error(), "another size") {
		t.Errorf("compare = %v; want another size", err)
	}
	if err := publish(name, name, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("publish = %v; want ErrExist", err)
	}
}
