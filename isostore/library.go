// Package isostore is the library: the disc images below a few directories, by
// name. It watches the directories, finds out in the background what each
// image is, and compares images with their checksums.
package isostore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"spindle/isostore/disc"
	"spindle/isostore/image"
)

// Options say how to open an image; see [image.Options].
type Options = image.Options

// Info is what an image says about itself; see [image.Info].
type Info = image.Info

// Errors of opening an image of the library, beside those of package image.
var (
	// ErrOutside: the name leaves the library's directories.
	ErrOutside = errors.New("outside the library")
	// ErrIncomplete: the file is still being written, or its download goes on.
	ErrIncomplete = errors.New("the image is not complete yet")
	// ErrUnchecked: verified images alone are wanted, and this one was not
	// compared with its checksums yet: see Library.Verify.
	ErrUnchecked = errors.New("the image is not verified yet")
	// ErrUntrusted: verified images alone are wanted, and this one is not what
	// its checksums say, has none, or is truncated.
	ErrUntrusted = errors.New("the image is not to be trusted")
)

// LibraryOptions make a library.
type LibraryOptions struct {
	Dirs  []string // in order: where two have the same name the first wins
	Index *Index   // of what is known of images; nil for one in memory
	Cache *Cache   // of packed images; without it they cannot be read
	// Verified: OpenDisc opens what is as its checksums say, and nothing else.
	Verified bool
	// Changed is told when List, Tasks or Notes may answer otherwise than
	// before, a few times a second at most, while Run runs; it may be nil.
	Changed func()
	Log     *slog.Logger // nil discards
}

// A Library is an ordered list of directories. An image's name is its path
// below one of them, with slashes; where two directories have the same name
// the first one wins. All methods may be called concurrently.
//
// While Run runs, List answers from memory. Before, and without Run, List looks
// at the directories itself, and nothing is known of files that grow.
// Directories are opened anew by each call, so that one that is mounted or
// replaced later is seen, and a Library need not be closed.
type Library struct {
	dirs  []string // absolute
	o     LibraryOptions
	index *Index
	log   *slog.Logger

	// Seams for tests.
	newNotifier func() (notifier, error)
	remoteType  func(dir string) string

	workers sync.WaitGroup // jobs

	slots map[jobKind]chan struct{} // of jobs that read
	news  chan struct{}             // Changed is to be told
	work  chan struct{}             // todo is not empty

	mu      sync.Mutex
	run     context.Context // of Run, nil without
	keepers []*keeper       // by directory, while Run runs
	records map[place]*record
	owners  map[place]map[place]bool // of a companion: the images that need it
	sums    map[place][]*sumFile     // by directory: those in it
	passing map[place]bool           // images that could not be opened, for a reason that may pass
	todo    []place                  // to be identified
	doing   int                      // being identified
	counted int                      // identified since there was nothing to do
	jobs    map[jobKey]*job
	failed  map[place]failure // images that could not be unpacked
	notes   map[string]string
	list    []Entry
	stale   bool  // list is not what there is
	cached  int64 // Changes of the cache that list knows of
}

// Open returns the library of the given directories. They need not exist yet:
// Check says which do not. A relative one is taken from the working directory
// of now.
func Open(dirs []string) (*Library, error) { return New(LibraryOptions{Dirs: dirs}) }

