// Package iscsi is an iSCSI target (RFC 7143) in front of package target: it
// knows PDUs, logins, sessions and numbers, and nothing of what a drive is.
//
// Error recovery level 0, one connection a session, any number of sessions a
// target. Memory is bounded by [Limits] and does not follow what an initiator
// claims or queues.
package iscsi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"spindle/target"
	"spindle/target/iscsi/chap"
)

// Options are the settings of a Server. The zero value of each is a default.
type Options struct {
	Log *slog.Logger // discards when nil
}

// A Server serves targets on listeners.
type Server struct {
	opts    Options
	memory  *budget
	tasks   sync.Pool
	running sync.WaitGroup
	beat    atomic.Int64
	watch   *watch
	ping    atomic.Pointer[Ping] // of settings, complete

	challenger *chap.Challenger
	noSecret   [16]byte // of users that are not there
	penalties  penalties

	limits    atomic.Pointer[Limits] // complete
	addresses addresses
	ledger    ledger

	mu        sync.Mutex
	settings  Settings
	exports   map[string]*Export // those of settings, by target name
	removed   removal
	sessions  map[portKey]*session
	tsihs     map[uint16]*session
	lastTSIH  uint16
	conns     map[*conn]struct{}
	away      map[net.Conn]struct{} // that are told that there are too many
	listeners map[net.Listener]struct{}
	stopping  bool
	stopBy    context.Context // of Shutdown
}

// A portKey identifies an iSCSI initiator port at a target: a login with the
// key of a session takes that session's place (RFC 7143, 6.3.5). A portal group
// is a target port: one ISID may be in use at each.
type portKey struct {
	initiator string
	isid      [6]byte
	target    string
	group     uint16
}

// NewServer returns a server without targets.
func NewServer(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		opts: o, memory: &budget{}, challenger: chap.NewChallenger(), watch: newWatch(),
		exports: map[string]*Export{}, sessions: map[portKey]*session{}, tsihs: map[uint16]*session{},
		conns: map[*conn]struct{}{}, away: map[net.Conn]struct{}{}, listeners: map[net.Listener]struct{}{},
	}
	rand.Read(s.noSecret[:])
	s.ping.Store(new(Ping{}.complete()))
	s.addresses.known = map[netip.Prefix]*address{}
	s.setLimits(Limits{})
	s.memory.total.starved, s.memory.total.patience = s.dropStuck, starvation
	s.tasks.New = func() any { return new(task) }
	s.beat.Store(time.Now().UnixNano())
	return s
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// ErrStopped is what Serve returns after Shutdown.
var ErrStopped = errors.New("iscsi: server stopped")

// acceptTurn is how often an accept loop turns without a connection.
const acceptTurn = 2 * time.Second

// Serve accepts connections from l until ctx is done or Shutdown is called,
// and closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		l.Close()
		return ErrStopped
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer s.forget(l)
	var told time.Time
	for {
		s.beat.Store(time.Now().UnixNano())
		if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
			d.SetDeadline(time.Now().Add(acceptTurn))
		}
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.start(nc, groupOf(l))
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return ErrStopped
		case isTimeout(err):
		default:
			if now := time.Now(); now.Sub(told) >= moreInterval { // it fails ten times a second, as when there are no descriptors left
				told = now
				s.opts.Log.Error("accept failed: it is tried again", "error", err)
			}
			if !pause(ctx, 100*time.Millisecond) {
				return ErrStopped
			}
		}
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (s *Server) forget(l net.Listener) {
	l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// LastTurn returns when an accept loop last turned, for a watchdog.
func (s *Server) LastTurn() time.Time { return time.Unix(0, s.beat.Load()) }

func (s *Server) start(nc net.Conn, group uint16) {
	setKeepAlive(nc)
	l := s.limits.Load()
	a, fits := s.addresses.enter(nc.RemoteAddr(), l)
	var over *overLimit
	if !fits {
		over = l.over(limitPerAddress, loginOutOfResources)
	} else if over = s.admit(nc, a, group, l); over != nil {
		s.addresses.leave(a)
	}
	if over != nil {
		s.turnAway(nc, a, over)
	}
}

// admit serves nc, unless there are too many. At a stop it closes it.
func (s *Server) admit(nc net.Conn, a *address, group uint16, l *Limits) *overLimit {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		s.addresses.leave(a)
		nc.Close()
		return nil
	case len(s.conns) >= l.Connections:
		return l.over(limitConnections, loginOutOfResources)
	}
	c := newConn(s, nc)
	c.group, c.from = group, a
	s.conns[c] = struct{}{}
	s.running.Add(1) // until end, whichever goroutine that is on
	go c.serve()
	return nil
}

