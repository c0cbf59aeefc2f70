package iscsi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi/scsitest"
	"spindle/target"
	"spindle/target/iscsi"
)

// A journal keeps the lines of a log that warn, and counts those that inform.
type journal struct {
	mu    sync.Mutex
	lines []string
	more  uint64 // that lines say there were beside them
	info  int
}

func (j *journal) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (j *journal) WithGroup(string) slog.Handler                { return j }
func (j *journal) WithAttrs(as []slog.Attr) slog.Handler        { return &with{j, as} }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Level < slog.LevelWarn {
		j.info++
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		if a.Key == "more" {
			j.more += a.Value.Uint64()
		}
		return true
	})
	j.lines = append(j.lines, text)
	return nil
}

// A with is a journal with what is said in each line.
type with struct {
	*journal
	attrs []slog.Attr
}

func (w *with) WithAttrs(as []slog.Attr) slog.Handler {
	return &with{w.journal, append(w.attrs[:len(w.attrs):len(w.attrs)], as...)}
}

func (w *with) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(w.attrs...)
	return w.journal.Handle(ctx, r)
}

// take returns the lines so far, and how many more they tell of.
func (j *journal) take() ([]string, uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines, j.more
}

// A namedPipe is a pipe whose other end has an address.
type namedPipe struct {
	net.Conn
	remote net.Addr
}

func (p namedPipe) RemoteAddr() net.Addr { return p.remote }

// A flood is a server with default limits under package synctest.
type flood struct {
	t   *testing.T
	l   *pipeListener
	srv *iscsi.Server
	log journal
}

func inServerBubble(t *testing.T, f func(t *testing.T, b *flood)) {
	synctest.Test(t, func(t *testing.T) {
		b := &flood{t: t, l: &pipeListener{make(chan net.Conn), make(chan struct{})}}
		b.srv = iscsi.NewServer(iscsi.Options{Log: slog.New(&b.log)})
		unit := target.NewUnit("cd0", &disk{}, target.UnitOptions{})
		b.srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: target.New(iqn, map[uint16]*target.Unit{0: unit})}}})
		go b.srv.Serve(context.Background(), b.l)
		f(t, b)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		b.srv.Shutdown(over)
	})
}

// dial returns a connection from an address.
func (b *flood) dial(from string) *initiator.Conn {
	ours, theirs := net.Pipe()
	b.l.conns <- namedPipe{theirs, &net.TCPAddr{IP: net.ParseIP(from), Port: 1000}}
	return initiator.NewConn(ours)
}

// login logs in and out, and returns the status.
func (b *flood) login(from string) uint16 {
	b.t.Helper()
	c := b.dial(from)
	defer func() {
		c.Close()
		synctest.Wait()
	}()
	send(b.t, c, c.LoginRequest(initiator.Options{Target: iqn}))
	p := recv(b.t, c)
	if p.Op() != initiator.LoginResp {
		b.t.Fatalf("opcode %02x", p.Op())
	}
	return p.U16(36)
}

// An address that logs in all the time is refused beyond its rate, another one
// is not, and the log of it is short and tells of all.
func TestDefaultLoginRate(t *testing.T) {
	inServerBubble(t, func(t *testing.T, b *flood) {
		l := iscsi.DefaultLimits()
		good := func(from string) (n int) {
			for b.login(from) == 0 {
				n++
			}
			return n
		}
		if n := good("192.0.2.1"); n != l.LoginBurst {
			t.Errorf("%d logins at once, want %d", n, l.LoginBurst)
		}
		for range 100 {
			if status := b.login("192.0.2.1"); status != outOfResources {
				t.Fatalf("status %04x, want %04x", status, outOfResources)
			}
		}
		if n := good("2001:db8::1"); n != l.LoginBurst {
			t.Errorf("%d logins at once of another address, want %d", n, l.LoginBurst)
		}
		if status := b.login("2001:db8::2"); status != outOfResources {
			t.Errorf("status %04x for an address of the same /64, want %04x", status, outOfResources)
		}
		if status := b.login("2001:db8:0:1::1"); status != 0 {
			t.Errorf("status %04x for an address of another /64", status)
		}
		scsitest.Pause(t.Context(), time.Second)
		if n := good("192.0.2.1"); n != l.LoginsPerSecond {
			t.Errorf("%d logins after a second, want %d", n, l.LoginsPerSecond)
		}
		scsitest.Pause(t.Context(), time.Minute)
		lines, more := b.log.take()
		if len(lines) > 25 || uint64(len(lines))+more < 104 {
			t.Errorf("%d lines that tell of %d more; want few lines, and 104 in all", len(lines), more)
		}
		if b.log.info < 500 || b.log.info > 700 {
			t.Errorf("%d lines about %d sessions, want some 256 of each address", b.log.info, 2*l.LoginBurst+l.LoginsPerSecond)
		}
		for _, want := range []string{"connection refused", "login status 0302", "limit=logins_per_second", "value=50", "initiator=192.0.2.1:1000"} {
			if !strings.Contains(lines[0], want) {
				t.Errorf("the first line is %q, without %q", lines[0], want)
			}
		}
	})
}

