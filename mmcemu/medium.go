package mmcemu

import (
	"sync/atomic"

	"spindle/isostore/disc"
)

// A Medium is a disc as it is inserted.
type Medium struct {
	Disc disc.Disc
	Name string // shown to people
	// ID tells media apart across a restart, so it is made of what the image
	// is, such as path, size and modification time. Without one, every
	// insertion is another medium.
	ID string
	// Slot is the number of the changer's slot that it comes from, plus 1; 0 for
	// none: then it lies in the drive alone, until another is loaded.
	Slot int
}

// A medium is a disc in the drive: an immutable snapshot with a count of
// references. The drive holds one while the disc is in it or on its tray, each
// command that runs on it another; with the last the disc is closed.
type medium struct {
	disc     disc.Disc
	layout   *disc.Layout
	name, id string
	slot     int // -1 for none
	refs     atomic.Int64
	alarmed  atomic.Bool // the alarm for a medium that cannot be read was raised
}

func newMedium(in Medium) *medium {
	m := &medium{disc: in.Disc, layout: in.Disc.Layout(), name: in.Name, id: in.ID, slot: in.Slot - 1}
	m.refs.Store(1)
	return m
}

// acquire returns the medium that is ready with one more reference, or nil.
func (d *Drive) acquire() *medium {
	for {
		m := d.cur.Load()
		if m == nil || m.acquire() {
			return m
		}
	}
}

// acquire adds a reference, unless the last has gone already.
func (m *medium) acquire() bool {
	for {
		n := m.refs.Load()
		if n == 0 {
			return false
		}
		if m.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (m *medium) release() {
	if m.refs.Add(-1) == 0 {
		// Read-only: nothing is lost. Storage that hangs keeps nobody waiting: who
		// releases may be one who must not.
		go func() { _ = m.disc.Close() }()
	}
}

// blocks returns the count of addressable blocks.
func (m *medium) blocks() uint32 { return uint32(max(m.layout.LeadOut(), 0)) }

// kindOf returns the kind of medium, 0 for none.
func kindOf(m *medium) disc.Kind {
	if m == nil {
		return 0
	}
	return m.layout.Kind
}
