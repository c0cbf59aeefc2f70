package iscsi_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/target/iscsi"
)

// gap closes a gap of one in CmdSN, by a ping that counts.
func gap(t *testing.T, c *initiator.Conn) {
	t.Helper()
	send(t, c, initiator.New(initiator.NopOut, 0x80).Put32(16, 51).Put32(20, initiator.NoTag).Put32(24, c.CmdSN))
	if r := recv(t, c); r.Op() != initiator.NopIn {
		t.Fatalf("opcode %02x, want the answer to the ping", r.Op())
	}
}

// A Logout that waited for its turn ends the connection as any other, and
// nothing that waited behind it runs: its nexus is gone.
func TestLogoutInItsTurn(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	send(t, c, c.NewCommand(cdb(opShort), 8, 0).Put32(24, c.CmdSN+2))
	send(t, c, initiator.New(initiator.Logout, 0x80).Put32(16, 50).Put32(24, c.CmdSN+1))
	gap(t, c)
	if r := recv(t, c); r.Op() != initiator.LogoutResp || r.Header[2] != 0 {
		t.Fatalf("opcode %02x, response %d", r.Op(), r.Header[2])
	}
	if p, err := c.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the logout: %+v, %v", p, err)
	}
}

// A function past a gap that comes again is ignored and takes no place.
func TestTaskManagementTwice(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	for range 10 {
		send(t, c, initiator.New(initiator.TaskMgmt, 0x82).Put32(16, 60).Put32(20, initiator.NoTag).Put32(24, c.CmdSN+1))
	}
	send(t, c, initiator.New(initiator.TaskMgmt|initiator.Immediate, 0x82).Put32(16, 61).Put32(20, initiator.NoTag).Put32(24, c.CmdSN))
	if r := recv(t, c); r.Op() != initiator.TaskMgmtResp || r.U32(16) != 61 {
		t.Errorf("opcode %02x, task %d", r.Op(), r.U32(16))
	}
}

// A text request that is not the last of its negotiation gets a tag to go on
// with (RFC 7143, 11.11.1).
func TestTextGoesOn(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	tag := uint32(initiator.NoTag)
	for _, flags := range []byte{0, 0, 0x80} {
		p := initiator.New(initiator.Text|initiator.Immediate, flags).Put32(16, 5).Put32(20, tag).Put32(24, c.CmdSN)
		p.Data = []byte("X=1\x00")
		send(t, c, p)
		r := recv(t, c)
		tag = r.U32(20)
		if r.Op() != initiator.TextResp || r.Header[1] != flags || (tag == initiator.NoTag) != (flags == 0x80) || string(r.Data) != "X=NotUnderstood\x00" {
			t.Fatalf("to flags %02x: opcode %02x, flags %02x, tag %08x, %q", flags, r.Op(), r.Header[1], tag, r.Data)
		}
	}
}

// Commands with unsolicited data that wait for a gap to close keep their
// memory, and reads of others go on without it.
func TestHeldDataStarvesNobody(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{Memory: 3 << 19, UnsolicitedMemory: 1 << 19})
	other := b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 9}})
	c := b.login(t, "InitialR2T=No")
	for i := range uint32(60) {
		p := c.NewCommand(sink(65536), 0, 65536).Put32(24, c.CmdSN+1+i).Put32(16, 1000+i)
		p.Header[1] &^= 0x80
		send(t, c, p)
	}
	ping(t, c)
	other.SetDeadline(time.Now().Add(limit))
	mustDo(t, other, read10(0, 300), 300*2048, nil, 0)
}

