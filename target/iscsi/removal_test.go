package iscsi_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi/scsitest"
	"spindle/target/iscsi"
)

const other = "iqn.2026-11.spindle.test:cd1"

// status returns the status of a login to a target.
func (b *bench) status(t *testing.T, name string) uint16 {
	t.Helper()
	c := b.dial(t)
	defer c.Close()
	send(t, c, c.LoginRequest(initiator.Options{Target: name}))
	return recv(t, c).U16(36)
}

// A target that is removed has its tasks ended and its initiators told; others
// see nothing of it, and who asks for it later learns what became of it.
func TestTargetRemoved(t *testing.T) {
	b := serve(t, iscsi.Options{})
	kept := oneUnit(other, &disk{})
	first := oneUnit(iqn, &disk{})
	b.srv.Set(exported(first, kept))
	gone := b.login(t)
	stays := b.loginAs(t, initiator.Options{Target: other})
	if err := gone.SendCommand(gone.NewCommand(cdb(opBlock), 0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := stays.SendCommand(stays.NewCommand(read10(0, 512), 512*2048, 0)); err != nil {
		t.Fatal(err)
	}
	b.srv.Set(exported(kept))
	if p := recv(t, gone); p.Op() != initiator.Async || p.Header[36] != 3 || p.U32(24) != gone.ExpStatSN || p.U16(40) != 0 {
		t.Errorf("opcode %02x, event %d, StatSN %d; want that the session is dropped", p.Op(), p.Header[36], p.U32(24))
	}
	if _, err := gone.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the word: %v, want the connection closed", err)
	}
	if r, err := stays.Wait(stays.ITT-1, nil); err != nil || r.Status != 0 || len(r.Data) != 512*2048 {
		t.Errorf("the other target's read: %v", err)
	}
	for name, want := range map[string]uint16{iqn: 0x0204, "iqn.2026-11.spindle.test:typo": 0x0203, other: 0} {
		if got := b.status(t, name); got != want {
			t.Errorf("login to %s: status %04x, want %04x", name, got, want)
		}
	}
	b.srv.Set(exported(oneUnit(iqn, &disk{}), kept))
	if got := b.status(t, iqn); got != 0 {
		t.Errorf("login to a target that came again: status %04x", got)
	}
}

// The memory of removed targets is bounded: the oldest are forgotten.
func TestRemovedTargetsAreForgotten(t *testing.T) {
	b := serve(t, iscsi.Options{})
	name := func(i int) string { return fmt.Sprintf("iqn.2026-11.spindle.test:n%d", i) }
	for i := range 65 {
		b.srv.Set(exported(oneUnit(name(i), &disk{})))
	}
	b.srv.Set(iscsi.Settings{})
	for i, want := range map[int]uint16{0: 0x0203, 1: 0x0204, 64: 0x0204} {
		if got := b.status(t, name(i)); got != want {
			t.Errorf("login to target %d of 65: status %04x, want %04x", i, got, want)
		}
	}
}

// An initiator that takes nothing does not hold up the end of its session.
func TestRemovedUnderOneThatTakesNothing(t *testing.T) {
	underGlass(t, exported(oneUnit(iqn, &disk{})), func(t *testing.T, b *glass) {
		c := b.login(t, initiator.Options{Target: iqn})
		if err := c.SendCommand(c.NewCommand(read10(0, 64), 64*2048, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil { // the data is on its way
			t.Fatal(err)
		}
		start := time.Now()
		b.srv.Set(iscsi.Settings{})
		for len(b.srv.Sessions()) > 0 && time.Since(start) < time.Minute {
			scsitest.Pause(t.Context(), 100*time.Millisecond)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("the session ended after %v, want 2s", took)
		}
	})
}
