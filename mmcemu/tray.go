package mmcemu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spindle/scsi"
)

// The tray and what lies on it. Its states, by the fields of Drive:
//
//	             open   disc  cur   told to hosts
//	empty        false  nil   nil   2/3A/01
//	open         true   nil   nil   2/3A/02
//	disc on it   true   set   nil   2/3A/02; after a host's eject
//	loading      false  set   nil   2/04/01
//	ready        false  set   set   GOOD
//
// change is set from an operator's insert until the new medium is ready. While
// it waits for hosts to notice that the old one went, the drive is empty.

// ErrSuperseded is what Insert returns when the medium was taken out, or
// another inserted, before it was ready.
var ErrSuperseded = errors.New("superseded by a later insert or eject")

// A change is an operator's insert on its way.
type change struct {
	m     *medium
	timer *time.Timer // ends the wait for hosts to notice
	floor time.Time   // when it ends at the earliest
	ends  time.Time   // when it ends at the latest
	done  chan struct{}
	err   error // set before done is closed
}

// Insert puts a medium into the drive, in place of the one that is there, and
// returns when it is ready. When hosts hold the tray it asks them to let go and
// returns a *[HeldError]; force clears what holds it. The drive owns the disc
// from the call on and closes it, also when Insert fails, but for a HeldError:
// then the disc is still the caller's, who may try again.
//
// ctx bounds the wait only: a change that was begun is completed.
func (d *Drive) Insert(ctx context.Context, in Medium, force bool) error {
	m := newMedium(in)
	c, err := d.beginChange(m, force)
	if _, held := errors.AsType[*HeldError](err); held {
		return err
	}
	if err != nil {
		m.release()
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// oblige is how long at least the drive stays empty for a host that lets go of
// a medium because it was asked to: it ejects next, and Linux tries again when
// a unit attention comes between. The eject is not meant for the next medium.
const oblige = 250 * time.Millisecond

func (d *Drive) beginChange(m *medium, force bool) (*change, error) {
	d.mu.Lock()
	defer d.unlock()
	if d.closed {
		return nil, ErrClosed
	}
	if err := d.claim(force); err != nil {
		d.requestSlot(m.slot)
		return nil, err
	}
	asked := d.requested && !force && d.disc != nil && !d.open
	return d.replace(m, asked), nil
}

// replace begins to put a medium into the drive, in place of the one there, which
// hosts let go because they were asked.
func (d *Drive) replace(m *medium, asked bool) *change {
	d.abandonChange(ErrSuperseded)
	d.takeOut()
	d.open = false
	d.serial++
	if m.id == "" {
		m.id = fmt.Sprintf("%s#%d@%d", m.name, d.serial, time.Now().UnixNano())
	}
	c := &change{m: m, done: make(chan struct{})}
	d.change = c
	var wait time.Duration
	if !d.allTold() {
		wait = time.Until(d.removedAt.Add(d.seq.hold))
	}
	if asked {
		c.floor = time.Now().Add(oblige)
		wait = max(wait, oblige)
	}
	if wait > 0 {
		c.ends = time.Now().Add(wait)
		c.timer = time.AfterFunc(wait, func() {
			d.mu.Lock()
			defer d.unlock()
			d.placeDisc(c)
		})
		return c
	}
	d.placeDisc(c)
	return c
}

// placeDisc ends the empty phase of a change: the disc is in the drive.
func (d *Drive) placeDisc(c *change) {
	if d.change != c || d.disc == c.m {
		return // superseded, or placed already
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	d.disc, d.open = c.m, false
	d.noteSlot(c.m)
	d.load()
}

// load begins to make the disc in the closed tray ready.
func (d *Drive) load() {
	if d.loadTime <= 0 {
		d.publish()
		return
	}
	d.loadTotal, d.readyAt = d.loadTime, time.Now().Add(d.loadTime)
	var timer *time.Timer
	timer = time.AfterFunc(d.loadTime, func() {
		d.mu.Lock()
		defer d.unlock()
		if d.loading == timer {
			d.publish()
		}
	})
	d.loading = timer
}

// publish makes the disc ready. Every nexus has its unit attention before the
// medium can be seen, and a command looks for the medium before it looks for
// the unit attention: so none reads a new medium that it was not told of.
//
// The host that ejected this disc and loaded it again is told only when it asks
// for events, by the event and then the unit attention that belongs to it. One
// that goes on with TEST UNIT READY expects the GOOD of a disc that it knows;
// libiscsi's tests do.
func (d *Drive) publish() {
	d.loading = nil
	for n, st := range d.nexuses {
		if st.ownLoad = n == d.ejectedBy && !d.seq.tellsOwnLoad; st.ownLoad {
			st.seen = d.disc.id
		} else {
			n.Raise(scsi.ErrMediumMayHaveChanged)
		}
		st.event, st.told = newMediaEvent, true
	}
	d.ejectedBy = nil
	d.cur.Store(d.disc)
	if c := d.change; c != nil {
		d.change = nil
		close(c.done)
	}
	d.emit(Event{Kind: EventReady, Medium: d.disc.name, MediumID: d.disc.id})
}

// withdraw ends readiness and lets every nexus be told. The disc stays.
func (d *Drive) withdraw() {
	if d.loading != nil {
		d.loading.Stop()
		d.loading = nil
	}
	d.acts++
	// What hosts were asked was about what is there no more, also of a drive that
	// was not ready.
	for _, st := range d.nexuses {
		st.ejectRequest, st.slotRequest = false, 0
	}
	if d.cur.Swap(nil) == nil {
		return
	}
	d.removedAt = time.Now()
	d.player.reset(d.removedAt)
	for n, st := range d.nexuses {
		n.Drop(scsi.ErrMediumMayHaveChanged)
		st.ownLoad = false
		// A host that was never told of the medium has nothing to forget; an
		// event alone would count as a disagreement in Linux's sr driver. But one
		// that knew the medium before, and was not told by an event that it went,
		// is told now: Linux learns nothing from a read that fails.
		st.told = st.seen == ""
		if st.owed = st.owed || !st.told; st.owed {
			st.event = mediaRemovalEvent
		} else {
			st.event = noEvent
		}
	}
}

// takeOut removes the disc from the drive or its tray.
func (d *Drive) takeOut() {
	d.withdraw()
	d.ejectedBy, d.requested = nil, false
	d.speed = 0 // the one that a host set was for this disc
	if d.disc != nil {
		d.garbage = append(d.garbage, d.disc)
		d.disc = nil
	}
}

// abandonChange ends an insert or a load that is not complete.
func (d *Drive) abandonChange(err error) {
	if l := d.slotLoad; l != nil {
		d.slotLoad = nil
		l.cancel()
	}
	c := d.change
	if c == nil {
		return
	}
	d.change = nil
	if c.timer != nil {
		c.timer.Stop()
	}
	if d.disc != c.m {
		d.garbage = append(d.garbage, c.m)
	}
	c.err = err
	close(c.done)
}

// Eject opens the tray and takes the disc out. Ejecting an empty drive is no
// error. A held tray is treated as by [Drive.Insert].
func (d *Drive) Eject(_ context.Context, force bool) error {
	d.mu.Lock()
	defer d.unlock()
	if d.closed {
		return ErrClosed
	}
	if err := d.claim(force); err != nil {
		return err
	}
	d.abandonChange(ErrSuperseded)
	if d.disc != nil {
		d.emit(Event{Kind: EventEjected, Medium: d.disc.name, MediumID: d.disc.id})
	}
	d.takeOut()
	d.open = true
	return nil
}

// hostEject is START STOP UNIT with LOEJ and without START.
func (d *Drive) hostEject(n *scsi.Nexus) error {
	d.mu.Lock()
	defer d.unlock()
	if d.open {
		return nil
	}
	if d.preventing() > 0 {
		return scsi.ErrRemovalPrevented
	}
	if d.change != nil && d.disc == d.change.m {
		d.abandonChange(ErrSuperseded)
	}
	if d.slotLoad != nil { // else it would close the tray again
		d.abandonChange(ErrSuperseded)
		d.emit(Event{Kind: EventSlotOut, Nexus: n.Initiator, Slot: d.slot})
	}
	d.open = true
	if d.disc == nil {
		return nil
	}
	remove := d.o.RemoveOnEject || d.requested
	d.emit(Event{
		Kind: EventHostOut, Medium: d.disc.name, MediumID: d.disc.id,
		Nexus: n.Initiator, Removed: remove,
	})
	if remove {
		d.takeOut()
	} else {
		d.withdraw()
		d.ejectedBy = n
	}
	return nil
}

// hostLoad is START STOP UNIT with LOEJ and START: the tray closes, and a disc
// that lies on it becomes ready again, unless the sequence says that it stays.
func (d *Drive) hostLoad(n *scsi.Nexus) {
	d.mu.Lock()
	defer d.unlock()
	d.closeTray(n)
}

func (d *Drive) closeTray(n *scsi.Nexus) {
	if !d.open {
		return
	}
	if d.disc == nil {
		d.open = false
		return
	}
	if d.ejectedBy == n && d.seq.staysOut {
		return
	}
	if d.ejectedBy != n {
		d.ejectedBy = nil
	}
	d.open = false
	d.emit(Event{Kind: EventHostIn, Medium: d.disc.name, MediumID: d.disc.id, Nexus: n.Initiator})
	d.load()
}

// notReady returns why there is no medium, to nexus n, which thereby knows.
func (d *Drive) notReady(n *scsi.Nexus) error {
	d.mu.Lock()
	defer d.unlock()
	st := d.nexus(n)
	if d.loading != nil || d.slotLoad != nil {
		return d.becomingReady()
	}
	// A medium that came in since the command looked is told of first.
	if s, ok := n.Take(); ok {
		d.noteTaken(st, s)
		return s
	}
	err := scsi.ErrMediumNotPresentTrayClosed
	if d.open {
		err = scsi.ErrMediumNotPresentTrayOpen
	}
	d.noteEmpty(st)
	return err
}

// becomingReady is 2/04/01 with how far loading has come.
func (d *Drive) becomingReady() scsi.Sense {
	if d.loading == nil {
		return scsi.ErrBecomingReady // a slot's disc is on its way
	}
	return scsi.ErrBecomingReady.Progress(int64(d.loadTotal-time.Until(d.readyAt)), int64(d.loadTotal))
}
