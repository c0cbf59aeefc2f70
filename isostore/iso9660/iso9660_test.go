package iso9660

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spindle/internal/lab"
	"spindle/isostore/disc"
)

// assorted is a folder with what names and trees can be.
var assorted = map[string]string{
	"readme.txt":                     "hello",
	"Case":                           "one",
	"case":                           "two",
	"empty":                          "",
	"empty dir/":                     "",
	".hidden/.file":                  "hidden",
	"spaces and [brackets] (1).txt":  "spaces",
	"ünïcode/日本語 😀.txt":              "unicode",
	"semi;colon:star*?.txt":          "semicolon",
	"new\nline":                      "newline",
	"bad\xFFutf8":                    "bytes",
	"block":                          strings.Repeat("b", 2048),
	"block and one":                  strings.Repeat("c", 2049),
	"big.bin":                        strings.Repeat("0123456789abcdef", 200_000),
	strings.Repeat("n", 255):         "the longest name",
	strings.Repeat("é", 127):         "long in UTF-8",
	"1/2/3/4/5/6/7/8/9/10/11/deep":   "deep",
	"links/up":                       "-> ../readme.txt",
	"links/dangling":                 "-> nowhere/./at/../all",
	"links/dir":                      "-> ../1/2",
	"links/long":                     "-> " + strings.Repeat(strings.Repeat("t", 250)+"/", 3) + strings.Repeat("./", 100) + "end",
	"a.very.dotted.name.tar.gz":      "dots",
	"no extension but a dot at end.": "dot",
}

// TestRockRidge lets xorriso extract the volume: names, data, links, modes and
// times are those of the folder.
func TestRockRidge(t *testing.T) {
	lab.Need(t, "xorriso")
	t.Parallel()
	dir := plant(t, assorted)
	for name, mode := range map[string]os.FileMode{"readme.txt": 0o640, "case": 0o755, ".hidden": 0o711, "empty": 0o400} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	iso := created(t, dir, Options{})
	out := filepath.Join(t.TempDir(), "out")
	tool(t, "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", out)
	want, got := listing(t, dir), listing(t, out)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%q is %s; want %s", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries; want %d", len(got), len(want))
	}
}

