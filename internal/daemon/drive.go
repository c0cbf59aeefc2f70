package daemon

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"spindle/config"
	"spindle/isostore"
	"spindle/isostore/disc"
	"spindle/mmcemu"
	"spindle/scsi"
	"spindle/scsi/filter"
	"spindle/target"
)

// A drive is one drive of the configuration. The daemon's loop owns it; emu
// and unit never change and are safe for all.
type drive struct {
	cfg    config.Drive
	emu    *mmcemu.Drive
	rec    *filter.Recorder
	unit   *target.Unit
	target *target.Target
	serial string
	state  *driveState
	inbox  inbox

	begun   uint64    // number of the last act that began
	applied uint64    // number of the act that the tray shows
	pending *pending  // an act by configuration that waits
	request *attempt  // an act by a verb that waits
	retired error     // why it is in service no more; nil while it is
	path    string    // of the image in the tray; empty for none
	failed  bool      // state.Disc could not be opened
	tried   string    // what the library said of state.Disc when that was last tried again
	odd     []string  // what is odd about the image in the tray
	waiters []*waiter // for a change to end
	speaker speaker
	changer changer
}

// A pending is a change by configuration under a tray that a host holds.
type pending struct {
	disc   string // empty to eject
	since  time.Time
	trying bool // its image is being opened
}

// A waiter waits for the medium of an id to become ready.
type waiter struct {
	id   string
	done chan error // buffered
}

// An inbox holds the last event of each kind until the loop takes them. So a
// host that makes events faster than the loop follows makes no queue.
type inbox struct {
	mu     sync.Mutex
	events []mmcemu.Event
}

// add reports whether the inbox was empty.
func (b *inbox) add(e mmcemu.Event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := len(b.events) == 0
	b.events = slices.DeleteFunc(b.events, func(have mmcemu.Event) bool { return have.Kind == e.Kind })
	b.events = append(b.events, e)
	return first
}

func (b *inbox) take() []mmcemu.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.events
	b.events = nil
	return list
}

// newDrive builds a drive with an empty tray.
func (d *Daemon) newDrive(c config.Drive, st *driveState) *drive {
	log := d.log.With("drive", c.Name)
	dr := &drive{cfg: c, state: st, changer: changer{
		missing: make([]string, len(c.Discs)), loaded: make([]atomic.Pointer[opened], len(c.Discs)),
		opening: make(chan struct{}, maxOpening),
	}}
	o := driveOptions(c)
	serial, naa := d.id.of(c.Name)
	pace := paceOf(&c)
	o.Host, o.SwapHold, o.LoadTime = pace.Host, pace.SwapHold, pace.LoadTime
	o.Serial, o.NAA = cmp.Or(o.Serial, serial), naa
	dr.serial = o.Serial
	o.Slots, o.Log, o.Ports, o.Audio = d.slots(dr), log, st.DrivePorts, dr.speaker.hear
	o.OnEvent = func(e mmcemu.Event) {
		dr.note(e)
		if dr.inbox.add(e) {
			d.loop.post(func() { d.onEvents(dr) })
		}
	}
	dr.emu = mmcemu.New(o)
	rec, lu := filter.Record(watched{dr.emu, dr.emu, d.sessionsChanged})
	dr.rec = rec
	dr.unit = target.NewUnit(c.Name, filter.Trace(lu, log), target.UnitOptions{
		Log: log, UAOnReturn: c.UAOnReturn, Ports: st.UnitPorts,
	})
	dr.newTarget()
	d.checkSlots(dr)
	return dr
}

// paceOf is how the drive shows media changes: what may change while it is used.
func paceOf(c *config.Drive) mmcemu.Pace {
	p := mmcemu.Pace{Host: c.Host, SwapHold: c.SwapHold, LoadTime: c.SpinUp}
	switch c.SwapHold {
	case 0:
		p.SwapHold = -1 // none
	case config.ByHost:
		p.SwapHold = 0
	}
	return p
}

// close ends the drive, and what its listeners hear.
func (dr *drive) close() {
	dr.emu.Close()
	dr.speaker.close()
	dr.rec.Close()
}

func (dr *drive) newTarget() {
	dr.target = target.New(targetOf(&dr.cfg), map[uint16]*target.Unit{0: dr.unit})
}

// A watched is a logical unit that tells when hosts come and go.
type watched struct {
	scsi.LogicalUnit
	emu  *mmcemu.Drive
	tell func()
}

// Unwrap lets scsi.As look inside.
func (w watched) Unwrap() scsi.LogicalUnit { return w.LogicalUnit }

// NexusJoined implements scsi.NexusWatcher.
func (w watched) NexusJoined(n *scsi.Nexus) {
	w.emu.NexusJoined(n)
	w.tell()
}

// NexusLost implements scsi.NexusWatcher.
func (w watched) NexusLost(n *scsi.Nexus) {
	w.emu.NexusLost(n)
	w.tell()
}

// reopen opens the tray as a host's eject does, so that the disc lies on it:
// for a restart after one.
func (dr *drive) reopen(ctx context.Context) error {
	n := &scsi.Nexus{Initiator: "spindle", Since: time.Now()}
	dr.rec.Event(filter.Entry{Event: filter.EventReopen})
	dr.emu.NexusJoined(n)
	defer dr.emu.NexusLost(n)
	for {
		err := dr.emu.Execute(ctx, &scsi.Command{Nexus: n, CDB: scsi.CDB{0x1B, 4: 2}})
		if err == nil || !n.Pending() && !isUnitAttention(err) {
			return err
		}
	}
}

func isUnitAttention(err error) bool { return scsi.SenseOf(err).Key == 6 }

// An opened is an image that was opened to be inserted.
type opened struct {
	disc  disc.Disc
	path  string
	name  string   // what the library calls it
	asked string   // what it was asked for by
	id    string   // of the files as they are: tells media apart across a restart
	odd   []string // what is odd about it, for people
}

// drop closes what is not inserted after all, beside who calls: storage may hang.
func (o opened) drop() {
	if o.disc != nil {
		go o.disc.Close()
	}
}

// open opens an image for a drive. It may take as long as storage likes, so it
// is not for the loop. A path outside the library is for the operator only,
// who writes it into file or flag.
func (d *Daemon) open(c config.Drive, name string) (opened, error) {
	o := imageOptions(c)
	lib := d.library.Load()
	dd, info, err := lib.OpenDisc(name, o)
	if isOutside(err) && (name == c.Disc || slices.Contains(c.Discs, name)) && !lib.Verified() {
		dd, info, err = lib.OpenFile(name, o)
		info.Name = name
		if errors.Is(err, isostore.ErrPacked) {
			return opened{}, errPackedOutside(name)
		}
	}
	if err != nil {
		return opened{}, err
	}
	for _, w := range info.Warnings {
		d.log.Warn("image is odd", "image", info.Path, "warning", w)
	}
	return opened{dd, info.Path, info.Name, name, info.ID, info.Warnings}, nil
}
