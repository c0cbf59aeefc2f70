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
	owed         bool      // an event is to tell that a medium which it knew is there no more
	ejectRequest bool      // to report once, after event
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
	if d.cur.Load() != nil {
		st.seen, st.event = r.Medium, newMediaEvent
		n.Raise(scsi.ErrMediumMayHaveChanged)
	} else {
		st.event, st.owed = mediaRemovalEvent, true
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

// Reset implements scsi.Resetter: it clears all prevention and brings settings
// back to their defaults. The tray does not move.
func (d *Drive) Reset() {
	d.mu.Lock()
	defer d.unlock()
	held := d.preventing() > 0
	for _, st := range d.nexuses {
		st.prevent, st.persistent = false, false
	}
	d.pages, d.speed = defaultPages(), 0
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

// settle is how long a change waits after the last nexus was told. Linux asks
// by GESN and then by TEST UNIT READY; were the next medium there in between,
// its event would come a poll after its unit attention, as a contradiction.
const settle = 250 * time.Millisecond

// afterTold goes on with a change that waited for the last nexus to be told.
func (d *Drive) afterTold() {
	if c := d.change; c != nil && c.timer != nil && d.disc == nil && d.allTold() {
		c.timer.Reset(min(settle, time.Until(d.removedAt.Add(d.o.SwapHold))))
	}
}

// preventing counts the nexuses that prevent removal.
func (d *Drive) preventing() (count int) {
	for _, st := range d.nexuses {
		if st.prevent || st.persistent {
			count++
		}
	}
	return count
}

// released tells that nobody prevents removal any more, when it was held.
func (d *Drive) released(held bool, n *scsi.Nexus) {
	if held && d.preventing() == 0 {
		e := Event{Kind: EventReleased}
		if n != nil {
			e.Nexus = n.Initiator
		}
		d.emit(e)
	}
}

// Holders returns the hosts that prevent removal, the longest first.
func (d *Drive) Holders() []Holder {
	d.mu.Lock()
	defer d.unlock()
	return d.holders()
}

func (d *Drive) holders() (h []Holder) {
	for n, st := range d.nexuses {
		if st.prevent || st.persistent {
			h = append(h, Holder{n.Initiator, st.since})
		}
	}
	slices.SortFunc(h, func(a, b Holder) int { return a.Since.Compare(b.Since) })
	return h
}

// RequestEject asks every host to let go of the medium and eject it, as the
// button of the drive does while the tray is held.
func (d *Drive) RequestEject() {
	d.mu.Lock()
	defer d.unlock()
	d.requestEject()
}

func (d *Drive) requestEject() {
	for _, st := range d.nexuses {
		st.ejectRequest = true
	}
}
