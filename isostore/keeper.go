package isostore

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Intervals of looking at a directory.
const (
	lookAfter   = 100 * time.Millisecond // an event: many come at once
	rescanEvery = 30 * time.Second       // where changes are not told
	seekEvery   = time.Second            // while the directory is missing
)

// maxWatches bounds the directories of one of the library's that are watched;
// where there are more all are looked at every rescanEvery.
const maxWatches = 10_000

// A keeper keeps the library's records of one directory as that is.
type keeper struct {
	l     *Library
	index int
	dir   string

	scanned bool          // the first time; the library's lock is for it
	first   chan struct{} // closed when it is

	// Of the keeper's goroutine alone.
	n        notifier
	watched  map[string]dirID // directories, by name; of those that are not told of, too
	visited  map[string]bool  // in the scan that goes on
	deaf     string           // why changes are not told, "" when they are
	note     string           // what a person should know of that
	missing  bool
	lost     bool            // events may be lost
	dirty    map[string]bool // to look at; true for what was a directory
	links    map[string]bool // symbolic links: what they lead to may change elsewhere
	settling map[string]bool
	flush    *time.Timer
	settle   *time.Timer
	rescan   *time.Timer

	mu    sync.Mutex
	asked []string
	wake  chan struct{}
}

// A dirID tells whether another directory is at a place, by a mount or a rename.
type dirID struct{ device, inode uint64 }

func (l *Library) newKeeper(index int) *keeper {
	k := &keeper{l: l, index: index, dir: l.dirs[index], wake: make(chan struct{}, 1), first: make(chan struct{})}
	k.dirty, k.links, k.settling = map[string]bool{}, map[string]bool{}, map[string]bool{}
	return k
}

// ask has the keeper look at a file that someone saw to have changed.
func (k *keeper) ask(name string) {
	k.mu.Lock()
	if len(k.asked) < maxEntries {
		k.asked = append(k.asked, name)
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run keeps the directory until ctx is done.
func (k *keeper) run(ctx context.Context) {
	for _, t := range []**time.Timer{&k.flush, &k.settle, &k.rescan} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
		defer (*t).Stop()
	}
	defer k.unwatch()
	k.scan()
	close(k.first)
	for {
		var events <-chan fsnotify.Event
		var errs <-chan error
		if k.n != nil {
			events, errs = k.n.Events(), k.n.Errors()
		}
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			k.event(e)
		case err := <-errs:
			k.l.log.Warn("watching an image directory", "dir", k.dir, "error", err)
			k.lost = true
			k.rescan.Reset(lookAfter)
		case <-k.wake:
			k.mu.Lock()
			asked := k.asked
			k.asked = nil
			k.mu.Unlock()
			for _, name := range asked {
				k.changed(name)
			}
		case <-k.flush.C:
			k.lookAtDirty()
		case <-k.settle.C:
			k.lookAtSettling()
		case <-k.rescan.C:
			k.rescanned()
		}
	}
}

// event takes what the notifier told.
func (k *keeper) event(e fsnotify.Event) {
	rel, err := filepath.Rel(k.dir, e.Name)
	if err != nil {
		return
	}
	name := filepath.ToSlash(rel)
	switch {
	case name == "." && !e.Has(fsnotify.Remove) && !e.Has(fsnotify.Rename):
		return
	case name == ".":
		k.lost = true
		k.rescan.Reset(lookAfter)
		return
	}
	k.changed(name)
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		if _, ok := k.watched[name]; ok && !hiddenName(name) {
			k.dirty[name] = true
			k.forgetDir(name) // another one may come to that name
		}
	}
}

// changed has a file looked at soon, or the image that it lies in.
func (k *keeper) changed(name string) {
	if hiddenName(name) {
		return
	}
	if len(k.dirty) == 0 {
		k.flush.Reset(lookAfter)
	}
	for _, n := range []string{discDirOf(name), name} { // name may be a directory to watch
		if _, ok := k.dirty[n]; !ok {
			k.dirty[n] = false
		}
	}
}

// forgetDir stops watching a directory that went away, with those below.
func (k *keeper) forgetDir(name string) {
	if _, ok := k.watched[name]; !ok {
		return
	}
	for n := range k.watched {
		if n == name || strings.HasPrefix(n, name+"/") {
			delete(k.watched, n)
			if k.n != nil {
				_ = k.n.Remove(filepath.Join(k.dir, filepath.FromSlash(n))) // it may have gone by itself
			}
		}
	}
}

// scan looks at the whole directory.
func (k *keeper) scan() {
	root, err := os.OpenRoot(k.dir)
	if err != nil {
		if !k.missing {
			k.unwatch()
			k.l.merge(k, nil, ".")
			k.l.setNote(k.dir, "")
		}
		k.missing = true
		k.rescan.Reset(seekEvery)
		return
	}
	defer root.Close()
	if k.n == nil || k.lost || k.missing || k.deaf == noWatch || k.watched["."] != idOf(k.dir) {
		k.unwatch()
		if k.n, err = k.l.newNotifier(); err != nil {
			k.n = nil
			k.cannotWatch(err)
		}
	}
	k.missing, k.lost = false, false
	clear(k.dirty)
	k.visited = map[string]bool{}
	k.look(root, ".")
	for name := range k.watched {
		if !k.visited[name] {
			k.forgetDir(name)
		}
	}
	k.visited = nil
	k.l.setNote(k.dir, k.note)
	k.rescan.Reset(rescanEvery)
}

