package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"spindle/internal/api/client"
	"spindle/isostore"
	"spindle/mmcemu"
)

// How a tray changes. Acts are numbered in the order in which they begin;
// opening an image takes time, so one may be ready to be applied after a later
// one was: the later stands (design.md: the latest deliberate act wins).

var (
	// begunOnly is a context that is done: with it Drive.Insert begins a change
	// and does not wait for its end.
	begunOnly = func() context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errBegun)
		return ctx
	}()
	errBegun = errors.New("the change began")
)

func superseded(name string) error {
	return &client.Error{
		Status: http.StatusConflict, Message: fmt.Sprintf("drive %s: a later insert or eject came first", name),
		Hint: "see `spindle status`, and try again if that is not what you want",
	}
}

// begin numbers an act. It runs on the loop, as all of this file does but for
// what says otherwise.
func (dr *drive) begin() uint64 {
	dr.begun++
	return dr.begun
}

// refuses returns why an act comes too late.
func (dr *drive) refuses(act uint64) error {
	if dr.retired == nil && act < dr.applied {
		return superseded(dr.cfg.Name)
	}
	return dr.retired
}

// place inserts an opened image, which it consumes. It returns without waiting
// for the medium to be ready.
func (d *Daemon) place(dr *drive, act uint64, o opened, force bool) error {
	err := d.tryPlace(dr, act, o, force)
	if isHeld(err) {
		o.drop()
	}
	return err
}

// tryPlace is place, but an image that is not inserted because hosts hold the
// tray stays open.
func (d *Daemon) tryPlace(dr *drive, act uint64, o opened, force bool) error {
	if err := dr.refuses(act); err != nil {
		o.drop()
		return err
	}
	if err := d.hand(dr, force, func(k follower, lun int) error { return k.insert(lun, o.path, force) }); err != nil {
		if !isHeld(err) {
			o.drop()
		}
		return err
	}
	if err := dr.insert(o, force); err != nil {
		return d.heldError(dr, err)
	}
	dr.path, dr.odd = o.path, o.odd
	d.applied(dr, act, o.name)
	d.log.Info("insert", "drive", dr.cfg.Name, "image", o.name)
	return nil
}

// takeOut ejects what is in the drive.
func (d *Daemon) takeOut(dr *drive, act uint64, force bool) error {
	if err := dr.refuses(act); err != nil {
		return err
	}
	if err := d.hand(dr, force, func(k follower, lun int) error { return k.eject(lun, force) }); err != nil {
		return err
	}
	if err := dr.eject(force); err != nil {
		return d.heldError(dr, err)
	}
	dr.path, dr.odd = "", nil
	d.applied(dr, act, "")
	d.log.Info("eject", "drive", dr.cfg.Name)
	return nil
}

// hand lets a carrier that answers for the drive by itself change first: it may
// refuse. A tray that another host holds is refused by the drive itself.
func (d *Daemon) hand(dr *drive, force bool, f func(k follower, lun int) error) error {
	if d.usb == nil || !force && dr.emu.Held() {
		return nil
	}
	return d.usb.follow(dr.cfg.Name, f)
}

// applied notes that an act changed the tray.
func (d *Daemon) applied(dr *drive, act uint64, disc string) {
	dr.applied = act
	dr.state.Disc, dr.state.Open, dr.state.Pending = disc, false, false
	dr.pending, dr.failed = nil, false
	if r := dr.request; r != nil && r.act < act {
		d.endRequest(dr, superseded(dr.cfg.Name))
	}
	d.withdraw(dr)
	d.clearAlarm(dr.cfg.Name)
	d.save()
	d.settle(dr)
}

// heldError makes an error of the drive one that the API answers with.
func (d *Daemon) heldError(dr *drive, err error) error {
	held, ok := errors.AsType[*mmcemu.HeldError](err)
	if !ok {
		return fmt.Errorf("drive %s: %w", dr.cfg.Name, err)
	}
	d.touch()
	return &client.Error{
		Status: http.StatusConflict, Message: fmt.Sprintf("drive %s: %v", dr.cfg.Name, held),
		Hint:    heldHint,
		Holders: holdersOf(held.Holders),
	}
}

const heldHint = "unmount the disc there and try again, or use --force"

func isHeld(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Held()
}

