package iso9660

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// What a tree may have at most. More is an error: a disc without some of its
// files would be worse.
const (
	maxEntries  = 1 << 20
	maxLevels   = 64
	maxTarget   = 1000 // bytes of a symbolic link's target: for a longer one libisofs refuses the whole volume
	maxWarnings = 1000
	linuxName   = 253 // bytes of a Rock Ridge name: Linux drops the NM field that goes beyond
)

// A node is a file, a directory or a symbolic link of the tree.
type node struct {
	parent *node // the root's is itself
	name   string
	mode   fs.FileMode
	stamp  stamp
	link   string // a symbolic link's target
	twin   *node  // the file of the same inode that came first, whose data this is

	iso, joliet string     // identifiers: d-characters, and UCS-2 big-endian
	children    [2][]*node // of a directory, in the order of each view
	dirs        [2]extent  // of a directory, in each view
	subdirs     uint32     // of a directory
	block       int64      // of a file's data

	changed atomic.Bool // was once found to be another file
}

// An extent is where a directory lies.
type extent struct {
	block, size uint32
	number      uint16 // in the path table
}

func (n *node) isDir() bool  { return n.mode.IsDir() }
func (n *node) isFile() bool { return n.mode.IsRegular() }

// data is the node that a file's bytes are read from.
func (n *node) data() *node {
	if n.twin != nil {
		return n.twin
	}
	return n
}

