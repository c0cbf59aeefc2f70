package mmcemu

import (
	"slices"
	"time"

	"spindle/scsi"
)

// A nexus is what the drive keeps for one I_T nexus.
type nexus struct {
	prevent      bool // of medium removal
	persistent   bool
	since        time.Time // when it began to prevent
	event        byte      // media event to report once: see GET EVENT STATUS NOTIFICATION
	slotRequest  int       // number of a slot, plus 1, that the operator wants loaded, to report once after event
	ejectRequest bool      // to report once, after those
	owed         bool      // an event is to tell that a medium which it knew is there no more
	ownLoad      bool      // ejected and loaded the medium itself: see publish
	told         bool      // knows that the last medium went
	seen         string    // ID of the medium that it last knew to be there, or empty
}

// A PortRecord is what the drive remembers of an initiator port, so that a
// host that comes back is told whether the medium is another.
type PortRecord struct {
	Key    string    // scsi.Nexus.Key
	Medium string    // Medium.ID that it last saw; empty for none
	Seen   time.Time // when it was last connected
}

const (
	maxPorts   = 64              // records of ports that are not connected
	portMemory = 5 * time.Minute // after which a port that comes back is new
)

// NexusJoined implements scsi.NexusWatcher. A host that was here within the
// last minutes is told of a medium that changed since; to a new one the front
// end says all there is to say.
func (d *Drive) NexusJoined(n *scsi.Nexus) {
	d.mu.Lock()
	defer d.unlock()
	delete(d.nexuses, n)
	st := d.nexus(n)
	r, known := d.recall(n.Key())
	if !known || r.Medium == st.seen {
		return
	}
	st.seen = r.Medium
	if d.cur.Load() != nil {
		st.event = newMediaEvent
		n.Raise(scsi.ErrMediumMayHaveChanged)
	} else {
		st.event, st.owed, st.told = mediaRemovalEvent, true, false
	}
}

// NexusLost implements scsi.NexusWatcher: what the nexus held is let go.
func (d *Drive) NexusLost(n *scsi.Nexus) {
	d.mu.Lock()
	defer d.unlock()
	st := d.nexuses[n]
	if st == nil {
		return
	}
	held := d.preventing() > 0
	delete(d.nexuses, n)
	if d.ejectedBy == n {
		d.ejectedBy = nil
	}
	d.remember(PortRecord{Key: n.Key(), Medium: st.seen, Seen: time.Now()})
	d.released(held, n)
	d.afterTold()
}

// Reset implements scsi.Resetter: it clears all prevention, brings settings back
// to their defaults and stops audio play. The tray does not move.
func (d *Drive) Reset() {
	d.mu.Lock()
	defer d.unlock()
	held := d.preventing() > 0
	for _, st := range d.nexuses {
		st.prevent, st.persistent = false, false
	}
	d.pages, d.speed = defaultPages(), 0
	d.player.halted(time.Now())
	d.setBlockLength(uint32(d.o.BlockLength))
	d.released(held, nil)
}

// Ports returns what to give a new drive as [Options.Ports] after a restart.
func (d *Drive) Ports() []PortRecord {
	d.mu.Lock()
	defer d.unlock()
	ports := slices.Clone(d.ports)
	for n, st := range d.nexuses {
		ports = append(ports, PortRecord{Key: n.Key(), Medium: st.seen, Seen: time.Now()})
	}
	return ports
}

// nexus returns the state kept for n, making it for a front end that did not
// announce it.
func (d *Drive) nexus(n *scsi.Nexus) *nexus {
	st := d.nexuses[n]
	if st == nil {
		st = &nexus{told: true}
		if m := d.cur.Load(); m != nil {
			st.seen = m.id
		}
		d.nexuses[n] = st
	}
	return st
}

// remember keeps a record, in place of the port's older one.
func (d *Drive) remember(r PortRecord) {
	d.ports = slices.DeleteFunc(d.ports, func(p PortRecord) bool { return p.Key == r.Key })
	d.ports = append(d.ports, r)
	if extra := len(d.ports) - maxPorts; extra > 0 {
		d.ports = slices.Delete(d.ports, 0, extra)
	}
}

// recall takes out the record of a port that was here a short time ago.
func (d *Drive) recall(key string) (PortRecord, bool) {
	i := slices.IndexFunc(d.ports, func(p PortRecord) bool { return p.Key == key })
	if i < 0 {
		return PortRecord{}, false
	}
	r := d.ports[i]
	d.ports = slices.Delete(d.ports, i, i+1)
	return r, time.Since(r.Seen) <= portMemory
}

// takeUnitAttention takes the next unit attention of n. The mutex makes it
// wait for a medium whose unit attention is out and which is not yet ready.
func (d *Drive) takeUnitAttention(n *scsi.Nexus) (scsi.Sense, bool) {
	d.mu.Lock()
	defer d.unlock()
	s, ok := n.Take()
	if ok {
		d.noteTaken(d.nexus(n), s)
	}
	return s, ok
}

// noteTaken notes what a nexus knows after it was told s: with a change of
// medium, and with a power on or reset, that the medium is what it is now.
func (d *Drive) noteTaken(st *nexus, s scsi.Sense) {
	if code := s.Code >> 8; code == 0x28 || code == 0x29 {
		d.noteReady(st)
	}
}

func (d *Drive) noteReady(st *nexus) {
	if m := d.cur.Load(); m != nil {
		st.seen = m.id
	}
}

// noteEmpty notes that a nexus knows that there is no medium.
func (d *Drive) noteEmpty(st *nexus) {
	st.seen = ""
	if !st.told {
		st.told = true
		d.afterTold()
	}
}

// allTold reports whether every nexus knows that the last medium went.
func (d *Drive) allTold() bool {
	for _, st := range d.nexuses {
		if !st.told {
			return false
		}
	}
	return true
}

// afterTold goes on with a change that waited for the last nexus to be told.
func (d *Drive) afterTold() {
	if c := d.change; c != nil && c.timer != nil && d.disc == nil && d.seq.early && d.allTold() {
		c.timer.Reset(min(max(d.seq.settle, time.Until(c.floor)), time.Until(c.ends)))
	}
}
