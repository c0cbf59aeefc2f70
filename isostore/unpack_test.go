package isostore

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/ulikunitz/xz"

	"spindle/isostore/image"
)

// gzipped is data as gzip packs it.
func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newCache(t testing.TB, dir string, max int64) *Cache {
	t.Helper()
	c, err := NewCache(dir, max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A packed image is listed by what its file says until it is in the cache, and
// what it is stays known when it has left that.
func TestPackedStates(t *testing.T) {
	dir, state, cacheDir := t.TempDir(), t.TempDir(), t.TempDir()
	packed := gzipped(t, tinyISO("INSIDE"))
	put(t, dir+"/sub/a.iso.gz", packed)
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err == nil {
		_, err = w.Write(tinyISO("XZ"))
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	put(t, dir+"/b.iso.xz", b.Bytes())
	x, err := OpenIndex(state)
	if err != nil {
		t.Fatal(err)
	}
	cache := newCache(t, cacheDir, 1<<20)
	library := func() *Library {
		l, err := New(LibraryOptions{Dirs: []string{dir}, Index: x, Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := library()
	want := func(name string, state State, format, label string, size int) {
		t.Helper()
		e, ok := l.Entry(name)
		if !ok || e.State != state || e.Format != format || e.Label != label || e.Size != int64(size) || e.Error != "" {
			t.Errorf("%s is listed as %+v; want %s, %s, %q, %d bytes", name, e, state, format, label, size)
		}
	}
	want("sub/a.iso.gz", Packed, "iso.gz", "", len(packed))
	want("b.iso.xz", Packed, "iso.xz", "", b.Len())
	if _, _, err := l.OpenDisc("sub/a.iso.gz", Options{}); !errors.Is(err, ErrPacked) {
		t.Errorf("OpenDisc = %v; want %v", err, ErrPacked)
	}
	// A digest of the packed file does not hide that it was not looked into.
	checkIs(t, l, "sub/a.iso.gz", NoSum)
	if err := x.Save(); err != nil {
		t.Fatal(err)
	}
	if x, err = OpenIndex(state); err != nil {
		t.Fatal(err)
	}
	l = library()
	want("sub/a.iso.gz", Packed, "iso.gz", "", len(packed))
	for _, name := range []string{"sub/a.iso.gz", "b.iso.xz"} {
		if err := l.Unpack(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	want("sub/a.iso.gz", Ready, "iso.gz", "INSIDE", len(packed))
	want("b.iso.xz", Ready, "iso.xz", "XZ", b.Len())
	d, info, err := l.OpenDisc("sub/a.iso.gz", Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if info.Label != "INSIDE" || info.Size != int64(len(packed)) || info.Blocks != 18 {
		t.Errorf("info %+v", info)
	}
	if e, _ := l.Entry("sub/a.iso.gz"); e.Checks.SHA256 == "" {
		t.Error("the digest of the packed file is lost")
	}
	if err := l.Unpack(t.Context(), "sub/none.iso.gz", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Unpack of nothing: %v", err)
	}
	cache.SetMax(1) // nothing fits any more
	want("sub/a.iso.gz", Packed, "iso.gz", "INSIDE", len(packed))
	if _, _, err := l.OpenDisc("sub/a.iso.gz", Options{}); !errors.Is(err, ErrPacked) {
		t.Errorf("OpenDisc after it left the cache = %v; want %v", err, ErrPacked)
	}
	l = mustOpen(t, dir)
	if err := l.Unpack(t.Context(), "b.iso.xz", nil); !errors.Is(err, ErrPacked) || !strings.Contains(err.Error(), "there is no cache") {
		t.Errorf("Unpack without a cache: %v", err)
	}
}

// While the library runs, unpacking is a task, what fails stays said until the
// file changes, and what is done is in the list.
func TestUnpackLater(t *testing.T) {
	cache := newCache(t, t.TempDir(), 40<<10)
	good := gzipped(t, tinyISO("GOOD"))
	inBubble(t, func(r *watchRig) {
		r.l.o.Cache = cache
		put(t, r.path("bad.iso.gz"), good[:len(good)-9])
		put(t, r.path("big.iso.gz"), gzipped(t, append(tinyISO("BIG"), make([]byte, 30<<10)...)))
		put(t, r.path("good.iso.gz"), good)
	}, func(r *watchRig) {
		l := r.l
		r.after(0, "bad.iso.gz=packed big.iso.gz=packed good.iso.gz=packed")
		for range jobsAtOnce {
			l.slots[unpackJob] <- struct{}{}
		}
		ctx, leave := context.WithCancelCause(r.t.Context())
		left := make(chan error)
		go func() { left <- l.Unpack(ctx, "good.iso.gz", nil) }()
		for _, name := range []string{"bad.iso.gz", "big.iso.gz", "none.iso.gz", "bad.iso.gz"} {
			l.UnpackLater(name)
		}
		r.after(moment, "bad.iso.gz=packed big.iso.gz=packed good.iso.gz=packed")
		var tasks []string
		for _, k := range l.Tasks() {
			tasks = append(tasks, k.Kind+" "+k.Image)
		}
		if want := []string{"unpack bad.iso.gz", "unpack big.iso.gz", "unpack good.iso.gz"}; !slices.Equal(tasks, want) {
			t.Errorf("tasks %q; want %q", tasks, want)
		}
		leave(errors.New("left"))
		if err := <-left; err == nil || err.Error() != "left" {
			t.Errorf("who left got %v", err)
		}
		for range jobsAtOnce {
			<-l.slots[unpackJob]
		}
		r.after(time.Second, "bad.iso.gz=packed big.iso.gz=packed good.iso.gz=packed")
		for name, want := range map[string]string{
			"bad.iso.gz": "cut short or damaged", "big.iso.gz": "the cache may hold 40960 bytes", "good.iso.gz": "",
		} {
			e, _ := l.Entry(name)
			if !strings.Contains(e.Error, want) || (e.Error == "") != (want == "") || want != "" && !strings.Contains(e.Error, "(hint: ") {
				t.Errorf("%s: %q; want %q with a hint", name, e.Error, want)
			}
		}
		if len(l.Tasks()) != 0 {
			t.Errorf("tasks %+v", l.Tasks())
		}
		put(t, r.path("bad.iso.gz"), gzipped(t, tinyISO("MENDED")))
		r.tell(fsnotify.Write, "bad.iso.gz")
		r.after(3*time.Second, "bad.iso.gz=packed big.iso.gz=packed good.iso.gz=packed")
		if e, _ := l.Entry("bad.iso.gz"); e.Error != "" {
			t.Errorf("the new file is said to be bad: %q", e.Error)
		}
		l.UnpackLater("bad.iso.gz")
		r.after(time.Second, "bad.iso.gz=ready big.iso.gz=packed good.iso.gz=packed")
		if e, _ := l.Entry("bad.iso.gz"); e.Label != "MENDED" {
			t.Errorf("listed as %+v", e)
		}
		if err := l.Unpack(r.t.Context(), "good.iso.gz", nil); err != nil { // it takes the room of the other
			t.Error(err)
		}
		r.after(time.Second, "bad.iso.gz=packed big.iso.gz=packed good.iso.gz=ready")
		put(t, r.path("new.iso.gz"), good)
		r.tell(fsnotify.Create, "new.iso.gz")
		r.after(200*time.Millisecond, "bad.iso.gz=packed big.iso.gz=packed good.iso.gz=ready new.iso.gz=incomplete")
		if err := l.Unpack(r.t.Context(), "new.iso.gz", nil); !errors.Is(err, ErrIncomplete) {
			t.Errorf("Unpack of one that is not complete: %v", err)
		}
	})
}

// A verified library takes a packed image by the checksum of its packed file,
// or by the one inside.
func TestPackedVerified(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a.iso.gz", gzipped(t, tinyISO("A")))
	put(t, dir+"/SHA256SUMS", tool(t, dir, "sha256sum", "a.iso.gz"))
	l, err := New(LibraryOptions{Dirs: []string{dir}, Cache: newCache(t, t.TempDir(), 1<<20), Verified: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.OpenDisc("a.iso.gz", Options{}); !errors.Is(err, ErrPacked) {
		t.Fatalf("OpenDisc = %v; want %v", err, ErrPacked)
	}
	if err := l.Unpack(t.Context(), "a.iso.gz", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.OpenDisc("a.iso.gz", Options{}); !errors.Is(err, ErrUnchecked) {
		t.Fatalf("OpenDisc = %v; want %v", err, ErrUnchecked)
	}
	checkIs(t, l, "a.iso.gz", Passed, "SHA256SUMS")
	d, _, err := l.OpenDisc("a.iso.gz", Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// Without a daemon a packed image is unpacked beside, and nothing of it stays.
func TestOpenUnpacked(t *testing.T) {
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	put(t, dir+"/a.iso.gz", gzipped(t, tinyISO("A")))
	put(t, dir+"/a.iso", tinyISO("FLAT"))
	put(t, dir+"/cut.iso.gz", gzipped(t, tinyISO("A"))[:50])
	if err := os.Symlink("a.iso.gz", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		list, err := os.ReadDir(temp)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for name, label := range map[string]string{"a.iso.gz": "A", "a.iso": "FLAT", "link": "A"} {
		told := false
		d, info, done, err := OpenUnpacked(t.Context(), filepath.Join(dir, name), Options{}, func(int64, int64) { told = true })
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 2048)
		if n, err := d.ReadBlocks(p, 16); n != 1 || err != nil || !bytes.Contains(p, []byte(label)) || info.Label != label || told != (label == "A") {
			t.Errorf("%s: %+v, read %d, %v", name, info, n, err)
		}
		if done(); left() != 0 {
			t.Errorf("%s: something is left", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		want error
	}{"cut.iso.gz": {t.Context(), image.ErrDamaged}, "a.iso.gz": {ctx, context.Canceled}, "none": {t.Context(), os.ErrNotExist}} {
		if _, _, _, err := OpenUnpacked(tt.ctx, filepath.Join(dir, name), Options{}, nil); !errors.Is(err, tt.want) || left() != 0 {
			t.Errorf("%s: %v, %d left; want %v", name, err, left(), tt.want)
		}
	}
	if c, err := VerifyFile(t.Context(), dir+"/a.iso.gz", nil); err != nil || c.State != NoSum || c.SHA256 == "" {
		t.Errorf("VerifyFile = %+v, %v", c, err)
	}
}