// look looks at all that is below a directory.
func (k *keeper) look(root *os.Root, name string) {
	var list []finding
	w := k.walker(root, func(f finding) { list = append(list, f) })
	w.walk(name)
	k.l.merge(k, list, name)
}

func (k *keeper) walker(root *os.Root, found func(finding)) *walker {
	return &walker{root: root, remote: k.deaf != "", dir: k.watch, found: found, known: func(name string) bool { return k.l.needed(place{k.index, name}) }}
}

// watch has changes in a directory told.
func (k *keeper) watch(name string) {
	if k.visited != nil {
		k.visited[name] = true
	}
	full := filepath.Join(k.dir, filepath.FromSlash(name))
	id := idOf(full)
	if old, ok := k.watched[name]; ok && old == id {
		return
	}
	k.watched[name] = id
	above, ok := k.watched[parent(name)]
	if name == "." || ok && above.device != id.device || id == (dirID{}) {
		if kind := k.l.remoteType(full); kind != "" && k.deaf == "" {
			k.deaf = kind
			k.l.log.Info("changes of this directory are not told: it is looked at now and then", "dir", full, "type", kind, "every", rescanEvery)
		}
	}
	if k.n == nil {
		return
	}
	err := k.n.Add(full)
	if len(k.watched) > maxWatches {
		err = fmt.Errorf("more than %d directories", maxWatches)
	}
	if err != nil {
		k.cannotWatch(err)
	}
}

func parent(name string) string { return filepath.ToSlash(filepath.Dir(filepath.FromSlash(name))) }

func idOf(dir string) dirID {
	fi, err := os.Stat(dir)
	if err != nil {
		return dirID{}
	}
	device, inode, _ := statOf(fi)
	return dirID{device, inode}
}

const noWatch = "no watch"

// cannotWatch makes the keeper rescan instead.
func (k *keeper) cannotWatch(err error) {
	if k.deaf != "" {
		return
	}
	k.deaf = noWatch
	k.note = fmt.Sprintf("%s is not watched, changes show within %v: %v (hint: raise fs.inotify.max_user_watches and max_user_instances)", k.dir, rescanEvery, err)
}

// unwatch makes the next scan begin anew.
func (k *keeper) unwatch() {
	k.watched, k.deaf, k.note = map[string]dirID{}, "", ""
	if k.n != nil {
		k.n.Close()
		k.n = nil
	}
}

// rescanned is called when it is time to look whether all is as it was.
func (k *keeper) rescanned() {
	same := !k.missing && !k.lost && k.deaf == ""
	for name, id := range k.watched {
		same = same && idOf(filepath.Join(k.dir, filepath.FromSlash(name))) == id
	}
	if same {
		k.rescan.Reset(rescanEvery)
		return
	}
	k.scan()
}

// lookAtDirty looks at what was told to have changed.
func (k *keeper) lookAtDirty() {
	names := make([]string, 0, len(k.dirty))
	for name, wasDir := range k.dirty {
		names = append(names, name)
		if wasDir {
			k.l.merge(k, nil, name)
		}
	}
	clear(k.dirty)
	if len(k.links) < 64 {
		for name := range k.links {
			names = append(names, name)
		}
	}
	k.lookAt(names)
}

// lookAtSettling looks at what has not changed for a while, as far as is known.
func (k *keeper) lookAtSettling() {
	names := make([]string, 0, len(k.settling))
	for name := range k.settling {
		names = append(names, name)
	}
	k.lookAt(names)
	k.l.settle(k)
}

// lookAt looks at files and directories.
func (k *keeper) lookAt(names []string) {
	root, err := os.OpenRoot(k.dir)
	if err != nil {
		k.rescan.Reset(0)
		return
	}
	defer root.Close()
	for _, name := range names {
		if fi, err := root.Lstat(name); missing(err) {
			k.l.remove(k, name)
		} else if err == nil && fi.IsDir() {
			k.lookAtDir(root, name)
		} else {
			k.lookAtFile(root, name, fi)
		}
	}
}

func (k *keeper) lookAtDir(root *os.Root, name string) {
	_, known := k.watched[name]
	if known && isDiscDir(name) && discDirOf(name) == name {
		f, _ := k.walker(root, nil).look(name, fs.ModeDir)
		k.l.merge(k, []finding{f}, "")
		return
	}
	k.forgetDir(name)
	k.look(root, name)
}

// lookAtFile looks at what is no directory; fi is nil when it cannot be seen.
func (k *keeper) lookAtFile(root *os.Root, name string, fi fs.FileInfo) {
	mode := fs.FileMode(0)
	if fi != nil {
		mode = fi.Mode().Type()
	}
	if f, ok := k.walker(root, nil).look(name, mode); ok && discDirOf(name) == name {
		k.l.merge(k, []finding{f}, "")
		return
	}
	k.l.remove(k, name)
}
