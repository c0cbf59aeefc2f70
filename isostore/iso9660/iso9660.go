// Package iso9660 lays a volume out over the files of a directory without
// copying their data: ISO 9660 (ECMA-119) with Joliet and Rock Ridge, El Torito
// when there are boot images, and a GPT head on request. What describes the files
// is made once and kept in memory; the data is read from the files themselves.
//
// The same tree gives the same bytes on every machine: times come from the files,
// owners are 0, and what needs to be unique is a hash of names, sizes, modes and
// times. Identifiers are of interchange level 3: up to 31 d-characters in the
// primary volume, files in several extents above 4 GiB. Directories may lie
// deeper than the eight levels of ECMA-119, 6.8.2.1: they are not relocated,
// since no system of today minds.
package iso9660

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"time"
	"unicode/utf8"

	"spindle/isostore/disc"
)

// Options say what a volume is to be. The zero value is a volume named after its
// directory, bootable when the usual boot images are there.
type Options struct {
	Label     string // volume identifier; "" takes the directory's name
	Publisher string // publisher identifier; "" leaves it out
	BootBIOS  string // path below the directory of the BIOS boot image; "" looks for the usual ones
	BootEFI   string // path below the directory of a FAT image for UEFI; "" looks for the usual ones, then for EFI/BOOT
	NoBoot    bool   // no El Torito and no hybrid head
	Hybrid    bool   // protective MBR and GPT, so that UEFI boots the image from a disk too
	Force     bool   // Create replaces what is at its destination
}

// An Image is a volume over a directory. All methods may be called
// concurrently, but for Close, which is called once, after the last read.
type Image struct {
	files    *files
	segments []segment // by offset, without overlap; between them are zeros
	size     int64
	id       string
	boot     []Boot
	warnings []string
}

// chunk is how much is written and compared at once, in bytes.
const chunk = 1 << 20

// A segment is a run of bytes that lie in memory or in a file.
type segment struct {
	off, n int64
	mem    []byte // of n bytes, or nil for a file's
	file   *node
	at     int64 // of the first byte in the file
}

// New lays out the directory dir, slash-separated below root, "." for root
// itself. It reads the tree, and of the files only the boot images. The Image
// keeps a handle of the directory: root may be closed.
func New(root *os.Root, dir string, o Options) (*Image, error) {
	where, err := filepath.Abs(filepath.Join(root.Name(), filepath.FromSlash(dir)))
	if err != nil {
		return nil, err
	}
	base, err := root.OpenRoot(filepath.FromSlash(dir))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, cause(err))
	}
	img, err := build(base, where, o)
	if err != nil {
		return nil, errors.Join(err, base.Close())
	}
	return img, nil
}

// build makes the image of the directory that base is, whose path is where.
func build(base *os.Root, where string, o Options) (*Image, error) {
	t, err := scan(base, where)
	if err != nil {
		return nil, err
	}
	t.giveNames()
	b := &builder{files: newFiles(base, where), o: o, tree: t, hash: t.contentHash(o), warnings: t.warnings}
	b.label = cmp.Or(o.Label, filepath.Base(where))
	if n := utf8.RuneCountInString(b.label); n > 32 {
		b.warnings.add("the label has %d characters: a volume has 32, and 16 in Joliet", n)
	}
	if b.time, err = volumeTime(t.newest); err != nil {
		return nil, err
	}
	if !o.NoBoot {
		if err := b.findBoot(); err != nil {
			return nil, err
		}
	}
	if err := b.layout(); err != nil {
		return nil, err
	}
	id := t.identity(b.hash)
	t.root.forget()
	return &Image{
		files:    b.files,
		segments: b.segments,
		size:     b.end * disc.BlockSize,
		id:       hex.EncodeToString(id[:]),
		boot:     b.bootList(),
		warnings: b.warnings.list(),
	}, nil
}

// volumeTime is the time of the volume descriptors: SOURCE_DATE_EPOCH in
// seconds since 1970, where the environment has it, else that of the newest file.
func volumeTime(newest time.Time) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return newest, nil
	}
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%q is not a count of seconds", text)
	}
	return time.Unix(sec, 0), nil
}

// Size returns the size in bytes, whole blocks of [disc.BlockSize].
func (m *Image) Size() int64 { return m.size }

// ID names the medium: a hash over names, modes, sizes, times and inodes of the
// tree and over the options. A changed folder is another medium.
func (m *Image) ID() string { return m.id }

// Boot returns the boot images, in the order of the boot catalogue.
func (m *Image) Boot() []Boot { return slices.Clone(m.boot) }

// Warnings say what was left out of the volume or shortened, and why.
func (m *Image) Warnings() []string { return slices.Clone(m.warnings) }

// Close closes the files and the directory.
func (m *Image) Close() error { return m.files.Close() }

// ReadAt implements io.ReaderAt. A file that is no longer what it was at New is
// an error wrapping [disc.ErrChanged]; n counts the good bytes before it.
func (m *Image) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: byte %d", disc.ErrRange, off)
	}
	if off >= m.size {
		return 0, io.EOF
	}
	if int64(len(p)) > m.size-off {
		p, err = p[:m.size-off], io.EOF
	}
	i := sort.Search(len(m.segments), func(i int) bool { return m.segments[i].off+m.segments[i].n > off })
	for n < len(p) {
		at, rest := off+int64(n), p[n:]
		if i == len(m.segments) {
			clear(rest)
			return len(p), err
		}
		s := &m.segments[i]
		if gap := s.off - at; gap > 0 {
			rest = rest[:min(gap, int64(len(rest)))]
			clear(rest)
			n += len(rest)
			continue
		}
		rest = rest[:min(s.off+s.n-at, int64(len(rest)))]
		if s.mem != nil {
			copy(rest, s.mem[at-s.off:])
		} else if err := m.files.readAt(s.file, rest, s.at+at-s.off); err != nil {
			return n, err
		}
		n += len(rest)
		i++
	}
	return n, err
}

// WriteTo implements io.WriterTo: the whole image, in order.
func (m *Image) WriteTo(w io.Writer) (int64, error) {
	buf := make([]byte, chunk)
	for off := int64(0); off < m.size; {
		n, err := m.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return off, err
		}
		k, err := w.Write(buf[:n])
		if off += int64(k); err != nil {
			return off, err
		}
	}
	return m.size, nil
}
