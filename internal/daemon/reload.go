package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"syscall"

	"spindle/config"
	"spindle/isostore"
)

// reloader reads the configuration again whenever Reload asks for it, one at a
// time.
func (d *Daemon) reloader(ctx context.Context) {
	for {
		var waiter chan<- error
		select {
		case <-ctx.Done():
			return
		case waiter = <-d.reloads:
		}
		d.systemd.reloading()
		err := d.reload(ctx)
		if err != nil && ctx.Err() == nil {
			d.log.Error("configuration is not used, the last good one stays", "error", err)
			d.loop.post(func() { d.alarm("config", "the file is not used: "+err.Error()) })
		}
		d.systemd.ready()
		if waiter != nil {
			waiter <- err
		}
	}
}

// A change is a new configuration with all that it needs and that may fail or
// take time, ready to be put in force at once.
type change struct {
	cfg     *config.Config
	diff    config.Changes
	library *isostore.Library
	cache   *isostore.Cache
	missing error                // directories of it that cannot be read
	waits   []string             // images that are not there yet: with them it may be good
	discs   map[string]opened    // by drive: those that changed
	listen  map[string]*listener // new ones, by address
}

func (c *change) discard() {
	for _, o := range c.discs {
		o.drop()
	}
	for _, l := range c.listen {
		l.Close()
	}
}

// hold is where a test holds a reload, as a slow disk or a slow kernel would.
func (d *Daemon) hold(stage string) {
	if d.o.hold != nil {
		d.o.hold(stage)
	}
}

// reload reads the configuration and puts it in force, whole or not at all.
func (d *Daemon) reload(ctx context.Context) error {
	cfg, err := d.o.readConfig()
	if err != nil {
		return err
	}
	var old *config.Config
	var cache *isostore.Cache
	var last map[string]string
	if err := d.loop.call(ctx, func() {
		old, cache, last = d.cfg, d.cache, map[string]string{}
		for _, dr := range d.drives {
			last[dr.cfg.Name] = dr.state.Configured
		}
	}); err != nil {
		return err
	}
	c := &change{cfg: cfg, cache: cache, diff: config.Diff(old, cfg), discs: map[string]opened{}, listen: map[string]*listener{}}
	if err := d.prepareChange(ctx, c, old, last); err != nil {
		c.discard()
		d.loop.post(func() {
			d.libs.await(c.waits)
			for name, said := range d.libs.waits {
				if c.diff.Library { // the library in force is another: what it has now does not count
					d.came(d.library.Load(), name, &said)
					d.libs.waits[name] = said
				}
			}
		})
		return err
	}
	d.hold("prepared")
	if !d.loop.post(func() { d.apply(c) }) {
		c.discard()
		return errStopped
	}
	return d.loop.call(ctx, func() {})
}

// prepareChange opens what the configuration c.cfg names and old, the one in
// force, does not. last is the disc of each drive that file or flag last asked for.
func (d *Daemon) prepareChange(ctx context.Context, c *change, old *config.Config, last map[string]string) (err error) {
	c.library = d.library.Load()
	if c.diff.Library {
		if err := d.cacheFor(c, old); err != nil {
			return err
		}
		if c.library, err = d.newLibrary(c.cfg, c.cache); err != nil {
			return c.cfg.At(err.Error(), "", "library", "dirs")
		}
	}
	d.hold("reading")
	c.missing = errors.Join(c.library.Check()...)
	before := d.library.Swap(c.library) // open looks there
	var errs []error
	for _, dr := range c.cfg.Drives {
		errs = append(errs, d.openSlots(c, dr, old.Drive(dr.Name))...)
		was, known := last[dr.Name]
		if dr.Disc == "" || known && was == dr.Disc {
			continue
		}
		o, err := d.open(dr, dr.Disc)
		if c.diff.Library && errors.Is(err, isostore.ErrPacked) { // no library runs that would do it
			o, err = d.openReady(ctx, dr, dr.Disc)
		}
		if err != nil {
			errs = append(errs, d.discError(c.cfg, dr, err))
			if mayPass(err) {
				c.waits = append(c.waits, dr.Disc)
			}
			continue
		}
		c.discs[dr.Name] = o
	}
	if c.diff.Engine {
		errs = append(errs, c.cfg.At("which engine serves, and on what port gotgt does, changes with a restart only", "restart spindle", "iscsi", "engine"))
	} else if c.diff.Listen && !d.passed {
		errs = append(errs, d.openListeners(c))
	}
	if err := errors.Join(errs...); err != nil {
		d.library.Store(before)
		return err
	}
	return nil
}

func (d *Daemon) openListeners(c *change) error {
	var have []string
	if err := d.loop.call(context.Background(), func() { have = slices.Collect(maps.Keys(d.listeners)) }); err != nil {
		return err
	}
	for _, addr := range c.cfg.ISCSI.Listen {
		if slices.Contains(have, addr) {
			continue
		}
		l, err := d.listenOn(addr)
		if err != nil {
			reason, hint := splitHint(err.Error())
			if i := slices.IndexFunc(have, func(a string) bool { return samePort(a, addr) }); i >= 0 && errors.Is(err, syscall.EADDRINUSE) {
				reason, hint = fmt.Sprintf("address %q: this daemon has that port already, on %s", addr, have[i]), "restart spindle to listen there"
			}
			return c.cfg.At(reason, hint, "iscsi", "listen")
		}
		c.listen[addr] = l
	}
	return nil
}

func samePort(a, b string) bool {
	_, p, err := net.SplitHostPort(a)
	_, q, berr := net.SplitHostPort(b)
	return err == nil && berr == nil && p == q
}

