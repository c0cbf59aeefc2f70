package iso9660

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"spindle/isostore/disc"
)

// maxOpen is how many files are kept open; more are open only while more reads
// than that are under way.
const maxOpen = 32

// files reads the tree's files and keeps the last ones open.
type files struct {
	base *os.Root
	path string // of base, for messages

	mu   sync.Mutex
	open []*openFile // the latest used first
}

type openFile struct {
	node *node
	f    *os.File
	fd   int // of f, for stampOf; valid until it is closed
	uses int // reads under way; guarded by files.mu
}

func newFiles(base *os.Root, path string) *files { return &files{base: base, path: path} }

// readAt fills p from byte off of a file, or fails. A stat after each read
// sees a write that the read may have seen, but for one in the same tick of the
// kernel's clock as the file's last one before New.
func (c *files) readAt(n *node, p []byte, off int64) error {
	if n.changed.Load() {
		return c.changed(n)
	}
	o, err := c.acquire(n)
	if err != nil {
		return err
	}
	defer c.release(o)
	_, err = o.f.ReadAt(p, off)
	now, serr := stampOf(o.f, o.fd)
	if serr != nil {
		return fmt.Errorf("%s: %w", c.where(n), cause(serr))
	}
	if now != n.stamp || err == io.EOF {
		n.changed.Store(true)
		return c.changed(n)
	}
	if err != nil {
		return fmt.Errorf("%s: byte %d: %w", c.where(n), off, cause(err))
	}
	return nil
}

func (c *files) where(n *node) string {
	return filepath.Join(c.path, filepath.FromSlash(n.path()))
}

func (c *files) changed(n *node) error {
	return fmt.Errorf("%s: %w: it was written to, replaced or removed (hint: insert the folder again)", c.where(n), disc.ErrChanged)
}

// acquire returns the open file of n, for release when the read is done.
func (c *files) acquire(n *node) (*openFile, error) {
	if o := c.take(n, nil); o != nil {
		return o, nil
	}
	o, err := c.openNode(n)
	if err != nil {
		return nil, err
	}
	return c.take(n, o), nil
}

// take counts one more use of n's open file and puts it in front. When there
// is none it takes o in, if that is not nil; when there is one o is closed.
func (c *files) take(n *node, o *openFile) *openFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.open, func(o *openFile) bool { return o.node == n }); i >= 0 {
		if o != nil {
			o.f.Close()
		}
		o = c.open[i]
		copy(c.open[1:i+1], c.open[:i])
		c.open[0] = o
	} else if o != nil {
		c.open = slices.Insert(c.open, 0, o)
	} else {
		return nil
	}
	o.uses++
	c.trim()
	return o
}

func (c *files) release(o *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.uses--
	c.trim()
}

// trim closes the files that were not used for longest, while there are too
// many. The caller holds mu.
func (c *files) trim() {
	for i := len(c.open) - 1; i >= 0 && len(c.open) > maxOpen; i-- {
		if c.open[i].uses == 0 {
			c.open[i].f.Close()
			c.open = slices.Delete(c.open, i, i+1)
		}
	}
}

// openNode opens a file of the tree. It looks before it opens, because opening
// a device can act on it, and without waiting, because the name may be a FIFO's
// by then.
func (c *files) openNode(n *node) (*openFile, error) {
	name := filepath.FromSlash(n.path())
	fi, err := c.base.Lstat(name)
	if err == nil && (!fi.Mode().IsRegular() || stampFrom(fi) != n.stamp) || errors.Is(err, fs.ErrNotExist) {
		n.changed.Store(true)
		return nil, c.changed(n)
	}
	var f *os.File
	if err == nil {
		f, err = c.base.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.where(n), cause(err))
	}
	return &openFile{node: n, f: f, fd: int(f.Fd())}, nil
}

// Close closes all files and the directory.
func (c *files) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.open {
		o.f.Close()
	}
	c.open = nil
	return c.base.Close()
}