// path returns the slash-separated path below the volume's root, "." for itself.
func (n *node) path() string {
	if n.parent == n {
		return "."
	}
	names := []string{}
	for ; n.parent != n; n = n.parent {
		names = append(names, n.name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// modified is the time of the last change.
func (n *node) modified() time.Time { return time.Unix(n.stamp.sec, n.stamp.nsec).UTC() }

// A tree is what scan found.
type tree struct {
	base     string // the directory's path, for messages
	root     *node
	entries  int
	newest   time.Time
	links    map[inode]*node // files of more than one name
	warnings *warnings
}

// scan reads the tree below base, whose path is where, in the order of names. It follows no
// symbolic link.
func scan(base *os.Root, where string) (*tree, error) {
	fi, err := base.Stat(".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, cause(err))
	}
	root := &node{mode: fi.Mode(), stamp: stampFrom(fi)}
	root.parent = root
	t := &tree{base: where, root: root, newest: root.modified(), links: map[inode]*node{}, warnings: &warnings{}}
	if err := t.dir(base, root, 1); err != nil {
		return nil, err
	}
	for n := range t.walk {
		if n.mode&fs.ModeSymlink != 0 {
			t.checkLink(base, n)
		}
		if m := n.modified(); m.After(t.newest) {
			t.newest = m
		}
	}
	return t, nil
}

// dir reads a directory of the given level; the volume's root has level 1.
func (t *tree) dir(dir *os.Root, n *node, level int) error {
	if level > maxLevels {
		return fmt.Errorf("%s: directories are nested deeper than %d levels", t.where(n), maxLevels)
	}
	f, err := dir.Open(".")
	if err != nil {
		return fmt.Errorf("%s: %w", t.where(n), cause(err))
	}
	defer f.Close()
	var names []string
	for {
		some, err := f.Readdirnames(4096)
		names = append(names, some...)
		if t.entries += len(some); t.entries > maxEntries {
			return fmt.Errorf("%s: more than %d files and directories", t.base, maxEntries)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.where(n), cause(err))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		c := &node{parent: n, name: name}
		keep, err := t.entry(dir, c, level)
		if errors.Is(err, errSkip) {
			t.warnings.add("%s: left out: %v", c.path(), cause(err))
		} else if err != nil {
			return err
		}
		if keep {
			if len(name) > linuxName {
				t.warnings.add("%s: Linux will show the first %d bytes of this name only", c.path(), nameMax)
			}
			n.children[primary] = append(n.children[primary], c)
		}
	}
	return nil
}

// errSkip is wrapped by what costs one entry and not the whole volume.
var errSkip = errors.New("")

func skip(err error) error { return fmt.Errorf("%w%w", errSkip, cause(err)) }

// entry fills in n, an entry of dir, and says whether it is of the volume.
func (t *tree) entry(dir *os.Root, n *node, level int) (bool, error) {
	fi, err := dir.Lstat(n.name)
	if err != nil {
		return false, skip(err)
	}
	n.mode, n.stamp = fi.Mode(), stampFrom(fi)
	switch m := fi.Mode(); {
	case m.IsDir():
		return t.subdir(dir, n, fi, level)
	case m.IsRegular():
		return t.file(dir, n, fi)
	case m&fs.ModeSymlink != 0:
		if n.link, err = dir.Readlink(n.name); err != nil {
			return false, skip(err)
		}
		n.stamp.size = 0
		return true, nil
	}
	return false, skip(errors.New(kindOf(fi.Mode())))
}

func (t *tree) subdir(dir *os.Root, n *node, fi fs.FileInfo, level int) (bool, error) {
	sub, err := dir.OpenRoot(n.name)
	if err != nil {
		return false, skip(err)
	}
	defer sub.Close()
	// The name may be a link's by now, which OpenRoot follows.
	if now, err := sub.Stat("."); err != nil || !os.SameFile(fi, now) {
		return false, skip(errors.New("it changed while it was read"))
	}
	if err := t.dir(sub, n, level+1); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return false, skip(fs.ErrPermission)
		}
		return false, err
	}
	return true, nil
}

// file opens a regular file once, to learn whether it can be read.
func (t *tree) file(dir *os.Root, n *node, fi fs.FileInfo) (bool, error) {
	f, err := dir.OpenFile(n.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false, skip(err)
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(fi, now) {
		return false, skip(errors.New("it changed while it was read"))
	}
	if id, ok := linked(fi); ok {
		if first := t.links[id]; first != nil && first.stamp == n.stamp {
			n.twin = first
		} else {
			t.links[id] = n
		}
	}
	return true, nil
}

// checkLink takes a symbolic link out that leads out of the volume.
func (t *tree) checkLink(base *os.Root, n *node) {
	why := linkError(path.Dir(n.path()), n.link)
	if why == "" {
		// Root knows about links on the way; one that dangles is still inside.
		_, err := base.Stat(filepath.FromSlash(n.path()))
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return
		}
		why = cause(err).Error()
	}
	t.warnings.add("%s: left out: symbolic link to %.200s: %s", n.path(), n.link, why)
	n.parent.children[primary] = slices.DeleteFunc(n.parent.children[primary], func(c *node) bool { return c == n })
}

// linkError says why a target, seen from directory dir of the volume, leads out
// of it, "" when it does not.
func linkError(dir, target string) string {
	switch {
	case target == "" || len(target) > maxTarget:
		return fmt.Sprintf("the target has %d bytes, and a reader takes 1 to %d", len(target), maxTarget)
	case path.IsAbs(target):
		return "the target is absolute"
	}
	if p := path.Join(dir, target); p == ".." || strings.HasPrefix(p, "../") {
		return "the target lies outside the volume"
	}
	return ""
}

// walk visits all nodes, a directory before what it holds, in the order of
// names; the order of the primary view once names are given. A visit may take
// the visited node out.
func (t *tree) walk(yield func(*node) bool) { visit(t.root, yield) }

func visit(n *node, yield func(*node) bool) bool {
	if !yield(n) {
		return false
	}
	for _, c := range slices.Clone(n.children[primary]) {
		if !visit(c, yield) {
			return false
		}
	}
	return true
}

// lookup returns the node at a slash-separated path, or nil. Names that match
// but for case are taken where none matches exactly.
func (t *tree) lookup(p string) *node {
	n := t.root
	for name := range strings.SplitSeq(path.Clean("/" + p)[1:], "/") {
		if name == "" {
			break
		}
		var found *node
		for _, c := range n.children[primary] {
			if c.name == name {
				found = c
				break
			}
			if found == nil && strings.EqualFold(c.name, name) {
				found = c
			}
		}
		if n = found; n == nil {
			return nil
		}
	}
	return n
}

// contentHash is a hash over all that the volume's bytes depend on but data: the
// same for a copy of the tree.
func (t *tree) contentHash(o Options) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %t %t\n", []string{o.Label, o.Publisher, o.BootBIOS, o.BootEFI}, o.NoBoot, o.Hybrid)
	for n := range t.walk {
		size := n.stamp.size
		if n.isDir() {
			size = 0 // a file system's own matter
		}
		fmt.Fprintf(h, "%q %o %d %d.%d %q\n", n.path(), posixMode(n.mode), size, n.stamp.sec, n.stamp.nsec, n.link)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// identity adds the inodes to a content hash.
func (t *tree) identity(content [sha256.Size]byte) [sha256.Size]byte {
	b := content[:]
	for n := range t.walk {
		b = binary.LittleEndian.AppendUint64(b, n.stamp.ino)
	}
	return sha256.Sum256(b)
}

// forget drops what only the layout needs: of the tree, files stay with the way
// up to the root.
func (n *node) forget() {
	for _, c := range n.children[primary] {
		c.forget()
	}
	n.iso, n.joliet, n.children = "", "", [2][]*node{}
}

// where is a node's path on the machine, for messages.
func (t *tree) where(n *node) string { return filepath.Join(t.base, filepath.FromSlash(n.path())) }

// kindOf names a file type that no volume holds.
func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "neither a file nor a directory"
}

// cause strips the path that os puts into its errors: ours name it already.
func cause(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// warnings are collected up to a bound.
type warnings struct {
	texts []string
	more  int
}

func (w *warnings) add(format string, args ...any) {
	if len(w.texts) >= maxWarnings {
		w.more++
		return
	}
	w.texts = append(w.texts, fmt.Sprintf(format, args...))
}

func (w *warnings) list() []string {
	if w.more > 0 {
		return append(slices.Clone(w.texts), fmt.Sprintf("and %d more", w.more))
	}
	return w.texts
}