// listing says of each entry below dir what it is.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch text := fi.Mode().String() + " " + fi.ModTime().UTC().Format(time.DateTime); {
		case fi.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			list[rel] = "link to " + target
			return err
		case fi.IsDir():
			list[rel] = text
		default:
			list[rel] = text + " " + sum([]byte(mustRead(t, p)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestJoliet lets isoinfo list and extract the volume by Joliet.
func TestJoliet(t *testing.T) {
	lab.Need(t, "isoinfo")
	t.Parallel()
	content := map[string]string{
		"readme.txt": "hello", "Case": "one", "case": "two", "Sub Dir/with [brackets].tar.gz": "x",
		strings.Repeat("n", 80) + ".txt": "long", "empty": "", "link": "-> readme.txt", "big": strings.Repeat("big", 10_000),
	}
	iso := created(t, plant(t, content), Options{})
	names := map[string]string{"case": "case_1", strings.Repeat("n", 80) + ".txt": strings.Repeat("n", 60) + ".txt"}
	delete(content, "link")
	want := []string{"/Sub Dir"}
	for name, text := range content {
		if n, ok := names[name]; ok {
			name = n
		}
		want = append(want, "/"+name)
		if got := tool(t, "isoinfo", "-i", iso, "-J", "-x", "/"+name); got != text {
			t.Errorf("%s has %d bytes; want %d", name, len(got), len(text))
		}
	}
	got := strings.Split(strings.TrimSpace(tool(t, "isoinfo", "-i", iso, "-J", "-f")), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("isoinfo lists %q; want %q", got, want)
	}
	info := tool(t, "isoinfo", "-d", "-i", iso)
	for _, line := range []string{"Volume id: My Folder\n", "Joliet with UCS level 3 found\n", "Rock Ridge signatures version 1 found\n"} {
		if !strings.Contains(info, line) {
			t.Errorf("isoinfo -d lacks %q:\n%s", line, info)
		}
	}
}

// TestReadAt reads the volume in random pieces from several goroutines, with
// more files than are kept open.
func TestReadAt(t *testing.T) {
	t.Parallel()
	content := map[string]string{}
	for i := range 3 * maxOpen {
		content[fmt.Sprintf("d%d/file %d", i%7, i)] = strings.Repeat(fmt.Sprint(i, ","), 100*i)
	}
	img := volume(t, plant(t, content), Options{})
	whole := bytesOf(t, img)
	var copied bytes.Buffer
	if n, err := img.WriteTo(&copied); err != nil || n != img.Size() || !bytes.Equal(copied.Bytes(), whole) {
		t.Errorf("WriteTo = %d, %v; want %d equal bytes", n, err, img.Size())
	}
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			for range 500 {
				off := r.Int64N(img.Size())
				p := make([]byte, r.IntN(50_000))
				n, err := img.ReadAt(p, off)
				want := whole[off:min(off+int64(len(p)), img.Size())]
				if !bytes.Equal(p[:n], want) || (err == io.EOF) != (n < len(p)) || err != nil && err != io.EOF {
					t.Errorf("ReadAt(%d bytes, %d) = %d, %v", len(p), off, n, err)
				}
			}
		})
	}
	wg.Wait()
	img.files.mu.Lock()
	defer img.files.mu.Unlock()
	if n := len(img.files.open); n == 0 || n > maxOpen {
		t.Errorf("%d files are open; want at most %d", n, maxOpen)
	}
	for _, off := range []int64{img.Size(), img.Size() + 1} {
		if n, err := img.ReadAt(make([]byte, 1), off); n != 0 || err != io.EOF {
			t.Errorf("ReadAt at %d = %d, %v; want EOF", off, n, err)
		}
	}
	if _, err := img.ReadAt(make([]byte, 1), -1); !errors.Is(err, disc.ErrRange) {
		t.Errorf("ReadAt at -1 = %v", err)
	}
}

// TestChanged changes a file behind the volume: its data is refused, open or
// not, and all other data is still read.
func TestChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p string) error{
		"written":   func(p string) error { return os.WriteFile(p, []byte("other data"), 0o644) },
		"longer":    func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("x"), 9999), 0o644) },
		"truncated": func(p string) error { return os.Truncate(p, 3) },
		"touched":   func(p string) error { return os.Chtimes(p, when, when.Add(time.Second)) },
		"removed":   os.Remove,
		"replaced": func(p string) error {
			other := p + ".new"
			return errors.Join(os.WriteFile(other, []byte("same sizes"), 0o644), os.Chtimes(other, when, when), os.Rename(other, p))
		},
		"a directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := plant(t, map[string]string{"a": "0123456789", "b": "other"})
			img := volume(t, dir, Options{})
			if err := change(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
			a := img.segments[1]
			p := make([]byte, 2*disc.BlockSize)
			n, err := img.ReadAt(p, a.off-disc.BlockSize)
			if n != disc.BlockSize || !errors.Is(err, disc.ErrChanged) {
				t.Errorf("ReadAt = %d, %v; want the block before it and ErrChanged", n, err)
			}
			if _, err := img.ReadAt(p[:5], img.segments[2].off); err != nil || string(p[:5]) != "other" {
				t.Errorf("the other file is %q, %v", p[:5], err)
			}
		})
	}
}

