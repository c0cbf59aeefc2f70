package iscsi

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Lines of the log about who was refused, and who came without logging in: some
// at once and then few, so that a flood fills no disk. Those of one address are
// fewer, so that it hides nobody else's.
const (
	lineBurst        = 8
	lineRate         = 0.1 // a second
	allLineBurst     = 64
	allLineRate      = 1.0
	moreInterval     = 10 * time.Second
	maxFirstRequest  = 2 * time.Second // for one that is not let in
	refusalDataLimit = loginDataLimit + 3
)

// A ledger counts refusals, and says which of them are worth a line.
type ledger struct {
	mu    sync.Mutex
	rows  [limitCount]refusals
	lines bucket
	timer *time.Timer // that logs what was not; nil when there is nothing
}

// refusals are those of one limit.
type refusals struct {
	count uint64 // since the start
	more  uint64 // that were not logged
	who   string // the last
	at    time.Time
}

// refuse notes that who was refused by a limit and logs a line if there is room
// for one: what, with the limit and args.
func (s *Server) refuse(by limit, a *address, who net.Addr, log *slog.Logger, value any, what string, args ...any) {
	now := time.Now()
	s.addresses.mu.Lock()
	room := a.lines.take(now, lineRate, lineBurst)
	s.addresses.mu.Unlock()
	g := &s.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.rows[by]
	r.count++
	r.who, r.at = who.String(), now
	if !room || !g.lines.take(now, allLineRate, allLineBurst) {
		r.more++
		if g.timer == nil {
			g.timer = time.AfterFunc(moreInterval, s.logMore)
		}
		return
	}
	if by != limitNone {
		args = append(args, "limit", limitRows[by].key, "value", value)
	}
	log.Warn(what, args...)
}

// overLimit notes that a session was refused by a limit.
func (c *conn) overLimit(by limit, what string) {
	c.srv.refuse(by, c.from, c.nc.RemoteAddr(), c.log, limitRows[by].value(c.srv.limits.Load()), what)
}

// logMore logs how many lines there would have been.
func (s *Server) logMore() {
	g := &s.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = nil
	for by := range g.rows {
		r := &g.rows[by]
		switch {
		case r.more == 0:
			continue
		case limit(by) == limitNone:
			s.opts.Log.Warn("more connections ended before a session", "more", r.more, "last", r.who)
		default:
			s.opts.Log.Warn("more was refused", "limit", limitRows[by].key, "more", r.more, "last", r.who)
		}
		r.more = 0
	}
}

// turnAway tells a connection that is not let in that there are too many, in
// answer to its first login request: an initiator that is told comes back
// later, and one that finds the connection closed may take the target for
// broken. When too many wait to be told, it is closed.
func (s *Server) turnAway(nc net.Conn, a *address, why *overLimit) {
	s.refuse(why.by, a, nc.RemoteAddr(), s.opts.Log, why.value, "connection refused", "initiator", nc.RemoteAddr().String(), "answer", why.told)
	if !s.addresses.enterAway(a) {
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

// A Usage says how near the limits are.
type Usage struct {
	Limits            Limits
	Connections       int
	Addresses         int // that have connections
	Sessions          int
	Memory            int64 // bytes on loan
	UnsolicitedMemory int64
	Refused           []Refusal // by limit; none of those that refused nothing
}

// A Refusal is what one limit refused since the start.
type Refusal struct {
	Limit string // key of [iscsi.limits]
	Value string // of the limit now
	Count uint64
	Last  string // address of the last that was refused
	At    time.Time
}

// Usage returns how near the limits are.
func (s *Server) Usage() Usage {
	l := s.limits.Load()
	u := Usage{Limits: *l, Addresses: s.addresses.count(), Memory: int64(s.memory.total.used()), UnsolicitedMemory: int64(s.memory.unasked.used())}
	s.mu.Lock()
	u.Connections, u.Sessions = len(s.conns), len(s.tsihs)
	s.mu.Unlock()
	g := &s.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	for by, r := range g.rows {
		if row := limitRows[by]; r.count > 0 && limit(by) != limitNone {
			u.Refused = append(u.Refused, Refusal{row.key, fmt.Sprint(row.value(l)), r.count, r.who, r.at})
		}
	}
	return u
}
