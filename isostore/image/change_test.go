package image

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"spindle/isostore/disc"
)

// TestChanged changes an open image in every way.
func TestChanged(t *testing.T) {
	old := time.Unix(1e9, 0)
	tests := []struct {
		name   string
		change func(t *testing.T, path string)
		want   error
	}{
		{"untouched", func(*testing.T, string) {}, nil},
		{"read by others", func(t *testing.T, path string) { os.ReadFile(path) }, nil},
		{"chmod", func(t *testing.T, path string) { os.Chmod(path, 0o600) }, nil},
		{"removed", func(t *testing.T, path string) { os.Remove(path) }, nil},
		{"renamed over", func(t *testing.T, path string) {
			os.WriteFile(path+".new", isoImage(99, 99), 0o644)
			os.Rename(path+".new", path)
		}, nil},
		{"written in place", func(t *testing.T, path string) { writeAt(t, path, 19*2048, "x") }, disc.ErrChanged},
		{"grown", func(t *testing.T, path string) { writeAt(t, path, 20*2048, "x") }, disc.ErrChanged},
		{"truncated", func(t *testing.T, path string) { os.Truncate(path, 18*2048); os.Chtimes(path, old, old) }, disc.ErrChanged},
		{"touched", func(t *testing.T, path string) { os.Chtimes(path, old, old.Add(time.Nanosecond)) }, disc.ErrChanged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x.iso")
			root := write(t, dir, "x.iso", isoImage(20, 20))
			os.Chtimes(path, old, old)
			d, _, err := Open(root, "x.iso", Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			tt.change(t, path)
			p := make([]byte, 2048)
			n, err := d.ReadBlocks(p, 18)
			if !errors.Is(err, tt.want) || tt.want == nil && n != 1 || tt.want != nil && n != 0 {
				t.Fatalf("ReadBlocks = %d, %v; want %v", n, err, tt.want)
			}
			if tt.want == nil {
				return
			}
			os.WriteFile(path, isoImage(20, 20), 0o644)
			os.Chtimes(path, old, old)
			if n, err := d.ReadBlocks(p, 18); n != 0 || !errors.Is(err, disc.ErrChanged) {
				t.Errorf("after the change was undone: %d, %v; want it to stay", n, err)
			}
		})
	}
}

// TestNeverMixed rewrites an image while it is read: every block that is given
// out is the old one.
func TestNeverMixed(t *testing.T) {
	const blocks = 200
	dir := t.TempDir()
	path := filepath.Join(dir, "x.iso")
	old, changed := isoImage(blocks, blocks), isoImage(blocks, blocks)
	for i := 20 * 2048; i < len(changed); i++ {
		changed[i] ^= 0xFF
	}
	for range 20 {
		root := write(t, dir, "x.iso", old)
		os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0))
		d, _, err := Open(root, "x.iso", Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		begin := make(chan struct{})
		wg.Go(func() {
			<-begin
			f.WriteAt(changed, 0)
			f.Close()
		})
		p := make([]byte, blocks*2048)
		for i := 0; ; i++ {
			if i == 2 {
				close(begin)
			}
			n, err := d.ReadBlocks(p, 0)
			if !bytes.Equal(p[:n*2048], old[:n*2048]) {
				t.Fatal("a read gave new data")
			}
			if errors.Is(err, disc.ErrChanged) {
				break
			}
		}
		wg.Wait()
		d.Close()
	}
}

func writeAt(t *testing.T, path string, off int64, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), off); err != nil {
		t.Fatal(err)
	}
}
