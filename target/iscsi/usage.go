package iscsi

import (
	"fmt"
	"time"
)

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
	Value string // of the limit when it refused the last
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
		if row := limitRows[by]; r.count > 0 && row.key != "" {
			u.Refused = append(u.Refused, Refusal{row.key, fmt.Sprint(r.value), r.count, r.who, r.at})
		}
	}
	return u
}