// configured acts on a changed disc of the configuration: o is the image
// opened, unless the tray is to be empty.
func (d *Daemon) configured(dr *drive, o opened, force bool) {
	dr.state.Configured = dr.cfg.Disc
	act := dr.begin()
	var err error
	switch {
	case d.has(dr, o):
		// Hosts that read it need not see it go and come back.
		o.drop()
		dr.path = o.path
		d.applied(dr, act, o.name)
	case dr.cfg.Disc == "":
		err = d.takeOut(dr, act, force)
	default:
		err = d.place(dr, act, o, force)
	}
	if err == nil {
		return
	}
	if isHeld(err) {
		d.endRequest(dr, superseded(dr.cfg.Name))
		dr.awaitEject()
		d.log.Info("the changed disc waits for hosts to let go", "drive", dr.cfg.Name, "disc", dr.cfg.Disc, "error", err)
		dr.pending = &pending{disc: dr.cfg.Disc, since: time.Now()}
		dr.state.Pending = true
	} else {
		d.log.Error("changed disc", "drive", dr.cfg.Name, "error", err)
		d.alarm(dr.cfg.Name, fmt.Sprintf("the changed disc is not in the drive: %v", err))
	}
	d.save()
}

// holds reports whether an opened image is the disc in the drive already, or on
// its way there.
func (dr *drive) holds(o opened) bool {
	s := dr.emu.Status()
	if s.Next != "" {
		return o.disc != nil && s.NextID == o.id
	}
	return o.disc != nil && (s.State == "ready" || s.State == "changing") && s.MediumID == o.id
}

// has is holds, also of a carrier that answers for the drive by itself: its host
// may have ejected the disc a moment ago.
func (d *Daemon) has(dr *drive, o opened) bool {
	has := dr.holds(o)
	if has && d.usb != nil {
		_ = d.usb.follow(dr.cfg.Name, func(k follower, lun int) error {
			has = k.path(lun) != ""
			return nil
		})
	}
	return has
}

// tryPending acts on a change that waits, when nobody holds the tray any more.
func (d *Daemon) tryPending(dr *drive) {
	p := dr.pending
	if p == nil || p.trying || dr.emu.Held() {
		return
	}
	if p.disc == "" {
		if err := d.takeOut(dr, dr.begin(), false); err != nil {
			d.log.Debug("eject still waits", "drive", dr.cfg.Name, "error", err)
		}
		return
	}
	p.trying = true
	c := dr.cfg
	d.work(func() {
		o, err := d.open(c, p.disc)
		if !d.loop.post(func() { d.endPending(dr, p, o, err) }) && err == nil {
			o.drop()
		}
	})
}

func (d *Daemon) endPending(dr *drive, p *pending, o opened, err error) {
	p.trying = false
	if dr.pending != p {
		if err == nil {
			o.drop()
		}
		return
	}
	if err == nil {
		err = d.place(dr, dr.begin(), o, false)
	} else {
		if errors.Is(err, isostore.ErrPacked) { // it was evicted since the reload
			if failed := d.unpackLater(d.library.Load(), p.disc); failed != "" {
				err = errors.New(failed)
			}
		}
		d.alarm(dr.cfg.Name, fmt.Sprintf("pending insert: %v", err))
	}
	if err != nil {
		d.log.Debug("insert still waits", "drive", dr.cfg.Name, "error", err)
	}
}

// onEvents follows what happened in a drive. Events come late: what is so now
// is what counts.
func (d *Daemon) onEvents(dr *drive) {
	for _, e := range dr.inbox.take() {
		d.onEvent(dr, e)
	}
	d.settle(dr)
	d.tryRequest(dr) // which began after what is pending
	d.tryPending(dr)
	d.touch()
}

func (d *Daemon) onEvent(dr *drive, e mmcemu.Event) {
	s := dr.emu.Status()
	switch e.Kind {
	case mmcemu.EventHostOut, mmcemu.EventHostIn:
		d.log.Info(string(e.Kind), "drive", dr.cfg.Name, "image", e.Medium, "initiator", e.Nexus)
		if s.State == "changing" && s.Next != "" {
			break
		}
		dr.state.Open = s.State == "open" && s.Medium != ""
		if e.Removed && s.Medium == "" && s.Next == "" {
			dr.path, dr.odd, dr.state.Disc = "", nil, ""
		}
		d.save()
	case mmcemu.EventSlotIn, mmcemu.EventSlotOut:
		d.onSlot(dr, e)
	case mmcemu.EventAlarm:
		d.log.Error("medium", "drive", dr.cfg.Name, "image", e.Medium, "error", e.Err)
		d.alarm(dr.cfg.Name, fmt.Sprintf("%s cannot be read: %v", e.Medium, e.Err))
	}
}

// settle tells waiters whose change has ended.
func (d *Daemon) settle(dr *drive) {
	s := dr.emu.Status()
	if s.State == "changing" {
		return
	}
	for _, w := range dr.waiters {
		if s.State == "ready" && s.MediumID == w.id {
			w.done <- nil
		} else {
			w.done <- superseded(dr.cfg.Name)
		}
	}
	dr.waiters = nil
}
