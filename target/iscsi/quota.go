package iscsi

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A quota is bytes that may be out at once. Those who wait are served first
// come, first served, so that a large chunk is not starved by small ones.
//
// golang.org/x/sync/semaphore does the same and makes three allocations each
// time that one waits: with 16 commands of 1 MiB queued, 15 a command.
type quota struct {
	mu      sync.Mutex
	size    int // all of it
	free    int // below zero when size shrank under what is out
	waiting []*waiter

	// starved is called without mu when the first that waits has waited for
	// patience, and again after each patience more; nil for nobody.
	starved  func()
	patience time.Duration
	alarm    *time.Timer
	armed    bool
}

// A waiter is one who waits, kept by its owner for use after use.
type waiter struct {
	need    int
	since   time.Time
	granted chan struct{} // of capacity 1
}

// acquire takes n bytes; w is the caller's own. It fails when ctx is done.
func (q *quota) acquire(ctx context.Context, w *waiter, n int) error {
	q.mu.Lock()
	if len(q.waiting) == 0 && q.free >= n {
		q.free -= n
		q.mu.Unlock()
		return nil
	}
	if w.granted == nil {
		w.granted = make(chan struct{}, 1)
	}
	w.need = n
	q.waiting = append(q.waiting, w)
	q.arm(w)
	q.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		q.leave(w)
		return ctx.Err()
	}
}

// resize makes the quota n bytes in all.
func (q *quota) resize(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free += n - q.size
	q.size = n
	q.grant()
}

// used returns how many bytes are out.
func (q *quota) used() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size - q.free
}

// arm has somebody look after w. q.mu is held.
func (q *quota) arm(w *waiter) {
	if q.starved == nil {
		return
	}
	w.since = time.Now()
	if q.armed {
		return
	}
	q.armed = true
	if q.alarm == nil {
		q.alarm = time.AfterFunc(q.patience, q.ring)
	} else {
		q.alarm.Reset(q.patience)
	}
}

// ring looks whether there is progress for as long as anybody waits.
func (q *quota) ring() {
	q.mu.Lock()
	q.armed = len(q.waiting) > 0
	starving := q.armed && time.Since(q.waiting[0].since) >= q.patience
	if q.armed {
		q.alarm.Reset(q.patience)
	}
	q.mu.Unlock()
	if starving {
		q.starved()
	}
}

// tryAcquire takes n bytes if they are free and nobody waits for them.
func (q *quota) tryAcquire(n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 || q.free < n {
		return false
	}
	q.free -= n
	return true
}

func (q *quota) release(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free += n
	q.grant()
}

// grant serves who waits, in order. q.mu is held.
func (q *quota) grant() {
	served := 0
	for _, w := range q.waiting {
		if q.free < w.need {
			break
		}
		q.free -= w.need
		w.granted <- struct{}{}
		served++
	}
	q.waiting = slices.Delete(q.waiting, 0, served)
}

// leave takes w out of the queue, or gives back what it was granted meanwhile.
func (q *quota) leave(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, w); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	} else {
		<-w.granted
		q.free += w.need
	}
	q.grant()
}
