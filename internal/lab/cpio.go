package lab

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
)

// A node is one entry of an initramfs: bytes, a file of the host, a symbolic
// link, or, with none of them, a directory.
type node struct {
	mode   uint32 // file type and permissions, as in stat(2)
	data   []byte
	source string // host path whose content the entry takes
}

const (
	modeDir  = 0o040755
	modeFile = 0o100755 // everything may be run: it is a lab
	modeLink = 0o120777
)

// An archive is the content of an initramfs, by absolute guest path.
type archive map[string]node

func (a archive) file(name, source string) {
	a[path.Clean(name)] = node{mode: modeFile, source: source}
}

func (a archive) data(name string, p []byte) {
	a[path.Clean(name)] = node{mode: modeFile, data: p}
}

func (a archive) link(name, target string) {
	a[path.Clean(name)] = node{mode: modeLink, data: []byte(target)}
}

// write writes the archive in the cpio "newc" format, uncompressed: inflating
// costs more under TCG than loading. Parent directories are made as needed.
func (a archive) write(w io.Writer) error {
	for name := range maps.Clone(a) {
		for dir := path.Dir(name); dir != "/" && dir != "."; dir = path.Dir(dir) {
			if _, ok := a[dir]; !ok {
				a[dir] = node{mode: modeDir}
			}
		}
	}
	b := &counter{w: bufio.NewWriterSize(w, 1<<20)}
	// Sorted, a directory comes before what it holds, as the kernel wants it.
	for i, name := range slices.Sorted(maps.Keys(a)) {
		if err := b.entry(i+1, name[1:], a[name]); err != nil {
			return fmt.Errorf("initramfs: %s: %w", name, err)
		}
	}
	if err := b.entry(0, "TRAILER!!!", node{}); err != nil {
		return err
	}
	return b.w.Flush()
}

// A counter is a writer that knows how far it is from the next multiple of four.
type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) pad() error {
	_, err := c.Write(make([]byte, -c.n&3))
	return err
}

func (c *counter) entry(inode int, name string, n node) error {
	size := int64(len(n.data))
	var f *os.File
	if n.source != "" {
		var err error
		if f, err = os.Open(n.source); err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		size = info.Size()
	}
	if size >= 1<<32 {
		return fmt.Errorf("%d bytes do not fit into a cpio archive", size)
	}
	// magic, inode, mode, uid, gid, links, mtime, size, device and rdev as major
	// and minor, name length with its NUL, checksum.
	_, err := fmt.Fprintf(c, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		inode, n.mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	if err = cmp.Or(err, c.pad()); err != nil {
		return err
	}
	if f != nil {
		_, err = io.CopyN(c, f, size)
	} else {
		_, err = c.Write(n.data)
	}
	return cmp.Or(err, c.pad())
}
