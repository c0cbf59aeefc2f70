package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"spindle/gadget"
	"spindle/gadget/massstorage"
	"spindle/internal/api/client"
)

// A follower is a carrier that answers for its drives by itself: what lies in
// the tray has to be handed to it.
type follower interface {
	insert(lun int, path string, force bool) error
	eject(lun int, force bool) error
	path(lun int) string // of the image that it has; empty for none
}

// kernel is a gadget of the kernel's own mass storage function.
type kernel struct{ g *massstorage.Gadget }

func (d *Daemon) openKernel(w *wanted) (carrier, error) {
	c := &w.cfg
	for i, path := range w.images {
		if path == "" {
			continue
		}
		if _, err := massstorage.Check(path); err != nil {
			return nil, fmt.Errorf("drive %s: %w (hint: leave mode out: our drive has no such limits)", w.drives[i], err)
		}
	}
	g, err := massstorage.Open(gadget.Options{
		Name: c.Name, UDC: c.UDC, VendorID: c.VendorID, ProductID: c.ProductID,
		Manufacturer: c.Manufacturer, Product: c.Product, Serial: d.usbSerial(c), Configuration: "Bulk-Only Transport",
		MaxPower: uint16(c.MaxPower), SelfPowered: c.SelfPowered, RunDir: d.runDir, Log: d.log.With("gadget", c.Name),
	}, len(w.units))
	if err != nil {
		return nil, hinted(err)
	}
	k := kernel{g}
	for lun, path := range w.images {
		if path == "" {
			continue
		}
		if err := k.insert(lun, path, false); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	for _, l := range massstorage.Limits() {
		d.log.Warn("limit of the kernel's drive", "gadget", c.Name, "limit", l)
	}
	return k, nil
}

// Serve implements carrier: the kernel does.
func (k kernel) Serve(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close implements carrier.
func (k kernel) Close() error { return k.g.Close() }

// Status implements carrier.
func (k kernel) Status() client.Gadget {
	s := k.g.Status(0)
	return client.Gadget{UDC: s.UDC, State: s.State, Speed: s.Speed, Limits: s.Limits}
}

func (k kernel) insert(lun int, path string, force bool) error {
	return kernelError(k.g.Drive(lun).Insert(context.Background(), path, force))
}

func (k kernel) eject(lun int, force bool) error {
	return kernelError(k.g.Drive(lun).Eject(context.Background(), force))
}

func (k kernel) path(lun int) string { return k.g.Drive(lun).Path() }

// kernelError makes an error of the kernel's drive one that the API answers with.
func kernelError(err error) error {
	switch {
	case errors.Is(err, massstorage.ErrHeld):
		return &client.Error{
			Status: http.StatusConflict, Message: err.Error(), Hint: "unmount the disc there and try again, or use --force",
			Holders: []client.Holder{{Initiator: "the USB host"}},
		}
	case errors.Is(err, massstorage.ErrImage):
		return &client.Error{Status: http.StatusUnprocessableEntity, Message: err.Error(), Hint: `take mode = "kernel" out of the gadget: our drive has no such limits`}
	}
	return err
}

// follow does f with the follower that carries a drive, if one does.
func (u *usb) follow(drive string, f func(k follower, lun int) error) error {
	return u.followIn(u.all(), drive, f)
}

// followIn is follow with one of some gadgets.
func (u *usb) followIn(list []*running, drive string, f func(k follower, lun int) error) error {
	for _, r := range list {
		k, ok := r.carrier.(follower)
		if !ok {
			continue
		}
		for lun, name := range r.drives {
			if name == drive {
				return f(k, lun)
			}
		}
	}
	return nil
}

// gadgetReady hands a gadget that was composed anew what came into its drives
// meanwhile. It is called on the goroutine of usb.
func (d *Daemon) gadgetReady(r *running) {
	d.loop.post(func() {
		r.handed = true
		for i, name := range r.drives {
			dr := d.drive(name)
			if dr == nil || dr.unit != r.units[i] || dr.path == r.images[i] {
				continue
			}
			err := d.usb.follow(name, func(k follower, lun int) error {
				if dr.path == "" {
					return k.eject(lun, true)
				}
				return k.insert(lun, dr.path, true)
			})
			if err != nil {
				d.alarm(name, "the kernel's drive does not have the disc: "+err.Error())
			}
		}
	})
}

// followEvery is how often the trays of followers are looked at: they tell
// nothing by themselves.
const followEvery = 2 * time.Second

// followHosts notes what hosts did to trays of followers: an eject, which takes
// the disc out for good, and a tray let go, which a pending change waits for.
func (d *Daemon) followHosts() {
	if time.Since(d.followed) < followEvery {
		return
	}
	d.followed = time.Now()
	// One that was composed anew has yet to get what came meanwhile: its tray is
	// empty, and no host has to do with it.
	handed := slices.DeleteFunc(d.usb.all(), func(r *running) bool { return !r.handed })
	for _, dr := range d.drives {
		_ = d.usb.followIn(handed, dr.cfg.Name, func(k follower, lun int) error {
			if dr.path != "" && k.path(lun) == "" {
				d.log.Info("host-eject", "drive", dr.cfg.Name, "image", dr.path)
				d.hostTook(dr)
			}
			d.tryRequest(dr)
			d.tryPending(dr)
			return nil
		})
	}
}

// hostTook takes out of our drive what a host ejected from the follower's.
func (d *Daemon) hostTook(dr *drive) {
	if err := dr.eject(true); err != nil {
		d.log.Error("eject", "drive", dr.cfg.Name, "error", err)
	}
	dr.path, dr.odd, dr.state.Disc, dr.state.Open = "", nil, "", false
	d.save()
}
