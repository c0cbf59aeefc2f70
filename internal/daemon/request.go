package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"spindle/internal/api"
	"spindle/internal/api/client"
)

// An attempt is a verb's insert or eject. While hosts hold the tray it may wait
// for them to let go, as the drive's request; a request that is not met in its
// time lapses, and nothing happens later.
type attempt struct {
	act    uint64
	o      opened // to insert; without a disc, to eject
	way    api.Way
	done   chan error // buffered: told once how it ended
	saved  int        // version of the state that has it, set before done is told
	since  time.Time  // when it began to wait
	until  time.Time
	expiry *time.Timer
	held   error // why it waits
}

func newAttempt(act uint64, o opened, way api.Way) *attempt {
	return &attempt{act: act, o: o, way: way, done: make(chan error, 1)}
}

// attempt performs an act of a verb or has it wait. It runs on the loop, as all
// that follows.
func (d *Daemon) attempt(dr *drive, a *attempt) {
	err := d.perform(dr, a)
	wait := a.way.Wait
	if wait < 0 {
		wait = dr.cfg.EjectWait
	}
	if !isHeld(err) || a.way.Force || wait == 0 || d.stopping {
		if isHeld(err) {
			d.withdraw(dr)
		}
		a.fail(err)
		return
	}
	if r := dr.request; r != nil && r.act > a.act {
		a.o.drop()
		a.fail(superseded(dr.cfg.Name))
		return
	}
	d.endRequest(dr, superseded(dr.cfg.Name))
	a.since = time.Now()
	a.until = a.since.Add(wait)
	a.expiry = time.AfterFunc(wait, func() { d.loop.post(func() { d.lapse(dr, a, wait) }) })
	dr.request, a.held = a, err
	dr.awaitEject()
	d.log.Info("hosts are asked to let go", "drive", dr.cfg.Name, "wait", wait, "error", err)
	d.touch()
	d.tryRequest(dr) // it may have, since
}

// perform does what a is for. Its error, held or not, is not yet told.
func (d *Daemon) perform(dr *drive, a *attempt) error {
	var err error
	switch {
	case a.o.disc == nil:
		err = d.takeOut(dr, a.act, a.way.Force)
	case a.act >= dr.applied && d.has(dr, a.o):
		// Hosts that read it need not see it go and come back.
		a.o.drop()
		dr.path = a.o.path
		d.applied(dr, a.act, a.o.name)
	default:
		err = d.tryPlace(dr, a.act, a.o, a.way.Force)
	}
	if err != nil {
		return err
	}
	a.saved = d.save()
	if a.o.disc == nil {
		a.done <- nil
		return nil
	}
	dr.waiters = append(dr.waiters, &waiter{a.o.id, a.done})
	d.settle(dr)
	return nil
}

// fail ends an attempt that was not performed; nil means that it was.
func (a *attempt) fail(err error) {
	if err == nil {
		return
	}
	if isHeld(err) {
		a.o.drop()
	}
	a.done <- err
}

// tryRequest performs what waits, when nobody holds the tray any more.
func (d *Daemon) tryRequest(dr *drive) {
	a := dr.request
	if a == nil || dr.emu.Held() {
		return
	}
	dr.request = nil
	err := d.perform(dr, a)
	if isHeld(err) { // again, or by a carrier that tells nothing
		dr.request, a.held = a, err
		dr.awaitEject()
		return
	}
	a.expiry.Stop()
	if err != nil { // nobody waits for hosts any more
		d.withdraw(dr)
		d.touch()
	}
	a.fail(err)
}

// lapse ends a request that was not met in its time.
func (d *Daemon) lapse(dr *drive, a *attempt, wait time.Duration) {
	if dr.request != a {
		return
	}
	held := a.held
	if by := dr.emu.HeldBy(); by != nil { // perhaps by others than at first
		held = d.heldError(dr, by)
	}
	err, _ := errors.AsType[*client.Error](held)
	err.Message += fmt.Sprintf("; it was not let go within %v", wait)
	d.log.Info("the request lapsed", "drive", dr.cfg.Name, "error", err)
	d.endRequest(dr, err)
}

// endRequest ends the request of a drive, if one waits, unperformed.
func (d *Daemon) endRequest(dr *drive, err error) {
	a := dr.request
	if a == nil {
		return
	}
	dr.request = nil
	a.expiry.Stop()
	a.o.drop()
	d.withdraw(dr) // before the verb ends: whoever hears of that finds it so
	d.touch()
	a.done <- err
}

// withdraw takes back what hosts were asked, unless somebody waits for it still.
func (d *Daemon) withdraw(dr *drive) {
	if dr.request == nil && dr.pending == nil {
		dr.withdrawEject()
	}
}

// retire ends what waits for a drive that a reload took out of service, and
// refuses what comes to it late.
func (d *Daemon) retire(dr *drive) {
	dr.retired = &client.Error{
		Status: http.StatusConflict, Message: fmt.Sprintf("drive %s: a reload of the configuration made it anew, or took it away", dr.cfg.Name),
		Hint: "see `spindle status`, and try again",
	}
	dr.pending = nil
	d.endRequest(dr, dr.retired)
	for _, w := range dr.waiters {
		w.done <- dr.retired
	}
	dr.waiters = nil
}
