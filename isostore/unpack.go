package isostore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"spindle/isostore/disc"
	"spindle/isostore/image"
)

// A Cache is a directory with packed images unpacked; see [image.Cache].
type Cache = image.Cache

// NewCache returns the cache in dir of at most max bytes; see [image.NewCache].
func NewCache(dir string, max int64) (*Cache, error) { return image.NewCache(dir, max) }

// ErrPacked: the image is packed and not in the cache: see Library.Unpack.
var ErrPacked = image.ErrPacked

// A failure is why a state of an image could not be unpacked.
type failure struct {
	stamp stamp
	text  string
}

// options are o with the library's cache.
func (l *Library) options(o Options) Options {
	if o.Cache == nil {
		o.Cache = l.o.Cache
	}
	return o
}

// Unpack unpacks the packed image of that name into the cache, unless it is
// there. tell, which may be nil, is called now and then with how many of the
// packed file's bytes were read. Those who want one image share the work, and
// it ends early when ctx is done. See [image.Cache.Unpack] for what may fail.
func (l *Library) Unpack(ctx context.Context, name string, tell func(done, total int64)) error {
	p, err := l.find(name)
	if err != nil {
		return err
	}
	return l.await(ctx, jobKey{unpackJob, p}, tell, func(*job) {})
}

// UnpackLater has Unpack done in the background, while Run runs. When it fails
// the image's Entry says why.
func (l *Library) UnpackLater(name string) { l.later(unpackJob, name) }

// unpack does the work.
func (l *Library) unpack(ctx context.Context, p place, j *job) error {
	root, err := os.OpenRoot(l.dirs[p.dir])
	if err != nil {
		return err
	}
	defer root.Close()
	if err := l.whole(root, p); err != nil {
		return err
	}
	before, _ := look(root, p.name, false)
	l.unpacked(p, failure{}) // what failed before is tried again
	l.tell()
	if l.o.Cache == nil {
		err = fmt.Errorf("%s: %w: there is no cache to unpack it into (hint: see the alarms of `spindle status`)",
			filepath.Join(root.Name(), filepath.FromSlash(p.name)), ErrPacked)
	} else {
		err = l.o.Cache.Unpack(ctx, root, p.name, j.tell)
	}
	switch {
	case err == nil:
		l.mu.Lock()
		l.again(p)
		l.mu.Unlock()
	case ctx.Err() == nil:
		l.unpacked(p, failure{before, err.Error()})
	}
	return err
}

// unpacked notes why an image could not be unpacked; a failure without a text
// is none.
func (l *Library) unpacked(p place, f failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale = true
	if delete(l.failed, p); f.text != "" && l.records[p] != nil {
		l.failed[p] = f
	}
}

// packed reports whether k is of a packed image that the cache does not have.
func (l *Library) packed(k *known) bool {
	return k.Packed != "" && (l.o.Cache == nil || !l.o.Cache.Holds(k.Packed))
}

// fresh reports whether k says all that can be found out now.
func (l *Library) fresh(k *known) bool {
	return k.identified() && (!k.Shut || l.packed(k))
}

// OpenUnpacked opens the image at path as [Library.OpenFile] does. A packed one
// is unpacked first, into a directory for temporary files, with tell as in
// Library.Unpack. done closes the disc and removes what was unpacked.
func OpenUnpacked(ctx context.Context, path string, o Options, tell func(done, total int64)) (d disc.Disc, info Info, done func(), err error) {
	d, info, err = image.OpenFile(path, o)
	if err == nil {
		return d, info, func() { d.Close() }, nil
	}
	if !errors.Is(err, ErrPacked) {
		return nil, info, nil, err
	}
	dir, terr := os.MkdirTemp("", "spindle-")
	if terr != nil {
		return nil, info, nil, fmt.Errorf("%w; %w", err, terr)
	}
	remove := func() { os.RemoveAll(dir) }
	if o.Cache, err = NewCache(dir, math.MaxInt64); err == nil {
		remove = func() { o.Cache.Close(); os.RemoveAll(dir) }
		if err = unpackFile(ctx, path, o.Cache, tell); err == nil {
			d, info, err = image.OpenFile(path, o)
		}
	}
	if err != nil {
		remove()
		return nil, info, nil, err
	}
	return d, info, func() { d.Close(); remove() }, nil
}

// unpackFile unpacks the image at path, which may be a symbolic link.
func unpackFile(ctx context.Context, path string, c *Cache, tell func(done, total int64)) error {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(real))
	if err != nil {
		return err
	}
	defer root.Close()
	return c.Unpack(ctx, root, filepath.Base(real), tell)
}