// ABORT TASK of a command that waits for its turn, or has not come at all,
// takes its place: it never runs, and what waits behind it does (RFC 7143,
// 11.6.1).
func TestAbortOutOfTurn(t *testing.T) {
	abort := func(c *initiator.Conn, tag, ref uint32) *initiator.PDU {
		return initiator.New(initiator.TaskMgmt|initiator.Immediate, 0x81).
			Put32(16, 70).Put32(20, tag).Put32(24, c.CmdSN+2).Put32(32, ref)
	}
	tests := []struct {
		name string
		held bool // the command has come, past the gap
	}{{"held", true}, {"not sent", false}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := serve(t, iscsi.Options{})
			c := b.login(t)
			ref := c.CmdSN
			if tt.held {
				ref++
				send(t, c, c.NewCommand(read10(0, 1), 2048, 0).Put32(16, 71).Put32(24, ref))
			}
			send(t, c, abort(c, 71, ref))
			if r := recv(t, c); r.Op() != initiator.TaskMgmtResp || r.Header[2] != 0 {
				t.Fatalf("opcode %02x, response %d; want complete", r.Op(), r.Header[2])
			}
			if tt.held {
				gap(t, c)
			}
			c.CmdSN = ref + 1
			c.ITT = 80
			if r := mustDo(t, c, cdb(opShort), 8, nil, 0); len(r.PDUs) != 1 {
				t.Errorf("%d PDUs for the next command", len(r.PDUs))
			}
		})
	}
}

// A host that asks and takes nothing, such as a machine that is paused, holds
// up nobody else.
func TestHostThatTakesNothing(t *testing.T) {
	b := serve(t, iscsi.Options{})
	paused := b.login(t)
	for range 8 {
		if err := paused.SendCommand(paused.NewCommand(read10(0, 65535), 65535*2048, 0)); err != nil {
			t.Fatal(err)
		}
	}
	other := b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 2}})
	for range 20 {
		mustDo(t, other, cdb(opReady), 0, nil, 0) // alone in its nexus
		mustDo(t, other, read10(0, 300), 300*2048, nil, 0)
	}
}

// A session is over with the response to its Logout, though its connection is
// still there: the next login of its port reinstates nothing.
func TestLogoutIsTheEnd(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	send(t, c, initiator.New(initiator.Logout|initiator.Immediate, 0x80).Put32(16, 50).Put32(24, c.CmdSN))
	if r := recv(t, c); r.Op() != initiator.LogoutResp || r.Header[2] != 0 {
		t.Fatalf("opcode %02x, response %d", r.Op(), r.Header[2])
	}
	if n := b.srv.SessionCount(); n != 0 {
		t.Errorf("%d sessions after the logout", n)
	}
	again := b.dial(t)
	if _, err := again.Login(initiator.Options{Target: iqn}); err != nil {
		t.Fatal(err)
	}
	if n := b.srv.SessionCount(); n != 1 || len(b.srv.Sessions()) != 1 {
		t.Errorf("%d sessions after the next login", n)
	}
	c.Close()
	mustDo(t, again, cdb(opReady), 0, nil, 0)
}

// A lingerer is a disk that takes its time to forget who left.
type lingerer struct {
	disk
	forget chan struct{}
}

func (l *lingerer) NexusJoined(*scsi.Nexus) {}
func (l *lingerer) NexusLost(*scsi.Nexus)   { <-l.forget }

// The drive has let go of a host whose Logout is answered: its next session, by
// whichever connection it comes, does not meet the last one there.
func TestLogoutIsAnsweredLast(t *testing.T) {
	lu := &lingerer{}
	inBubbleWith(t, lu, func(t *testing.T, c *initiator.Conn) {
		lu.forget = make(chan struct{}) // the bubble's
		if _, err := c.Login(initiator.Options{Target: iqn}); err != nil {
			t.Fatal(err)
		}
		send(t, c, initiator.New(initiator.Logout|initiator.Immediate, 0x80).Put32(16, 50).Put32(24, c.CmdSN))
		answer := make(chan *initiator.PDU, 1)
		go func() { answer <- recv(t, c) }()
		synctest.Wait()
		if len(answer) > 0 {
			t.Error("the logout is answered while the drive has the host still")
		}
		close(lu.forget)
		if r := <-answer; r.Op() != initiator.LogoutResp || r.Header[2] != 0 {
			t.Errorf("opcode %02x, response %d", r.Op(), r.Header[2])
		}
	})
}
