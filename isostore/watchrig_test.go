package isostore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A fakeNotifier tells what a test says.
type fakeNotifier struct {
	rig    *watchRig
	events chan fsnotify.Event
	errors chan error
}

func (n *fakeNotifier) Add(dir string) error {
	n.rig.mu.Lock()
	defer n.rig.mu.Unlock()
	if len(n.rig.added) >= n.rig.limit {
		return syscall.ENOSPC
	}
	n.rig.added = append(n.rig.added, dir)
	return nil
}

func (n *fakeNotifier) Remove(dir string) error {
	n.rig.mu.Lock()
	defer n.rig.mu.Unlock()
	n.rig.added = slices.DeleteFunc(n.rig.added, func(d string) bool { return d == dir })
	return nil
}

func (n *fakeNotifier) Events() <-chan fsnotify.Event { return n.events }
func (n *fakeNotifier) Errors() <-chan error          { return n.errors }
func (n *fakeNotifier) Close() error                  { return nil }

// A watchRig is a library that runs in a bubble of synctest: real files, and
// events that the test makes.
type watchRig struct {
	t   *testing.T
	dir string
	l   *Library
	n   *fakeNotifier // the last one

	mu    sync.Mutex
	added []string
	limit int // of watches
}

// inBubble runs f with a library of one directory.
func inBubble(t *testing.T, before func(r *watchRig), f func(r *watchRig)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &watchRig{t: t, dir: dir, limit: 1000}
		l, err := Open([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		r.l = l
		l.newNotifier = func() (notifier, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.n = &fakeNotifier{r, make(chan fsnotify.Event), make(chan error)}
			r.added = nil
			return r.n, nil
		}
		l.remoteType = func(string) string { return "" }
		if before != nil {
			before(r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		synctest.Wait()
		f(r)
		cancel()
		running.Wait()
	})
}

func (r *watchRig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *watchRig) tell(op fsnotify.Op, name string) {
	r.n.events <- fsnotify.Event{Name: r.path(name), Op: op}
}

// put writes a file and tells of it.
func (r *watchRig) put(name string, data []byte) {
	r.t.Helper()
	put(r.t, r.path(name), data)
	r.tell(fsnotify.Create, name)
}

func (r *watchRig) remove(name string) {
	r.t.Helper()
	if err := os.Remove(r.path(name)); err != nil {
		r.t.Fatal(err)
	}
	r.tell(fsnotify.Remove, name)
}

func (r *watchRig) rename(from, to string) {
	r.t.Helper()
	if err := os.Rename(r.path(from), r.path(to)); err != nil {
		r.t.Fatal(err)
	}
	r.tell(fsnotify.Rename, from)
	r.tell(fsnotify.Create, to)
}

// pause lets time of a bubble pass. It is a deadline and no timer with a channel:
// under the race detector those that end at one moment crash (Go 1.26).
func pause(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// after lets time pass and says what the library has, as "name=state …".
func (r *watchRig) after(d time.Duration, want string) {
	r.t.Helper()
	pause(d)
	synctest.Wait()
	var got []string
	for _, e := range r.l.List() {
		got = append(got, e.Name+"="+string(e.State))
	}
	if s := strings.Join(got, " "); s != want {
		r.t.Errorf("after %v the library has %q, want %q", d, s, want)
	}
}

// refuses checks that OpenDisc says that the image is not complete.
func (r *watchRig) refuses(name, reason string) {
	r.t.Helper()
	d, _, err := r.l.OpenDisc(name, Options{})
	if err == nil {
		d.Close()
	}
	if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), "(hint: ") {
		r.t.Errorf("OpenDisc(%q) = %v; want %v with %q and a hint", name, err, ErrIncomplete, reason)
	}
}

func (r *watchRig) opens(name string) {
	r.t.Helper()
	d, _, err := r.l.OpenDisc(name, Options{})
	if err != nil {
		r.t.Errorf("OpenDisc(%q): %v", name, err)
		return
	}
	d.Close()
}
