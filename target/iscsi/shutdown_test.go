package iscsi_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/target"
	"spindle/target/iscsi"
)

// A slowListener has the server be slow around the PDUs of an opcode: before is
// called ahead of the first byte of one, after behind the last.
type slowListener struct {
	net.Listener
	opcode        byte
	before, after func()
}

func (l *slowListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: nc, l: l}, nil
}

// A slowConn is written to one PDU at a time, which begins with its header.
type slowConn struct {
	net.Conn
	l    *slowListener
	left int // of the PDU that is slow
}

func (c *slowConn) Write(p []byte) (int, error) {
	if c.left == 0 && len(p) == 48 && p[0]&0x3F == c.l.opcode {
		c.left = 48 + (int(p[6])<<8|int(p[7])+3)&^3
		c.l.before()
	}
	n, err := c.Conn.Write(p)
	if c.left > 0 {
		if c.left -= n; c.left == 0 {
			c.l.after()
		}
	}
	return n, err
}

// An initiator that knows that it is logged in is asked to log out when the
// server stops, however late the goroutines run that are to ask it.
func TestShutdownAsksLate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opcode byte
		before func(stopped context.Context)
		after  func(stopping <-chan struct{})
	}{
		{
			"the login has not returned when the server stops", initiator.LoginResp,
			func(context.Context) {}, func(stopping <-chan struct{}) { <-stopping },
		},
		{
			"the time is over before the request is written", initiator.Async,
			func(stopped context.Context) { <-stopped.Done(); <-time.After(20 * time.Millisecond) }, func(<-chan struct{}) {},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := serve(t, iscsi.Options{})
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			b.addr = inner.Addr().String()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			l := &slowListener{
				Listener: inner, opcode: tt.opcode,
				before: func() { tt.before(ctx) }, after: func() { tt.after(ctx.Done()) },
			}
			serving := make(chan struct{})
			go func() { defer close(serving); b.srv.Serve(context.Background(), l) }()
			c := b.dial(t)
			if _, err := c.Login(initiator.Options{Target: iqn}); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { defer close(done); b.srv.Shutdown(ctx) }()
			if p, err := c.Recv(); err != nil || p.Op() != initiator.Async {
				t.Errorf("at the stop: %+v, %v; want a request to log out", p, err)
			}
			<-done
			<-serving
		})
	}
}

// A joined is a disk that says when somebody joins.
type joined struct {
	disk
	join func()
}

func (j *joined) NexusJoined(*scsi.Nexus) { j.join() }
func (j *joined) NexusLost(*scsi.Nexus)   {}

// A login that a reload refuses after its session was registered waits out the
// penalty of its address, and a stop does not wait for that.
func TestStopDuringLateRefusal(t *testing.T) {
	for name, early := range map[string]bool{"the stop is first": true, "the refusal is first": false} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { lateRefusal(t, early) }) })
	}
}

// lateRefusal has a login refused so, and the server stop before or after it.
func lateRefusal(t *testing.T, early bool) {
	srv, l := iscsi.NewServer(iscsi.Options{}), &pipeListener{make(chan net.Conn), make(chan struct{})}
	var began time.Time
	stopped := make(chan struct{})
	stop := func() {
		began = time.Now()
		go func() { defer close(stopped); srv.Shutdown(context.Background()) }()
		<-l.closed
	}
	lu := &joined{}
	tg := target.New(iqn, map[uint16]*target.Unit{0: target.NewUnit("cd0", lu, target.UnitOptions{})})
	lu.join = func() {
		tg.SetRules(map[uint16]target.Rules{0: only("iqn.other")})
		if early {
			stop()
		}
	}
	srv.Set(exported(tg))
	go srv.Serve(context.Background(), l)
	dial := func() *initiator.Conn {
		ours, theirs := net.Pipe()
		l.conns <- theirs
		return initiator.NewConn(ours)
	}
	for range 4 { // so that the next refusal waits
		c := dial()
		c.Login(initiator.Options{Target: "iqn.none"})
		c.Close()
	}
	c, answered := dial(), make(chan error, 1)
	defer c.Close()
	go func() {
		_, err := c.Login(initiator.Options{Target: iqn})
		answered <- err
	}()
	synctest.Wait()
	if !early {
		stop()
	}
	err := <-answered
	c.Close()
	<-stopped
	refused, told := errors.AsType[*initiator.LoginError](err)
	if told && refused.Status == 0x0202 || time.Since(began) > 0 {
		t.Errorf("it took %v, and the login got %v", time.Since(began), err)
	}
}
