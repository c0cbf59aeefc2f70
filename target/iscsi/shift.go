package iscsi

import (
	"errors"
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

// watchIdle is how many turns the watch stays without anybody to watch.
const watchIdle = 40

// errRelieved ends a reader whose connection another one reads.
var errRelieved = errors.New("another goroutine reads this connection")

// A shift is who reads. Its value is odd while the reader executes a command,
// another one each time, and even while it reads.
type shift struct {
	turn atomic.Uint64
	seen uint64 // what the watch saw last; the watch's alone
}

// runOwn executes t on the reader's goroutine and reports whether it is the
// reader still.
func (c *conn) runOwn(t *task) bool {
	at := c.shift.turn.Add(1)
	c.srv.watch()
	t.Run()
	return c.shift.turn.CompareAndSwap(at, at+1)
}

// relieve starts another reader when this one executes the same command as at
// the last look, and reports whether it executes one at all.
func (c *conn) relieve() bool {
	at := c.shift.turn.Load()
	if at%2 == 1 && at == c.shift.seen && c.shift.turn.CompareAndSwap(at, at+1) {
		c.srv.running.Go(func() { c.end(c.read()) })
	}
	c.shift.seen = at
	return at%2 == 1
}

// watch makes sure that readers are watched.
func (s *Server) watch() {
	if !s.watching.Load() && s.watching.CompareAndSwap(false, true) {
		s.running.Go(s.watchReaders)
	}
}

// watchReaders looks at every reader until none has executed a command for a
// while.
func (s *Server) watchReaders() {
	tick := time.NewTicker(watchTurn)
	defer tick.Stop()
	for idle := 0; ; {
		<-tick.C
		if idle++; s.relieveReaders() {
			idle = 0
		} else if s.empty() {
			idle = watchIdle
		}
		if idle < watchIdle {
			continue
		}
		s.watching.Store(false)
		// one that began since saw the watch still: look once more
		if !s.relieveReaders() || !s.watching.CompareAndSwap(false, true) {
			return
		}
		idle = 0
	}
}

func (s *Server) relieveReaders() (busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		busy = c.relieve() || busy
	}
	return busy
}

func (s *Server) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) == 0
}
