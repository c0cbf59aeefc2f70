package iscsi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"spindle/scsi"
	"spindle/scsi/tally"
)

// stats are what a connection counts. Nothing in them needs a lock.
type stats struct {
	commands    tally.Commands
	since       time.Time    // when the session began; written before it is ready
	last        atomic.Int64 // when the last command came; 0 is never
	management  atomic.Uint64
	rejects     atomic.Uint64
	loginDigest [2]bool // header and data, as negotiated
}

// began notes that the login is complete.
func (s *stats) began(p *params) {
	s.since = time.Now()
	s.loginDigest = [2]bool{p.headerDigest, p.dataDigest}
}

// arrive notes that a command came and returns when.
func (s *stats) arrive() time.Time {
	now := time.Now()
	s.last.Store(now.UnixNano())
	return now
}

// end counts t, whose response was written unless it was aborted.
func (s *stats) end(t *task, err error, aborted bool) {
	status := scsi.Good
	if err != nil {
		status, _ = scsi.StatusOf(err)
	}
	e := tally.End{CDB: t.CDB, Status: status, Aborted: aborted, Took: time.Since(t.arrived), In: t.sent}
	if t.writes {
		e.Out = t.recv.moved()
	}
	s.commands.Note(&e)
}

// A SessionDetail is a session with what it has counted, for people.
type SessionDetail struct {
	SessionInfo
	Since          time.Time
	LastCommand    time.Time // zero: there was none
	HeaderDigest   bool
	DataDigest     bool
	Counts         tally.Snapshot // latency is from a command's PDU to its response
	TaskManagement uint64
	DigestErrors   uint64 // header and data digests that differed
	Rejects        uint64 // Reject PDUs that were sent
	Traced         bool   // somebody follows its PDUs
}

// Details lists the sessions whose login is complete, by TSIH.
func (s *Server) Details() []SessionDetail {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []SessionDetail
	for _, tsih := range slices.Sorted(maps.Keys(s.tsihs)) {
		if n := s.tsihs[tsih]; n.conn.ready {
			list = append(list, n.detail())
		}
	}
	return list
}

func (n *session) detail() SessionDetail {
	c := n.conn
	d := SessionDetail{
		SessionInfo: n.info(), Since: c.stats.since, HeaderDigest: c.stats.loginDigest[0], DataDigest: c.stats.loginDigest[1],
		Counts: c.stats.commands.Snapshot(), TaskManagement: c.stats.management.Load(),
		DigestErrors: c.in.r.digestErrors.Load(), Rejects: c.stats.rejects.Load(), Traced: c.taps.live.Load() != nil,
	}
	if last := c.stats.last.Load(); last != 0 {
		d.LastCommand = time.Unix(0, last)
	}
	return d
}

var errByOperator = errors.New("dropped by the operator")

// Drop ends the session of a TSIH in good order and returns when nothing of it
// is left, or when ctx is done: the initiator is told that it may come back at
// once, and most do. The error wraps ErrNoSession when there is none.
func (s *Server) Drop(ctx context.Context, tsih uint16) error {
	s.mu.Lock()
	n := s.tsihs[tsih]
	s.mu.Unlock()
	if n == nil {
		return fmt.Errorf("%w: TSIH %d", ErrNoSession, tsih)
	}
	n.conn.dismiss(errByOperator)
	select {
	case <-n.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
