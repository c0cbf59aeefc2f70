package isostore

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestNamesThatAreNotListed has what the watch has no record of be judged by its
// times, and not wait for a record that never comes.
func TestNamesThatAreNotListed(t *testing.T) {
	inBubble(t, func(r *watchRig) {
		put(t, r.path(".hidden.iso"), tinyISO("A"))
		put(t, r.path("sub/a.iso"), tinyISO("A"))
		put(t, r.path("folder.iso/file"), []byte("x"))
		if err := os.Symlink("sub", r.path("link")); err != nil {
			t.Fatal(err)
		}
	}, func(r *watchRig) {
		for _, name := range []string{".hidden.iso", "link/a.iso", "folder.iso"} {
			d, _, err := r.l.OpenDisc(name, Options{})
			if err != nil {
				r.t.Errorf("%s: %v", name, err)
				continue
			}
			d.Close()
		}
		synctest.Wait()
	})
	now := time.Now()
	for age, want := range map[time.Duration]bool{0: true, time.Second: true, -time.Second: true, settleTime: false, time.Hour: false, -time.Hour: false} {
		if got := (stamp{Modified: 1, Changed: now.Add(-age).UnixNano()}).young(now); got != want {
			t.Errorf("a change %v ago is young: %v", age, got)
		}
	}
}

// TestNamesOfOtherBytes opens an image whose name is not UTF-8 by what JSON makes
// of it, unless that is the name of two.
func TestNamesOfOtherBytes(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/gr\xf6\xdfe.iso", tinyISO("A"))
	put(t, dir+"/a\xff.iso", tinyISO("A"))
	put(t, dir+"/a\xfe.iso", tinyISO("B"))
	l := mustOpen(t, dir)
	d, info, err := l.OpenDisc("gr\uFFFD\uFFFDe.iso", Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if info.Name != "gr\xf6\xdfe.iso" {
		t.Errorf("it is %q", info.Name)
	}
	if _, _, err := l.OpenDisc("a\uFFFD.iso", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one of two: %v", err)
	}
}

// TestDanglingLink says what is wrong, and not that the name is unknown.
func TestDanglingLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("gone", dir+"/a.iso"); err != nil {
		t.Fatal(err)
	}
	_, _, err := mustOpen(t, dir).OpenDisc("a.iso", Options{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "symbolic link: what it leads to is missing") || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("%v", err)
	}
}

// TestUselessSums says that a file of checksums that is there has none.
func TestUselessSums(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d"} {
		put(t, dir+"/"+name+".iso", tinyISO(name))
	}
	put(t, dir+"/a.iso.sha256", []byte("\xff\xfed\x00e\x00"))
	put(t, dir+"/b.iso.md5", []byte(strings.Repeat("x", maxSumsSize+1)))
	put(t, dir+"/c.iso.md5", []byte("d41d8cd98f00b204e9800998ecf8427e  another.iso\n"))
	l := mustOpen(t, dir)
	for name, want := range map[string]string{"a": "a.iso.sha256 has no checksum of it", "b": "b.iso.md5 has no checksum of it", "c": "c.iso.md5 has no checksum of it", "d": ""} {
		if c := checkIs(t, l, name+".iso", NoSum); c.Detail != want {
			t.Errorf("%s: %q; want %q", name, c.Detail, want)
		}
		if e, ok := l.Entry(name + ".iso"); !ok || e.Checks.State != NoSum || e.Checks.Detail != want {
			t.Errorf("%s is listed with %+v", name, e.Checks)
		}
	}
}
