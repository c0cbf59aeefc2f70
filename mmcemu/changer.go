package mmcemu

import (
	"context"
	"fmt"
	"slices"

	"spindle/scsi"
)

// A load overlaps other commands, though it changes what they see: it may wait
// for storage, and for hosts to notice, and neither must hold up another host's
// PREVENT, or a poll. The drive's mutex orders what it does.
var changerCommands = []command{
	{0xA6, "LOAD/UNLOAD MEDIUM", concurrent, alloc{}, nil, (*Drive).loadUnload},
}

// MaxSlots is how many slots a changer has at most: feature 0102h has five bits
// for the number of the highest.
const MaxSlots = 32

// A Slot is a place of a changer for one disc.
type Slot struct {
	Name string // of the disc, for people
	// Open opens the disc when a host loads it; nil for an empty slot. It is
	// called without the drive's mutex, on the goroutine of the host's command
	// and with its context, and returns soon when that is done.
	Open func(ctx context.Context) (Medium, error) `json:"-"`
}

// A SlotStatus is a slot as it is.
type SlotStatus struct {
	Name    string
	Present bool // a disc is there, or in the drive
}

// A slot is a Slot with what the drive keeps of it.
type slot struct {
	Slot
	changed bool // since its disc was last loaded
}

// A slotLoad is a host's load of a slot's disc.
type slotLoad struct {
	number int
	slot   Slot
	acts   int // Drive.acts when it began

	// Of one that goes on behind its command; else nil.
	ctx    context.Context
	cancel context.CancelFunc
}

func (l *slotLoad) immed() bool { return l.cancel != nil }

// errLoadFailed is MEDIA LOAD OR EJECT FAILED.
var errLoadFailed = scsi.Sense{Key: scsi.HardwareError, Code: 0x5300}

// isChanger reports whether the drive has slots. That never changes.
func (d *Drive) isChanger() bool { return len(d.o.Slots) > 0 }

// SetSlots says what lies in the slots of a changer from now on; the disc in the
// drive stays, and is of the slot that has its name now. Slots behind those the
// drive was made with are left out, those that are missing are empty. A host sees
// in MECHANISM STATUS which changed. A load that runs of a slot with another name
// now fails.
func (d *Drive) SetSlots(slots []Slot) {
	d.mu.Lock()
	defer d.unlock()
	moved := func(number int) int {
		if number < 0 || number >= len(d.slots) {
			return -1
		}
		name := d.slots[number].Name
		if number < len(slots) && slots[number].Name == name {
			return number
		}
		return slices.IndexFunc(slots[:min(len(slots), len(d.slots))], func(s Slot) bool { return s.Name == name })
	}
	if m := d.disc; m != nil {
		if m.slot = moved(m.slot); m.slot >= 0 {
			d.slot = m.slot
		}
	}
	if c := d.change; c != nil && c.m != d.disc {
		c.m.slot = moved(c.m.slot)
	}
	for i := range d.slots {
		var s Slot
		if i < len(slots) {
			s = slots[i]
		}
		was := &d.slots[i]
		was.changed = was.changed || (was.Open == nil) != (s.Open == nil) || s.Open != nil && was.Name != s.Name
		was.Slot = s
	}
}

// slotStatus returns the slots, nil for a drive that is no changer.
func (d *Drive) slotStatus() (list []SlotStatus) {
	for _, s := range d.slots {
		list = append(list, SlotStatus{s.Name, s.Open != nil})
	}
	return list
}

