package iso9660

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spindle/internal/lab"
)

// when is the time of the files that plant makes: odd seconds, no fraction.
var when = time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

// plant makes a folder. A name that ends with a slash is a directory, content
// that begins with "-> " is a symbolic link's target.
func plant(t testing.TB, content map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "My Folder")
	for name, text := range content {
		p := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		case link:
			err = os.Symlink(target, p)
		default:
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	settle(t, dir)
	return dir
}

// settle sets the times of all files, directories and links.
func settle(t testing.TB, dir string) {
	t.Helper()
	err := filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if fi.Mode()&os.ModeSymlink != 0 {
			tool(t, "touch", "-h", "-d", when.Format(time.RFC3339), p)
			return nil
		}
		return os.Chtimes(p, when, when)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// openRoot opens a folder for the time of the test.
func openRoot(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// volume lays out a folder for the time of the test.
func volume(t testing.TB, dir string, o Options) *Image {
	t.Helper()
	img, err := New(openRoot(t, dir), ".", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// created writes a folder with Create and returns the image's path.
func created(t testing.TB, dir string, o Options) string {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "created.iso")
	if _, err := Create(t.Context(), dst, openRoot(t, dir), o, nil); err != nil {
		t.Fatal(err)
	}
	return dst
}

// bytesOf reads a whole image.
func bytesOf(t testing.TB, img *Image) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// tool runs a program to its end and returns its standard output.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := lab.ToolCmd(t.Context(), name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

func mustRead(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
