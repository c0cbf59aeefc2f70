package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/isostore"
	"spindle/mmcemu"
)

// A changer is what is kept of the slots of a drive. The loop owns it, but for
// loaded.
type changer struct {
	missing  []string // why the image of a slot cannot be opened; empty where it can
	said     string   // what the library said of the images when they were last looked at
	checking int      // numbers looks at the images: a late one does not count

	// loaded are the images that hosts last had opened, by slot: the command's
	// goroutine puts them there before the drive tells that one is in it.
	loaded []atomic.Pointer[opened]

	opening chan struct{} // a place for each image that is being opened for a host
}

// maxOpening bounds the images of a drive that are being opened for hosts, of
// which storage that hangs lets none go: a host may load and abort for ever.
const maxOpening = 4

// driveOptions are the drive's own of a configuration.
func driveOptions(c config.Drive) mmcemu.Options {
	o := mmcemu.Options{
		Vendor: c.Vendor, Product: c.Product, Revision: c.Revision, Serial: c.Serial,
		BlockLength: c.BlockLength, RemoveOnEject: c.Eject == config.Remove,
		Personality: mmcemu.Personality{Mechanism: map[string]mmcemu.Mechanism{config.Caddy: mmcemu.Caddy, config.PopUp: mmcemu.PopUp}[c.Mechanism]},
	}
	if c.Speed > 0 {
		o.Personality.Speeds = mmcemu.SpeedsUpTo(c.Speed)
	}
	return o
}

// slots are the slots of a drive as the drive wants them.
func (d *Daemon) slots(dr *drive) []mmcemu.Slot {
	list := make([]mmcemu.Slot, len(dr.cfg.Discs))
	for i, name := range dr.cfg.Discs {
		list[i].Name = name
		if name != "" && dr.changer.missing[i] == "" {
			list[i].Open = d.slotOpener(dr, dr.cfg, i)
		}
	}
	return list
}

// slotOpener returns what opens the image of a slot for a host: within the
// command's context, whatever storage does.
func (d *Daemon) slotOpener(dr *drive, c config.Drive, number int) func(context.Context) (mmcemu.Medium, error) {
	name := c.Discs[number]
	return func(ctx context.Context) (mmcemu.Medium, error) {
		type result struct {
			o   opened
			err error
		}
		select {
		case dr.changer.opening <- struct{}{}:
		case <-ctx.Done():
			return mmcemu.Medium{}, context.Cause(ctx)
		}
		done := make(chan result)
		go func() {
			defer func() { <-dr.changer.opening }()
			o, err := d.openReady(ctx, c, name)
			select {
			case done <- result{o, err}:
			case <-ctx.Done():
				o.drop()
			}
		}()
		select {
		case r := <-done:
			if r.err != nil {
				return mmcemu.Medium{}, r.err
			}
			dr.changer.loaded[number].Store(&r.o)
			return mmcemu.Medium{Disc: r.o.disc, Name: r.o.name, ID: r.o.id}, nil
		case <-ctx.Done():
			return mmcemu.Medium{}, context.Cause(ctx)
		}
	}
}

// slotOf returns the number of the slot of an image, or -1.
func (dr *drive) slotOf(o opened) int {
	return slices.IndexFunc(dr.cfg.Discs, func(name string) bool { return name != "" && (name == o.asked || name == o.name) })
}

// checkSlots looks, beside the loop, whether the images of a changer can be
// opened. Those that cannot be leave their slots empty, and are an alarm.
func (d *Daemon) checkSlots(dr *drive) {
	if len(dr.cfg.Discs) == 0 {
		return
	}
	dr.changer.checking++
	check, c := dr.changer.checking, dr.cfg
	d.work(func() {
		missing := make([]string, len(c.Discs))
		for i, name := range c.Discs {
			if name == "" {
				continue
			}
			o, err := d.open(c, name)
			o.drop()
			if err != nil && !errors.Is(err, isostore.ErrPacked) && !errors.Is(err, isostore.ErrUnchecked) { // a load waits for those
				missing[i] = err.Error()
			}
		}
		d.loop.post(func() {
			if dr.changer.checking == check && d.drive(dr.cfg.Name) == dr {
				d.noteSlots(dr, missing)
			}
		})
	})
}

