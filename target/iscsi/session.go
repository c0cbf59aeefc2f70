package iscsi

import (
	"slices"
	"sync"
	"sync/atomic"

	"spindle/target"
)

// maxImmediate is how many immediate commands, and as many functions of task
// management, a session may have at once.
const maxImmediate = 8

// A session is an iSCSI session of one connection (ERL 0). It belongs to its
// connection's reader; what task goroutines share with it is under mu.
type session struct {
	conn      *conn
	target    *target.Target  // nil for discovery
	nexus     *target.Session // nil for discovery; srv.mu is over setting it
	initiator string
	who       target.Initiator // with initiator as its name
	user      string           // that CHAP authenticated; empty without
	isid      [6]byte
	tsih      uint16
	ended     chan struct{} // closed when nothing of the session is left
	size      int           // of the command window

	expCmdSN atomic.Uint32
	maxCmdSN atomic.Uint32

	mu        sync.Mutex
	tasks     map[uint32]*task // by initiator task tag
	queued    int              // non-immediate ones in tasks
	immediate int              // immediate ones in tasks
	managing  int              // task management functions under way
	early     map[uint32]held
	late      []uint32 // tags of data-out commands that ended before their data came: the last size ones
	lateNext  int      // the oldest of them
}

func newSession(c *conn, cmdSN uint32) *session {
	s := &session{conn: c, ended: make(chan struct{}), tasks: map[uint32]*task{}, size: c.srv.limits.Load().Window}
	s.expCmdSN.Store(cmdSN)
	s.maxCmdSN.Store(cmdSN + uint32(s.size) - 1)
	return s
}

// held is a command past a gap in CmdSN: run when its turn comes, or dropped
// with the session.
type held struct{ run, drop func() }

// order runs h.run in the order of CmdSN: now when it is the next, later
// when one before it is missing, never when it lies outside the window, where
// RFC 7143, 4.2.2.1 wants it ignored silently: then order returns false.
func (s *session) order(cmdSN uint32, h held) bool {
	next := s.expCmdSN.Load()
	switch {
	case before(s.maxCmdSN.Load(), cmdSN):
		s.conn.overLimit(limitWindow, "command past the window is ignored")
		return false
	case before(cmdSN, next):
		s.conn.log.Debug("command before the window is ignored", "cmdsn", cmdSN, "expected", next)
		return false
	case cmdSN != next:
		return s.hold(cmdSN, h)
	}
	s.expCmdSN.Store(next + 1)
	h.run()
	s.deliverEarly()
	return true
}

// admit is order for a command that is next, without a function value.
func (s *session) admit(cmdSN uint32) bool {
	if next := s.expCmdSN.Load(); cmdSN == next && !before(s.maxCmdSN.Load(), next) {
		s.expCmdSN.Store(next + 1)
		return true
	}
	return false
}

// hold keeps a command past a gap. The window bounds how many there can be.
func (s *session) hold(cmdSN uint32, h held) bool {
	if _, twice := s.early[cmdSN]; twice {
		return false
	}
	if s.early == nil {
		s.early = map[uint32]held{}
	}
	s.early[cmdSN] = h
	return true
}

// deliverEarly runs what was held and is next now, but nothing after a Logout.
func (s *session) deliverEarly() {
	for len(s.early) > 0 && !s.conn.left {
		next := s.expCmdSN.Load()
		h, ok := s.early[next]
		if !ok {
			return
		}
		delete(s.early, next)
		s.expCmdSN.Store(next + 1)
		s.conn.handOver() // what is delivered may wait for it, as a Logout does
		h.run()
	}
}

// dropEarly ends what waits for a gap that nothing will close.
func (s *session) dropEarly() {
	for _, h := range s.early {
		if h.drop != nil {
			h.drop()
		}
	}
	s.early = nil
}

// window returns ExpCmdSN and MaxCmdSN for a response. MaxCmdSN opens as tasks
// end and never shrinks.
func (s *session) window() (exp, maximum uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	exp = s.expCmdSN.Load()
	maximum = s.maxCmdSN.Load()
	if now := exp + uint32(s.size-s.queued) - 1; before(maximum, now) {
		maximum = now
		s.maxCmdSN.Store(now)
	}
	return exp, maximum
}

// add registers t under its tag. It reports the reject reason when it cannot.
func (s *session) add(t *task) (reason rejectReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.tasks[t.itt]; used {
		return rejectTaskInProgress
	}
	if t.immediate {
		if s.immediate == maxImmediate {
			return rejectImmediate
		}
		s.immediate++
	} else {
		s.queued++
	}
	s.tasks[t.itt] = t
	return 0
}

// alone reports whether there is one task, or none.
func (s *session) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks) < 2
}

// remove forgets t; expects says that data-out may still be on its way.
func (s *session) remove(t *task, expects bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tasks, t.itt)
	if t.immediate {
		s.immediate--
	} else {
		s.queued--
	}
	switch {
	case !expects:
	case len(s.late) < s.size: // it takes a window for all to be late at once
		s.late = append(s.late, t.itt)
	default:
		s.late[s.lateNext] = t.itt
		s.lateNext = (s.lateNext + 1) % len(s.late)
	}
}

// isLate reports whether data-out of tag belongs to a task that ended.
func (s *session) isLate(tag uint32) bool { return slices.Contains(s.late, tag) }
