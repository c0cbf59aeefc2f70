package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/target"
)

// A carrier is a USB front end of some kind, composed and ready: it takes its
// logical units to one host.
type carrier interface {
	// Serve carries commands until ctx is done, when it returns nil.
	Serve(ctx context.Context) error
	// Close takes the device away; nothing is left of it.
	Close() error
	// Status says where the device is and who has it.
	Status() client.Gadget
}

// A wanted is a gadget as it should be.
type wanted struct {
	cfg    config.Gadget
	drives []string // names, in the order of units
	units  []*target.Unit
	images []string // paths of what lies in them, for carriers that follow it
}

func (w *wanted) equal(o *wanted) bool {
	return w.cfg == o.cfg && slices.Equal(w.units, o.units)
}

// A running is a gadget that is there.
type running struct {
	wanted
	carrier carrier
	stop    context.CancelFunc // nil before it is served
	ended   chan struct{}
	handed  bool // what lies in its drives is what was put into them; the loop's, before run
}

// usb brings the gadgets that are wanted about. Composing one waits for the
// kernel, so it has a goroutine of its own; who wants others meanwhile is heard
// after it, the latest only.
type usb struct {
	open  func(*wanted) (carrier, error)
	alarm func(gadget string, err error) // nil clears
	ready func(*running)                 // told of a gadget composed anew; may be nil
	log   *slog.Logger
	next  chan []wanted // of capacity 1

	mu   sync.Mutex
	have map[string]*running
}

func newUSB(open func(*wanted) (carrier, error), alarm func(string, error), log *slog.Logger) *usb {
	return &usb{open: open, alarm: alarm, log: log, next: make(chan []wanted, 1), have: map[string]*running{}}
}

// start composes the gadgets of the start: all, or none and an error.
func (u *usb) start(list []wanted) error {
	for i := range list {
		c, err := u.open(&list[i])
		if err != nil {
			u.closeAll()
			return fmt.Errorf("gadget %s: %w", list[i].cfg.Name, err)
		}
		u.add(&running{wanted: list[i], carrier: c, handed: true})
	}
	return nil
}

// want replaces what is wanted. Only one goroutine may call it.
func (u *usb) want(list []wanted) {
	select {
	case <-u.next:
	default:
	}
	u.next <- list
}

// run serves until ctx is done, then takes all gadgets away.
func (u *usb) run(ctx context.Context) {
	for _, r := range u.all() {
		u.serve(ctx, r)
	}
	for {
		select {
		case <-ctx.Done():
			for _, r := range u.all() {
				u.end(r)
			}
			return
		case list := <-u.next:
			u.reconcile(ctx, list)
		}
	}
}

func (u *usb) reconcile(ctx context.Context, list []wanted) {
	keep := map[string]bool{}
	for i := range list {
		if r := u.get(list[i].cfg.Name); r != nil && r.equal(&list[i]) && !r.over() {
			keep[r.cfg.Name] = true
		}
	}
	for _, r := range u.all() {
		if !keep[r.cfg.Name] {
			u.end(r)
			u.alarm(r.cfg.Name, nil)
		}
	}
	for i := range list {
		w := &list[i]
		if keep[w.cfg.Name] {
			continue
		}
		c, err := u.open(w)
		u.alarm(w.cfg.Name, err)
		if err != nil {
			u.log.Error("gadget", "gadget", w.cfg.Name, "error", err)
			continue
		}
		r := &running{wanted: *w, carrier: c}
		u.add(r)
		u.serve(ctx, r)
		if u.ready != nil {
			u.ready(r)
		}
	}
}

// over reports whether the gadget ended by itself.
func (r *running) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func (u *usb) serve(ctx context.Context, r *running) {
	ctx, r.stop = context.WithCancel(ctx)
	r.ended = make(chan struct{})
	u.log.Info("gadget", "gadget", r.cfg.Name, "drives", r.drives)
	go func() {
		defer close(r.ended)
		if err := r.carrier.Serve(ctx); err != nil && ctx.Err() == nil {
			u.log.Error("gadget ended", "gadget", r.cfg.Name, "error", err)
			u.alarm(r.cfg.Name, fmt.Errorf("it ended: %w", err))
		}
	}()
}

// end takes a gadget away. From the first on nobody hands it a disc.
func (u *usb) end(r *running) {
	u.mu.Lock()
	delete(u.have, r.cfg.Name)
	u.mu.Unlock()
	if r.stop != nil {
		r.stop()
		<-r.ended
	}
	if err := r.carrier.Close(); err != nil {
		u.log.Error("gadget is not taken away whole", "gadget", r.cfg.Name, "error", err)
	}
}

// closeAll undoes a start that failed.
func (u *usb) closeAll() {
	for _, r := range u.all() {
		u.end(r)
	}
}

func (u *usb) add(r *running) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.have[r.cfg.Name] = r
}

func (u *usb) get(name string) *running {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.have[name]
}

func (u *usb) all() []*running {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []*running
	for _, name := range slices.Sorted(maps.Keys(u.have)) {
		list = append(list, u.have[name])
	}
	return list
}

func (u *usb) status() []client.Gadget {
	list := []client.Gadget{}
	for _, r := range u.all() {
		s := r.carrier.Status()
		s.Name, s.Mode, s.Drives = r.cfg.Name, r.cfg.Mode, r.drives
		list = append(list, s)
	}
	return list
}

// wantedGadgets is what the configuration in force asks for. It runs on the
// loop, as what follows.
func (d *Daemon) wantedGadgets() []wanted {
	var list []wanted
	for _, g := range d.cfg.Gadgets {
		w := wanted{cfg: g}
		for _, dr := range d.drives {
			if dr.cfg.Gadget == g.Name {
				w.drives = append(w.drives, dr.cfg.Name)
				w.units = append(w.units, dr.unit)
				w.images = append(w.images, dr.path)
			}
		}
		list = append(list, w)
	}
	return list
}

// gadgetAlarm is told by usb how a gadget fares.
func (d *Daemon) gadgetAlarm(name string, err error) {
	d.loop.post(func() {
		if err == nil {
			d.clearAlarm("gadget " + name)
			return
		}
		d.alarm("gadget "+name, err.Error())
	})
}
