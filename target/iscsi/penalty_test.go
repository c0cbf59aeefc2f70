package iscsi

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi/scsitest"
)

func hostAddress(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// What is remembered of addresses is bounded, and those that find no place are
// not forgiven.
func TestPenaltyTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p penalties
		for n := range 3 * penaltyTable {
			wait, done := p.begin(hostAddress(n))
			done()
			if known := n <= penaltyTable; known != (wait == 0) {
				t.Fatalf("refusal of address %d waits for %v", n, wait)
			}
		}
		if len(p.table) != penaltyTable {
			t.Errorf("%d addresses are remembered, want %d", len(p.table), penaltyTable)
		}
		scsitest.Pause(t.Context(), penaltyForget+time.Second)
		if wait, _ := p.begin(hostAddress(1 << 20)); wait != 0 || len(p.table) != 1 {
			t.Errorf("later: a refusal waits for %v, %d addresses are remembered; want the table swept", wait, len(p.table))
		}
	})
}

// A refusal is forgotten every ten seconds, from the first on.
func TestPenaltyForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p penalties
		refuse := func(want time.Duration) {
			t.Helper()
			wait, done := p.begin(hostAddress(1))
			if done(); wait != want {
				t.Errorf("a refusal waits for %v, want %v", wait, want)
			}
		}
		for range 4 {
			p.begin(hostAddress(1))
		}
		refuse(2 * time.Second) // the fifth
		scsitest.Pause(t.Context(), 2*penaltyForget)
		refuse(time.Second) // the fourth
		scsitest.Pause(t.Context(), penaltyForget-time.Millisecond)
		refuse(2 * time.Second)
		scsitest.Pause(t.Context(), time.Hour)
		refuse(0)
	})
}

func TestPenaltyOfNetworks(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:0:0:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth0", false}, // hosts of one link
		{"fe80::1%eth0", "fe80::1", true},
	} {
		var p penalties
		p.begin(netip.MustParseAddr(tt.a))
		if wait, _ := p.begin(netip.MustParseAddr(tt.b)); (wait != 0) != tt.same {
			t.Errorf("a refusal of %s after one of %s waits for %v", tt.b, tt.a, wait)
		}
	}
}

// So many refusals wait, of one address and of all.
func TestPenaltyWaiters(t *testing.T) {
	var p penalties
	var last func()
	count := func(a netip.Addr) (waiting int) {
		for range 3 * penaltyWaiters {
			wait, done := p.begin(a)
			if wait > 0 {
				waiting, last = waiting+1, done
			}
		}
		return waiting
	}
	for n := range penaltyTotal / penaltyWaiters {
		if got := count(hostAddress(n)); got != penaltyWaiters {
			t.Fatalf("%d of address %d wait, want %d", got, n, penaltyWaiters)
		}
	}
	if !p.full(hostAddress(0)) || p.full(hostAddress(1000)) {
		t.Error("an address with all its refusals waiting is looked at, or one without any is not")
	}
	if got := count(hostAddress(1000)); got != 0 || !p.full(hostAddress(1000)) {
		t.Errorf("%d wait beyond the total", got)
	}
	last()
	if got := count(hostAddress(1000)); got != 1 {
		t.Errorf("%d wait in the place of one that ended", got)
	}
}
