package isostore

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// A walker looks at all files below a directory of the library.
type walker struct {
	root   *os.Root
	remote bool                   // see look
	dir    func(name string)      // told of each directory, before it is read
	found  func(f finding)        // told of each file that matters
	known  func(name string) bool // whether a file matters, whatever its name
}

// walk looks at everything below the directory name.
func (w *walker) walk(name string) {
	_ = fs.WalkDir(w.root.FS(), name, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			if name != "." {
				w.found(finding{name: name, err: cause(err)})
			}
		case name != "." && strings.HasPrefix(path.Base(name), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
			return w.enter(name)
		case discDirOf(name) == name:
			if f, ok := w.look(name, d.Type()); ok {
				w.found(f)
			}
		}
		return nil
	})
}

// enter takes a directory that is about to be read.
func (w *walker) enter(name string) error {
	if name != "." && strings.Count(name, "/") >= maxDepth {
		w.found(finding{name: name, err: fmt.Errorf("more than %d directories below one another are not looked into", maxDepth)})
		return fs.SkipDir
	}
	w.dir(name)
	if isDiscDir(name) && discDirOf(name) == name {
		f, _ := w.look(name, fs.ModeDir)
		w.found(f)
	}
	return nil
}

// look looks at a file, and reports whether it matters to the library. A link
// to a directory does not: links between directories may form a loop.
func (w *walker) look(name string, mode fs.FileMode) (f finding, ok bool) {
	f = finding{name: name, kind: kindOf(name), link: mode&fs.ModeSymlink != 0}
	if mode.IsDir() {
		f.kind = picture
	}
	if f.kind == other && (!w.known(name)) {
		return f, false
	}
	fi, err := w.root.Stat(name)
	if err == nil && fi.IsDir() && !mode.IsDir() {
		return f, false
	}
	if f.stamp, err = look(w.root, name, w.remote); err != nil {
		f.err = linkError(f.link, err)
		return f, true
	}
	if f.kind == other {
		f.kind = part
	}
	if f.kind == sums {
		if f.sums, err = readSums(w.root, name); err != nil {
			f.sums = noSums(name)
		}
	}
	return f, true
}

// linkError says why a file cannot be looked at.
func linkError(link bool, err error) error {
	switch {
	case link && missing(err):
		return fmt.Errorf("symbolic link: what it leads to is missing: %w", cause(err))
	case link:
		return fmt.Errorf("symbolic link: %w (hint: links are followed only inside the image directory; copy or bind-mount the file instead)", cause(err))
	}
	return cause(err)
}
