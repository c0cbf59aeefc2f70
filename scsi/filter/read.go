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
// set goes on with what comes until the recorder is closed or ctx is done, of
// which it returns the cause. Before entries that are no longer there comes one
// that says how many they were ([EventGap]); at the beginning those follow that
// say in which state the rest begins, marked Base. Without follow the commands
// that have not ended come last, marked Running. f gets as many as there are
// at once, some tens at most. An error of f ends it.
//
// While somebody follows all data-in is hashed.
func (r *Recorder) Read(ctx context.Context, follow bool, f func([]Entry) error) error {
	me := &follower{make(chan struct{}, 1)}
	b := batch{end: math.MaxUint64}
	if follow {
		r.ring.follow(me)
		defer r.ring.unfollow(me)
	} else {
		b.end = r.ring.next() // what comes later does not keep us
	}
	for first := true; ; first = false {
		ended := r.ring.take(&b, first)
		switch {
		case !b.empty():
			if err := f(r.entries(&b)); err != nil {
				return err
			}
		case ended && follow:
			return nil
		case ended:
			if list := r.running(); len(list) > 0 {
				return f(list)
			}
			return nil
		default:
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-me.more:
			}
		}
	}
}

// running are the commands that have not ended, in the order in which they began.
func (r *Recorder) running() (list []Entry) {
	r.ring.mu.Lock()
	defer r.ring.mu.Unlock()
	for c := r.ring.running; c != nil; c = c.next {
		s := slot{n: c.slot.n, time: c.slot.time, cdb: c.slot.cdb, length: c.slot.length, nexus: c.slot.nexus, pending: c.slot.pending}
		e := r.command(&s, nil) // the rest of the slot is the command's yet
		e.Status, e.Residual, e.Took, e.Running = "", 0, time.Since(c.start), true
		list = append(list, e)
	}
	slices.Reverse(list)
	return list
}

// Close ends those who follow, when they have what there is.
func (r *Recorder) Close() {
	r.ring.mu.Lock()
	defer r.ring.mu.Unlock()
	r.ring.closed = true
	r.ring.tell()
}

func (r *ring) follow(f *follower) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.followers[f] = struct{}{}
}

func (r *ring) unfollow(f *follower) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.followers, f)
}

// next is the number of the entry that comes next.
func (r *ring) next() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head
}

// tell wakes those who follow. The mutex is held.
func (r *ring) tell() {
	for f := range r.followers {
		select {
		case f.more <- struct{}{}:
		default:
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

// take fills b with the entries from b.next on. It reports whether no more will
// come than those.
func (r *ring) take(b *batch, first bool) (ended bool) {
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
	return r.closed || b.next >= b.end
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

// entries are those of b.
func (r *Recorder) entries(b *batch) (list []Entry) {
	if b.lost > 0 {
		gap := Entry{Event: EventGap, Lost: b.lost}
		if b.base == nil && b.count > 0 {
			gap.N = b.slots[0].n // it has its place among the others
		}
		list = append(list, gap)
	}
	for _, s := range b.base {
		e := event(&s.slot, s.event)
		e.Base = true
		list = append(list, e)
	}
	for i := range b.slots[:b.count] {
		if s := &b.slots[i]; s.kind == kindCommand {
			list = append(list, r.command(s, b.extra[i]))
		} else {
			list = append(list, event(s, b.extra[i]))
		}
	}
	return list
}

// event is a slot that is an event as an entry.
func event(s *slot, text []byte) (e Entry) {
	_ = json.Unmarshal(text, &e) // it is ours
	e.N, e.Time, e.Nexus = s.n, time.Unix(0, s.time).UTC(), s.nexus
	return e
}
