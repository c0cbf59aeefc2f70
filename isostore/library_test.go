package isostore

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/image"
)

// tinyISO is the smallest image that opens: 18 blocks and a label.
func tinyISO(label string) []byte {
	b := make([]byte, 18*disc.BlockSize)
	pvd := b[16*disc.BlockSize:]
	copy(pvd, "\x01CD001\x01")
	copy(pvd[40:], label)
	binary.LittleEndian.PutUint32(pvd[80:], 18)
	binary.BigEndian.PutUint32(pvd[84:], 18)
	binary.LittleEndian.PutUint16(pvd[128:], 2048)
	copy(b[17*disc.BlockSize:], "\xffCD001\x01")
	return b
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// twoDirs is a library of two directories with images of all sorts.
func twoDirs(t *testing.T) (l *Library, one, two string) {
	t.Helper()
	one, two = t.TempDir(), t.TempDir()
	put(t, one+"/debian-12.iso", tinyISO("DEBIAN"))
	put(t, one+"/sub dir/größe 日本.ISO", tinyISO("UNICODE"))
	put(t, one+"/broken.iso", []byte("nothing"))
	put(t, one+"/notes.txt", []byte("not an image"))
	put(t, one+"/.hidden.iso", tinyISO("HIDDEN"))
	put(t, one+"/.trash/old.iso", tinyISO("HIDDEN"))
	put(t, two+"/debian-12.iso", tinyISO("SHADOWED"))
	put(t, two+"/extra.img", tinyISO("EXTRA"))
	put(t, two+"/odd.xyz", tinyISO("ODD"))
	if err := syscall.Mkfifo(one+"/fifo.iso", 0o644); err != nil {
		t.Fatal(err)
	}
	os.Symlink("debian-12.iso", one+"/link.iso")
	os.Symlink(two+"/extra.img", one+"/out.iso")
	os.Symlink("sub dir", one+"/dirlink.iso")
	l, err := Open([]string{one, two, one})
	if err != nil {
		t.Fatal(err)
	}
	return l, one, two
}

func TestList(t *testing.T) {
	l, one, two := twoDirs(t)
	want := []struct{ name, dir, label, err string }{
		{"broken.iso", one, "", "not a disc image"},
		{"debian-12.iso", one, "DEBIAN", ""},
		{"extra.img", two, "EXTRA", ""},
		{"fifo.iso", one, "", "a FIFO"},
		{"link.iso", one, "DEBIAN", ""},
		{"out.iso", one, "", "symbolic link"},
		{"sub dir/größe 日本.ISO", one, "UNICODE", ""},
	}
	list := l.List()
	for i, w := range want {
		if i >= len(list) {
			t.Fatalf("List = %+v; want also %s", list, w.name)
		}
		e := list[i]
		if e.Name != w.name || e.Dir != w.dir || e.Label != w.label || (e.Error == "") != (w.err == "") || !strings.Contains(e.Error, w.err) {
			t.Errorf("entry %d = %+v, want %+v", i, e, w)
		}
	}
	if len(list) != len(want) {
		t.Errorf("List has %d entries, want %d: %+v", len(list), len(want), list[len(want):])
	}
}

func TestOpenDisc(t *testing.T) {
	l, one, two := twoDirs(t)
	tests := []struct {
		name, label, text string
		err               error
	}{
		{"debian-12.iso", "DEBIAN", "", nil},
		{"./debian-12.iso", "DEBIAN", "", nil},
		{"extra.img", "EXTRA", "", nil},
		{"odd.xyz", "ODD", "", nil}, // not listed, but opened by name
		{"sub dir/größe 日本.ISO", "UNICODE", "", nil},
		{two + "/extra.img", "EXTRA", "", nil},
		{"broken.iso", "", "broken.iso", image.ErrFormat},
		{"fifo.iso", "", "a FIFO", image.ErrNotRegular},
		{"out.iso", "", "symbolic link", nil},
		{"debian-13.iso", "", `did you mean "debian-12.iso"?`, fs.ErrNotExist},
		{"Debian-12", "", `did you mean "debian-12.iso"?`, fs.ErrNotExist},
		{"größe 日本.iso", "", `did you mean "sub dir/größe 日本.ISO"?`, fs.ErrNotExist},
		{"something else entirely", "", "spindle images", fs.ErrNotExist},
		{"debian-12.iso/x", "", one, fs.ErrNotExist},
		{"../x.iso", "", "../x.iso", ErrOutside},
		{"sub dir/../../x.iso", "", "x.iso", ErrOutside},
		{"/etc/passwd", "", "hint", ErrOutside},
		{"", "", "empty", nil},
		{"a\x00b", "", "", nil},
	}
	for _, tt := range tests {
		d, info, err := l.OpenDisc(tt.name, Options{})
		if tt.label != "" {
			if err != nil || info.Label != tt.label || filepath.IsAbs(info.Name) {
				t.Errorf("OpenDisc(%q) = %+v, %v; want label %s", tt.name, info, err, tt.label)
				continue
			}
			d.Close()
			continue
		}
		if err == nil || tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("OpenDisc(%q) = %v; want %v with %q", tt.name, err, tt.err, tt.text)
		}
	}
	if _, _, err := l.OpenDisc("nowhere.iso", Options{}); !strings.Contains(err.Error(), one) || !strings.Contains(err.Error(), two) {
		t.Errorf("error does not name the directories: %v", err)
	}
	if d, _, err := l.OpenFile(two+"/odd.xyz", Options{}); err != nil {
		t.Errorf("OpenFile: %v", err)
	} else {
		d.Close()
	}
}

