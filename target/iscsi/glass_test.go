package iscsi_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/target"
	"spindle/target/iscsi"
)

// A glass is a server on pipes, in the time of package synctest.
type glass struct {
	srv *iscsi.Server
	l   *pipeListener
}

// underGlass runs f with a server that serves as s says.
func underGlass(t *testing.T, s iscsi.Settings, f func(t *testing.T, b *glass)) {
	synctest.Test(t, func(t *testing.T) {
		b := &glass{iscsi.NewServer(iscsi.Options{}), &pipeListener{make(chan net.Conn), make(chan struct{})}}
		b.srv.Set(s)
		go b.srv.Serve(context.Background(), b.l)
		f(t, b)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		b.srv.Shutdown(over)
	})
}

func (b *glass) dial(t *testing.T) *initiator.Conn {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	b.l.conns <- theirs
	return initiator.NewConn(ours)
}

// login returns a session with the unit attention of a first login taken.
func (b *glass) login(t *testing.T, o initiator.Options) *initiator.Conn {
	t.Helper()
	c := b.dial(t)
	if _, err := c.Login(o); err != nil {
		t.Fatal(err)
	}
	mustDo(t, c, cdb(opReady), 0, nil, 0)
	return c
}

// oneUnit is a target of that name with a disk.
func oneUnit(name string, lu scsi.LogicalUnit) *target.Target {
	return target.New(name, map[uint16]*target.Unit{0: target.NewUnit(name, lu, target.UnitOptions{})})
}

func logout(c *initiator.Conn) *initiator.PDU {
	return initiator.New(initiator.Logout|initiator.Immediate, 0x80).Put32(16, c.ITT).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
}