// New returns a library; see Open for its directories.
func New(o LibraryOptions) (*Library, error) {
	l := &Library{
		o: o, index: o.Index, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		newNotifier: newInotify, remoteType: remoteType,
		slots: map[jobKind]chan struct{}{}, jobs: map[jobKey]*job{},
		news: make(chan struct{}, 1), work: make(chan struct{}, 1),
	}
	for _, kind := range jobKinds {
		l.slots[kind] = make(chan struct{}, jobsAtOnce)
	}
	if l.index == nil {
		l.index, _ = OpenIndex("") // in memory it cannot fail
	}
	l.forget()
	for _, dir := range o.Dirs {
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

// forget makes the library one that knows of no file.
func (l *Library) forget() {
	l.records, l.owners, l.sums = map[place]*record{}, map[place]map[place]bool{}, map[place][]*sumFile{}
	l.passing, l.failed = map[place]bool{}, map[place]failure{}
	l.notes, l.todo, l.stale = map[string]string{}, nil, true
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

// OpenDisc opens the image of that name. An absolute path is a name too when
// it lies in one of the directories. The caller closes the Disc.
//
// When there is no such image the error wraps fs.ErrNotExist, and names the
// directories and the nearest name. An image that is not complete yet is
// ErrIncomplete, a packed one that is not in the cache ErrPacked; where verified
// images alone are wanted it may be ErrUnchecked or ErrUntrusted. A truncated one is opened, with a warning in Info.
func (l *Library) OpenDisc(name string, o Options) (disc.Disc, Info, error) {
	p, err := l.find(name)
	if err != nil {
		return nil, Info{Name: name}, err
	}
	info := Info{Name: p.name}
	root, err := os.OpenRoot(l.dirs[p.dir])
	if err != nil {
		return nil, info, fmt.Errorf("image directory %s: %w", l.dirs[p.dir], cause(err))
	}
	defer root.Close()
	if err := l.whole(root, p); err != nil {
		return nil, info, err
	}
	before, _ := look(root, p.name, false)
	d, info, err := image.Open(root, p.name, l.options(o))
	info.Name = p.name
	if err != nil {
		return nil, info, err
	}
	if l.o.Verified {
		err = l.trusted(root, p, before)
	} else if _, short := lookInside(d); (short || info.Truncated) && len(info.Warnings) == 0 {
		info.Warnings = append(info.Warnings, truncatedText)
	}
	if err != nil {
		d.Close()
		return nil, info, err
	}
	return d, info, nil
}

const truncatedText = "the file is shorter than its file system: was the download cut short?"

// trusted says why an image of which before is the stamp must not be used.
func (l *Library) trusted(root *os.Root, p place, before stamp) error {
	full := filepath.Join(root.Name(), filepath.FromSlash(p.name))
	k, err := l.learn(root, p)
	if err != nil || k.Stamp != before {
		return fmt.Errorf("%s: %w", full, cmp.Or(err, errMoved))
	}
	c := compare(k, p.name, func(file string) []sum { return sumsFor(root, file) })
	reason, hint := c.Detail, "download it again"
	switch {
	case k.Truncated:
		reason = truncatedText
	case c.State == Failed:
	case c.State == NoSum:
		reason, hint = cmp.Or(reason, "there is no checksum for it"), "put its SHA256SUMS beside it, or set verify in [library] to \"off\""
	case c.State == Unchecked:
		return fmt.Errorf("%s: %w (hint: `spindle verify %s` does it)", full, ErrUnchecked, p.name)
	default:
		return nil
	}
	return fmt.Errorf("%s: %w: %s (hint: %s)", full, ErrUntrusted, reason, hint)
}

// Verified reports whether OpenDisc opens verified images alone.
func (l *Library) Verified() bool { return l.o.Verified }

// Inspect says what the image of that name is, whether or not it may be used.
func (l *Library) Inspect(name string, o Options) (Info, error) {
	p, err := l.find(name)
	if err != nil {
		return Info{Name: name}, err
	}
	root, err := os.OpenRoot(l.dirs[p.dir])
	if err != nil {
		return Info{Name: p.name}, err
	}
	defer root.Close()
	d, info, err := image.Open(root, p.name, l.options(o))
	if err == nil {
		err = d.Close()
	}
	info.Name = p.name
	return info, err
}

// OpenFile opens the image at path, inside the library or not: for a path that
// the operator gave to the daemon itself.
func (l *Library) OpenFile(path string, o Options) (disc.Disc, Info, error) {
	return image.OpenFile(path, l.options(o))
}

// find returns where the image of that name is: in the first directory that
// has such a file.
func (l *Library) find(name string) (place, error) {
	rel, err := l.relative(name)
	if err != nil {
		return place{}, err
	}
	for i, dir := range l.dirs {
		root, err := os.OpenRoot(dir)
		if err != nil {
			continue // Check says so
		}
		_, err = root.Lstat(rel) // a link that leads nowhere is there: opening it says so
		root.Close()
		if err == nil || !missing(err) {
			return place{i, rel}, nil
		}
	}
	if p, ok := l.bytesOf(rel); ok {
		return p, nil
	}
	return place{}, l.notFound(rel)
}

// bytesOf returns the place of the only image whose name is the given one where
// what is not UTF-8 in it is replaced: JSON and terminals show such names so.
func (l *Library) bytesOf(name string) (found place, ok bool) {
	if !strings.ContainsRune(name, utf8.RuneError) {
		return found, false
	}
	for _, e := range l.List() {
		if utf8.ValidString(e.Name) || string([]rune(e.Name)) != name {
			continue
		}
		if ok {
			return place{}, false // which of them is meant is not known
		}
		found, ok = place{slices.Index(l.dirs, e.Dir), e.Name}, true
	}
	return found, ok
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

// lasting reports whether an error of opening an image stays until the file
// changes.
func lasting(err error) bool {
	return errors.Is(err, image.ErrFormat) || errors.Is(err, image.ErrDamaged) || errors.Is(err, image.ErrNotRegular)
}

func (l *Library) notFound(name string) error {
	hint := "`spindle images` lists them"
	var names []string
	for _, e := range l.List() {
		names = append(names, e.Name)
	}
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Errorf("image %q: %w in %s (hint: %s)", name, fs.ErrNotExist, l.describe(), hint)
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
