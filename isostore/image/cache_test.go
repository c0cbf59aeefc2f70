package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"spindle/isostore/disc"
)

// TestUnpackCap unpacks more than the cache may hold: what was not used for
// longest goes, but not what is open; a file that grows without end stops.
func TestUnpackCap(t *testing.T) {
	dir := t.TempDir()
	const blocks = 500
	for _, name := range []string{"a.iso.gz", "b.iso.gz", "c.iso.gz"} {
		write(t, dir, name, unpackBytes(t, ".gz", packedImage(blocks)))
	}
	root := write(t, dir, "bomb.iso.gz", unpackBytes(t, ".gz", append(packedImage(30), make([]byte, 8<<20)...)))
	c := unpackCache(t, 2*blocks*disc.BlockSize+100)
	unpack := func(name string) error { return c.Unpack(t.Context(), root, name, nil) }
	open := func(name string) (disc.Disc, error) {
		d, _, err := Open(root, name, Options{Cache: c})
		return d, err
	}
	if err := errors.Join(unpack("a.iso.gz"), unpack("b.iso.gz")); err != nil {
		t.Fatal(err)
	}
	a, err := open("a.iso.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := unpack("c.iso.gz"); err != nil {
		t.Fatal(err)
	}
	if _, err := open("b.iso.gz"); !errors.Is(err, ErrPacked) {
		t.Errorf("b, which was not used for longest: %v, want it gone", err)
	}
	packedRead(t, a, packedImage(blocks))
	if err := unpack("bomb.iso.gz"); err == nil || !strings.Contains(err.Error(), "may hold") {
		t.Errorf("8 MiB: %v", err)
	}
	if left := unpackLeft(t, c); len(left) != 1 || c.used != blocks*disc.BlockSize {
		t.Errorf("%q are left with %d bytes, want a alone", left, c.used)
	}
	packedRead(t, a, packedImage(blocks))
	a.Close()
	if err := errors.Join(unpack("b.iso.gz"), unpack("c.iso.gz")); err != nil {
		t.Errorf("after a was closed: %v", err)
	}
}

// TestUnpackAgain starts with what an earlier process left.
func TestUnpackAgain(t *testing.T) {
	dir := t.TempDir()
	root := write(t, dir, "a.iso.xz", unpackBytes(t, ".xz", packedImage(100)))
	write(t, dir, "b.iso.xz", unpackBytes(t, ".xz", packedImage(200)))
	c := unpackCache(t, 1<<20)
	if err := errors.Join(c.Unpack(t.Context(), root, "a.iso.xz", nil), c.Unpack(t.Context(), root, "b.iso.xz", nil)); err != nil {
		t.Fatal(err)
	}
	cache := c.root.Name()
	stale := strings.Repeat("0", cacheKeyLen)
	for _, name := range []string{stale + cacheTemp, stale + cacheNote, "a file of somebody"} {
		if err := os.WriteFile(filepath.Join(cache, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, _, err := Open(root, "a.iso.xz", Options{Cache: c}) // a is used after b
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	again, err := NewCache(cache, 100*disc.BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if left := unpackLeft(t, again); len(left) != 2 {
		t.Errorf("%q are left, want a's image and the file of somebody", left)
	}
	d, _, err = Open(root, "a.iso.xz", Options{Cache: again})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	os.Chtimes(filepath.Join(dir, "a.iso.xz"), time.Unix(1e9, 0), time.Unix(1e9, 0))
	if _, _, err := Open(root, "a.iso.xz", Options{Cache: again}); !errors.Is(err, ErrPacked) {
		t.Errorf("after the packed file changed: %v, want %v", err, ErrPacked)
	}
}

// TestUnpackOnce asks for one image from many sides: one unpacks it. One that
// gives up leaves it to another.
func TestUnpackOnce(t *testing.T) {
	root := write(t, t.TempDir(), "a.iso.gz", unpackBytes(t, ".gz", packedImage(2000)))
	c := unpackCache(t, 10<<20)
	var files atomic.Int32
	create := c.create
	c.create = func(name string) (cacheWriter, error) {
		files.Add(1)
		return create(name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		once := sync.OnceFunc(func() { close(begun) })
		defer once()
		err := c.Unpack(ctx, root, "a.iso.gz", func(int64, int64) {
			once()
			cancel()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the one who gave up: %v", err)
		}
	})
	<-begun
	for range 8 {
		wg.Go(func() {
			if err := c.Unpack(t.Context(), root, "a.iso.gz", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := files.Load(); n != 2 || len(unpackLeft(t, c)) != 1 {
		t.Errorf("it was unpacked %d times, want 2; left is %q", n, unpackLeft(t, c))
	}
}

// A smallDisk is a file of a cache on a disk that holds so many bytes.
type smallDisk struct {
	cacheWriter
	t     *testing.T
	cache *Cache
	size  int64
}

func (d smallDisk) Write(p []byte) (int, error) {
	free := d.size
	for _, name := range unpackLeft(d.t, d.cache) {
		if fi, err := d.cache.root.Stat(name); err == nil {
			free -= fi.Size()
		}
	}
	n, err := d.cacheWriter.Write(p[:min(int64(len(p)), free)])
	if err == nil && n < len(p) {
		err = &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return n, err
}

// TestUnpackFullDisk unpacks to a disk that is full: other images make room,
// and where there are none nothing is left.
func TestUnpackFullDisk(t *testing.T) {
	dir := t.TempDir()
	root := write(t, dir, "a.iso.gz", unpackBytes(t, ".gz", packedImage(1000)))
	write(t, dir, "b.iso.gz", unpackBytes(t, ".gz", packedImage(1200)))
	c := unpackCache(t, 1<<30)
	create := c.create
	c.create = func(name string) (cacheWriter, error) {
		f, err := create(name)
		return smallDisk{f, t, c, 3 << 20}, err
	}
	if err := errors.Join(c.Unpack(t.Context(), root, "a.iso.gz", nil), c.Unpack(t.Context(), root, "b.iso.gz", nil)); err != nil {
		t.Fatalf("b, for which a can go: %v", err)
	}
	d, _, err := Open(root, "b.iso.gz", Options{Cache: c})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	packedRead(t, d, packedImage(1200))
	err = c.Unpack(t.Context(), root, "a.iso.gz", nil)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "is full") || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("a, for which b cannot go: %v, want %v", err, syscall.ENOSPC)
	}
	if names := unpackLeft(t, c); len(names) != 1 || c.used != 1200*disc.BlockSize {
		t.Errorf("%q are left with %d bytes, want the image that is open", names, c.used)
	}
}
