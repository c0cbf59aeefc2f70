package iscsi_test

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// from dials the server with an address of its own, 127.0.X.Y.
func (b *bench) from(t testing.TB, n int) *initiator.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+n/250), byte(1+n%250))}}
	nc, err := d.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(limit))
	return initiator.NewConn(nc)
}

// port returns the options of a login from an initiator port of its own.
func port(n int) initiator.Options {
	return initiator.Options{Target: iqn, Initiator: fmt.Sprintf("iqn.2026-11.spindle.test:host%d", n)}
}

// sessionFrom logs in, from address n, as initiator id.
func (b *bench) sessionFrom(t testing.TB, n, id int, keys ...string) *initiator.Conn {
	t.Helper()
	c, o := b.from(t, n), port(id)
	o.Keys = keys
	if _, err := c.Login(o); err != nil {
		t.Fatalf("initiator %d from address %d: %v", id, n, err)
	}
	mustDo(t, c, cdb(opReady), 0, nil, 0)
	return c
}

const outOfResources = 0x0302

// refusedLogin logs in and checks that the answer has the status.
func refusedLogin(t testing.TB, c *initiator.Conn, o initiator.Options, status uint16) {
	t.Helper()
	send(t, c, c.LoginRequest(o))
	if p := recv(t, c); p.Op() != initiator.LoginResp || p.U16(36) != status || p.U32(16) != c.ITT || p.U32(28) != c.CmdSN || len(p.Data) != 0 {
		t.Fatalf("opcode %02x, status %04x, tag %d, ExpCmdSN %d, %d bytes; want status %04x", p.Op(), p.U16(36), p.U32(16), p.U32(28), len(p.Data), status)
	}
	if p, err := c.Recv(); err == nil {
		t.Fatalf("opcode %02x after the refusal, want the connection closed", p.Op())
	}
}

// checkRefused waits until a limit refused so often, or more: some refusals are
// counted when their connection has ended.
func (b *bench) checkRefused(t testing.TB, key string, least uint64) {
	t.Helper()
	b.await(t, fmt.Sprintf("%d refusals by %s", least, key), func(u iscsi.Usage) bool {
		i := slices.IndexFunc(u.Refused, func(r iscsi.Refusal) bool { return r.Limit == key })
		return i >= 0 && u.Refused[i].Count >= least && u.Refused[i].Last != "" && time.Since(u.Refused[i].At) < time.Minute
	})
}

// The default limits on connections of an address, sessions and connections
// refuse with 'out of resources', and no others are kept out.
func TestDefaultConnectionLimits(t *testing.T) {
	// Those that say nothing stay until the test ends.
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{FirstRequestTimeout: time.Hour, LoginTimeout: time.Hour})
	l := iscsi.DefaultLimits()
	id := 0
	login := func(address int) *initiator.Conn {
		id++
		return b.sessionFrom(t, address, id)
	}
	first := login(0)
	for range l.ConnectionsPerAddress - 1 {
		login(0)
	}
	refusedLogin(t, b.from(t, 0), port(9000), outOfResources)
	b.checkRefused(t, "connections_per_address", 1)
	login(1)
	first.Close()
	b.await(t, "the end of a session", func(u iscsi.Usage) bool { return u.Connections == l.ConnectionsPerAddress })
	login(0)

	for n := l.ConnectionsPerAddress + 1; n < l.Sessions; n++ {
		login(2 + n/l.ConnectionsPerAddress)
	}
	refusedLogin(t, b.from(t, 100), port(9001), outOfResources)
	b.checkRefused(t, "sessions", 1)
	b.await(t, "the end of the login", func(u iscsi.Usage) bool { return u.Connections == l.Sessions })
	again := b.from(t, 100) // one that comes back takes the place of itself
	if _, err := again.Login(port(id)); err != nil {
		t.Errorf("a session that is made anew: %v", err)
	}
	b.await(t, "the end of the session before", func(u iscsi.Usage) bool { return u.Connections == l.Sessions })

	for n := range l.Connections - l.Sessions {
		b.from(t, 110+n/l.ConnectionsPerAddress)
	}
	b.await(t, "all connections", func(u iscsi.Usage) bool { return u.Connections == l.Connections })
	refusedLogin(t, b.from(t, 120), port(9002), outOfResources)
	b.checkRefused(t, "connections", 1)
	if u := b.srv.Usage(); u.Sessions != l.Sessions || u.Addresses < 20 {
		t.Errorf("%d sessions from %d addresses, want %d from at least 20", u.Sessions, u.Addresses, l.Sessions)
	}
}

