package iscsi

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A connection's reader executes a command itself when no other has come: the
// turn of a second goroutine costs more than a read of the page cache. But a
// reader that storage holds must not hold up NOP-Out and task management: a
// watch gives the reading to a goroutine of its own then, and the first one
// ends with its command.

// It goes on so while more commands wait, when they are short, data comes from
// memory and no command is left behind. Storage that takes its time gets as many
// commands at once as there are, and of longer commands one is read while one is
// on the wire.

// quickLength is the longest answer in bytes of which the reader makes one after
// another.
const quickLength = 16 << 10

// quick reports whether the turn of another goroutine would cost more than t.
func (c *conn) quick(t *task) bool {
	return t.Length <= quickLength && c.warmth.isWarm() && c.sess.alone()
}

// A warmth says whether data comes from memory. It looks at the last chunks, for
// one may be late because the processor was another's. The zero value is warm.
type warmth struct{ cold atomic.Int32 }

// The counts of warmth: chunks of storage count up to coldest, and it is cold
// from coldFrom on.
const (
	coldest  = 4
	coldFrom = 2
)

// saw takes notice of n bytes that took so long. A page cache gives 1 GB/s at
// the least, and storage takes longer than what is allowed besides.
func (w *warmth) saw(n int, took time.Duration) {
	const besides, perByte = 30 * time.Microsecond, time.Nanosecond
	now := w.cold.Load()
	if took > besides+time.Duration(n)*perByte {
		w.cold.Store(min(now+1, coldest))
	} else if now > 0 {
		w.cold.Store(now - 1)
	}
}

func (w *warmth) isWarm() bool { return w.cold.Load() < coldFrom }

// watchTurn is how often the watch looks: a reader is relieved after one to two.
const watchTurn = 5 * time.Millisecond

// watchIdle is for how many turns a connection is watched that executes nothing.
const watchIdle = 40

// errRelieved ends a reader whose connection another one reads.
var errRelieved = errors.New("another goroutine reads this connection")

// A shift is who reads. Its value is odd while the reader executes a command,
// another one each time, and even while it reads.
type shift struct {
	turn    atomic.Uint64
	watched atomic.Bool // changed under the watch's mu
	seen    uint64      // what the watch saw last; the watch's alone, as idle
	idle    int         // for how many turns it has seen the same
}

// A watch looks after the readers that execute commands, and not after the
// thousands that only read.
type watch struct {
	mu      sync.Mutex
	readers map[*conn]struct{}
	runs    bool          // its goroutine does, until there are no readers
	calm    chan struct{} // of capacity 1: the last reader has ended
}

func newWatch() *watch {
	return &watch{readers: map[*conn]struct{}{}, calm: make(chan struct{}, 1)}
}

// runOwn executes t on the reader's goroutine and reports whether it is the
// reader still.
func (c *conn) runOwn(t *task) bool {
	at := c.shift.turn.Add(1)
	if !c.shift.watched.Load() {
		c.srv.watchReader(c)
	}
	t.Run()
	return c.shift.turn.CompareAndSwap(at, at+1)
}

// relieve starts another reader when this one executes the same command as at
// the last look, and reports whether it is to be watched further.
func (c *conn) relieve() bool {
	at := c.shift.turn.Load()
	if c.shift.idle++; at != c.shift.seen {
		c.shift.seen, c.shift.idle = at, 0
	} else if at%2 == 1 && c.shift.turn.CompareAndSwap(at, at+1) {
		go func() { c.end(c.read()) }() // storage may hold this one for ever: Shutdown waits for the new one
	}
	return c.shift.idle < watchIdle
}

// watchReader makes sure that c is watched.
func (s *Server) watchReader(c *conn) {
	w := s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	c.shift.watched.Store(true)
	w.readers[c] = struct{}{}
	if !w.runs {
		w.runs = true
		s.running.Go(w.run)
	}
}

// run looks at the readers until there is none.
func (w *watch) run() {
	tick := time.NewTicker(watchTurn)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look()
		case <-w.calm:
		}
		if w.over() {
			return
		}
	}
}

// look relieves the readers that need it and leaves those that have been idle.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.readers {
		if c.relieve() {
			continue
		}
		c.shift.watched.Store(false)
		if c.shift.turn.Load() == c.shift.seen {
			delete(w.readers, c)
		} else { // it has begun to execute one and may have seen the watch still
			c.shift.watched.Store(true)
		}
	}
}

func (w *watch) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = len(w.readers) > 0
	return !w.runs
}

// leave ends the watch over c, whose connection has ended.
func (w *watch) leave(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.readers, c); len(w.readers) == 0 && w.runs {
		select {
		case w.calm <- struct{}{}:
		default:
		}
	}
}
