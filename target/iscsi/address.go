package iscsi

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// An address is what the server knows of those who come from one address.
// addresses.mu is over it, but for unasked.
type address struct {
	conns   int    // connections that were let in
	away    int    // connections that are being told that they were not
	logins  bucket // of login_per_second
	lines   bucket // of the log, about refusals
	talk    bucket // of the log, about sessions
	unasked quota  // what it may hold of the memory for unsolicited data
}

// idle reports whether nothing is lost with a.
func (a *address) idle(now time.Time, l *Limits) bool {
	a.logins.fill(now, float64(l.LoginsPerSecond))
	a.lines.fill(now, lineRate)
	a.talk.fill(now, talkRate)
	return a.conns == 0 && a.away == 0 && a.logins.spent+a.lines.spent+a.talk.spent == 0
}

// maxAddresses bounds how many addresses are told apart. More than that share
// one place.
const maxAddresses = 4096

// addresses are those that initiators come from.
type addresses struct {
	mu     sync.Mutex
	known  map[netip.Prefix]*address
	sweep  int // size of known at which idle ones are looked for
	swept  time.Time
	others address
	away   int
}

// prefixOf returns what counts as one address: an IPv4 address, a /64 of IPv6,
// which is what one customer or one wire has at least, and each link-local
// address, whose /64 is everybody's.
func prefixOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() && !ip.IsLinkLocalUnicast() && !ip.IsLoopback() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // none of no address, as of a connection that is not TCP
	return p
}

// of returns the place of a. t.mu is held.
func (t *addresses) of(a net.Addr, now time.Time, l *Limits) *address {
	key := prefixOf(hostOf(a))
	if have := t.known[key]; have != nil {
		return have
	}
	if len(t.known) >= t.sweep && (t.sweep < maxAddresses || now.Sub(t.swept) > time.Second) {
		t.swept = now
		for k, have := range t.known {
			if have.idle(now, l) {
				delete(t.known, k)
			}
		}
		t.sweep = min(max(64, 2*len(t.known)), maxAddresses)
	}
	if len(t.known) >= maxAddresses {
		return &t.others
	}
	have := &address{}
	have.unasked.resize(unaskedShare(l))
	t.known[key] = have
	return have
}

// unaskedShare is how much of the memory for unsolicited data one address may
// hold: others find the rest, whatever it does.
func unaskedShare(l *Limits) int {
	return max(memoryOf(l.UnsolicitedMemory)/2, chunkSize)
}

// enter counts a connection from a, and refuses one too many.
func (t *addresses) enter(a net.Addr, l *Limits) (*address, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.of(a, time.Now(), l)
	if have.conns >= l.ConnectionsPerAddress {
		return have, false
	}
	have.conns++
	return have, true
}

func (t *addresses) leave(a *address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.conns--
}

// login takes a login of a's rate.
func (t *addresses) login(a *address, l *Limits) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return a.logins.take(time.Now(), float64(l.LoginsPerSecond), l.LoginBurst)
}

// How many connections that are not let in are told so at once.
const (
	maxAway           = 64
	maxAwayPerAddress = 8
)

// enterAway takes a place for a connection that is to be told.
func (t *addresses) enterAway(a *address) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away >= maxAway || a.away >= maxAwayPerAddress {
		return false
	}
	t.away++
	a.away++
	return true
}

func (t *addresses) leaveAway(a *address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away--
	a.away--
}

// set puts limits in force.
func (t *addresses) set(l *Limits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.others.unasked.resize(unaskedShare(l))
	for _, a := range t.known {
		a.unasked.resize(unaskedShare(l))
	}
}

// count returns how many addresses have connections.
func (t *addresses) count() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.known {
		if a.conns > 0 {
			n++
		}
	}
	if t.others.conns > 0 {
		n++
	}
	return n
}
