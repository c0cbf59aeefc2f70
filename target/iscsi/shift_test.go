package iscsi_test

import (
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// The watch looks after connections that execute commands only, ends when they
// have been idle, and is there again for the next command that storage holds.
func TestWatchLeavesTheIdle(t *testing.T) {
	b := serve(t, iscsi.Options{})
	awaitWatch := func(readers int) {
		t.Helper()
		deadline := time.After(limit)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			n, runs := b.srv.Watched()
			if n == readers && runs == (readers > 0) {
				return
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%d readers are watched (it runs: %v), want %d", n, runs, readers)
			}
		}
	}
	var all []*initiator.Conn
	for i := range 5 {
		all = append(all, b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 5, byte(i)}}))
	}
	awaitWatch(0) // some time after their first commands
	held := all[0].NewCommand(cdb(opDeaf), 0, 0)
	if err := all[0].SendCommand(held); err != nil {
		t.Fatal(err)
	}
	ping(t, all[0]) // another goroutine reads now
	if n, _ := b.srv.Watched(); n > 1 {
		t.Errorf("%d readers are watched, want 1", n)
	}
	close(b.disk.let)
	if r, err := all[0].Wait(held.U32(16), nil); err != nil || r.Status != 0 {
		t.Errorf("the command that was held: %+v, %v", r, err)
	}
	for _, c := range all {
		mustDo(t, c, read10(0, 1), 2048, nil, 0)
	}
	for _, c := range all { // ended while they are watched
		c.Close()
	}
	awaitWatch(0)
}
