package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForeign checks that images that are not read are named, with what to do.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	refused := func(name string, data []byte, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err := OpenFile(path, Options{})
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "(hint: ") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v; want ErrFormat with %q and a hint", name, err, text)
		}
	}
	for _, m := range foreignMarks {
		data := make([]byte, 70000)
		at := m.at
		if at < 0 {
			at += int64(len(data))
		}
		copy(data[at:], m.magic)
		refused("a.iso", data, m.what)
	}
	for _, n := range foreignNames {
		refused("a"+strings.ToUpper(n.ext), make([]byte, 70000), n.what+", which is not supported")
	}
}
