package iscsi

import (
	"net/netip"
	"sync"
	"time"
)

// Penalties of addresses whose logins are refused. The first refusal waits for
// nothing, the second for penaltyFirst, each further one for twice as long as
// the one before, up to penaltyMost; penaltyForget is how long one is remembered
// for. A guesser so has penaltyWaiters guesses in penaltyMost, however many
// connections it opens. A login that succeeds never waits.
const (
	penaltyFirst   = 250 * time.Millisecond
	penaltyMost    = 4 * time.Second
	penaltyForget  = 10 * time.Second
	penaltyCount   = 8 // refusals remembered of an address
	penaltyWaiters = 16
	penaltyTotal   = 256  // refusals that wait, of all addresses
	penaltyTable   = 1024 // addresses; further ones share one place
)

// penalties is how often each address was refused lately. The zero value is
// ready.
type penalties struct {
	mu      sync.Mutex
	table   map[netip.Addr]*penalty
	others  penalty // of addresses that found the table full
	waiting int
	swept   time.Time
}

type penalty struct {
	refusals int
	since    time.Time // refusals are forgotten from here on
	waiting  int
}

// full reports whether a guess from a may not be looked at now, because too many
// wrong ones are waiting for their answer.
func (p *penalties) full(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.table[prefixOf(a).Addr()]
	if e == nil {
		if len(p.table) < penaltyTable {
			return false
		}
		e = &p.others
	}
	e.forget(time.Now())
	return e.waiting >= penaltyWaiters || p.waiting >= penaltyTotal && e.refusals > 0
}

// begin counts a refusal of a and returns how long it is to wait, and what is to
// be called when it has waited: nil when too many wait already.
func (p *penalties) begin(a netip.Addr) (wait time.Duration, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	e := p.entry(prefixOf(a).Addr(), now)
	e.forget(now)
	if e.refusals == 0 {
		e.since = now
	}
	e.refusals = min(e.refusals+1, penaltyCount)
	switch {
	case e.refusals == 1:
		return 0, func() {}
	case e.waiting >= penaltyWaiters || p.waiting >= penaltyTotal:
		return 0, nil
	}
	e.waiting++
	p.waiting++
	return min(penaltyFirst<<(e.refusals-2), penaltyMost), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		e.waiting--
		p.waiting--
	}
}

// entry returns the place of a. p.mu is held.
func (p *penalties) entry(a netip.Addr, now time.Time) *penalty {
	if e := p.table[a]; e != nil {
		return e
	}
	if len(p.table) >= penaltyTable {
		p.sweep(now)
	}
	if len(p.table) >= penaltyTable {
		return &p.others
	}
	if p.table == nil {
		p.table = map[netip.Addr]*penalty{}
	}
	e := &penalty{}
	p.table[a] = e
	return e
}

// sweep drops the addresses of which nothing is remembered, at most once a
// second: it walks the table. p.mu is held.
func (p *penalties) sweep(now time.Time) {
	if now.Sub(p.swept) < time.Second {
		return
	}
	p.swept = now
	for a, e := range p.table {
		if e.forget(now); e.refusals == 0 && e.waiting == 0 {
			delete(p.table, a)
		}
	}
}

// forget drops one refusal for each penaltyForget since the last was dropped.
func (e *penalty) forget(now time.Time) {
	n := int(now.Sub(e.since) / penaltyForget)
	e.refusals = max(0, e.refusals-n)
	e.since = e.since.Add(time.Duration(n) * penaltyForget)
}
