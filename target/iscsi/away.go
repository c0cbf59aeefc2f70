package iscsi

import (
	"io"
	"net"
	"time"
)

// What a connection that is not let in may take: time, and data that is skipped.
const (
	maxFirstRequest  = 2 * time.Second
	refusalDataLimit = loginDataLimit + 3
)

// turnAway tells a connection that is not let in that there are too many, in
// answer to its first login request: an initiator that is told comes back
// later, and one that finds the connection closed may take the target for
// broken. When too many wait to be told, it is closed.
func (s *Server) turnAway(nc net.Conn, a *address, why *overLimit) {
	if s.mayLog(why.by, a, nc.RemoteAddr()) {
		s.opts.Log.Warn("connection refused", "initiator", nc.RemoteAddr().String(), "reason", why, "limit", limitRows[why.by].key, "value", why.value)
	}
	if !s.addresses.enterAway(a) {
		nc.Close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		s.addresses.leaveAway(a)
		nc.Close()
		return
	}
	s.away[nc] = struct{}{}
	window := s.limits.Load().Window
	s.running.Go(func() {
		tellAway(nc, window)
		s.mu.Lock()
		delete(s.away, nc)
		s.mu.Unlock()
		s.addresses.leaveAway(a)
	})
}

// tellAway answers the first login request of a connection with 'out of
// resources' and closes it.
func tellAway(nc net.Conn, window int) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(maxFirstRequest))
	var h header
	if _, err := io.ReadFull(nc, h[:]); err != nil || h.op() != opLogin {
		return
	}
	var r header
	r.answerLogin(&h, loginOutOfResources, 0, window)
	r.put32(24, firstStatSN)
	if _, err := nc.Write(r[:]); err != nil {
		return
	}
	// what is unread at the close would take the answer with it: see linger
	if w, ok := nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		io.CopyN(io.Discard, nc, refusalDataLimit)
	}
}

// answerLogin makes h a Login Response to q without data (RFC 7143, 11.13).
func (h *header) answerLogin(q *header, status loginStatus, flags byte, window int) {
	h.start(opLoginResp, flags)
	h.setISID(q.isid())
	h.put16(14, q.tsih())
	h.put32(16, q.itt())
	h.put32(28, q.cmdSN())
	h.put32(32, q.cmdSN()+uint32(window)-1)
	h.put16(36, uint16(status))
}
