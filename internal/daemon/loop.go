package daemon

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// errStopped is what a call gets when the daemon stops.
var errStopped = errors.New("the daemon is stopping")

// A loop is the one goroutine that owns the daemon's state: whoever wants to
// see or change it sends a function. Functions do not wait for storage, hosts
// or the network.
type loop struct {
	mu    sync.Mutex
	queue []func()
	ended bool
	wake  chan struct{}
	beat  atomic.Int64
	done  chan struct{}
}

func newLoop() *loop {
	l := &loop{wake: make(chan struct{}, 1), done: make(chan struct{})}
	l.beat.Store(time.Now().UnixNano())
	return l
}

// post has f run, and does not wait: for events, which may come from f itself.
func (l *loop) post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.queue = append(l.queue, f)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// call runs f and waits for it to end, but not beyond ctx: f may then run
// later.
func (l *loop) call(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if !l.post(func() { defer close(done); f() }) {
		return errStopped
	}
	select {
	case <-done:
		return nil
	case <-l.done:
		return errStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run runs functions in order until ctx is done, and then those that wait;
// turned is called after each batch, and each period.
func (l *loop) run(ctx context.Context, period time.Duration, turned func()) {
	defer close(l.done)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for stop := false; !stop; {
		select {
		case <-l.wake:
		case <-tick.C:
		case <-ctx.Done():
			stop = true
		}
		for _, f := range l.take(stop) {
			f()
		}
		turned()
		l.beat.Store(time.Now().UnixNano())
	}
}

func (l *loop) take(last bool) []func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue
	l.queue, l.ended = nil, last
	return q
}

// lastTurn returns when the loop last turned.
func (l *loop) lastTurn() time.Time { return time.Unix(0, l.beat.Load()) }
