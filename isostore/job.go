package isostore

import (
	"context"
	"sync/atomic"
	"time"
)

// tellEvery is how often those who wait are told how far it is.
const tellEvery = 250 * time.Millisecond

// A jobKind is the kind of a job, and of its [Task].
type jobKind string

const (
	verifyJob jobKind = "verify"
	unpackJob jobKind = "unpack"
)

// jobKinds are all kinds. jobsAtOnce is how many images are read at a time by
// jobs of one kind.
var jobKinds = []jobKind{verifyJob, unpackJob}

const jobsAtOnce = 2

// A jobKey says what a job does: one of a kind an image at a time.
type jobKey struct {
	kind  jobKind
	place place
}

// A job is one pass over an image, for all who wait for it.
type job struct {
	done, total atomic.Int64
	waiters     int // under the library's lock; at none it is given up
	cancel      context.CancelCauseFunc
	ended       chan struct{}
	checks      Checks // of verifyJob, when ended is closed
	err         error
}

// tell notes how far the job is.
func (j *job) tell(done, total int64) {
	j.done.Store(done)
	j.total.Store(total)
}

// await has a job done, or waits with others for the one that goes on. tell,
// which may be nil, is called now and then; taken with the job when it is done.
func (l *Library) await(ctx context.Context, key jobKey, tell func(done, total int64), taken func(j *job)) error {
	j := l.join(ctx, key)
	defer l.leave(key, j)
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		if tell != nil {
			tell(j.done.Load(), j.total.Load())
		}
		select {
		case <-j.ended:
			taken(j)
			return j.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// later has a job done in the background, while Run runs.
func (l *Library) later(kind jobKind, name string) {
	p, err := l.find(name)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := jobKey{kind, p}
	if l.run == nil || l.jobs[key] != nil {
		return
	}
	j := l.begin(l.run, key)
	j.waiters++ // until the library ends
}

// join waits with others for a job, which it begins when there is none.
func (l *Library) join(ctx context.Context, key jobKey) *job {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.jobs[key]
	if j == nil {
		j = l.begin(context.WithoutCancel(ctx), key)
	}
	j.waiters++
	return j
}

// begin starts a job; the lock is held.
func (l *Library) begin(ctx context.Context, key jobKey) *job {
	ctx, cancel := context.WithCancelCause(ctx)
	j := &job{cancel: cancel, ended: make(chan struct{})}
	l.jobs[key] = j
	l.stale = true
	l.workers.Go(func() {
		defer cancel(nil)
		l.do(ctx, key, j)
		l.mu.Lock()
		l.drop(key, j)
		l.mu.Unlock()
		close(j.ended)
		l.tell()
	})
	return j
}

// do does the work of a job, when it is its turn.
func (l *Library) do(ctx context.Context, key jobKey, j *job) {
	slots := l.slots[key.kind]
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		j.err = context.Cause(ctx)
		return
	}
	switch key.kind {
	case verifyJob:
		j.checks, j.err = l.verify(ctx, key.place, j)
	case unpackJob:
		j.err = l.unpack(ctx, key.place, j)
	}
}

// leave gives a job up when nobody waits for it any more, and waits for its end
// then: the storage may take as long as one read.
func (l *Library) leave(key jobKey, j *job) {
	l.mu.Lock()
	j.waiters--
	last := j.waiters == 0
	if last {
		l.drop(key, j)
	}
	l.mu.Unlock()
	if last {
		j.cancel(context.Canceled)
		<-j.ended
	}
}

// drop makes the next one who asks begin anew; the lock is held.
func (l *Library) drop(key jobKey, j *job) {
	if l.jobs[key] == j {
		delete(l.jobs, key)
		l.stale = true
	}
}