// await waits until the server's usage is as it should.
func (b *bench) await(t testing.TB, what string, ok func(iscsi.Usage) bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok(b.srv.Usage()) {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waiting for %s: %+v", what, b.srv.Usage())
		}
	}
}

// A command past the window is not executed, whatever it is told of (RFC 7143,
// 4.2.2.1); those in it are.
func TestDefaultWindow(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{})
	c := b.login(t)
	window := iscsi.DefaultLimits().Window
	for range 50 * window {
		if err := c.SendCommand(c.NewCommand(cdb(opBlock), 512, 0)); err != nil {
			t.Fatal(err)
		}
	}
	send(t, c, initiator.New(initiator.TaskMgmt|initiator.Immediate, 0x82).Put32(16, 7000).Put32(20, initiator.NoTag).Put32(24, c.CmdSN))
	p := recv(t, c)
	if exp, maximum := p.U32(28), p.U32(32); p.Op() != initiator.TaskMgmtResp || int(maximum-exp)+1 != window {
		t.Errorf("opcode %02x, window from %d to %d; want %d commands", p.Op(), exp, maximum, window)
	}
	b.checkRefused(t, "window", uint64(49*window))
}

// A drive whose queue is full answers TASK SET FULL to those that have their
// part of it, and takes a command of everybody else.
func TestDefaultQueue(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{})
	l := iscsi.DefaultLimits()
	hosts := 2*l.Queue/l.Window + 1
	part := (l.Queue + hosts - 1) / hosts
	var all []*initiator.Conn
	for n := range hosts {
		all = append(all, b.sessionFrom(t, 1+n/l.ConnectionsPerAddress, n))
	}
	for n, c := range all {
		for range l.Window {
			if err := c.SendCommand(c.NewCommand(cdb(opBlock), 512, 0)); err != nil {
				t.Fatal(err)
			}
		}
		for range l.Window - part {
			if n < l.Queue/l.Window {
				continue // it came while there was room for all
			}
			if p := recv(t, c); p.Op() != initiator.Response || p.Header[3] != 0x28 {
				t.Fatalf("host %d: opcode %02x, status %02x; want TASK SET FULL", n, p.Op(), p.Header[3])
			}
		}
		ping(t, c)
	}
	b.checkRefused(t, "queue", uint64((hosts-l.Queue/l.Window)*(l.Window-part)))
	mustDo(t, b.sessionFrom(t, 100, hosts), read10(0, 1), 2048, nil, 0)
}

// Unsolicited data without memory: TASK SET FULL to a session with a command
// that will end, BUSY to one without (SAM-5, 5.3.1), and another address has
// memory of its own.
func TestDefaultUnsolicitedMemory(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{})
	l := iscsi.DefaultLimits()
	const burst = 64 << 10
	write := func(c *initiator.Conn, cdb []byte) uint32 {
		p := c.NewCommand(cdb, 0, burst)
		p.Data = make([]byte, burst)
		if err := c.SendCommand(p); err != nil {
			t.Fatal(err)
		}
		return p.U32(16)
	}
	keys := []string{"ImmediateData=Yes", "FirstBurstLength=65536"}
	for n := range int(l.UnsolicitedMemory) / 2 / burst / l.Window {
		c := b.sessionFrom(t, 1, n, keys...)
		for range l.Window {
			write(c, cdb(opBlock))
		}
		ping(t, c)
	}
	b.await(t, "all memory of an address", func(u iscsi.Usage) bool { return u.UnsolicitedMemory == l.UnsolicitedMemory/2 })
	status := func(c *initiator.Conn, want byte) {
		t.Helper()
		if r, err := c.Wait(write(c, sink(burst)), nil); err != nil || r.Status != want {
			t.Errorf("status %02x, %v; want %02x", r.Status, err, want)
		}
	}
	c := b.sessionFrom(t, 1, 900, keys...)
	status(c, 0x08)
	if err := c.SendCommand(c.NewCommand(cdb(opBlock), 512, 0)); err != nil {
		t.Fatal(err)
	}
	status(c, 0x28)
	status(b.sessionFrom(t, 2, 901, keys...), 0x00)
	b.checkRefused(t, "unsolicited_memory", 2)
	mustDo(t, b.sessionFrom(t, 1, 902, keys...), sink(8), 0, []byte("12345678"), 0) // asked for by R2T
	b.limit(iscsi.Limits{UnsolicitedMemory: 2 * l.UnsolicitedMemory})
	status(c, 0x00) // an address that is here already has its part of the new limit
}

