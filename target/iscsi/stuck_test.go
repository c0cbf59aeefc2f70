package iscsi_test

import (
	"context"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target"
	"spindle/target/iscsi"
)

// Shutdown does not wait for a command that storage holds for ever, whichever
// goroutine executes it.
func TestShutdownLeavesStorageBehind(t *testing.T) {
	b := serve(t, iscsi.Options{})
	defer close(b.disk.let)
	b.unit = target.NewUnit("cd0", b.disk, target.UnitOptions{AbortWait: 10 * time.Millisecond})
	b.srv.Set(exported(target.New(iqn, map[uint16]*target.Unit{0: b.unit})))
	c := b.login(t)
	if err := c.SendCommand(c.NewCommand(cdb(opDeaf), 0, 0)); err != nil {
		t.Fatal(err)
	}
	ping(t, c) // another goroutine reads now
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() { defer close(done); b.srv.Shutdown(ctx) }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Error("the shutdown waits for the command that storage holds")
	}
}

// A Logout that waited for its turn does not wait for the command before it,
// which nobody executes yet: its drive would be held up for all, and then BUSY.
func TestLogoutBehindOwnCommand(t *testing.T) {
	underGlass(t, exported(oneUnit(iqn, &disk{})), func(t *testing.T, b *glass) {
		c := b.login(t, initiator.Options{Target: iqn})
		send(t, c, initiator.New(initiator.Logout, 0x80).Put32(16, 50).Put32(24, c.CmdSN+1))
		ping(t, c)
		begun := time.Now()
		send(t, c, c.NewCommand(cdb(opReady), 0, 0))
		for p := recv(t, c); p.Op() != initiator.LogoutResp; p = recv(t, c) {
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("the logout took %v", took)
		}
	})
}
