package filter

import (
	"reflect"
	"sync"
	"time"

	"spindle/scsi"
)

// Bounds of the ring of a drive, and of what it keeps of one command.
const (
	MaxEntries = 4096
	MaxBytes   = 4 << 20 // of all entries, and of the room for them
	MaxData    = 256     // bytes of data-in
	MaxOut     = 4 << 10 // bytes of data-out
)

// What may be hashed while nobody follows: see [Recorder].
const (
	hashAlways = 4 << 10  // bytes of an answer
	hashRate   = 4 << 20  // bytes a second
	hashSaved  = 16 << 20 // bytes at most
)

// A kind says what a slot is, as far as the ring must know.
type kind byte

const (
	kindCommand kind = iota
	kindEvent
	kindTray // an operator's insert or eject
	kindOpen // the disc lies on the open tray
	kindShut // the tray closed over it
	kindJoined
	kindLost
)

// A slot is an entry in the ring. It has no pointer, so that the ring costs the
// garbage collector nothing and pages that were never used are never touched.
type slot struct {
	n                        uint64
	time                     int64 // Unix, ns
	took                     time.Duration
	length, total, sent, out int64
	nexus                    uint32
	kind                     kind
	status                   scsi.Status
	hashed, aborted          bool
	sense                    scsi.Sense
	cdb                      scsi.CDB
	pending                  [maxPending]attention // the first with key 0 ends it
	sha                      [32]byte
	data                     [MaxData]byte
}

// slotSize is what an entry takes beside its extra bytes: its slot, and the
// place that says where those are.
var slotSize = int(reflect.TypeFor[slot]().Size() + reflect.TypeFor[[]byte]().Size())

// A ring is the entries in the order in which they ended. Its oldest go first.
type ring struct {
	mu         sync.Mutex
	slots      []slot   // MaxEntries, by number modulo MaxEntries
	extra      [][]byte // beside slots: data-out, or an event
	head, tail uint64   // numbers of the next entry and of the oldest
	bytes      int      // of slots, all of which are there from the start, and extra
	ids        map[*scsi.Nexus]uint32
	lastID     uint32
	base       base
	running    *capture // commands that have not ended, the latest first
	followers  map[*follower]struct{}
	closed     bool  // nothing comes any more
	allowance  int64 // bytes that may be hashed
	refilled   int64 // when; Unix, ns
}

// A follower is told when there is more.
type follower struct{ more chan struct{} } // buffered

func (r *ring) init() {
	r.slots, r.extra = make([]slot, MaxEntries), make([][]byte, MaxEntries)
	r.bytes = MaxEntries * slotSize
	r.ids, r.followers = map[*scsi.Nexus]uint32{}, map[*follower]struct{}{}
	r.allowance = hashSaved
	r.base.hosts = map[uint32]saved{}
}

// mayHash reports whether an answer of n bytes at time now is to be hashed.
func (r *ring) mayHash(n, now int64) bool {
	if n <= hashAlways {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.followers) > 0 {
		return true
	}
	if d := now - r.refilled; d > 0 {
		d = min(d, hashSaved/hashRate*int64(time.Second)) // no overflow
		r.allowance = min(r.allowance+d*hashRate/int64(time.Second), hashSaved)
		r.refilled = now
	}
	if n > r.allowance {
		return false
	}
	r.allowance -= n
	return true
}

// add puts a copy of an event, of nexus n if any, and the extra bytes, which the
// ring then owns, in place of the oldest entries.
func (r *ring) add(s *slot, n *scsi.Nexus, extra []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n != nil {
		s.nexus = r.id(n, s.kind)
	}
	r.put(s, extra)
}

// enter notes that a command runs, by nexus n.
func (r *ring) enter(c *capture, n *scsi.Nexus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.slot.nexus = r.id(n, kindCommand)
	if c.next = r.running; c.next != nil {
		c.next.prev = c
	}
	r.running = c
}

// leave adds a command that has ended.
func (r *ring) leave(c *capture, extra []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		r.running = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	r.put(&c.slot, extra)
}

// put is add with the mutex held.
func (r *ring) put(s *slot, extra []byte) {
	for r.head-r.tail == MaxEntries || r.bytes+len(extra) > MaxBytes {
		r.evict()
	}
	i := r.head % MaxEntries
	r.slots[i], r.extra[i] = *s, extra
	r.bytes += len(extra)
	r.head++
	r.tell()
}

// id numbers nexuses from 1: a number is never used again.
func (r *ring) id(n *scsi.Nexus, k kind) uint32 {
	id, ok := r.ids[n]
	if !ok && len(r.ids) >= MaxEntries {
		return 0 // of a front end that does not say when they end
	}
	if !ok || k == kindJoined {
		r.lastID++
		id = r.lastID
	}
	if r.ids[n] = id; k == kindLost {
		delete(r.ids, n)
	}
	return id
}

// evict takes the oldest entry out and keeps what it says of the state in which
// the next one begins.
func (r *ring) evict() {
	i := r.tail % MaxEntries
	r.base.after(&r.slots[i], r.extra[i])
	r.bytes -= len(r.extra[i])
	r.extra[i] = nil
	r.tail++
}

// A base is the state in which the oldest entry of the ring begins.
type base struct {
	hosts map[uint32]saved // that have joined and not left
	tray  saved            // the last insert or eject; zero for none
	open  saved            // what opened the tray with the disc on it since; zero when it is closed
}

// A saved is an event that left the ring.
type saved struct {
	slot  slot
	event []byte
}

func (b *base) after(s *slot, event []byte) {
	switch s.kind {
	case kindJoined:
		b.hosts[s.nexus] = saved{*s, event}
	case kindLost:
		delete(b.hosts, s.nexus)
	case kindTray:
		b.tray, b.open = saved{*s, event}, saved{}
	case kindOpen:
		b.open = saved{*s, event}
	case kindShut:
		b.open = saved{}
	}
}