// loadUnload answers LOAD/UNLOAD MEDIUM of a changer.
//
//	CDB  byte 1 bit 0 IMMED; byte 4 bit 1 LOUNLO, bit 0 START: 00 stops a load,
//	     10 puts the disc in the drive back, 11 loads the disc of the slot in byte 8
//
// A load puts the disc in the drive back first, and ends when the new one is
// ready; with IMMED it goes on behind the command while the drive is becoming
// ready. Every nexus is told of the new medium, the one that asked for it too:
// its own kernel may not know. A load of the disc that is in the drive changes
// nothing, and closes a tray on which it lies.
//
// It fails with INVALID COMMAND OPERATION CODE in a drive that is no changer,
// INVALID FIELD IN CDB for a slot that there is not, MEDIUM NOT PRESENT for an
// empty one, MEDIUM REMOVAL PREVENTED while any nexus prevents it, and MEDIA LOAD
// OR EJECT FAILED when the image cannot be opened, or another act moved the disc
// meanwhile, which then stands; the drive then has the disc that it had, or with
// IMMED none. Source: MMC-6, LOAD/UNLOAD MEDIUM.
func (d *Drive) loadUnload(ctx context.Context, cmd *scsi.Command, _ *medium) error {
	if !d.isChanger() {
		return scsi.ErrInvalidOpcode
	}
	switch b := cmd.CDB[4]; b & (loejBit | startBit) {
	case 0:
		d.stopLoad()
	case startBit:
		return scsi.FieldInCDB(4, 1)
	case loejBit: // Linux has FFh in the byte of the slot
		return d.unloadSlot(cmd.Nexus)
	default:
		return d.loadSlot(ctx, cmd.Nexus, int(cmd.CDB[8]), cmd.CDB[1]&1 != 0)
	}
	return nil
}

// stopLoad ends a load that goes on behind its command; the drive is empty.
func (d *Drive) stopLoad() {
	d.mu.Lock()
	defer d.unlock()
	if l := d.slotLoad; l != nil {
		l.cancel()
	}
}

// unloadSlot puts the disc that is in the drive or on its tray into its slot.
func (d *Drive) unloadSlot(n *scsi.Nexus) error {
	d.mu.Lock()
	defer d.unlock()
	if d.disc == nil && d.change == nil && d.slotLoad == nil {
		return nil
	}
	if c := d.change; c != nil && d.disc == nil && !c.floor.IsZero() {
		return nil // the host was asked to let go, and the disc that it means went: see oblige
	}
	if d.preventing() > 0 {
		return scsi.ErrRemovalPrevented
	}
	d.abandonChange(ErrSuperseded)
	e := Event{Kind: EventSlotOut, Nexus: n.Initiator, Slot: d.slot}
	if d.disc != nil {
		e.Medium, e.MediumID = d.disc.name, d.disc.id
	}
	d.emit(e)
	d.takeOut()
	d.open = false
	return nil
}

// loadSlot loads the disc of a slot.
func (d *Drive) loadSlot(ctx context.Context, n *scsi.Nexus, number int, immed bool) error {
	l, err := d.beginLoad(n, number, immed)
	if err != nil || l == nil {
		return err
	}
	if !immed {
		return d.openSlot(ctx, n, l)
	}
	go func() {
		defer l.cancel()
		if err := d.openSlot(l.ctx, n, l); err != nil {
			d.log.Info("load of a slot", "slot", number, "error", err)
		}
	}()
	return nil
}

// beginLoad returns the load of a slot's disc, nil when that is in the drive
// already. For one that goes on behind its command it empties the drive.
func (d *Drive) beginLoad(n *scsi.Nexus, number int, immed bool) (*slotLoad, error) {
	d.mu.Lock()
	defer d.unlock()
	switch {
	case number >= len(d.slots):
		return nil, scsi.FieldInCDB(8, -1)
	case d.disc != nil && d.disc.slot == number:
		d.closeTray(n)
		return nil, nil
	case d.slots[number].Open == nil:
		return nil, scsi.ErrMediumNotPresent
	case d.preventing() > 0:
		return nil, scsi.ErrRemovalPrevented
	}
	d.nexus(n) // also of a front end that did not announce it
	l := &slotLoad{number: number, slot: d.slots[number].Slot}
	if immed {
		l.ctx, l.cancel = context.WithCancel(d.life)
		d.abandonChange(ErrSuperseded)
		d.putBack(n)
		d.open = false
		d.slotLoad = l
	}
	l.acts = d.acts
	return l, nil
}

