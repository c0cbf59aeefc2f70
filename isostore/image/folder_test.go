package image_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/image"
)

// TestFolder opens a directory as a disc, which another program reads as one,
// and changes it.
func TestFolder(t *testing.T) {
	lab.Need(t, "xorriso")
	dir := t.TempDir()
	folder := filepath.Join(dir, "A Folder")
	files := map[string][]byte{
		"plain.txt":            []byte("text"),
		"deep/er/Größe 日本.bin": bytes.Repeat([]byte("0123456789"), 5000),
		"empty":                nil,
	}
	for name, data := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, info, err := image.OpenFile(folder, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	disctest.TestDisc(t, d)
	if info.Format != "folder" || info.Label == "" || info.ID == "" || len(info.Warnings) != 0 || info.Size != info.Blocks*disc.BlockSize {
		t.Errorf("info = %+v", info)
	}
	whole := make([]byte, info.Size)
	if n, err := d.ReadBlocks(whole, 0); err != nil || int64(n) != info.Blocks {
		t.Fatalf("ReadBlocks = %d of %d, %v", n, info.Blocks, err)
	}
	iso, out := filepath.Join(dir, "copy.iso"), filepath.Join(dir, "out")
	if err := os.WriteFile(iso, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", out)
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s = %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}

	again, same, err := image.OpenFile(folder, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := os.WriteFile(filepath.Join(folder, "deep/er/Größe 日本.bin"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	changed, other, err := image.OpenFile(folder, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	changed.Close()
	if same.ID != info.ID || other.ID == info.ID {
		t.Errorf("ids %s, again %s, changed %s", info.ID, same.ID, other.ID)
	}
	if n, err := d.ReadBlocks(whole, 0); !errors.Is(err, disc.ErrChanged) || int64(n) == info.Blocks {
		t.Errorf("a disc of a folder that changed reads %d blocks, %v; want %v", n, err, disc.ErrChanged)
	}
}
