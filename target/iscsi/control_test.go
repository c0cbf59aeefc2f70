package iscsi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target"
	"spindle/target/iscsi"
)

// Every task management function with the response that it gets (RFC 7143,
// 11.5 and 11.6). libiscsi's suite skips these on a read-only drive.
func TestTaskManagement(t *testing.T) {
	b := serve(t, iscsi.Options{})
	lun7 := []byte{0, 7}
	tests := []struct {
		name     string
		function byte
		lun      []byte
		task     bool // the tag and CmdSN of a blocked task, else of none
		response byte
		ends     bool // the blocked task ends without a response
	}{
		{"abort task", 1, nil, true, 0, true},
		{"abort task that is not there", 1, nil, false, 1, false},
		{"abort task set", 2, nil, true, 0, true},
		{"abort task set of no unit", 2, lun7, true, 2, false},
		{"clear aca", 3, nil, true, 5, false},
		{"clear task set", 4, nil, true, 0, true},
		{"logical unit reset", 5, nil, true, 0, true},
		{"logical unit reset of no unit", 5, lun7, true, 2, false},
		{"target warm reset", 6, nil, true, 0, true},
		{"task reassign", 8, nil, true, 4, false},
		{"a function that does not exist", 99, nil, true, 5, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := b.login(t)
			blocked := c.NewCommand(cdb(opBlock), 512, 0)
			if err := c.SendCommand(blocked); err != nil {
				t.Fatal(err)
			}
			p := manage(c, tt.function)
			p.PutBytes(8, tt.lun...)
			if tt.task {
				p.Put32(20, blocked.U32(16)).Put32(32, blocked.U32(24))
			} else {
				p.Put32(20, 0xBEEF).Put32(32, 0)
			}
			if err := c.SendCommand(p); err != nil {
				t.Fatal(err)
			}
			if r := recv(t, c); r.Op() != initiator.TaskMgmtResp || r.Header[2] != tt.response || r.U32(16) != p.U32(16) {
				t.Fatalf("opcode %02x, response %d; want %d", r.Op(), r.Header[2], tt.response)
			}
			ping(t, c) // nothing of the aborted task comes before it
			if !tt.ends {
				again := manage(c, 2)
				c.SendCommand(again)
				recv(t, c)
			}
			mustDo(t, c, read10(0, 1), 2048, nil, 0)
		})
	}
}

func manage(c *initiator.Conn, function byte) *initiator.PDU {
	return initiator.New(initiator.TaskMgmt|initiator.Immediate, 0x80|function).
		Put32(16, c.ITT).Put32(20, initiator.NoTag).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
}

// ping sends a NOP-Out and wants its echo as the very next PDU.
func ping(t *testing.T, c *initiator.Conn) {
	t.Helper()
	p := initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, c.ITT).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
	p.Data = []byte("are you there?")
	c.ITT++
	send(t, c, p)
	r := recv(t, c)
	if r.Op() != initiator.NopIn || r.U32(16) != p.U32(16) || r.U32(20) != initiator.NoTag || !bytes.Equal(r.Data, p.Data) {
		t.Fatalf("ping is answered with opcode %02x, task %x, %q", r.Op(), r.U32(16), r.Data)
	}
	c.ExpStatSN = r.U32(24) + 1
}

// Target cold reset ends every session of the target.
func TestColdReset(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	other := b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 2}})
	if err := c.SendCommand(manage(c, 7)); err != nil {
		t.Fatal(err)
	}
	if r := recv(t, c); r.Header[2] != 0 {
		t.Errorf("response %d", r.Header[2])
	}
	for _, c := range []*initiator.Conn{c, other} {
		if _, err := c.Recv(); err == nil {
			t.Error("a session lives on")
		}
	}
}

// An abort waits for storage 10 s at most; the drive is BUSY until it returns,
// and the connection goes on meanwhile.
func TestStuckTask(t *testing.T) {
	d := &disk{}
	underGlass(t, exported(oneUnit(iqn, d)), func(t *testing.T, b *glass) {
		d.let = make(chan struct{}) // of the bubble
		c := b.login(t, initiator.Options{Target: iqn})
		c.SendCommand(c.NewCommand(cdb(opDeaf), 512, 0))
		start := time.Now()
		c.SendCommand(manage(c, 5))
		ping(t, c)
		r := recv(t, c)
		if took := time.Since(start).Round(time.Second); r.Op() != initiator.TaskMgmtResp || r.Header[2] != 255 || took != 10*time.Second {
			t.Errorf("opcode %02x, response %d after %v; want function rejected after 10s", r.Op(), r.Header[2], took)
		}
		if r := mustDo(t, c, cdb(opReady), 0, nil, 0); r.Status != 8 {
			t.Errorf("while stuck: status %02x, want BUSY", r.Status)
		}
		close(d.let)
	})
}

