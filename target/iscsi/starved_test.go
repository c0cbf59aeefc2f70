package iscsi_test

import (
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// Hosts that ask and take nothing hold the memory that they were lent for as
// long as nobody else needs it: then they are dropped, and others go on.
func TestPausedHostsStarveNobody(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{Memory: 1}) // two chunks
	b.srv.SetStarvation(200 * time.Millisecond)
	paused := b.login(t)
	for range 8 {
		if err := paused.SendCommand(paused.NewCommand(read10(0, 65535), 65535*2048, 0)); err != nil {
			t.Fatal(err)
		}
	}
	ping(t, b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 1}}))
	other := b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 2}})
	other.SetDeadline(time.Now().Add(limit)) // pings would find out in minutes
	for range 20 {
		mustDo(t, other, read10(0, 300), 300*2048, nil, 0)
	}
}
