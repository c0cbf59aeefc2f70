package isostore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// tellEvery is how often those who wait are told how far it is.
const tellEvery = 250 * time.Millisecond

// A verification is one pass over an image, for all who wait for it.
type verification struct {
	done, total atomic.Int64
	waiters     int // under the library's lock; at none it is given up
	cancel      context.CancelCauseFunc
	ended       chan struct{}
	checks      Checks // when ended is closed
	err         error
}

// Verify reads the image of that name, compares it with its checksums, and
// keeps the result for as long as the files do not change. tell, which may be
// nil, is called now and then with how many bytes were read. An image that is
// not what its checksums say, or has none, is no error: Checks says so.
//
// Those who verify one image at the same time share the work, and few images
// are read at a time. It ends early when ctx is done.
func (l *Library) Verify(ctx context.Context, name string, tell func(done, total int64)) (Checks, error) {
	p, err := l.find(name)
	if err != nil {
		return Checks{}, err
	}
	v := l.join(ctx, p)
	defer l.leave(p, v)
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		if tell != nil {
			tell(v.done.Load(), v.total.Load())
		}
		select {
		case <-v.ended:
			return v.checks, v.err
		case <-ctx.Done():
			return Checks{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// VerifyLater has Verify done in the background, while Run runs.
func (l *Library) VerifyLater(name string) {
	p, err := l.find(name)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run == nil || l.verifying[p] != nil {
		return
	}
	v := l.begin(l.run, p)
	v.waiters++ // until the library ends
}

// VerifyFile verifies the image at path, as [Library.Verify] does, with the
// checksums beside it; nothing is kept.
func VerifyFile(ctx context.Context, path string, tell func(done, total int64)) (Checks, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Checks{}, err
	}
	if fi, err := os.Stat(real); err == nil && fi.IsDir() {
		return Checks{}, fmt.Errorf("%s: it is a folder, which has no checksum (hint: name the files in it)", path)
	}
	l, err := Open([]string{filepath.Dir(real)})
	if err != nil {
		return Checks{}, err
	}
	return l.Verify(ctx, filepath.Base(real), tell)
}

// join waits with others for a verification, which it begins when there is none.
func (l *Library) join(ctx context.Context, p place) *verification {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.verifying[p]
	if v == nil {
		v = l.begin(context.WithoutCancel(ctx), p)
	}
	v.waiters++
	return v
}

// begin starts a verification; the lock is held.
func (l *Library) begin(ctx context.Context, p place) *verification {
	ctx, cancel := context.WithCancelCause(ctx)
	v := &verification{cancel: cancel, ended: make(chan struct{})}
	l.verifying[p] = v
	l.stale = true
	l.workers.Go(func() {
		defer cancel(nil)
		v.checks, v.err = l.verify(ctx, p, v)
		l.mu.Lock()
		l.drop(p, v)
		l.mu.Unlock()
		close(v.ended)
		l.tell()
	})
	return v
}

// leave gives a verification up when nobody waits for it any more, and waits
// for its end then: the storage may take as long as one read.
func (l *Library) leave(p place, v *verification) {
	l.mu.Lock()
	v.waiters--
	last := v.waiters == 0
	if last {
		l.drop(p, v)
	}
	l.mu.Unlock()
	if last {
		v.cancel(context.Canceled)
		<-v.ended
	}
}

// drop makes the next one who asks begin anew; the lock is held.
func (l *Library) drop(p place, v *verification) {
	if l.verifying[p] == v {
		delete(l.verifying, p)
		l.stale = true
	}
}

// verify does the work.
func (l *Library) verify(ctx context.Context, p place, v *verification) (Checks, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return Checks{}, context.Cause(ctx)
	}
	root, err := os.OpenRoot(l.dirs[p.dir])
	if err != nil {
		return Checks{}, err
	}
	defer root.Close()
	named := func(err error) error {
		return fmt.Errorf("%s: %w", filepath.Join(root.Name(), filepath.FromSlash(p.name)), cause(err))
	}
	if err := l.whole(root, p); err != nil {
		return Checks{}, err
	}
	k, err := l.learn(root, p)
	if err != nil {
		return Checks{}, named(err)
	}
	sums := func(file string) []sum { return sumsFor(root, file) }
	if fi, err := root.Stat(p.name); err != nil || fi.IsDir() {
		if err == nil && k.Error != "" {
			err = errors.New(k.Error)
		}
		return compare(k, p.name, sums), err // a folder's files have checksums, if any
	}
	l.tell()
	now, err := digestImage(ctx, root, p.name, k, sums, func(done, total int64) {
		v.done.Store(done)
		v.total.Store(total)
	})
	if err != nil {
		return Checks{}, named(err)
	}
	l.index.put(now)
	l.learned(p, now)
	return compare(now, p.name, sums), nil
}