// A text that is too long or has no end is refused with 'long operation', and
// the session goes on; at a login it is an error of the initiator.
func TestDefaultText(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{})
	l := iscsi.DefaultLimits()
	for _, tt := range []struct {
		key   string
		bytes int
		count int // PDUs until the refusal
	}{
		{"text", 8000, int(l.Text)/8000 + 1},
		{"text_pdus", 0, l.TextPDUs + 1},
	} {
		t.Run(tt.key, func(t *testing.T) {
			c := b.login(t)
			tag := uint32(initiator.NoTag)
			for n := 1; ; n++ {
				p := initiator.New(initiator.Text|initiator.Immediate, 0x40).Put32(16, 5).Put32(20, tag).Put32(24, c.CmdSN)
				p.Data = make([]byte, tt.bytes)
				send(t, c, p)
				r := recv(t, c)
				if r.Op() == initiator.Reject && r.Header[2] == 0x0A && n == tt.count {
					break
				}
				if r.Op() != initiator.TextResp || n == tt.count {
					t.Fatalf("PDU %d: opcode %02x, reason %02x; want Reject 0A to PDU %d", n, r.Op(), r.Header[2], tt.count)
				}
				tag = r.U32(20)
			}
			mustDo(t, c, read10(0, 1), 2048, nil, 0)
			d := b.dial(t)
			for n := 1; ; n++ {
				send(t, d, loginPDU(0x44, string(make([]byte, tt.bytes))))
				p := recv(t, d)
				if p.U16(36) == 0x0200 && n == tt.count {
					break
				}
				if p.U16(36) != 0 || n == tt.count {
					t.Fatalf("login PDU %d: status %04x; want 0200 to PDU %d", n, p.U16(36), tt.count)
				}
			}
			if _, err := d.Recv(); err == nil {
				t.Error("the connection goes on after a login without end")
			}
			b.checkRefused(t, tt.key, 2)
		})
	}
}

// What a reload lowers holds for those who come then, and ends nothing.
func TestLimitsChange(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{})
	a, c := b.sessionFrom(t, 1, 1), b.sessionFrom(t, 1, 2)
	b.limit(iscsi.Limits{ConnectionsPerAddress: 1, Window: 2, Memory: 1 << 20})
	refusedLogin(t, b.from(t, 1), port(3), outOfResources)
	for _, c := range []*initiator.Conn{a, c} {
		mustDo(t, c, read10(0, 1000), 1000*2048, nil, 0)
	}
	d := b.from(t, 2)
	send(t, d, d.LoginRequest(port(4)))
	if p := recv(t, d); p.U32(32)-p.U32(28) != 1 {
		t.Errorf("window from %d to %d, want 2 commands", p.U32(28), p.U32(32))
	}
	if u := b.srv.Usage(); u.Limits.Memory != 1<<20 || u.Limits.Sessions != iscsi.DefaultLimits().Sessions {
		t.Errorf("limits %+v", u.Limits)
	}
	b.limit(iscsi.Limits{})
	b.sessionFrom(t, 1, 3)
}

// An address that asks with all its connections and takes nothing leaves memory
// for the answers to others.
func TestDefaultMemory(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{})
	l := iscsi.DefaultLimits()
	for n := range l.ConnectionsPerAddress {
		b.hoard(t, 1, n)
	}
	all := int64(l.ConnectionsPerAddress) * 512 << 10
	b.await(t, "all memory of the address", func(u iscsi.Usage) bool { return u.Memory == all })
	for n := range 2 {
		c := b.sessionFrom(t, 2, 100+n)
		mustDo(t, c, read10(0, 1000), 1000*2048, nil, 0)
		mustDo(t, c, sink(200000), 0, make([]byte, 200000), 0)
	}
	if all >= l.Memory {
		t.Errorf("one address may hold %d bytes of %d", all, l.Memory)
	}
	for n := range int((l.Memory-all)/(512<<10)) + 1 { // one more than there is memory for
		b.hoard(t, 3, 200+n)
	}
	settleQueue(t, b.srv, 1)
	if u := b.srv.Usage(); u.Memory > l.Memory {
		t.Errorf("%d bytes are on loan, of %d", u.Memory, l.Memory)
	}
}

// hoard has a session ask for more than a connection may hold and take nothing.
func (b *bench) hoard(t *testing.T, from, port int) {
	t.Helper()
	c := b.sessionFrom(t, from, port, "MaxRecvDataSegmentLength=262144")
	for range 4 {
		if err := c.SendCommand(c.NewCommand(read10(0, 65535), 65535*2048, 0)); err != nil {
			t.Fatal(err)
		}
	}
}
