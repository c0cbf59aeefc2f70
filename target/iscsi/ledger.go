package iscsi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Lines of the log: some at once and then few, so that a flood fills no disk.
// Those of one address are fewer than all, so that it hides nobody else's.
const (
	lineBurst, lineRate       = 8, 0.1 // about who was refused or came without logging in; a second
	allLineBurst, allLineRate = 64, 1
	talkBurst, talkRate       = 256, 1 // about sessions that began and ended
	allTalkBurst, allTalkRate = 4096, 20

	moreInterval = 10 * time.Second // between lines that tell how many there were not
)

// A ledger counts refusals, and says which of them are worth a line.
type ledger struct {
	mu    sync.Mutex
	rows  [limitCount]refusals
	lines bucket
	talk  bucket
	timer *time.Timer // that logs what was not; nil when there is nothing
}

// refusals are those of one limit.
type refusals struct {
	count uint64 // since the start
	more  uint64 // that were not logged
	who   string // the last
	value any    // of the limit then; nil for what is none
	at    time.Time
}

// mayLog notes that who was refused by a limit, or that a session of it began or
// ended, and reports whether there is room for a line about it.
func (s *Server) mayLog(by limit, a *address, who net.Addr) bool {
	now := time.Now()
	room := s.addresses.mayLog(by, a, now)
	g := &s.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.rows[by]
	r.count++
	r.who, r.at = who.String(), now
	if value := limitRows[by].value; value != nil {
		r.value = value(s.limits.Load())
	}
	switch {
	case room && by == limitTalk:
		room = g.talk.take(now, allTalkRate, allTalkBurst)
	case room:
		room = g.lines.take(now, allLineRate, allLineBurst)
	}
	if !room {
		r.more++
		if g.timer == nil {
			g.timer = time.AfterFunc(moreInterval, s.logMore)
		}
	}
	return room
}

func (t *addresses) mayLog(by limit, a *address, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if by == limitTalk {
		return a.talk.take(now, talkRate, talkBurst)
	}
	return a.lines.take(now, lineRate, lineBurst)
}

// logMore logs how many lines there would have been.
func (s *Server) logMore() {
	g := &s.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = nil
	for by := range g.rows {
		r := &g.rows[by]
		if r.more == 0 {
			continue
		}
		what := limitRows[by].more
		if what == "" {
			what = "more was refused by " + limitRows[by].key
		}
		s.opts.Log.Warn(what, "more", r.more, "last", r.who)
		r.more = 0
	}
}

// overLimit notes and logs that a PDU of a session was refused by a limit.
func (c *conn) overLimit(by limit, what string) {
	if c.srv.mayLog(by, c.from, c.nc.RemoteAddr()) {
		c.log.Warn(what, "limit", limitRows[by].key, "value", limitRows[by].value(c.srv.limits.Load()))
	}
}

// talk logs the beginning and the end of a session.
func (c *conn) talk(level slog.Level, what string, args ...any) {
	if c.srv.mayLog(limitTalk, c.from, c.nc.RemoteAddr()) {
		c.log.Log(context.Background(), level, what, args...)
	}
}

// reportStranger logs once why a connection has no session, after what is known
// of it.
func (c *conn) reportStranger(err error, known ...any) {
	if c.reported {
		return
	}
	c.reported = true
	by, what := limitNone, "connection dropped"
	known = append(known, "reason", err)
	if _, ok := errors.AsType[loginStatus](err); ok {
		what = "login refused"
	}
	if over, ok := errors.AsType[*overLimit](err); ok {
		by, what = over.by, "connection refused"
		known = append(known, "limit", limitRows[by].key, "value", over.value)
	}
	if c.srv.mayLog(by, c.from, c.nc.RemoteAddr()) {
		c.log.Warn(what, known...)
	}
}