// A write under an open file is seen too.
func TestChangedWhileOpen(t *testing.T) {
	t.Parallel()
	dir := plant(t, map[string]string{"a": "0123456789"})
	img := volume(t, dir, Options{})
	p := make([]byte, 10)
	if _, err := img.ReadAt(p, img.segments[1].off); err != nil || string(p) != "0123456789" {
		t.Fatalf("%q, %v", p, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("9876543210"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := img.ReadAt(p, img.segments[1].off); n != 0 || !errors.Is(err, disc.ErrChanged) {
			t.Errorf("ReadAt = %d, %v; want ErrChanged", n, err)
		}
	}
}

// TestDeterministic copies a folder: the bytes are equal, the identity is not.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	one, other := plant(t, assorted), plant(t, assorted)
	for _, o := range []Options{{}, {Label: "X", Hybrid: true}} {
		a, b := volume(t, one, o), volume(t, other, o)
		if !bytes.Equal(bytesOf(t, a), bytesOf(t, b)) {
			t.Errorf("%+v: the copy's volume differs", o)
		}
		if a.ID() == b.ID() || a.ID() != volume(t, one, o).ID() {
			t.Errorf("%+v: ID is %s, of the copy %s, and again %s", o, a.ID(), b.ID(), volume(t, one, o).ID())
		}
	}
	before := volume(t, one, Options{}).ID()
	if err := os.Chtimes(filepath.Join(one, "readme.txt"), when, when.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if volume(t, one, Options{}).ID() == before {
		t.Error("a changed folder has the same ID")
	}
}

// TestVolumeTime takes the newest file's time, or that of the environment.
func TestVolumeTime(t *testing.T) {
	dir := plant(t, map[string]string{"a": "a"})
	for env, want := range map[string]string{"": "2021030405060700", "86400": "1970010200000000", "-99999999999": "1900010100000000", "99999999999": "2155123123595900"} {
		t.Setenv("SOURCE_DATE_EPOCH", env)
		if got := string(bytesOf(t, volume(t, dir, Options{}))[16*2048+813:][:16]); got != want {
			t.Errorf("SOURCE_DATE_EPOCH=%q gives %s; want %s", env, got, want)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "now")
	if _, err := New(openRoot(t, dir), ".", Options{}); err == nil {
		t.Error("SOURCE_DATE_EPOCH=now is taken")
	}
}

// TestLeftOut says what is not on the disc, or not as it was.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	dir := plant(t, map[string]string{"sub/a": "a", strings.Repeat("n", 254): "", strings.Repeat("n", 253): "", "sub/abs": "-> /etc/passwd", "sub/out": "-> ../../x", "in": "-> sub/../sub/a", "loop": "-> loop", "twice": "-> sub/abs/x", "long": "-> " + strings.Repeat("./", maxTarget/2) + "a"})
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	img := volume(t, dir, Options{BootBIOS: "sub/a", Hybrid: true})
	got := strings.Join(img.Warnings(), "\n")
	for _, want := range []string{"s: left out: a socket", "sub/abs: left out: symbolic link to /etc/passwd", "sub/out: left out: symbolic link to ../../x", "loop: left out", "twice: left out", "long: left out", "Linux will show the first 250 bytes", "no hybrid head"} {
		if !strings.Contains(got, want) {
			t.Errorf("no warning %q in:\n%s", want, got)
		}
	}
	if len(img.Warnings()) != 8 {
		t.Errorf("%d warnings; want 8:\n%s", len(img.Warnings()), got)
	}
}

// TestSub lays out a directory below the root, named with slashes.
func TestSub(t *testing.T) {
	t.Parallel()
	root := openRoot(t, plant(t, map[string]string{"one/two words/a": "a", "b": "b"}))
	img, err := New(root, "one/two words", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	b := bytesOf(t, img)
	tree, err := read(b, 1)
	if err != nil || len(tree.children) != 1 || tree.children[0].name != "a" {
		t.Errorf("read = %+v, %v; want one file, a", tree, err)
	}
	if got := string(b[16*2048+40:][:32]); got != fmt.Sprintf("%-32s", "two words") {
		t.Errorf("the label is %q", got)
	}
	for _, dir := range []string{"..", "none", "b", "/"} {
		if _, err := New(root, dir, Options{}); err == nil {
			t.Errorf("New takes %q", dir)
		}
	}
}