// noteSlots takes what checkSlots found.
func (d *Daemon) noteSlots(dr *drive, missing []string) {
	var texts []string
	for i, why := range missing {
		if why != "" {
			texts = append(texts, fmt.Sprintf("slot %d is empty: %s", i, why))
		}
	}
	about := slotsAlarm(dr)
	if len(texts) > 0 {
		d.alarm(about, strings.Join(texts, "\n"))
	} else {
		d.clearAlarm(about)
	}
	if !slices.Equal(missing, dr.changer.missing) {
		dr.changer.missing = missing
		dr.setSlots(d.slots(dr))
		d.touch()
	}
}

func slotsAlarm(dr *drive) string { return dr.cfg.Name + " discs" }

// followSlots looks at the images of a changer again when the library says
// something else of them, and has packed ones unpacked.
func (d *Daemon) followSlots(lib *isostore.Library, dr *drive) {
	var said strings.Builder
	for _, name := range dr.cfg.Discs {
		e, ok := lib.Peek(name)
		fmt.Fprintln(&said, ok, e.State, e.Error, e.Checks.State, e.Size, e.Modified.UnixNano())
		if ok && e.State == isostore.Packed {
			d.unpackLater(lib, name)
		}
	}
	if said.String() != dr.changer.said {
		dr.changer.said = said.String()
		d.checkSlots(dr)
	}
}

// newSlots puts a changed list of discs of the same length in force.
func (d *Daemon) newSlots(dr *drive) {
	dr.changer.missing = make([]string, len(dr.cfg.Discs))
	dr.setSlots(d.slots(dr))
	d.checkSlots(dr)
}

// onSlot notes what a host did to the slots. It is an act as an operator's is:
// one that began before it does not undo it.
func (d *Daemon) onSlot(dr *drive, e mmcemu.Event) {
	d.log.Info(string(e.Kind), "drive", dr.cfg.Name, "slot", e.Slot, "image", e.Medium, "initiator", e.Nexus)
	s := dr.emu.Status()
	switch {
	case e.Kind == mmcemu.EventSlotOut && s.Medium == "" && s.Next == "":
		dr.path, dr.odd = "", nil
		d.applied(dr, dr.begin(), "")
	case e.Kind == mmcemu.EventSlotIn && e.Slot < len(dr.cfg.Discs):
		o := dr.changer.loaded[e.Slot].Load()
		if o == nil || o.id != e.MediumID || s.MediumID != e.MediumID && s.Next != e.Medium {
			return // another came since
		}
		dr.path, dr.odd = o.path, o.odd
		d.applied(dr, dr.begin(), o.name)
	}
}

// openSlots opens the images that a new configuration puts into slots and the
// one in force does not have there: a list with one that cannot be opened is not
// put in force.
func (d *Daemon) openSlots(c *change, dr config.Drive, was *config.Drive) (errs []error) {
	for i, name := range dr.Discs {
		if name == "" || was != nil && slices.Contains(was.Discs, name) {
			continue
		}
		o, err := d.open(dr, name)
		o.drop()
		if err == nil || errors.Is(err, isostore.ErrPacked) || errors.Is(err, isostore.ErrUnchecked) {
			continue
		}
		reason, hint := splitHint(err.Error())
		errs = append(errs, c.cfg.At(fmt.Sprintf("slot %d: %s", i, reason), hint, "drive", dr.Name, "discs"))
		if mayPass(err) {
			c.waits = append(c.waits, name)
		}
	}
	return errs
}

// slotsOf are the slots as status has them.
func slotsOf(s mmcemu.Status) (list []client.Slot) {
	for i, slot := range s.Slots {
		list = append(list, client.Slot{Disc: slot.Name, Present: slot.Present, Loaded: i == s.Slot && s.Medium != "" && s.InSlot})
	}
	return list
}