// The numbers of a connection: StatSN advances for every status, and not for
// R2T; MaxCmdSN closes by what is queued and never shrinks (RFC 7143, 4.2.2).
func TestNumbers(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	r := mustDo(t, c, sink(8192), 0, make([]byte, 8192), 0)
	r2t, end := r.PDUs[0], r.PDUs[1]
	if r2t.Op() != initiator.R2T || r2t.U32(24) != end.U32(24) {
		t.Errorf("R2T has StatSN %d, the response %d: want the same", r2t.U32(24), end.U32(24))
	}
	next := mustDo(t, c, read10(0, 1), 2048, nil, 0).PDUs[0]
	if next.U32(24) != end.U32(24)+1 {
		t.Errorf("StatSN %d after %d", next.U32(24), end.U32(24))
	}
	most := next.U32(32)
	for range 64 {
		c.SendCommand(c.NewCommand(cdb(opBlock), 512, 0))
	}
	beyond := c.NewCommand(cdb(opBlock), 512, 0) // outside the window: ignored
	c.SendCommand(beyond)
	c.CmdSN--
	p := initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, 999).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
	send(t, c, p)
	if r := recv(t, c); r.Op() != initiator.NopIn || r.U32(28) != c.CmdSN || r.U32(32) != most || r.U32(32)+1 != c.CmdSN {
		t.Errorf("with a full queue: ExpCmdSN %d, MaxCmdSN %d; want %d, %d", r.U32(28), r.U32(32), c.CmdSN, most)
	}
	c.SendCommand(manage(c, 2))
	if r := recv(t, c); r.Op() != initiator.TaskMgmtResp || r.U32(32) != most+64 {
		t.Errorf("with an empty queue: MaxCmdSN %d, want %d", r.U32(32), most+64)
	}
}

// A command past a gap waits for the one that is missing.
func TestCommandsAreOrdered(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	second := c.NewCommand(cdb(opShort), 8, 0).Put32(24, c.CmdSN+1).Put32(16, 222)
	send(t, c, second)
	ping(t, c)
	first := c.NewCommand(cdb(opReady), 0, 0).Put32(16, 111)
	send(t, c, first)
	var order []uint32
	for range 2 {
		order = append(order, recv(t, c).U32(16))
	}
	slices.Sort(order) // they may end in either order, but both end
	if !slices.Equal(order, []uint32{111, 222}) {
		t.Errorf("responses for %d", order)
	}
}

func TestDiscovery(t *testing.T) {
	b := serve(t, iscsi.Options{})
	b.srv.Set(exported(target.New(iqn, nil), target.New("iqn.other", nil)))
	ask := func(c *initiator.Conn, key string) string {
		p := initiator.New(initiator.Text, 0x80).Put32(16, c.ITT).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
		p.Data = []byte(key + "\x00")
		c.SendCommand(p)
		r := recv(t, c)
		if r.Op() != initiator.TextResp || r.Header[1] != 0x80 || r.U32(20) != initiator.NoTag {
			t.Fatalf("opcode %02x, flags %02x", r.Op(), r.Header[1])
		}
		return strings.ReplaceAll(string(r.Data), b.addr, "ADDR")
	}
	one := "TargetName=" + iqn + "\x00TargetAddress=ADDR,1\x00"
	both := one + "TargetName=iqn.other\x00TargetAddress=ADDR,1\x00"
	tests := []struct{ target, key, want string }{
		{"", "SendTargets=All", both},
		{"", "SendTargets=iqn.other", "TargetName=iqn.other\x00TargetAddress=ADDR,1\x00"},
		{"", "SendTargets=iqn.none", ""},
		{"", "SendTargets=", "SendTargets=Reject\x00"},
		{iqn, "SendTargets=", one},
		{iqn, "SendTargets=" + iqn, one},
		{iqn, "SendTargets=iqn.other", ""},
		{iqn, "SendTargets=All", "SendTargets=Reject\x00"},
		{iqn, "MaxBurstLength=512", "MaxBurstLength=Reject\x00"},
		{iqn, "MaxRecvDataSegmentLength=512", ""},
		{iqn, "Unknown=1", "Unknown=NotUnderstood\x00"},
	}
	for _, tt := range tests {
		c := b.dial(t)
		if _, err := c.Login(initiator.Options{Target: tt.target}); err != nil {
			t.Fatal(err)
		}
		if got := ask(c, tt.key); got != tt.want {
			t.Errorf("%s on %q = %q, want %q", tt.key, tt.target, got, tt.want)
		}
	}
	c := b.dial(t)
	c.Login(initiator.Options{})
	if err := c.SendCommand(c.NewCommand(cdb(opReady), 0, 0)); err != nil {
		t.Fatal(err)
	}
	if r := recv(t, c); r.Op() != initiator.Reject || r.Header[2] != 4 {
		t.Errorf("a SCSI command in a discovery session: opcode %02x, reason %d", r.Op(), r.Header[2])
	}
}

