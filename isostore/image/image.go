// Package image opens disc images. A format is one file of this package and
// one line of the list in formats.go.
//
// Every opener treats its file as hostile: it allocates a bounded amount, does
// not panic, and fails with an error that names the file and the reason. An
// image is opened read-only and is never loaded whole.
package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"spindle/isostore/disc"
)

// Errors of opening an image, beside those of package os.
var (
	// ErrFormat: the file is not an image of the format, or of any known one.
	ErrFormat = errors.New("not a disc image of a known format")
	// ErrNotRegular: the name is a directory, a FIFO, a socket or a device.
	ErrNotRegular = errors.New("not a regular file")
	// ErrDamaged: the file is an image of the format, but an incomplete or a
	// contradictory one.
	ErrDamaged = errors.New("damaged image")
)

// Options say how to open an image. The zero value is right for most.
type Options struct {
	// Kind is the medium to take the image for; zero chooses by size.
	Kind disc.Kind
	// Cache has packed images unpacked; without it they fail with ErrPacked.
	Cache *Cache
}

// Open opens the image name below root; name is slash-separated and relative.
// A symbolic link is followed as long as it stays below root. Opening never
// waits: a name that is not of a regular file fails with ErrNotRegular, but a
// directory is a disc of the files in it.
//
// The Info is filled in as far as the image could be understood, also when
// Open fails. The caller closes the Disc.
func Open(root *os.Root, name string, o Options) (disc.Disc, Info, error) {
	info := Info{Name: name, Path: filepath.Join(root.Name(), filepath.FromSlash(name))}
	if fi, err := root.Stat(name); err == nil && fi.IsDir() {
		info.Modified = fi.ModTime()
		return finish(&source{path: info.Path, root: root, name: name, options: o, info: &info}, openFolder)
	}
	img, err := openBelow(root, name)
	if err != nil {
		return nil, info, err
	}
	info.Size, info.Modified = img.size, img.modified
	return finish(&source{file: img, path: info.Path, root: root, name: name, options: o, info: &info}, open)
}

// finish opens a source and describes what it is.
func finish(s *source, open func(s *source) (disc.Disc, error)) (disc.Disc, Info, error) {
	d, err := open(s)
	for i, text := range s.info.Warnings {
		s.info.Warnings[i] = brief(printable(text)) // names of files are in them
	}
	if err != nil {
		s.Close()
		return nil, *s.info, briefError{fmt.Errorf("%s: %w", s.path, err)}
	}
	if s.info.ID == "" {
		s.info.ID = s.id()
	}
	if s.file != nil {
		s.info.Size = 0
	}
	for _, f := range s.files() {
		s.info.Size += f.size
	}
	describe(d.Layout(), s.info)
	identify(d, s.info)
	return d, *s.info, nil
}

// OpenFile opens the image at path, which may be a symbolic link to anywhere:
// for a file that the operator named, not for one from a host or a web page.
func OpenFile(path string, o Options) (disc.Disc, Info, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok { // it names a component, by an operation that nobody asked for
			err = pe.Err
		}
		return nil, Info{Name: path, Path: path}, fmt.Errorf("image %q: %w", path, err)
	}
	root, err := os.OpenRoot(filepath.Dir(real))
	if err != nil {
		return nil, Info{Name: path, Path: real}, err
	}
	defer root.Close()
	d, info, err := Open(root, filepath.Base(real), o)
	info.Name = path
	return d, info, err
}

// Inspect opens the image at path, as OpenFile does, and says what it is. When
// it fails, Info holds what could be understood.
func Inspect(path string, o Options) (Info, error) {
	d, info, err := OpenFile(path, o)
	if err != nil {
		return info, err
	}
	return info, d.Close()
}

// openBelow opens the regular file name below root.
func openBelow(root *os.Root, name string) (*file, error) {
	f, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	img, err := newFile(f, filepath.Join(root.Name(), filepath.FromSlash(name)))
	if err != nil {
		f.Close()
	}
	return img, err
}

// openRegular opens a regular file. It looks before it opens, because opening
// a device can act on it; it opens without waiting and newFile looks again,
// because the name may be another file's by then.
func openRegular(root *os.Root, name string) (*os.File, error) {
	path := filepath.Join(root.Name(), filepath.FromSlash(name))
	fi, err := root.Stat(name)
	if err != nil {
		l, lerr := root.Lstat(name)
		isLink := lerr == nil && l.Mode()&os.ModeSymlink != 0
		switch {
		case isLink && errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("%s: symbolic link: what it leads to is missing: %w", path, cause(err))
		case isLink:
			return nil, fmt.Errorf("%s: symbolic link: %w (hint: links are followed only inside the image directory; copy or bind-mount the file instead)", path, cause(err))
		}
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	if err := checkRegular(fi); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return f, nil
}

// checkRegular says what a file is when it is not a regular one.
func checkRegular(fi os.FileInfo) error {
	what := ""
	switch m := fi.Mode(); {
	case m.IsRegular():
		return nil
	case m.IsDir():
		what = "a directory"
	case m&os.ModeNamedPipe != 0:
		what = "a FIFO"
	case m&os.ModeSocket != 0:
		what = "a socket"
	case m&os.ModeDevice != 0:
		what = "a device"
	default:
		what = m.Type().String()
	}
	return fmt.Errorf("%w: %s", ErrNotRegular, what)
}

// cause strips the path that os puts into its errors: ours name it already.
func cause(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}