// apply puts a change in force. It runs on the loop.
func (d *Daemon) apply(c *change) {
	if d.stopping {
		c.discard()
		return
	}
	d.clearAlarm("config")
	d.libs.await(nil)
	d.libs.checks++
	d.noteLibrary(c.missing)
	if c.diff.Library {
		d.useCache(c)
		d.runLibrary(c.library)
	}
	if c.diff.Daemon {
		d.log.Warn("state, socket and log of the configuration change with a restart only")
	}
	d.applyListeners(c)
	d.hold("listeners")
	d.cfg = c.cfg
	replaced := d.applyDrives(c)
	d.hold("drives")
	d.setTargets()
	for _, l := range c.listen { // not before the rules of who may come in by it
		d.serve(l)
	}
	d.hold("targets")
	d.noteWarnings()
	d.usb.want(d.wantedGadgets())
	for _, dr := range replaced {
		dr.close()
		d.retire(dr)
	}
	d.save()
	d.log.Info("configuration is in force", "file", c.cfg.Path, "changed", !c.diff.Empty())
}

func (d *Daemon) applyListeners(c *change) {
	if !c.diff.Listen || d.passed {
		return
	}
	for addr, l := range d.listeners {
		if !slices.Contains(c.cfg.ISCSI.Listen, addr) {
			l.Close()
			delete(d.listeners, addr)
		}
	}
	maps.Copy(d.listeners, c.listen)
	d.accepts.Store(int32(len(d.listeners)))
}

// applyDrives makes the drives those of the configuration, and returns those
// that are no longer in service. A drive of which nothing changed that [rebuilt] asks
// for keeps its sessions.
func (d *Daemon) applyDrives(c *change) (gone []*drive) {
	old := d.drives
	d.drives = nil
	for _, cfg := range c.cfg.Drives {
		o, opened := c.discs[cfg.Name]
		i := slices.IndexFunc(old, func(dr *drive) bool { return dr.cfg.Name == cfg.Name })
		if i < 0 {
			d.addDrive(cfg, &driveState{Configured: cfg.Disc, Disc: cfg.Disc}, o)
			continue
		}
		dr := old[i]
		if rebuilt(dr.cfg, cfg) {
			gone = append(gone, dr)
			d.rebuildDrive(dr, cfg, o, opened)
			continue
		}
		d.drives = append(d.drives, dr)
		renamed := dr.cfg.Target != cfg.Target
		changed, paced := !slices.Equal(dr.cfg.Discs, cfg.Discs), paceOf(&dr.cfg) != paceOf(&cfg)
		dr.cfg = cfg
		if changed {
			d.newSlots(dr)
		}
		if paced {
			dr.setPace(paceOf(&cfg))
		}
		if renamed {
			dr.newTarget()
		}
		switch {
		case dr.state.Configured != cfg.Disc:
			d.configured(dr, o, cfg.OnReload == config.Force)
		case dr.failed:
			d.retry(dr)
		}
	}
	for _, dr := range old {
		if c.cfg.Drive(dr.cfg.Name) == nil {
			gone = append(gone, dr)
			delete(d.state.Drives, dr.cfg.Name)
			d.clearAlarm(dr.cfg.Name)
			d.clearAlarm(slotsAlarm(dr))
		}
	}
	return gone
}

// rebuilt reports whether a drive must be made anew: what changed is fixed
// when it is made.
func rebuilt(old, new config.Drive) bool {
	if !reflect.DeepEqual(driveOptions(old), driveOptions(new)) || len(old.Discs) != len(new.Discs) {
		return true
	}
	return old.Eject != new.Eject || old.UAOnReturn != new.UAOnReturn || old.Medium != new.Medium
}

// addDrive makes a new drive, with its disc already opened.
func (d *Daemon) addDrive(cfg config.Drive, st *driveState, o opened) *drive {
	d.state.Drives[cfg.Name] = st
	dr := d.newDrive(cfg, st)
	d.drives = append(d.drives, dr)
	if o.disc != nil {
		if err := d.place(dr, dr.begin(), o, false); err != nil {
			d.log.Error("insert", "drive", cfg.Name, "error", err)
		}
	}
	return dr
}

// rebuildDrive makes a drive anew of a changed configuration: as after a
// restart, with what lay in it unless the disc changed too.
func (d *Daemon) rebuildDrive(was *drive, cfg config.Drive, o opened, changed bool) {
	st := *was.state
	st.UnitPorts, st.DrivePorts = was.unit.Ports(), was.emu.Ports()
	if changed || st.Configured != cfg.Disc || st.Pending {
		st.Disc, st.Open = cfg.Disc, false
	}
	st.Configured, st.Pending = cfg.Disc, false
	d.clearAlarm(slotsAlarm(was))
	dr := d.addDrive(cfg, &st, o)
	if o.disc == nil && st.Disc != "" {
		d.retry(dr)
	}
}

// retry opens the disc that a drive should hold and does not, beside the loop.
func (d *Daemon) retry(dr *drive) {
	act, cfg, name := dr.begin(), dr.cfg, dr.state.Disc
	d.work(func() {
		o, err := d.open(cfg, name)
		if errors.Is(err, isostore.ErrPacked) {
			d.library.Load().UnpackLater(name) // also where it failed before
		}
		if !d.loop.post(func() {
			if err == nil {
				err = d.restore(context.Background(), dr, act, o, name)
			}
			if err != nil && dr.retired == nil { // else it is another drive's by now
				d.missing(dr, name, fmt.Errorf("%w", err))
			}
		}) && err == nil {
			o.disc.Close()
		}
	})
}
