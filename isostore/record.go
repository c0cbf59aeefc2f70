package isostore

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// settleTime is how long a file must not change to be taken for complete.
const settleTime = 2 * time.Second

// Bounds of what a library knows of.
const (
	maxEntries = 100_000 // files
	maxDepth   = 32      // directories below one another
)

// A place is where a file is: its directory's number and its name below it.
type place struct {
	dir  int
	name string
}

// beside is the place of another name.
func (p place) with(name string) place { return place{p.dir, name} }

// A record is a file that the library knows of. The library's lock is for it.
type record struct {
	kind   kind
	stamp  stamp
	link   bool      // a symbolic link
	err    error     // of looking at it
	since  time.Time // when it was last seen to change; zero when that is long enough ago
	known  *known    // what these bytes are; nil when that is to be found out
	owned  *known    // the last one, whose companions are in owners
	queued bool
}

// A finding is what a look at a file said.
type finding struct {
	name  string
	kind  kind
	stamp stamp
	link  bool
	err   error
	sums  *sumFile // of kind sums
}

// note takes what a look at a file of directory dir said, and reports whether
// it has to be looked at again in settleTime. first is set for what was there
// when the library began: that counts as complete unless it is seen to change,
// since a daemon that starts must serve. The lock is held.
func (l *Library) note(dir int, f finding, first bool, now time.Time) (settling bool) {
	p := place{dir, f.name}
	r := l.records[p]
	switch {
	case r == nil && len(l.records) >= maxEntries:
		l.notes["entries"] = fmt.Sprintf("there are more than %d files: the rest is not listed (hint: make directories of their own for files that are no images)", maxEntries)
		return false
	case r == nil:
		r = &record{kind: f.kind, stamp: f.stamp}
		l.records[p] = r
		if !first {
			r.since = now
		}
		l.stale = true
	case !r.stamp.sameBytes(f.stamp) || (r.err == nil) != (f.err == nil):
		r.since = now
		l.stale = true
	}
	if r.stamp != f.stamp {
		r.stamp, r.known = f.stamp, nil
		delete(l.failed, p)
		l.stale = true
	}
	r.kind, r.link, r.err = f.kind, f.link, f.err
	if f.kind == sums {
		l.setSums(p, f.sums)
	}
	if r.since.IsZero() {
		l.settled(p, r)
		return false
	}
	return true
}

// settled has a file that is complete identified, or what it belongs to.
func (l *Library) settled(p place, r *record) {
	if r.kind == picture && r.err == nil && !l.fresh(r.known) {
		if k := l.index.get(r.stamp); l.fresh(k) && len(k.Companions) == 0 {
			l.setKnown(p, r, k)
		} else {
			l.queue(p, r)
		}
	}
	for q := range l.owners[p] {
		l.again(q)
	}
	if r.kind != part && r.kind != picture {
		return
	}
	for q := range l.passing { // this may be the file that one of them lacked
		if q != p && q.dir == p.dir && path.Dir(q.name) == path.Dir(p.name) {
			l.again(q)
		}
	}
}

// again has an image identified anew: a file that it needs changed.
func (l *Library) again(p place) {
	if r := l.records[p]; r != nil && r.kind == picture && r.err == nil {
		r.known = nil
		delete(l.passing, p)
		l.stale = true
		if r.since.IsZero() {
			l.queue(p, r)
		}
	}
}

// gone takes a file out. The lock is held.
func (l *Library) gone(p place) {
	r := l.records[p]
	if r == nil {
		return
	}
	delete(l.records, p)
	delete(l.notes, "entries")
	l.stale = true
	if r.kind == sums {
		l.setSums(p, nil)
	}
	for q := range l.owners[p] {
		l.again(q)
	}
	l.own(p, r.owned, nil)
	delete(l.passing, p)
	delete(l.failed, p)
}

// setKnown puts what is known of an image into its record. The lock is held.
func (l *Library) setKnown(p place, r *record, k *known) {
	l.own(p, r.owned, k)
	r.known, r.owned = k, k
	l.stale = true
	delete(l.passing, p)
	if k.Passing {
		l.passing[p] = true
	}
}

