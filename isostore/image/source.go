package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"spindle/isostore/disc"
)

// A data is where the bytes of a disc come from: a file, or what a compressed
// one unpacks to. ReadAt may be called concurrently.
type data interface {
	io.ReaderAt
	Size() int64
}

// A source is an image as its opener sees it: the image's own file, and how to
// get at the others that it consists of.
type source struct {
	*file          // nil of a folder
	path    string // of the file or folder, for errors
	root    *os.Root
	name    string // below root, with slashes
	options Options
	info    *Info
	others  []*file
	sounds  map[*file]cueData // those of audio that openSound opened
	closers []func()
}

// Close closes all files.
func (s *source) Close() error {
	var errs []error
	for _, f := range s.closers {
		f()
	}
	for _, f := range s.others {
		errs = append(errs, f.Close())
	}
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// intact fails with [disc.ErrChanged] when any of the files changed.
func (s *source) intact() error {
	if s.file != nil {
		if err := s.file.intact(); err != nil {
			return err
		}
	}
	for _, f := range s.others {
		if err := f.intact(); err != nil {
			return err
		}
	}
	return nil
}

// files are all files that the image consists of, its own first.
func (s *source) files() []*file {
	if s.file == nil {
		return s.others
	}
	return append([]*file{s.file}, s.others...)
}

// id names what the image is made of: another path, inode, size or time of a
// file is another medium.
func (s *source) id() string {
	h := sha256.New()
	for _, f := range s.files() {
		fmt.Fprintf(h, "%s|%d|%d|%d\n", f.path, f.size, f.modified.UnixNano(), inodeOf(f.f))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// maxInfoWarnings bounds the warnings about an image.
const maxInfoWarnings = 64

// warn says in the image's description what is odd, until there is enough.
func (s *source) warn(format string, args ...any) {
	if len(s.info.Warnings) < maxInfoWarnings {
		s.info.Warnings = append(s.info.Warnings, fmt.Sprintf(format, args...))
	}
}

// maxCompanions bounds the files of one image: a CUE sheet has at most one a
// track.
const maxCompanions = 128

// companion opens a file that the image names, or that belongs to it by name.
// The name is taken from the image's directory and may have Windows separators;
// where there is no such file, one of that base name in the image's directory
// is taken, in any case. It never leaves the library's directory. A file that is
// opened already is not opened again.
//
// The error names the missing file and wraps fs.ErrNotExist.
func (s *source) companion(name string) (*file, error) {
	for _, candidate := range s.candidates(name) {
		f, err := s.openCompanion(candidate)
		if err == nil {
			return f, nil
		}
		if !noSuchFile(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("its file %q is missing: %w (hint: put it beside %s)", name, fs.ErrNotExist, path.Base(s.name))
}

// noSuchFile reports whether err says that no file can have that name here: one
// that is too long, or lies below what is no directory, is missing as any other.
func noSuchFile(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.ENOTDIR)
}

// candidates are the paths below root at which a companion may lie.
func (s *source) candidates(name string) []string {
	dir := path.Dir(s.name)
	name = strings.ReplaceAll(name, `\`, "/")
	base := path.Base(name)
	list := []string{path.Join(dir, base)}
	if !path.IsAbs(name) && !strings.Contains(name, ":") {
		list = []string{path.Join(dir, name), path.Join(dir, base)}
	}
	if near := s.sibling(base); near != "" {
		list = append(list, path.Join(dir, near))
	}
	return slices.DeleteFunc(list, func(p string) bool { return !fs.ValidPath(p) || p == "." })
}

// maxSiblings bounds how many names of a directory are looked at.
const maxSiblings = 65536

// sibling returns the name beside the image that equals base but for case, or "".
func (s *source) sibling(base string) string {
	d, err := s.root.Open(path.Dir(s.name))
	if err != nil {
		return ""
	}
	defer d.Close()
	for seen := 0; seen < maxSiblings; {
		names, err := d.Readdirnames(1024)
		for _, n := range names {
			if strings.EqualFold(n, base) {
				return n
			}
		}
		if seen += len(names); err != nil {
			break
		}
	}
	return ""
}

func (s *source) openCompanion(name string) (*file, error) {
	full := filepath.Join(s.root.Name(), filepath.FromSlash(name))
	if full == s.path {
		return s.file, nil
	}
	for _, f := range s.others {
		if f.path == full {
			return f, nil
		}
	}
	if len(s.others) >= maxCompanions {
		return nil, fmt.Errorf("%w: it consists of more than %d files", ErrDamaged, maxCompanions)
	}
	f, err := openBelow(s.root, name)
	if err != nil {
		return nil, err
	}
	s.others = append(s.others, f)
	s.info.Files = append(s.info.Files, s.beside(name))
	return f, nil
}

// beside is a name below root as one relative to the image's directory.
func (s *source) beside(name string) string {
	rel, err := filepath.Rel(filepath.FromSlash(path.Dir(s.name)), filepath.FromSlash(name))
	if err != nil { // both are below root: it cannot be
		return name
	}
	return filepath.ToSlash(rel)
}

// stem is the image's name without directory and extension; with another
// extension it is the name of what goes with it.
func (s *source) stem() string {
	return strings.TrimSuffix(path.Base(s.name), path.Ext(s.name))
}

// hasExt reports whether the image's name ends in ext, in any case.
func (s *source) hasExt(ext ...string) bool {
	return slices.Contains(ext, strings.ToLower(path.Ext(s.name)))
}

// notOf is an error of a file that lacks the mark of a format: it is of
// another kind, unless its name ends in one of ext, which then is damaged.
func (s *source) notOf(text string, ext ...string) error {
	if s.hasExt(ext...) {
		return fmt.Errorf("%w: %s (hint: is the copy complete?)", ErrDamaged, text)
	}
	return fmt.Errorf("%w: %s", ErrFormat, text)
}

// maxText bounds text files that describe images, in bytes.
const maxText = 1 << 20

// text reads a whole file that should be text.
func (f *file) text() ([]byte, error) {
	if f.size > maxText {
		return nil, fmt.Errorf("%w: %d bytes are too many for a text that describes a disc", ErrFormat, f.size)
	}
	b := make([]byte, f.size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("byte %d: %w", n, err)
	}
	return b, nil
}

// readFull reads len(p) bytes of d at off; one that ends before wraps
// ErrDamaged.
func readFull(d io.ReaderAt, p []byte, off int64) error {
	n, err := d.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: byte %d: it ends where %d bytes more should be", ErrDamaged, off+int64(n), len(p)-n)
	}
	return fmt.Errorf("byte %d: %w", off+int64(n), err)
}

// A padded is data whose last block is filled up with zeros to size.
type padded struct {
	data
	size int64
}

// Size implements data.
func (d padded) Size() int64 { return d.size }

// ReadAt implements io.ReaderAt.
func (d padded) ReadAt(p []byte, off int64) (int, error) {
	want := int64(len(p))
	n := min(want, d.size-off)
	if n < 0 || off < 0 {
		return 0, io.EOF
	}
	stored := max(0, min(n, d.data.Size()-off))
	if got, err := d.data.ReadAt(p[:stored], off); int64(got) < stored {
		return got, err
	}
	clear(p[stored:n])
	if n < want {
		return int(n), io.EOF
	}
	return int(n), nil
}

// blocksOf returns what a disc holds as a file of blocks, for those who look at
// its file systems. A block without user data ends it.
func blocksOf(d disc.Disc) io.ReaderAt { return blockReader{d} }

type blockReader struct{ d disc.Disc }

// ReadAt implements io.ReaderAt.
func (r blockReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off/disc.BlockSize > int64(r.d.Layout().LeadOut()) {
		return 0, io.EOF
	}
	lba, skip := disc.LBA(off/disc.BlockSize), int(off%disc.BlockSize)
	buffer := make([]byte, (skip+len(p)+disc.BlockSize-1)/disc.BlockSize*disc.BlockSize)
	good, err := r.d.ReadBlocks(buffer, lba)
	n := copy(p, buffer[min(skip, good*disc.BlockSize):good*disc.BlockSize])
	switch {
	case n == len(p):
		return n, nil
	case errors.Is(err, disc.ErrRange) || errors.Is(err, disc.ErrMode) || err == nil:
		return n, io.EOF
	}
	return n, err
}
