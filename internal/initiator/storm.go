package initiator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A Storm is many sessions at once: each logs in, works, logs out, and does so
// again. A session is one goroutine and some 8 KiB, because the client shares
// the machine, and often the process, with the server that it measures.
type Storm struct {
	Addr     string       // of the portal
	From     []netip.Addr // source addresses, in turn; the system's choice when empty
	Target   string
	LUN      byte
	Keys     []string                                    // further key=value offers of every login
	Login    func(session, round int) Options            // of one login; [Port] with Target and Keys when nil
	Work     func(ctx context.Context, s *Session) error // between login and logout; nil is nothing
	Sessions int                                         // at once
	Rounds   int                                         // logins of each session, one after another; 1 when 0
	Logins   int                                         // that are under way at once; all of them when 0

	// Meet has every session wait after its login until all of them are in, or
	// were refused; then AllIn is called once, when it is not nil, and they go
	// on to Work. Rounds is 1 then.
	Meet  bool
	AllIn func()
}

// A Session is one of a [Storm] while it works. Its data goes nowhere.
type Session struct {
	*Conn
	LUN    byte
	Number int // of the session in the storm, from 0
	Round  int // of its logins, from 0
	report *Report
}

// ErrHangUp is what Work returns to end its connection without a logout. It is
// no failure.
var ErrHangUp = errors.New("hang up")

// A Report says what a [Storm] met. It may be read while the storm goes on but
// for Failures and First, which are there when it is over.
type Report struct {
	Logins, Logouts atomic.Int64 // that went well
	LoginTime       Latency      // from connect to the last response
	ReadTime        Latency      // of [Session.Read], from the request to the status
	ReadBytes       atomic.Int64
	Took            time.Duration // from the first connect to the last end
	Meeting         time.Duration // from the first connect until all were in, with Meet

	Failures map[string]int // how often, by [Storm] phase and login status: "login 0302", "connect", "work"
	First    error          // the first failure

	mu sync.Mutex
}

// Err returns the first failure with the count of each kind, nil if there was none.
func (r *Report) Err() error {
	if r.First == nil {
		return nil
	}
	return fmt.Errorf("%v; the first: %w", r.Failures, r.First)
}

func (r *Report) fail(kind string, err error) {
	if e, ok := errors.AsType[*LoginError](err); ok && e.Op == LoginResp {
		kind = fmt.Sprintf("%s %04x", kind, e.Status)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Failures == nil {
		r.Failures = map[string]int{}
	}
	r.Failures[kind]++
	if r.First == nil {
		r.First = fmt.Errorf("%s: %w", kind, err)
	}
}

// Port returns the login options of session n's initiator port: a name and an
// ISID of its own.
func Port(n int) Options {
	return Options{
		Initiator: fmt.Sprintf("iqn.2026-11.spindle:storm.%d", n),
		ISID:      [6]byte{0x80, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)},
	}
}

// Loopback returns n source addresses of 127/8, from 127.0.0.1 on.
func Loopback(n int) []netip.Addr {
	list := make([]netip.Addr, n)
	for i := range list {
		list[i] = netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)})
	}
	return list
}

// Run raises the storm and returns when its last session has ended. When ctx is
// done every connection fails, and no further login begins.
func (s Storm) Run(ctx context.Context) *Report {
	r := &Report{}
	run := storming{Storm: s, report: r, begun: time.Now(), met: make(chan struct{})}
	if s.Logins > 0 {
		run.turns = make(chan struct{}, s.Logins)
	}
	if s.Meet {
		run.Rounds = 1
	}
	run.missing.Store(int64(s.Sessions))
	var all sync.WaitGroup
	for n := range s.Sessions {
		all.Go(func() { run.session(ctx, n) })
	}
	all.Wait()
	r.Took = time.Since(run.begun)
	return r
}

// A storming is a Storm that runs.
type storming struct {
	Storm
	report  *Report
	begun   time.Time
	turns   chan struct{} // to log in
	missing atomic.Int64  // sessions that are not at the meeting
	met     chan struct{}
}

func (s *storming) session(ctx context.Context, n int) {
	for round := range max(s.Rounds, 1) {
		if ctx.Err() != nil && !s.Meet { // at a meeting each is waited for
			break
		}
		c := s.login(ctx, n, round)
		if s.Meet {
			s.meet()
		}
		if c != nil {
			s.visit(ctx, &Session{Conn: c, LUN: s.LUN, Number: n, Round: round, report: s.report})
		}
	}
}

// meet waits until every session has been here.
func (s *storming) meet() {
	if s.missing.Add(-1) == 0 {
		s.report.Meeting = time.Since(s.begun)
		if s.AllIn != nil {
			s.AllIn()
		}
		close(s.met)
	}
	<-s.met
}

// login returns nil when it failed.
func (s *storming) login(ctx context.Context, n, round int) *Conn {
	if s.turns != nil {
		s.turns <- struct{}{}
		defer func() { <-s.turns }()
	}
	begun := time.Now()
	c, err := s.connect(ctx, n)
	if err != nil {
		s.report.fail("connect", err)
		return nil
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := c.Login(s.options(n, round)); err != nil {
		s.report.fail("login", err)
		c.hangUp()
		return nil
	}
	s.report.LoginTime.Add(time.Since(begun))
	s.report.Logins.Add(1)
	return c
}

func (s *storming) options(n, round int) Options {
	if s.Login != nil {
		return s.Login(n, round)
	}
	o := Port(n)
	o.Target, o.Keys = s.Target, s.Keys
	return o
}

// stormBuffer is what a session reads ahead.
const stormBuffer = 4 << 10

func (s *storming) connect(ctx context.Context, n int) (*Conn, error) {
	var d net.Dialer
	if len(s.From) > 0 {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.From[n%len(s.From)], 0))
	}
	nc, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	return newConn(nc, stormBuffer), nil
}

// visit works and logs out.
func (s *storming) visit(ctx context.Context, one *Session) {
	stop := context.AfterFunc(ctx, func() { one.Close() })
	defer stop()
	defer one.hangUp()
	if s.Work != nil {
		err := s.Work(ctx, one)
		if errors.Is(err, ErrHangUp) {
			return
		}
		if err != nil {
			s.report.fail("work", fmt.Errorf("session %d, round %d: %w", one.Number, one.Round, err))
			return
		}
	}
	if err := one.Logout(); err != nil {
		s.report.fail("logout", err)
		return
	}
	s.report.Logouts.Add(1)
}

// hangUp closes so that no port of this machine waits for stragglers: some
// 28,000 connections a minute are all that one source address has otherwise.
func (c *Conn) hangUp() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
