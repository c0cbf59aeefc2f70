package convert

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A placing is where the files of a result go.
type placing struct {
	to    string // directory
	image string // name of the image there, in place of names[0]
	names []string
	o     Options
}

// target is where file i goes.
func (p *placing) target(i int) string {
	if i == 0 {
		return filepath.Join(p.to, p.image)
	}
	return filepath.Join(p.to, p.names[i])
}

// check refuses names at which no file may be put, before the long work.
func (p *placing) check() error {
	for i := range p.names {
		target := p.target(i)
		fi, err := os.Lstat(target)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case !fi.Mode().IsRegular() && fi.Mode()&fs.ModeSymlink == 0:
			return fmt.Errorf("%s: neither a file nor a link, and is not written over (hint: choose another name)", target)
		}
		if p.isSource(target) {
			return fmt.Errorf("%s: it is read from, and is not written over (hint: choose another name)", target)
		}
		if !p.o.Force {
			return fmt.Errorf("%s: %w (hint: --force writes over it)", target, fs.ErrExist)
		}
	}
	return nil
}

// isSource reports whether a name is that of a file that the disc is read from.
func (p *placing) isSource(name string) bool {
	fi, err := os.Stat(name)
	return err == nil && slices.ContainsFunc(p.o.Source, func(source string) bool {
		other, err := os.Stat(source)
		return err == nil && os.SameFile(fi, other)
	})
}

// install moves the files from a directory to their names, the image last, so
// that it is there only with all that it consists of. When one cannot be moved
// those before it are taken away again.
func (p *placing) install(from string) (files []string, size int64, err error) {
	for i, name := range slices.Backward(p.names) {
		target := p.target(i)
		fi, err := os.Stat(filepath.Join(from, name))
		if err == nil {
			err = p.move(filepath.Join(from, name), target)
		}
		if err != nil {
			for _, f := range files {
				os.Remove(f)
			}
			if errors.Is(err, fs.ErrExist) {
				err = fmt.Errorf("%w (hint: --force writes over it)", fs.ErrExist)
			}
			return nil, 0, fmt.Errorf("%s: %w", target, cause(err))
		}
		files, size = append(files, target), size+fi.Size()
	}
	slices.Reverse(files)
	return files, size, syncDir(p.to)
}

// move gives a file another name. A link is made where nothing may be replaced:
// unlike a rename it fails when the name came to exist.
func (p *placing) move(from, to string) error {
	if !p.o.Force {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		if _, err := os.Lstat(to); err == nil { // the file system has no links
			return fs.ErrExist
		}
	}
	return os.Rename(from, to)
}

// syncDir syncs a directory, where its file system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

// cause strips the paths that os puts into its errors.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}

// A placedError is an error of a file in a temporary directory, named as if the
// file were where it was to go.
type placedError struct {
	error
	text string
}

func placed(err error, from, to string) error {
	text := err.Error()
	if real, rerr := filepath.EvalSymlinks(from); rerr == nil {
		if real, rerr = filepath.Abs(real); rerr == nil {
			text = strings.ReplaceAll(text, real, filepath.Dir(real))
		}
	}
	return placedError{err, strings.ReplaceAll(text, from, to)}
}

func (e placedError) Error() string { return e.text }

// Unwrap lets errors.Is look inside.
func (e placedError) Unwrap() error { return e.error }