func (s *Server) remove(c *conn) {
	s.watch.leave(c)
	s.addresses.leave(c.from)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// begin registers a session that logs in. One of the same initiator port is
// ended first, and wholly (RFC 7143, 6.3.5).
func (s *Server) begin(n *session) error {
	for {
		s.mu.Lock()
		if s.stopping {
			s.mu.Unlock()
			return loginUnavailable
		}
		if n.target != nil && !s.serves(n.target) {
			defer s.mu.Unlock()
			return s.absent(n.target.Name) // removed since the login began
		}
		old := s.sessions[n.key()]
		if old == nil {
			err := s.register(n)
			s.mu.Unlock()
			return err
		}
		s.mu.Unlock()
		old.conn.fail(errReinstated)
		<-old.ended
	}
}

var (
	errReinstated = errors.New("the initiator logged in again")
	errDropped    = errors.New("the target was reset")
)

func (n *session) key() portKey {
	k := portKey{initiator: n.initiator, isid: n.isid, group: n.conn.group}
	if n.target != nil {
		k.target = n.target.Name
	}
	return k
}

// register gives n a free TSIH. s.mu is held.
func (s *Server) register(n *session) error {
	if l := s.limits.Load(); len(s.tsihs) >= l.Sessions {
		return l.over(limitSessions, loginOutOfResources)
	}
	for range 1 << 16 {
		s.lastTSIH++
		if s.lastTSIH != 0 && s.tsihs[s.lastTSIH] == nil {
			n.tsih = s.lastTSIH
			s.tsihs[n.tsih] = n
			s.sessions[n.key()] = n
			n.conn.begun = true
			return nil
		}
	}
	return loginOutOfResources
}

// joinSession says why a login into a session that exists is refused: a
// session has one connection.
func (s *Server) joinSession(initiator string, isid [6]byte, tsih uint16) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.tsihs[tsih]
	if n == nil || n.initiator != initiator || n.isid != isid {
		return fmt.Errorf("%w: TSIH %d", loginNoSession, tsih)
	}
	return loginTooMany
}

// end takes a session down after its reader has ended.
func (s *Server) end(n *session) {
	n.conn.nc.Close()
	n.dropEarly()
	if n.nexus != nil {
		n.nexus.Close()
	}
	s.unregister(n)
	close(n.ended)
}

// unregister forgets n, whose nexus has ended: what its initiator port begins
// from now on does not meet it.
func (s *Server) unregister(n *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tsihs[n.tsih] == n {
		delete(s.tsihs, n.tsih)
	}
	if key := n.key(); s.sessions[key] == n {
		delete(s.sessions, key)
	}
}

// dropSessions ends the sessions of t.
func (s *Server) dropSessions(t *target.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.tsihs {
		if n.target == t {
			n.conn.fail(errDropped)
		}
	}
}

// SessionCount returns how many sessions there are.
func (s *Server) SessionCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tsihs)
}

// A SessionInfo describes a session for people.
type SessionInfo struct {
	Initiator string `json:"initiator"`
	Address   string `json:"address"`
	Target    string `json:"target,omitempty"`
	User      string `json:"user,omitempty"` // that CHAP authenticated
	TSIH      uint16 `json:"tsih"`
}

// Sessions lists the sessions by TSIH.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []SessionInfo
	for _, tsih := range slices.Sorted(maps.Keys(s.tsihs)) {
		list = append(list, s.tsihs[tsih].info())
	}
	return list
}

func (n *session) info() SessionInfo {
	return SessionInfo{n.initiator, n.conn.nc.RemoteAddr().String(), n.key().target, n.user, n.tsih}
}