func TestMissingDirectories(t *testing.T) {
	dir := t.TempDir()
	l, err := Open([]string{dir + "/later", dir})
	if err != nil || len(l.Check()) != 1 || len(l.List()) != 0 || !l.IsEmpty() {
		t.Fatalf("library with a missing directory: %v, %v, %v", err, l.Check(), l.List())
	}
	put(t, dir+"/later/x.iso", tinyISO("LATER"))
	if d, info, err := l.OpenDisc("x.iso", Options{}); err != nil || info.Label != "LATER" {
		t.Errorf("image in a directory that came later: %v", err)
	} else {
		d.Close()
	}
	if l.IsEmpty() || len(l.Check()) != 0 {
		t.Errorf("IsEmpty %v, Check %v", l.IsEmpty(), l.Check())
	}
	put(t, dir+"/file", nil)
	if _, err := Open([]string{dir + "/file"}); err == nil {
		t.Error("a file passes for an image directory")
	}
	none, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := none.OpenDisc("x.iso", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("library without directories: %v", err)
	}
}

// TestConcurrentUse runs the library under the race detector.
func TestConcurrentUse(t *testing.T) {
	l, _, _ := twoDirs(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			l.List()
			if d, _, err := l.OpenDisc("extra.img", Options{}); err == nil {
				d.Close()
			}
			l.OpenDisc("nope", Options{})
		})
	}
	wg.Wait()
}

func TestMakeSample(t *testing.T) {
	dir := t.TempDir() + "/new"
	put(t, dir+"/"+SecondName, tinyISO("MINE"))
	made, err := MakeSample(dir)
	if err != nil || len(made) != 1 || made[0] != SampleName {
		t.Fatalf("MakeSample = %v, %v; want only %s", made, err, SampleName)
	}
	if err := os.Remove(dir + "/" + SecondName); err != nil {
		t.Fatal(err)
	}
	if made, err = MakeSample(dir); err != nil || len(made) != 1 {
		t.Fatalf("MakeSample again = %v, %v", made, err)
	}
	if names, _ := filepath.Glob(dir + "/.*"); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	l, err := Open([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range samples {
		d, info, err := l.OpenDisc(s.name, Options{})
		if err != nil || info.Label != s.label || len(info.Warnings) != 0 {
			t.Fatalf("sample %d: %+v, %v", i, info, err)
		}
		disctest.TestDisc(t, d)
		d.Close()
	}
}

// TestSampleWithTools has another implementation read a sample.
func TestSampleWithTools(t *testing.T) {
	lab.Need(t, "xorriso")
	dir := t.TempDir()
	if _, err := MakeSample(dir); err != nil {
		t.Fatal(err)
	}
	image, out := filepath.Join(dir, SampleName), filepath.Join(dir, "out")
	text, err := lab.ToolCmd(t.Context(), "xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", out, "-find", "/", "-exec", "lsdl").CombinedOutput()
	if err != nil {
		t.Fatalf("xorriso: %v\n%s", err, text)
	}
	for _, want := range []string{"'SPINDLE_SAMPLE'", "'/README.TXT'", "'/NEXT.TXT'", "drwxr-xr-x"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("xorriso does not show %s:\n%s", want, text)
		}
	}
	for name, text := range samples[0].files {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != text {
			t.Errorf("%s = %q, %v; want %q", name, got, err, text)
		}
	}
}

func TestMakeSampleFails(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/file", nil)
	if _, err := MakeSample(dir + "/file"); err == nil {
		t.Error("MakeSample below a file succeeds")
	}
}
