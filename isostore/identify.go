package isostore

import (
	"cmp"
	"context"
	"os"
	"slices"
)

// identifyAtOnce is how many images are identified at a time.
const identifyAtOnce = 2

// queue has an image identified. The lock is held.
func (l *Library) queue(p place, r *record) {
	if r.queued || l.hidden(p) {
		return
	}
	r.queued = true
	if len(l.todo) == 0 && l.doing == 0 {
		l.counted = 0
	}
	l.todo = append(l.todo, p)
	l.wakeWorker()
}

func (l *Library) wakeWorker() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// identifier identifies what is queued, until ctx is done.
func (l *Library) identifier(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.work:
		}
		for ctx.Err() == nil && l.identifyNext() {
		}
	}
}

// identifyNext identifies one image, and reports whether there was one.
func (l *Library) identifyNext() bool {
	p, more := l.take()
	if more {
		l.wakeWorker() // another worker
	}
	if p == nil {
		return false
	}
	root, err := os.OpenRoot(l.dirs[p.dir])
	if err == nil {
		var k *known
		if k, err = l.learn(root, *p); err == nil {
			l.learned(*p, k)
		}
		root.Close()
	}
	l.mu.Lock()
	l.doing--
	l.counted++
	if r := l.records[*p]; r != nil {
		r.queued = false
		if err != nil && l.keepers != nil {
			l.keepers[p.dir].ask(p.name) // it changed, or is gone
		}
	}
	l.mu.Unlock()
	l.tell()
	return true
}

func (l *Library) take() (p *place, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.todo) == 0 {
		return nil, false
	}
	next := l.todo[0]
	l.todo = l.todo[1:]
	l.doing++
	return &next, len(l.todo) > 0
}

// learn says what an image is: from the index, and where that does not know
// these bytes, by opening it.
func (l *Library) learn(root *os.Root, p place) (*known, error) {
	now, err := look(root, p.name, false)
	if err != nil {
		return nil, err
	}
	old := l.index.get(now)
	if old != nil && !slices.Equal(stampFiles(root, p.name, companionNames(old)), old.Companions) {
		old = nil
	}
	if l.fresh(old) {
		return old, nil
	}
	k, err := identify(root, p.name, l.options(Options{}))
	if err != nil {
		return nil, err
	}
	if old != nil && old.Stamp == k.Stamp && slices.Equal(old.Companions, k.Companions) {
		k.Digests, k.Checked = old.Digests, old.Checked // they outlive a new version of our code
		if k.Implant != nil && old.Implant != nil && k.Implant.MD5 == old.Implant.MD5 && k.Implant.Size == old.Implant.Size {
			k.Implant = old.Implant
		}
	}
	k.Used = today()
	if !k.Passing {
		l.index.put(k)
	}
	return k, nil
}

// learned puts what is known of an image into its record, unless the file is
// another one by now.
func (l *Library) learned(p place, k *known) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records[p]
	if r == nil || r.stamp != k.Stamp {
		return
	}
	l.setKnown(p, r, k)
	for _, c := range k.Companions {
		q := p.with(besides(p.name, c.Name))
		if l.records[q] == nil && c.Stamp != (stamp{}) && len(l.records) < maxEntries {
			l.records[q] = &record{kind: part, stamp: c.Stamp}
		}
	}
}

// A Task is long work of the library.
type Task struct {
	Kind  string // identify, verify or unpack
	Image string // empty for identify, which is for many
	Done  int64  // bytes; of identify, images
	Total int64
}

// Tasks returns the long work that goes on.
func (l *Library) Tasks() (list []Task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := len(l.todo) + l.doing; left > 0 {
		list = append(list, Task{Kind: "identify", Done: int64(l.counted), Total: int64(l.counted + left)})
	}
	for key, j := range l.jobs {
		list = append(list, Task{Kind: string(key.kind), Image: key.place.name, Done: j.done.Load(), Total: j.total.Load()})
	}
	slices.SortFunc(list, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Image, b.Image))
	})
	return list
}

// Notes returns what a person should know of the watch, sorted.
func (l *Library) Notes() (list []string) {
	l.mu.Lock()
	for _, text := range l.notes {
		list = append(list, text)
	}
	l.mu.Unlock()
	if err := l.index.Err(); err != nil {
		list = append(list, err.Error())
	}
	slices.Sort(list)
	return list
}