// A connection is closed when its first request takes too long, however slowly
// it comes, and when it says nothing.
func TestDefaultFirstRequestTimeout(t *testing.T) {
	for _, each := range []time.Duration{time.Hour, 100 * time.Millisecond, time.Second} {
		inServerBubble(t, func(t *testing.T, b *flood) {
			c := b.dial("192.0.2.1")
			start := time.Now()
			request := c.Marshal(c.LoginRequest(initiator.Options{Target: iqn}))
			for i := 0; ; i++ {
				scsitest.Pause(t.Context(), min(each, iscsi.DefaultLimits().FirstRequestTimeout+time.Millisecond-time.Since(start)))
				if _, err := c.Write(request[i : i+1]); err != nil {
					break
				}
			}
			if d := time.Since(start); d < 5*time.Second || d > 5*time.Second+each {
				t.Errorf("a byte each %v: closed after %v, want 5s", each, d)
			}
			synctest.Wait()
			if lines, _ := b.log.take(); len(lines) != 1 || !strings.Contains(lines[0], "limit=first_request_timeout value=5s") {
				t.Errorf("lines %q, want one of first_request_timeout", lines)
			}
		})
	}
}

// A connection over a limit that says nothing is closed soon.
func TestRefusedConnectionThatSaysNothing(t *testing.T) {
	inServerBubble(t, func(t *testing.T, b *flood) {
		for n := range iscsi.DefaultLimits().ConnectionsPerAddress {
			c := b.dial("192.0.2.1")
			if _, err := c.Login(port(n)); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		c := b.dial("192.0.2.1")
		if d := closedAfter(t, c); d != 2*time.Second {
			t.Errorf("closed after %v, want 2s", d)
		}
	})
}

// Ten thousand connections that are refused, half of which say nothing, cost
// neither goroutines nor memory, and few lines of the log.
func TestFloodOfConnections(t *testing.T) {
	log := &journal{}
	b := serveWith(t, iscsi.Options{Log: slog.New(log)}, iscsi.Limits{Connections: 40, ConnectionsPerAddress: 4})
	for n := range 4 {
		b.sessionFrom(t, 1, n)
	}
	beside := b.sessionFrom(t, 2, 5)
	rest := takeTally(t)
	most := 0
	flood := func(size int) {
		var open []net.Conn
		for n := range size {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, 2)}}
			nc, err := d.Dial("tcp", b.addr)
			if err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 {
				nc.Write(make([]byte, 48))
			}
			if open = append(open, nc); len(open) == 500 {
				most = max(most, runtime.NumGoroutine())
				mustDo(t, beside, read10(0, 1), 2048, nil, 0)
				for _, nc := range open {
					nc.Close()
				}
				open = open[:0]
			}
		}
	}
	flood(1000) // fills what is kept for use after use
	before := settle(t, rest)
	flood(10000)
	after := settle(t, rest)
	t.Logf("before %+v, after %+v, %d goroutines at most", before, after, most)
	if after.bytes > before.bytes+before.bytes/10 && after.bytes > before.bytes+10000*16 {
		t.Errorf("before the flood %+v, after it %+v", before, after)
	}
	if most > rest.goroutines+64+8 {
		t.Errorf("%d goroutines under the flood, %d at rest", most, rest.goroutines)
	}
	if lines, _ := log.take(); len(lines) > 200 {
		t.Errorf("%d lines", len(lines))
	}
	b.checkRefused(t, "connections_per_address", 10000)
	b.sessionFrom(t, 3, 6)
}

// A failingListener has no descriptors left.
type failingListener struct{ pipeListener }

func (l *failingListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
		return nil, syscall.EMFILE
	}
}

// An accept that fails again and again is a line of the log now and then.
func TestAcceptFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		srv := iscsi.NewServer(iscsi.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		l := &failingListener{pipeListener{closed: make(chan struct{})}}
		done := make(chan struct{})
		go func() { defer close(done); srv.Serve(t.Context(), l) }()
		scsitest.Pause(t.Context(), 25*time.Second)
		l.Close()
		<-done
		if n := strings.Count(log.String(), "accept failed"); n != 3 {
			t.Errorf("%d lines in 25 s, want 3", n)
		}
	})
}