// own notes which files an image needs, in place of what it needed before.
func (l *Library) own(p place, old, now *known) {
	if old != nil {
		for _, c := range old.Companions {
			q := p.with(besides(p.name, c.Name))
			if delete(l.owners[q], p); len(l.owners[q]) == 0 {
				delete(l.owners, q)
			}
		}
	}
	if now != nil {
		for _, c := range now.Companions {
			q := p.with(besides(p.name, c.Name))
			if l.owners[q] == nil {
				l.owners[q] = map[place]bool{}
			}
			l.owners[q][p] = true
		}
	}
}

// setSums puts the checksums of file p, nil for none any more, in the place of
// those before.
func (l *Library) setSums(p place, f *sumFile) {
	dir := p.with(path.Dir(p.name))
	list := slices.DeleteFunc(l.sums[dir], func(s *sumFile) bool { return s.name == p.name })
	if f != nil {
		list = append(list, f)
	}
	l.sums[dir] = list
	if len(list) == 0 {
		delete(l.sums, dir)
	}
	l.stale = true
}

// sumsOf returns the checksums of a file, from memory. The lock is held.
func (l *Library) sumsOf(dir int, name string) (list []sum) {
	for d := path.Dir(name); ; d = path.Dir(d) {
		for _, f := range l.sums[place{dir, d}] {
			if d == path.Dir(name) || ofDirectory(f.name) {
				list = append(list, f.of(name)...)
			}
		}
		if d == "." {
			return list
		}
	}
}

// incomplete says why a file that is known must not be used yet, "" when it
// may. The lock is held.
func (l *Library) incomplete(p place, r *record) string {
	if _, ok := cutPartial(p.name); ok {
		return "its name says that the download goes on"
	}
	for _, n := range partialNames(p.name) {
		if l.records[p.with(n)] != nil {
			return partialReason(n)
		}
	}
	if !r.since.IsZero() {
		return growingReason
	}
	var parts []string
	if r.known != nil {
		parts = companionNames(r.known)
	} else {
		for _, n := range partNames(p.name) {
			parts = append(parts, path.Base(n))
		}
	}
	for _, n := range parts {
		if q := l.records[p.with(besides(p.name, n))]; q != nil && !q.since.IsZero() {
			return n + ": " + growingReason
		}
	}
	return ""
}

const growingReason = "it changed a moment ago"

func partialReason(name string) string { return path.Base(name) + " lies beside it" }

// whole says why the image must not be used yet: by what is beside it, and,
// while Run runs, by whether it was seen to change.
func (l *Library) whole(root *os.Root, p place) error {
	reason := ""
	if _, ok := cutPartial(p.name); ok {
		reason = "its name says that the download goes on"
	}
	for _, n := range partialNames(p.name) {
		if _, err := root.Lstat(n); err == nil && reason == "" {
			reason = partialReason(n)
		}
	}
	if reason == "" {
		reason = l.growing(root, p)
	}
	if reason == "" {
		return nil
	}
	hint := "wait until it is, `spindle images` says when"
	if reason != growingReason {
		hint = "wait for the end of the download, or remove what is left of one that was given up"
	}
	return fmt.Errorf("%s: %w: %s (hint: %s)", filepath.Join(root.Name(), filepath.FromSlash(p.name)), ErrIncomplete, reason, hint)
}

// growing looks whether the file changed since the watch last saw it, and has
// the watch look, too.
func (l *Library) growing(root *os.Root, p place) string {
	now, err := look(root, p.name, true)
	if err != nil {
		return "" // opening says so
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keepers == nil || !l.keepers[p.dir].scanned {
		return ""
	}
	r := l.records[p]
	if r == nil && !now.young(time.Now()) {
		return "" // a hidden file, say, of which there is no record, or not yet
	}
	if r == nil || !r.stamp.sameBytes(now) {
		l.keepers[p.dir].ask(p.name)
		return growingReason
	}
	return l.incomplete(p, r)
}
