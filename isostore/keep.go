package isostore

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"
)

// tellAfter is how long Changed waits for more to tell.
const tellAfter = 200 * time.Millisecond

// Run watches the directories and identifies images until ctx is done. It
// returns when nothing of that is left, which the storage may hold up.
func (l *Library) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.forget()
	l.run = ctx
	l.keepers = []*keeper{}
	for i := range l.dirs {
		l.keepers = append(l.keepers, l.newKeeper(i))
	}
	keepers := l.keepers
	l.mu.Unlock()
	var running sync.WaitGroup
	for _, k := range keepers {
		running.Go(func() { k.run(ctx) })
	}
	for range identifyAtOnce {
		running.Go(func() { l.identifier(ctx) })
	}
	running.Go(func() { l.teller(ctx) })
	running.Wait()
	l.mu.Lock()
	l.run, l.keepers = nil, nil
	l.forget()
	l.mu.Unlock()
	l.workers.Wait()
}

// tell says that something changed.
func (l *Library) tell() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// teller tells of changes, and that long work goes on.
func (l *Library) teller(ctx context.Context) {
	pause := time.NewTimer(tellAfter)
	pause.Stop()
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.news:
		}
		if l.o.Changed != nil {
			l.o.Changed()
		}
		if len(l.Tasks()) > 0 {
			l.tell() // until they have ended
		}
		pause.Reset(tellAfter)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// setNote says something about a directory, or with an empty text that there
// is nothing to say.
func (l *Library) setNote(about, text string) {
	l.mu.Lock()
	old := l.notes[about]
	if l.notes[about] = text; text == "" {
		delete(l.notes, about)
	}
	l.mu.Unlock()
	if text == old {
		return
	}
	if text != "" {
		l.log.Warn("library", "note", text)
	}
	l.tell()
}

// needed reports whether an image needs the file.
func (l *Library) needed(p place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.owners[p]) > 0
}

// merge takes what a keeper found. below, when it is not empty, is the
// directory that the findings are all of: what else was known there is gone.
func (l *Library) merge(k *keeper, list []finding, below string) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !k.scanned
	seen := make(map[string]bool, len(list))
	for _, f := range list {
		seen[f.name] = true
		delete(k.links, f.name)
		if f.link {
			k.links[f.name] = true
		}
		if l.note(k.index, f, first, now) {
			k.settling[f.name] = true
		}
	}
	if below != "" {
		for p := range l.records {
			if p.dir == k.index && !seen[p.name] && (below == "." || strings.HasPrefix(p.name+"/", below+"/")) {
				k.gone(p)
			}
		}
	}
	k.scanned = true
	k.nextSettle(now)
	l.tell()
}

// remove takes out one file that is not there any more, or does not matter.
func (l *Library) remove(k *keeper, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := (place{k.index, name}); l.records[p] != nil {
		k.gone(p)
		l.tell()
	}
}

// gone forgets a file. The library's lock is held.
func (k *keeper) gone(p place) {
	k.l.gone(p)
	delete(k.links, p.name)
	delete(k.settling, p.name)
}

// settle takes what has not changed for settleTime for complete.
func (l *Library) settle(k *keeper) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range k.settling {
		p := place{k.index, name}
		r := l.records[p]
		if r != nil && now.Sub(r.since) < settleTime {
			continue
		}
		delete(k.settling, name)
		if r != nil && !r.since.IsZero() {
			r.since = time.Time{}
			l.stale = true
			l.settled(p, r)
		}
	}
	k.nextSettle(now)
	l.tell()
}

// nextSettle sets the timer for the file that may be complete next. The
// library's lock is held.
func (k *keeper) nextSettle(now time.Time) {
	if len(k.settling) == 0 {
		k.settle.Stop()
		return
	}
	wait := settleTime
	for name := range k.settling {
		if r := k.l.records[place{k.index, name}]; r != nil {
			wait = min(wait, settleTime-now.Sub(r.since))
		}
	}
	k.settle.Reset(max(wait, 10*time.Millisecond))
}

// lookOnce looks at all directories now, identifies what is there, and forgets
// it: List for a library that does not run.
func (l *Library) lookOnce() []Entry {
	t, _ := New(LibraryOptions{Dirs: l.dirs, Index: l.index, Cache: l.o.Cache})
	if t == nil {
		return nil // a directory became a file: Check says so
	}
	t.each(func(dir int, f finding) { t.note(dir, f, true, time.Now()) })
	for t.identifyNext() {
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries()
}

// each looks at all directories now and calls found for each file that matters.
func (l *Library) each(found func(dir int, f finding)) {
	for i, dir := range l.dirs {
		root, err := os.OpenRoot(dir)
		if err != nil {
			continue // Check says so
		}
		w := &walker{
			root: root, dir: func(string) {}, known: func(string) bool { return false },
			found: func(f finding) { found(i, f) },
		}
		w.walk(".")
		root.Close()
	}
}
