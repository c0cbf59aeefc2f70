// Package isostore is the library: the disc images below a few directories, by
// name.
package isostore

import (
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
	"time"

	"spindle/isostore/disc"
	"spindle/isostore/image"
)

// Options say how to open an image; see [image.Options].
type Options = image.Options

// Info is what an image says about itself; see [image.Info].
type Info = image.Info

// ErrOutside: the name leaves the library's directories.
var ErrOutside = errors.New("outside the library")

// A Library is an ordered list of directories. An image's name is its path
// below one of them, with slashes; where two directories have the same name
// the first one wins. All methods may be called concurrently.
//
// Directories are opened anew by each call, so that one that is mounted or
// replaced later is seen, and a Library need not be closed.
type Library struct {
	dirs []string // absolute
}

// An Entry is a file that List found.
type Entry struct {
	Name     string    `json:"name"` // what OpenDisc takes
	Dir      string    `json:"dir"`  // the directory of the library that it is in
	Size     int64     `json:"size"` // in bytes
	Modified time.Time `json:"modified"`
	Format   string    `json:"format,omitempty"`
	Medium   string    `json:"medium,omitempty"`
	Label    string    `json:"label,omitempty"`
	Error    string    `json:"error,omitempty"` // why it cannot be opened
}

// Open returns the library of the given directories. They need not exist yet:
// Check says which do not. A relative one is taken from the working directory
// of now.
func Open(dirs []string) (*Library, error) {
	l := &Library{}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("image directory %q: %w", dir, err)
		}
		if fi, err := os.Stat(abs); err == nil && !fi.IsDir() {
			return nil, fmt.Errorf("image directory %s: it is a file (hint: name the directory that holds it)", abs)
		}
		if !slices.Contains(l.dirs, abs) {
			l.dirs = append(l.dirs, abs)
		}
	}
	return l, nil
}

// Dirs returns the library's directories, absolute, in order.
func (l *Library) Dirs() []string { return slices.Clone(l.dirs) }

// Check returns an error for each directory that cannot be read now.
func (l *Library) Check() []error {
	var errs []error
	for _, dir := range l.dirs {
		d, err := os.Open(dir)
		if err == nil {
			_, err = d.Readdirnames(1)
			d.Close()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			errs = append(errs, fmt.Errorf("image directory %s: %w", dir, cause(err)))
		}
	}
	return errs
}

// List returns the images of the library, sorted by name. They are the files
// that are named as images; each is opened for a moment to say what it is. A
// file or directory that cannot be read is listed with its error, and hidden
// ones are not listed.
func (l *Library) List() []Entry {
	var list []Entry
	seen := map[string]bool{}
	for _, dir := range l.dirs {
		l.walk(dir, func(root *os.Root, name string, err error) {
			if seen[name] {
				return
			}
			seen[name] = true
			list = append(list, probe(root, name, err))
		})
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// probe says what the file name is, or why not; err is that of finding it.
func probe(root *os.Root, name string, err error) Entry {
	e := Entry{Name: name, Dir: root.Name()}
	var info Info
	if err == nil {
		var d disc.Disc
		if d, info, err = image.Open(root, name, Options{}); err == nil {
			d.Close()
		}
	}
	e.Size, e.Modified = info.Size, info.Modified
	e.Format, e.Medium, e.Label = info.Format, info.Medium, info.Label
	if err != nil {
		e.Error = err.Error()
	}
	return e
}

// walk calls found for each file below dir that is named as an image, and for
// each directory that cannot be read, with the error.
func (l *Library) walk(dir string, found func(root *os.Root, name string, err error)) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return // Check says so
	}
	defer root.Close()
	fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name != ".":
			found(root, name, cause(err))
		case name == "." || err != nil:
		case strings.HasPrefix(path.Base(name), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir() || !image.HasImageName(name):
		case d.Type()&fs.ModeSymlink != 0 && isDir(root, name): // links between directories may form a loop
		default:
			found(root, name, nil)
		}
		return nil
	})
}

func isDir(root *os.Root, name string) bool {
	fi, err := root.Stat(name)
	return err == nil && fi.IsDir()
}

// OpenDisc opens the image of that name. An absolute path is a name too when
// it lies in one of the directories. The caller closes the Disc.
//
// When there is no such image the error wraps fs.ErrNotExist, and names the
// directories and the nearest name.
func (l *Library) OpenDisc(name string, o Options) (disc.Disc, Info, error) {
	rel, err := l.relative(name)
	if err != nil {
		return nil, Info{Name: name}, err
	}
	for _, dir := range l.dirs {
		root, err := os.OpenRoot(dir)
		if err != nil {
			continue // Check says so
		}
		d, info, err := image.Open(root, rel, o)
		root.Close()
		if err == nil || !missing(err) {
			info.Name = rel
			return d, info, err
		}
	}
	return nil, Info{Name: rel}, l.notFound(rel)
}

// OpenFile opens the image at path, inside the library or not: for a path that
// the operator gave to the daemon itself.
func (l *Library) OpenFile(path string, o Options) (disc.Disc, Info, error) {
	return image.OpenFile(path, o)
}

// relative returns name as a clean slash-separated path below a directory.
func (l *Library) relative(name string) (string, error) {
	if filepath.IsAbs(name) {
		for _, dir := range l.dirs {
			if rel, err := filepath.Rel(dir, name); err == nil && filepath.IsLocal(rel) {
				return filepath.ToSlash(rel), nil
			}
		}
		return "", fmt.Errorf("image %q: %w %s (hint: move it there, or add its directory to [library] dirs)", name, ErrOutside, l.describe())
	}
	if name == "" {
		return "", errors.New("the name of the image is empty")
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", fmt.Errorf("image %q: %w %s", name, ErrOutside, l.describe())
	}
	return path.Clean(filepath.ToSlash(name)), nil
}

// missing reports whether an error of opening says that there is no such file.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func (l *Library) notFound(name string) error {
	hint := "`spindle images` lists them"
	if near := nearest(name, l.names()); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Errorf("image %q: %w in %s (hint: %s)", name, fs.ErrNotExist, l.describe(), hint)
}

// names returns the names of all images, without opening them.
func (l *Library) names() []string {
	var names []string
	for _, dir := range l.dirs {
		l.walk(dir, func(_ *os.Root, name string, err error) {
			if err == nil {
				names = append(names, name)
			}
		})
	}
	return names
}

func (l *Library) describe() string {
	if len(l.dirs) == 0 {
		return "a library without directories"
	}
	return strings.Join(l.dirs, ", ")
}

// cause strips the path that os puts into its errors: ours name it already.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
