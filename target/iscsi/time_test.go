package iscsi_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/target"
	"spindle/target/iscsi"
)

// A pipeListener gives the server one end of a net.Pipe, which a bubble of
// package synctest can wait for.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

// inBubble runs f with a connection to a server in a bubble.
func inBubble(t *testing.T, f func(t *testing.T, c *initiator.Conn)) {
	inBubbleWith(t, &disk{}, f)
}

// inBubbleWith is inBubble with that logical unit.
func inBubbleWith(t *testing.T, lu scsi.LogicalUnit, f func(t *testing.T, c *initiator.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		srv := iscsi.NewServer(iscsi.Options{})
		unit := target.NewUnit("cd0", lu, target.UnitOptions{})
		srv.Set(exported(target.New(iqn, map[uint16]*target.Unit{0: unit})))
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		go srv.Serve(context.Background(), l)
		ours, theirs := net.Pipe()
		l.conns <- theirs
		f(t, initiator.NewConn(ours))
		ours.Close()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(over)
	})
}

// closedAfter waits for the end of the connection and returns how long it took.
func closedAfter(t *testing.T, c *initiator.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF && err != io.ErrClosedPipe {
		t.Errorf("read %d bytes, %v; want the connection closed", n, err)
	}
	return time.Since(start)
}

func TestLoginTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, c *initiator.Conn) {
		if d := closedAfter(t, c); d != 5*time.Second {
			t.Errorf("a silent connection is closed after %v, want 5s", d)
		}
	})
	inBubble(t, func(t *testing.T, c *initiator.Conn) {
		began := time.Now()
		scsitest.Pause(t.Context(), 4*time.Second) // the connection counts, not its first request
		send(t, c, loginPDU(0x04, "InitiatorName=iqn.a\x00TargetName="+iqn+"\x00"))
		recv(t, c)
		c.Write([]byte{0x43}) // a byte now and then does not help
		closedAfter(t, c)
		if d := time.Since(began); d != 15*time.Second {
			t.Errorf("a slow login is closed after %v, want 15s", d)
		}
	})
}

// A quiet initiator is pinged every 30 s, and dropped after two pings without
// a word from it.
func TestPings(t *testing.T) {
	inBubble(t, func(t *testing.T, c *initiator.Conn) {
		if _, err := c.Login(initiator.Options{Target: iqn}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for i := range 3 {
			p := recv(t, c)
			if p.Op() != initiator.NopIn || p.U32(16) != initiator.NoTag || p.U32(20) == initiator.NoTag || p.U32(24) != c.ExpStatSN {
				t.Fatalf("opcode %02x, tags %08x %08x, StatSN %d; want a NOP-In that asks, StatSN %d", p.Op(), p.U32(16), p.U32(20), p.U32(24), c.ExpStatSN)
			}
			if want := time.Duration(2*i+1) * 30 * time.Second; time.Since(start) != want {
				t.Errorf("ping %d after %v, want %v", i, time.Since(start), want)
			}
			if i < 2 {
				send(t, c, initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, initiator.NoTag).Put32(20, p.U32(20)).Put32(24, c.CmdSN))
			}
		}
		recv(t, c) // the second without an answer
		if d := closedAfter(t, c); d != 30*time.Second {
			t.Errorf("dropped %v after the second ping, want 30s", d)
		}
	})
}

// An initiator that asks and does not take the answer is dropped.
func TestInitiatorTakesNoData(t *testing.T) {
	inBubble(t, func(t *testing.T, c *initiator.Conn) {
		if _, err := c.Login(initiator.Options{Target: iqn}); err != nil {
			t.Fatal(err)
		}
		mustDo(t, c, cdb(opReady), 0, nil, 0)
		if err := c.SendCommand(c.NewCommand(read10(0, 1), 2048, 0)); err != nil {
			t.Fatal(err)
		}
		scsitest.Pause(t.Context(), 5*time.Minute)
		c.Write([]byte{0})
		if _, err := c.Write(make([]byte, 48)); err == nil {
			t.Error("the connection is open after five minutes")
		}
	})
}

// An initiator that answers pings and does not send what R2T asked for is
// dropped: its task runs alone, and others wait behind it.
func TestInitiatorSendsNoData(t *testing.T) {
	inBubble(t, func(t *testing.T, c *initiator.Conn) {
		if _, err := c.Login(initiator.Options{Target: iqn}); err != nil {
			t.Fatal(err)
		}
		mustDo(t, c, cdb(opReady), 0, nil, 0)
		send(t, c, c.NewCommand(sink(8192), 0, 8192))
		if r := recv(t, c); r.Op() != initiator.R2T {
			t.Fatalf("opcode %02x, want R2T", r.Op())
		}
		start := time.Now()
		for p, err := c.Recv(); err == nil && time.Since(start) < time.Hour; p, err = c.Recv() {
			c.Send(initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, initiator.NoTag).Put32(20, p.U32(20)).Put32(24, c.CmdSN))
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("dropped after %v, want 1m0s", d)
		}
	})
}
