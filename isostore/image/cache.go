package image

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Cache is a directory with packed images unpacked. It holds at most so many
// bytes: what was not used for longest goes, but never what an open disc reads.
// One process uses a directory at a time.
//
// An image is KEY.img, where the key is that of its packed file as it was, with
// KEY.txt beside it, which names that file and was modified when the image was
// last used. KEY.tmp is being unpacked.
type Cache struct {
	root    *os.Root
	held    sync.Map // keys of images: mu may be held while a disk is slow
	changes atomic.Int64

	create func(name string) (cacheWriter, error) // of a file below root

	mu      sync.Mutex
	images  map[string]*cached
	flights map[string]*flight
	used    int64 // bytes of images, and of those that are being unpacked
	max     int64
}

// A cacheWriter is a file that is being written.
type cacheWriter interface {
	io.WriteCloser
	Sync() error
}

// A cached is an image in the cache.
type cached struct {
	key  string
	size int64
	last time.Time // when it was used
	open int       // discs that read it
}

const (
	cacheImage = ".img"
	cacheNote  = ".txt"
	cacheTemp  = ".tmp"
)

// NewCache returns the cache in dir, which is made when it does not exist, of at
// most max bytes. What an earlier process left half unpacked is removed.
func NewCache(dir string, max int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the cache of unpacked images: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("the cache of unpacked images: %w", err)
	}
	c := &Cache{root: root, max: max, images: make(map[string]*cached), flights: make(map[string]*flight)}
	c.create = func(name string) (cacheWriter, error) {
		return root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	}
	if err := c.scan(); err != nil {
		root.Close()
		return nil, fmt.Errorf("the cache of unpacked images: %w", err)
	}
	return c, nil
}

// Close closes the cache; discs that read from it stay open.
func (c *Cache) Close() error { return c.root.Close() }

// SetMax changes how many bytes the cache holds at most. What open discs read
// stays all the same.
func (c *Cache) SetMax(max int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.max = max
	for c.used > c.max && c.evict() {
	}
}

// Holds reports whether the cache has the packed image of that Info.CacheKey
// unpacked. It looks at no file, and waits for none.
func (c *Cache) Holds(key string) bool {
	_, ok := c.held.Load(key)
	return ok
}

// Changes returns a number that is another one when Holds may answer otherwise.
func (c *Cache) Changes() int64 { return c.changes.Load() }

// scan takes what is in the directory. Files of other names are left alone.
func (c *Cache) scan() error {
	d, err := c.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		key, ext := strings.TrimSuffix(e.Name(), path.Ext(e.Name())), path.Ext(e.Name())
		if len(key) != cacheKeyLen || !e.Type().IsRegular() {
			continue
		}
		switch ext {
		case cacheTemp:
			c.root.Remove(e.Name())
		case cacheNote:
			if _, err := c.root.Lstat(key + cacheImage); err != nil {
				c.root.Remove(e.Name())
			}
		case cacheImage:
			fi, err := e.Info()
			if err != nil {
				continue
			}
			last := fi.ModTime()
			if note, err := c.root.Lstat(key + cacheNote); err == nil {
				last = note.ModTime()
			}
			c.add(&cached{key: key, size: fi.Size(), last: last})
			c.used += fi.Size()
		}
	}
	for c.used > c.max && c.evict() {
	}
	return nil
}

const cacheKeyLen = 32

// cacheKey is of a file as it is now: another file, or one that changed, has
// another key.
func cacheKey(f *file) (string, error) {
	fi, err := f.f.Stat()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", identity(fi, f.path), fi.Size(), fi.ModTime().UnixNano()))
	return fmt.Sprintf("%x", sum[:cacheKeyLen/2]), nil
}

// acquire opens what the packed file f unpacks to. It is kept until release is
// called. Where it is not there the error wraps ErrPacked.
func (c *Cache) acquire(f *file) (image *file, release func(), err error) {
	key, err := cacheKey(f)
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.images[key]
	if ok {
		image, err = openBelow(c.root, key+cacheImage)
		if err != nil { // somebody removed it
			c.drop(i)
		}
	}
	if !ok || err != nil {
		return nil, nil, fmt.Errorf("%w: it is not in the cache (hint: insert it into a drive: that unpacks it)", ErrPacked)
	}
	image.path = f.path // what errors name
	i.open++
	c.touch(i)
	return image, sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		i.open--
		c.touch(i)
	}), nil
}

// touch notes that an image is used. c.mu is held.
func (c *Cache) touch(i *cached) {
	i.last = time.Now()
	c.root.Chtimes(i.key+cacheNote, i.last, i.last)
}

// evict removes the image that was not used for longest and is not open. It
// reports whether there was one. c.mu is held.
func (c *Cache) evict() bool {
	var idle []*cached
	for _, i := range c.images {
		if i.open == 0 {
			idle = append(idle, i)
		}
	}
	if len(idle) == 0 {
		return false
	}
	c.drop(slices.MinFunc(idle, func(a, b *cached) int {
		return cmp.Or(a.last.Compare(b.last), strings.Compare(a.key, b.key))
	}))
	return true
}

// add takes an image that is there. c.mu is held.
func (c *Cache) add(i *cached) {
	c.images[i.key] = i
	c.held.Store(i.key, true)
	c.changes.Add(1)
}

// drop removes an image. c.mu is held.
func (c *Cache) drop(i *cached) {
	c.root.Remove(i.key + cacheImage)
	c.root.Remove(i.key + cacheNote)
	delete(c.images, i.key)
	c.used -= i.size
	c.held.Delete(i.key)
	c.changes.Add(1)
}

// reserve makes room for n bytes more.
func (c *Cache) reserve(n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.used+n > c.max {
		if !c.evict() {
			return fmt.Errorf("the cache may hold %d bytes, and this image needs more than is left beside the discs in use (hint: give the cache more room, or unpack the image into the library)", c.max)
		}
	}
	c.used += n
	return nil
}

// release gives back what was reserved.
func (c *Cache) release(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= n
}

// admit takes an image of size bytes, which are reserved, that was unpacked to
// the temporary file of that key.
func (c *Cache) admit(key, packed string, size int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.root.Rename(key+cacheTemp, key+cacheImage); err != nil {
		return err
	}
	if d, err := c.root.Open("."); err == nil {
		d.Sync() // where it cannot be, the image is unpacked again after a crash
		d.Close()
	}
	if f, err := c.root.OpenFile(key+cacheNote, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(f, packed)
		f.Close()
	}
	c.add(&cached{key: key, size: size, last: time.Now()})
	return nil
}

// dir is where the cache is, for errors.
func (c *Cache) dir() string { return filepath.Clean(c.root.Name()) }
