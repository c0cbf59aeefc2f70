package isostore

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"spindle/isostore/image"
)

// A State says what can be done with an image.
type State string

// States of images.
const (
	Incomplete  State = "incomplete"  // it is still being written: OpenDisc refuses it
	Identifying State = "identifying" // what it is will be known soon
	Ready       State = "ready"
	Truncated   State = "truncated" // it is shorter than it says itself
	Packed      State = "packed"    // it has to be unpacked first: see Library.Unpack
	Broken      State = "error"     // it cannot be opened
)

// An Entry is an image of the library.
type Entry struct {
	Name     string    `json:"name"` // what OpenDisc takes
	Dir      string    `json:"dir"`  // the directory of the library that it is in
	Size     int64     `json:"size"` // of all its files, in bytes; of its own while no more is known
	Modified time.Time `json:"modified"`
	State    State     `json:"state"`
	Error    string    `json:"error,omitempty"` // why it is incomplete, cannot be opened, or could not be unpacked

	Format      string   `json:"format,omitempty"`
	Medium      string   `json:"medium,omitempty"`
	Label       string   `json:"label,omitempty"`
	FileSystems []string `json:"filesystems,omitempty"`
	Sessions    int      `json:"sessions,omitempty"`
	Tracks      int      `json:"tracks,omitempty"`
	Boot        []string `json:"boot,omitempty"` // who can boot it: BIOS, UEFI x64, …
	Created     string   `json:"created,omitempty"`
	Publisher   string   `json:"publisher,omitempty"`
	Warnings    []string `json:"warnings,omitempty"`
	Checks      Checks   `json:"checks"`

	// Info is all that is known of it, an [image.Info] in JSON whose name and
	// path are empty. It must not be changed.
	Info json.RawMessage `json:"-"`
}

// List returns the images of the library, sorted by name: the files that are
// named as images, but for those that another one refers to. A file or
// directory that cannot be read is listed with its error, and hidden ones are
// not listed. The caller must not change what its entries point to.
//
// Just after Run began it waits for the first look at the directories, but
// not for storage that hangs.
func (l *Library) List() []Entry {
	l.mu.Lock()
	keepers := l.keepers
	l.mu.Unlock()
	if keepers == nil {
		return l.lookOnce()
	}
	limit := time.NewTimer(firstLook)
	defer limit.Stop()
	for _, k := range keepers {
		select {
		case <-k.first:
		case <-limit.C:
			limit.Reset(0)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.listing())
}

// Entry returns the image of that name as List has it.
func (l *Library) Entry(name string) (Entry, bool) {
	name, err := l.relative(name)
	if err != nil {
		return Entry{}, false
	}
	return search(l.List(), name)
}

// Peek is Entry for those who must not wait for storage: it says what is in
// memory, which is nothing while Run does not run.
func (l *Library) Peek(name string) (Entry, bool) {
	name, err := l.relative(name)
	if err != nil {
		return Entry{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keepers == nil {
		return Entry{}, false
	}
	return search(l.listing(), name)
}

func search(list []Entry, name string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(list, name, func(e Entry, name string) int { return strings.Compare(e.Name, name) })
	if !ok {
		return Entry{}, false
	}
	return list[i], true
}

// firstLook is how long List waits for it.
const firstLook = 2 * time.Second

// listing is List from memory. The lock is held.
func (l *Library) listing() []Entry {
	if c := l.o.Cache; c != nil && c.Changes() != l.cached {
		l.stale, l.cached = true, c.Changes()
	}
	if l.stale || len(l.jobs) > 0 {
		l.stale = false
		l.list = l.entries()
	}
	return l.list
}

func (l *Library) entries() []Entry {
	first := map[string]int{}
	for p, r := range l.records {
		if l.listed(p, r) {
			if dir, ok := first[p.name]; !ok || p.dir < dir {
				first[p.name] = p.dir
			}
		}
	}
	list := make([]Entry, 0, len(first))
	for name, dir := range first {
		p := place{dir, name}
		list = append(list, l.entry(p, l.records[p]))
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (l *Library) listed(p place, r *record) bool {
	switch r.kind {
	case picture:
		return !l.hidden(p)
	case partial:
		whole, _ := cutPartial(p.name)
		return image.HasImageName(whole) && l.records[p.with(whole)] == nil
	}
	return r.kind == other && r.err != nil
}

// hidden reports whether an image is only a part of another one.
func (l *Library) hidden(p place) bool {
	for q := range l.owners[p] {
		if l.records[q] != nil {
			return true
		}
	}
	for _, sheet := range sheetNames(p.name) {
		if r := l.records[p.with(sheet)]; r != nil && r.kind == picture {
			return true
		}
	}
	return false
}

// entry says what is known of a file.
func (l *Library) entry(p place, r *record) Entry {
	e := Entry{
		Name: p.name, Dir: l.dirs[p.dir], Size: r.stamp.Size, State: Identifying,
		Checks: compare(r.known, p.name, func(file string) []sum { return l.sumsOf(p.dir, file) }),
	}
	if r.stamp != (stamp{}) {
		e.Modified = time.Unix(0, r.stamp.Modified)
	}
	if j := l.jobs[jobKey{verifyJob, p}]; j != nil {
		e.Checks.State, e.Checks.Done, e.Checks.Total = Checking, j.done.Load(), j.total.Load()
	}
	reason := l.incomplete(p, r)
	switch {
	case r.err != nil:
		e.State, e.Error = Broken, r.err.Error()
	case reason != "":
		e.State, e.Error = Incomplete, reason
	case r.known != nil:
		if e.fill(r.known); l.packed(r.known) && r.known.Error == "" {
			e.State = Packed
			if f := l.failed[p]; f.stamp == r.stamp {
				e.Error = f.text
			}
		}
	}
	return e
}

// fill says what the image is.
func (e *Entry) fill(k *known) {
	s := &k.sum
	e.State, e.Info = Ready, k.Info
	if s.Size > 0 {
		e.Size = s.Size
	}
	e.Format, e.Medium, e.Label = s.Format, s.Medium, s.Label
	e.FileSystems, e.Warnings, e.Publisher, e.Boot = s.FileSystems, s.Warnings, s.Publisher, s.BootBy
	_ = json.Unmarshal(s.Created, &e.Created) // where it is no text it is in Info
	e.Sessions = len(s.Sessions)
	for _, session := range s.Sessions {
		e.Tracks += len(session.Tracks)
	}
	switch {
	case k.Error != "":
		e.State, e.Error = Broken, k.Error
	case k.Truncated:
		e.State = Truncated
	}
}
