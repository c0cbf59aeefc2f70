package image

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"spindle/isostore/disc"
)

// A file is an image's file, which must not change while it is open.
//
// The check is a stat after each read (stamp.go): the kernel sets the time
// before it copies what is written, so that a read that saw a byte of a write
// sees its time too. Once a change was seen no data is given out any more,
// because what a host has cached no longer agrees with it. What this cannot see
// is a write in the same tick of the kernel's clock, a few milliseconds, as the
// last one before open, and one write call over old data that began before it.
type file struct {
	f        *os.File
	fd       int // of f, for stampOf; valid until Close
	path     string
	size     int64
	modified time.Time
	stamp    stamp
	changed  atomic.Bool
}

// newFile takes f when it is a regular file.
func newFile(f *os.File, path string) (*file, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkRegular(fi); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	img := &file{f: f, fd: int(f.Fd()), path: path, size: fi.Size(), modified: fi.ModTime()}
	if img.stamp, err = stampOf(f, img.fd); err != nil {
		return nil, err
	}
	return img, nil
}

// ReadAt is io.ReaderAt, with [disc.ErrChanged] and no bytes when the file is
// not what it was at open. It does not allocate unless it fails.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if f.changed.Load() {
		return 0, f.changedError()
	}
	n, err := f.f.ReadAt(p, off)
	now, serr := stampOf(f.f, f.fd)
	if serr != nil {
		return 0, fmt.Errorf("%s: %w", f.path, serr)
	}
	short := err == io.EOF && off+int64(n) < f.size
	if now != f.stamp || short {
		f.changed.Store(true)
		return 0, f.changedError()
	}
	return n, err
}

// Size is the file's size in bytes.
func (f *file) Size() int64 { return f.size }

// intact fails with [disc.ErrChanged] when the file is not what it was at open:
// for those who give out what they read before.
func (f *file) intact() error {
	_, err := f.ReadAt(nil, 0)
	return err
}

func (f *file) changedError() error {
	return fmt.Errorf("%s: %w: it was truncated or written to (hint: replace an image by renaming a new file over it)", f.path, disc.ErrChanged)
}

// Close closes the file.
func (f *file) Close() error { return f.f.Close() }