// openSlot opens the disc of a slot, without the mutex as storage may hang, and
// puts it into the drive.
func (d *Drive) openSlot(ctx context.Context, n *scsi.Nexus, l *slotLoad) error {
	in, err := l.slot.Open(ctx)
	if err != nil {
		d.failLoad(n, l, err, ctx.Err() == nil)
		return fmt.Errorf("slot %d: %w (%w)", l.number, errLoadFailed, err)
	}
	c, err := d.endLoad(n, l, in)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		if c.err != nil {
			return fmt.Errorf("slot %d: %w (%w)", l.number, errLoadFailed, c.err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failLoad ends a load of which the disc could not be opened. One that was
// stopped is no alarm.
func (d *Drive) failLoad(n *scsi.Nexus, l *slotLoad, err error, alarm bool) {
	d.mu.Lock()
	defer d.unlock()
	if d.slotLoad == l {
		d.slotLoad = nil
		d.emit(Event{Kind: EventSlotOut, Nexus: n.Initiator, Slot: d.slot})
	}
	if alarm {
		d.emit(Event{Kind: EventAlarm, Medium: l.slot.Name, Err: err})
	}
}

// endLoad puts the medium of a slot into the drive, unless that is not what is
// wanted any more.
func (d *Drive) endLoad(n *scsi.Nexus, l *slotLoad, in Medium) (*change, error) {
	d.mu.Lock()
	defer d.unlock()
	in.Slot = l.number + 1
	m := newMedium(in)
	var err error
	switch {
	case d.closed:
		err = ErrClosed
	case l.immed() && l.ctx.Err() != nil, d.acts != l.acts, d.slots[l.number].Name != l.slot.Name:
		err = fmt.Errorf("slot %d: %w (%w)", l.number, errLoadFailed, ErrSuperseded)
	case !l.immed() && d.preventing() > 0: // began while the image was opened
		err = scsi.ErrRemovalPrevented
	}
	if d.slotLoad == l {
		d.slotLoad = nil // it is not abandoned
		if err != nil {
			d.emit(Event{Kind: EventSlotOut, Nexus: n.Initiator, Slot: d.slot})
		}
	}
	if err != nil {
		d.garbage = append(d.garbage, m)
		return nil, err
	}
	d.abandonChange(ErrSuperseded)
	d.putBack(n)
	c := d.replace(m, false)
	d.emit(Event{Kind: EventSlotIn, Medium: m.name, MediumID: m.id, Nexus: n.Initiator, Slot: l.number})
	return c, nil
}

// putBack takes the disc out of the drive for a nexus that has another loaded:
// it knows, and nobody needs to wait until it asks.
func (d *Drive) putBack(n *scsi.Nexus) {
	d.takeOut()
	if st := d.nexuses[n]; st != nil { // else it went while its load went on
		st.seen, st.event, st.told = "", noEvent, true
	}
}

// noteSlot notes that a medium is in the drive.
func (d *Drive) noteSlot(m *medium) {
	if m.slot >= 0 && m.slot < len(d.slots) {
		d.slot = m.slot
		d.slots[m.slot].changed = false
	}
}

// requestSlot tells every host that the operator wants the disc of another slot
// loaded, while they hold the tray. One of no slot takes an earlier wish back.
func (d *Drive) requestSlot(number int) {
	if number >= len(d.slots) || d.disc != nil && number == d.disc.slot {
		number = -1
	}
	for _, st := range d.nexuses {
		st.slotRequest = number + 1
	}
}

// appendSlotTable adds to the header of MECHANISM STATUS the state of a changer
// (0 ready, 1 loading) and the slot of the drive's disc, and appends the table
// of slots: for each 4 bytes, of which byte 0 has PRESENT in bit 7, CHANGE in 0.
func (d *Drive) appendSlotTable(b []byte) []byte {
	if !d.isChanger() {
		return b
	}
	b[0] |= byte(d.slot)
	if d.slotLoad != nil || d.change != nil {
		b[0] |= 1 << 5
	}
	b[5] = byte(len(d.slots))
	b[7] = byte(4 * len(d.slots))
	for _, s := range d.slots {
		var bits byte
		if s.Open != nil {
			bits |= 0x80
		}
		if s.changed {
			bits |= 0x01
		}
		b = append(b, bits, 0, 0, 0)
	}
	return b
}

// changerFeature says that the drive has slots, of which it knows the content
// (SDP), and the number of the highest. Source: MMC-6, 5.3.31.
var changerFeature = feature{0x0102, 0, nil, func(d *Drive, _ scsi.Port, _ *medium) []byte {
	return []byte{0x04, 0, 0, byte(len(d.slots) - 1)}
}, []byte{0xA6, 0xBD}}

// featuresFor returns the features of a drive with so many slots.
func featuresFor(slots int) []feature {
	if slots == 0 {
		return features
	}
	at := slices.IndexFunc(features, func(f feature) bool { return f.code > changerFeature.code })
	return slices.Insert(slices.Clone(features), at, changerFeature)
}
