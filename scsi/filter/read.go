package filter

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"
)

// Read calls f with what the ring holds, the oldest first, and when follow is
// set goes on with what comes until ctx is done, of which it returns the
// cause. Before entries that are no longer there comes one that says how many
// they were ([EventGap]); at the beginning those follow that say in which state
// the rest begins, marked Base. An error of f ends it.
//
// While somebody follows all data-in is hashed.
func (r *Recorder) Read(ctx context.Context, follow bool, f func(Entry) error) error {
	me := &follower{make(chan struct{}, 1)}
	if follow {
		r.ring.mu.Lock()
		r.ring.followers[me] = struct{}{}
		r.ring.mu.Unlock()
		defer func() {
			r.ring.mu.Lock()
			delete(r.ring.followers, me)
			r.ring.mu.Unlock()
		}()
	}
	b := batch{end: math.MaxUint64}
	if !follow {
		r.ring.mu.Lock()
		b.end = r.ring.head // what comes later does not keep us
		r.ring.mu.Unlock()
	}
	for first := true; ; first = false {
		for r.ring.take(&b, first); !b.empty(); r.ring.take(&b, false) {
			if err := r.give(&b, f); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-me.more:
		}
	}
}

// A batch is a piece of the ring, copied so that nobody waits for its reader.
type batch struct {
	next  uint64 // number of the entry after it
	end   uint64 // number of the first that is not wanted
	lost  uint64 // entries before it that were not there any more
	base  []saved
	count int
	slots [64]slot
	extra [64][]byte
}

func (b *batch) empty() bool { return b.lost == 0 && b.count == 0 }

// take fills b with the entries from b.next on.
func (r *ring) take(b *batch, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.lost, b.base, b.count = 0, nil, 0
	if b.next < r.tail {
		b.lost, b.next = r.tail-b.next, r.tail
		if first {
			b.base = r.base.list()
		}
	}
	for ; b.next < min(r.head, b.end) && b.count < len(b.slots); b.next++ {
		i := b.next % MaxEntries
		b.slots[b.count], b.extra[b.count] = r.slots[i], r.extra[i]
		b.count++
	}
}

// list is what the base says, in the order in which it happened.
func (b *base) list() []saved {
	list := slices.Collect(maps.Values(b.hosts))
	for _, s := range []saved{b.tray, b.open} {
		if s.slot.n != 0 {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b saved) int { return int(int64(a.slot.n - b.slot.n)) })
	return list
}

// give calls f with the entries of b.
func (r *Recorder) give(b *batch, f func(Entry) error) error {
	if b.lost > 0 {
		if err := f(Entry{Event: EventGap, Lost: b.lost}); err != nil {
			return err
		}
	}
	for _, s := range b.base {
		e := event(&s.slot, s.event)
		e.Base = true
		if err := f(e); err != nil {
			return err
		}
	}
	for i := range b.slots[:b.count] {
		s := &b.slots[i]
		e := Entry{}
		if s.kind == kindCommand {
			e = r.command(s, b.extra[i])
		} else {
			e = event(s, b.extra[i])
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// event is a slot that is an event as an entry.
func event(s *slot, text []byte) (e Entry) {
	_ = json.Unmarshal(text, &e) // it is ours
	e.N, e.Time, e.Nexus = s.n, time.Unix(0, s.time).UTC(), s.nexus
	return e
}
