package iscsi

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestPrefixOf(t *testing.T) {
	for _, tt := range []struct{ address, want string }{
		{"192.0.2.1", "192.0.2.1/32"},
		{"::ffff:192.0.2.1", "192.0.2.1/32"},
		{"2001:db8::1:2:3:4", "2001:db8::/64"},
		{"fe80::1", "fe80::1/128"},
		{"::1", "::1/128"},
	} {
		if got := prefixOf(hostOf(&net.TCPAddr{IP: net.ParseIP(tt.address), Zone: "eth0", Port: 5})); got.String() != tt.want {
			t.Errorf("%s counts as %s, want %s", tt.address, got, tt.want)
		}
	}
	if got := prefixOf(hostOf(&net.UnixAddr{Name: "x"})); got.IsValid() {
		t.Errorf("a Unix socket counts as %s", got)
	}
}

// What is known about addresses has an end: those beyond it are as one, and
// those that were not heard of for a while make room.
func TestManyAddresses(t *testing.T) {
	l := DefaultLimits()
	all := &addresses{known: map[netip.Prefix]*address{}}
	all.set(&l)
	start := time.Now()
	places := map[*address]bool{}
	come := func(n int, at time.Time) *address {
		a := all.of(&net.TCPAddr{IP: net.IPv4(10, byte(n>>16), byte(n>>8), byte(n))}, at, &l)
		a.logins.take(at, float64(l.LoginsPerSecond), l.LoginBurst)
		return a
	}
	for n := range 3 * maxAddresses {
		places[come(n, start)] = true
	}
	if len(all.known) != maxAddresses || len(places) != maxAddresses+1 || come(1<<20, start) != &all.others {
		t.Errorf("%d known, %d places; want %d, and one for all others", len(all.known), len(places), maxAddresses)
	}
	first := come(0, start)
	first.conns++
	for n := range 100 {
		if a := come(1<<20+n, start.Add(time.Minute)); a == &all.others {
			t.Fatal("addresses that went leave no room")
		}
	}
	if len(all.known) != 101 || come(0, start.Add(time.Minute)) != first {
		t.Errorf("%d known; want 100, and the one with a connection", len(all.known))
	}
}

func TestBucket(t *testing.T) {
	var b bucket
	now := time.Now()
	take := func() (n int) {
		for b.take(now, 2, 5) {
			n++
		}
		return n
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 5}, {0, 0}, {400 * time.Millisecond, 0}, {100 * time.Millisecond, 1}, {2 * time.Second, 4}, {time.Hour, 5}} {
		now = now.Add(tt.after)
		if got := take(); got != tt.want {
			t.Errorf("%v later: %d, want %d", tt.after, got, tt.want)
		}
	}
}