// An answer longer than the initiator takes comes in parts.
func TestTextInParts(t *testing.T) {
	b := serve(t, iscsi.Options{})
	var list []*target.Target
	for i := range 50 {
		list = append(list, target.New("iqn.2026-11.spindle.test:a-long-name-for-drive-"+string(rune('A'+i)), nil))
	}
	b.srv.Set(exported(list...))
	c := b.dial(t)
	if _, err := c.Login(initiator.Options{Keys: []string{"MaxRecvDataSegmentLength=512"}}); err != nil {
		t.Fatal(err)
	}
	var all []byte
	tag := uint32(initiator.NoTag)
	data := []byte("SendTargets=All\x00")
	for n := 0; ; n++ {
		p := initiator.New(initiator.Text|initiator.Immediate, 0x80).Put32(16, 7).Put32(20, tag).Put32(24, c.CmdSN)
		p.Data, data = data, nil
		send(t, c, p)
		r := recv(t, c)
		if all = append(all, r.Data...); len(r.Data) > 512 || n > 100 {
			t.Fatalf("part %d has %d bytes", n, len(r.Data))
		}
		if r.Header[1]&0x40 == 0 {
			break
		}
		tag = r.U32(20)
	}
	if n := strings.Count(string(all), "TargetName="); n != 50 {
		t.Errorf("%d targets in %d bytes", n, len(all))
	}
}

func TestLogout(t *testing.T) {
	b := serve(t, iscsi.Options{})
	tests := []struct {
		name     string
		reason   byte
		cid      uint16
		response byte
		ends     bool
	}{
		{"close the session", 0, 0, 0, true},
		{"close the connection", 1, 0, 0, true},
		{"close another connection", 1, 5, 1, false},
		{"recovery", 2, 0, 2, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := b.login(t)
			p := initiator.New(initiator.Logout|initiator.Immediate, 0x80|tt.reason).Put32(16, c.ITT).Put16(20, tt.cid).Put32(24, c.CmdSN)
			send(t, c, p)
			if r := recv(t, c); r.Op() != initiator.LogoutResp || r.Header[2] != tt.response {
				t.Fatalf("opcode %02x, response %d; want %d", r.Op(), r.Header[2], tt.response)
			}
			if !tt.ends {
				ping(t, c)
			} else if _, err := c.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("after the logout: %v", err)
			}
		})
	}
}

// A stop asks for a logout, waits for it, and closes what stays.
func TestShutdown(t *testing.T) {
	b := serve(t, iscsi.Options{})
	polite := b.login(t)
	deaf := b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 2}})
	idle := b.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { b.srv.Shutdown(ctx); close(done) }()
	r := recv(t, polite)
	if r.Op() != initiator.Async || r.Header[36] != 1 {
		t.Errorf("opcode %02x, event %d; want a request to log out", r.Op(), r.Header[36])
	}
	send(t, polite, initiator.New(initiator.Logout|initiator.Immediate, 0x80).Put32(16, 5).Put32(24, polite.CmdSN))
	if r := recv(t, polite); r.Op() != initiator.LogoutResp {
		t.Errorf("opcode %02x", r.Op())
	}
	cancel() // the time is over
	<-done
	recv(t, deaf) // the request
	for _, c := range []*initiator.Conn{deaf, idle} {
		if _, err := c.Recv(); err == nil {
			t.Error("a connection outlives the server")
		}
	}
	if nc, err := net.Dial("tcp", b.addr); err == nil {
		nc.Close()
		t.Error("the port is open still")
	}
}

func TestPortals(t *testing.T) {
	b := serve(t, iscsi.Options{})
	six, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.srv.Serve(t.Context(), six)
	c, err := initiator.Dial(six.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Login(initiator.Options{}); err != nil {
		t.Fatal(err)
	}
	p := initiator.New(initiator.Text|initiator.Immediate, 0x80).Put32(16, 7).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
	p.Data = []byte("SendTargets=All\x00")
	send(t, c, p)
	want := "TargetName=" + iqn + "\x00TargetAddress=" + six.Addr().String() + ",1\x00TargetAddress=" + b.addr + ",1\x00"
	if r := recv(t, c); string(r.Data) != want {
		t.Errorf("portals: %q, want %q", r.Data, want)
	}
}
