// Package daemon makes a service of the parts: it builds the drives that the
// configuration names, changes media, keeps state across restarts, and starts
// and stops the front ends and the API.
//
// One goroutine, the loop, owns the daemon's state (loop.go). Everything that
// may wait, for storage, a host or the network, is done elsewhere and posted to
// it.
package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/isostore"
	"spindle/target/gotgt"
	"spindle/target/iscsi"
)

// Options make a daemon.
type Options struct {
	// Load returns the configuration, at start and at each reload. When its
	// Path is set the file is watched.
	Load    func() (*config.Config, error)
	Log     *slog.Logger // nil discards
	Version string
	// StopTime is how long initiators have to log out; 5 s when zero.
	StopTime time.Duration

	hold func(stage string) // tests wait here; nil does not
	hung time.Duration      // how long a stop waits for storage; 5 s when zero
}

// A Daemon serves drives from Start to the end of Run.
type Daemon struct {
	o        Options
	log      *slog.Logger
	started  time.Time
	loop     *loop
	saver    *saver
	server   *iscsi.Server
	gotgt    *gotgt.Engine // serves in place of server; nil without
	id       identity
	lock     *os.File
	library  atomic.Pointer[isostore.Library]
	index    *isostore.Index // of what is known of images
	stateDir string          // of the start
	cache    *isostore.Cache // of packed images; nil where there is none. The loop's
	libs     libraries
	news     news
	reloads  chan chan<- error // wishes to read the configuration, each with who waits for what comes of it, or nil
	workers  sync.WaitGroup    // that open images
	serving  sync.WaitGroup    // listeners and helpers
	systemd  notifier
	api      *apiServer
	watcher  *fsnotify.Watcher // of the configuration; nil without
	usb      *usb
	runDir   string       // for file systems that gadgets need mounted
	followed time.Time    // when followHosts looked; the loop's
	passed   bool         // systemd passed the iSCSI listeners
	accepts  atomic.Int32 // listeners that accept

	// Owned by the loop.
	cfg       *config.Config
	drives    []*drive // by name
	state     *state
	alarms    map[string]client.Alarm
	listeners map[string]*listener // by configured address
	warned    []string             // what the log has of warnings
	touched   bool
	dirty     bool // the state is to be saved
	stopping  bool
	told      string    // summary that systemd has
	saved     time.Time // when the state was last handed to the saver
	unsaved   bool      // the last attempt failed

	sessionsNew atomic.Bool // sessions came or went; a save for it is on its way
}

// Start builds a daemon that serves from now on; Run it to the end. An error
// means that nothing is left running.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.StopTime = cmp.Or(o.StopTime, 5*time.Second)
	o.hung = cmp.Or(o.hung, 5*time.Second)
	started := time.Now()
	cfg, err := o.readConfig()
	if err != nil {
		return nil, err
	}
	d := &Daemon{
		o: o, log: o.Log, started: started, loop: newLoop(), cfg: cfg,
		server:  iscsi.NewServer(iscsi.Options{Log: o.Log}),
		reloads: make(chan chan<- error, 1), alarms: map[string]client.Alarm{}, listeners: map[string]*listener{},
	}
	if err := d.prepare(ctx); err != nil {
		d.abandon()
		return nil, err
	}
	return d, nil
}

// prepare does what can fail, and leaves no goroutine behind when it does.
func (d *Daemon) prepare(ctx context.Context) error {
	var err error
	if d.lock, err = lock(d.cfg.Daemon.State); err != nil {
		return err
	}
	d.stateDir = d.cfg.Daemon.State
	d.saver = newSaver(d.stateDir, d.onSaved)
	if d.index, err = isostore.OpenIndex(d.cfg.Daemon.State); err != nil {
		d.log.Warn("library", "error", err)
		d.alarm("index", err.Error())
	}
	d.openCache()
	lib, err := d.newLibrary(d.cfg, d.cache)
	if err != nil {
		return err
	}
	d.library.Store(lib)
	d.noteLibrary(errors.Join(lib.Check()...))
	if err := d.listen(); err != nil {
		return err
	}
	if d.id, err = loadIdentity(d.cfg.Daemon.State); err != nil {
		d.log.Error("identity", "error", err)
		d.alarm("identity", err.Error())
	}
	if d.state, err = loadState(d.cfg.Daemon.State); err != nil {
		d.log.Error("state", "error", err)
		d.alarm("state-file", err.Error()) // not "state", which the next save clears
	}
	d.startWatch(d.cfg.Path, d.started)
	d.fill(ctx)
	if err := d.startGotgt(); err != nil {
		return err
	}
	d.noteWarnings()
	d.runDir = filepath.Dir(d.cfg.Daemon.Socket)
	d.usb = newUSB(d.openCarrier, d.gadgetAlarm, d.log)
	d.usb.ready = d.gadgetReady
	return d.usb.start(d.wantedGadgets())
}

// noteLibrary says which image directories cannot be read, if any.
func (d *Daemon) noteLibrary(err error) {
	if err == nil {
		d.clearAlarm("library")
		return
	}
	if d.alarms["library"].Text != err.Error() {
		d.log.Warn("library", "error", err)
	}
	d.alarm("library", err.Error())
}

// fill makes the drives with what should lie in them.
func (d *Daemon) fill(ctx context.Context) {
	known := d.state.Drives
	d.state.Drives = map[string]*driveState{}
	for _, c := range d.cfg.Drives {
		st := known[c.Name]
		act := st == nil || st.Configured != c.Disc
		switch {
		case st == nil:
			st = &driveState{Disc: c.Disc}
		case act || st.Pending:
			st.Disc, st.Open = c.Disc, false
		}
		st.Configured, st.Pending = c.Disc, false
		d.state.Drives[c.Name] = st
		dr := d.newDrive(c, st)
		d.drives = append(d.drives, dr)
		d.load(ctx, dr)
	}
	d.setTargets()
	d.flush()
}

// load inserts the disc that the state has for a new drive. When there is no
// such image the tray stays empty, and status says so.
func (d *Daemon) load(ctx context.Context, dr *drive) {
	name := dr.state.Disc
	if name == "" {
		return
	}
	o, err := d.open(dr.cfg, name)
	if err != nil {
		d.missing(dr, name, err)
		return
	}
	if err := d.restore(ctx, dr, dr.begin(), o, name); err != nil {
		d.missing(dr, name, err)
	}
}

// restore puts the disc of that name where it lay before: into the drive, or on
// its open tray when a host had ejected it.
func (d *Daemon) restore(ctx context.Context, dr *drive, act uint64, o opened, name string) error {
	open := dr.state.Open
	if err := d.place(dr, act, o, false); err != nil {
		return err
	}
	dr.state.Disc = name // as it was asked for: a path stays one
	if open {
		if err := dr.reopen(ctx); err != nil {
			d.log.Warn("tray does not open again", "drive", dr.cfg.Name, "error", err)
		}
		dr.state.Open = true
	}
	return nil
}

func (d *Daemon) missing(dr *drive, name string, err error) {
	if errors.Is(err, isostore.ErrPacked) { // followLibrary has it unpacked
		dr.failed = true
		d.log.Info("the drive stays empty until its image is unpacked", "drive", dr.cfg.Name, "image", name)
		d.alarm(dr.cfg.Name, "the drive is empty until "+name+" is unpacked")
		return
	}
	if name == dr.cfg.Disc {
		err = d.discError(d.cfg, dr.cfg, err)
	}
	dr.failed = true
	d.log.Error("the drive stays empty", "drive", dr.cfg.Name, "error", err)
	d.alarm(dr.cfg.Name, "the drive is empty: "+err.Error())
}

// discError says where the configuration names a disc that cannot be opened.
func (d *Daemon) discError(c *config.Config, dr config.Drive, err error) error {
	if c.Path == "" {
		return err
	}
	reason, hint := splitHint(err.Error())
	key := "disc"
	if slices.Contains(dr.Discs, dr.Disc) {
		key = "discs"
	}
	return c.At(reason, hint, "drive", dr.Name, key)
}

// drive returns the drive of that name, or nil.
func (d *Daemon) drive(name string) *drive {
	for _, dr := range d.drives {
		if dr.cfg.Name == name {
			return dr
		}
	}
	return nil
}

// work runs f beside the loop, unless the daemon stops.
func (d *Daemon) work(f func()) {
	if !d.stopping {
		d.workers.Go(f)
	}
}

// touch makes the end of this turn tell that the status changed.
func (d *Daemon) touch() { d.touched = true }

// save has the state saved at the end of this turn, once for all that changed
// in it, and returns the version that it will be.
func (d *Daemon) save() int {
	d.dirty = true
	d.touch()
	return d.saver.latest() + 1
}

// flush hands the state to the saver.
func (d *Daemon) flush() {
	d.dirty = false
	for _, dr := range d.drives {
		dr.state.UnitPorts, dr.state.DrivePorts = dr.unit.Ports(), dr.emu.Ports()
	}
	d.saved = time.Now()
	b, err := json.MarshalIndent(d.state, "", "\t")
	if err != nil { // cannot be: strings, numbers and times
		d.log.Error("state", "error", err)
		return
	}
	d.saver.save(append(b, '\n'))
}

// onSaved is told how saving went, on the saver's goroutine.
func (d *Daemon) onSaved(err error) {
	d.loop.post(func() {
		if d.unsaved = err != nil; !d.unsaved {
			d.clearAlarm("state")
			return
		}
		d.log.Error("state is not saved", "error", err)
		d.alarm("state", "state is not saved, a restart forgets changes: "+err.Error())
	})
}

// sessionsChanged has it saved who is here: at once, but in a storm of logins a
// few times a second, for each save is a file. Any goroutine may call it.
func (d *Daemon) sessionsChanged() {
	if !d.sessionsNew.Swap(true) {
		d.loop.post(d.saveSessions)
	}
}

func (d *Daemon) saveSessions() {
	if wait := sessionsSave - time.Since(d.saved); wait > 0 {
		time.AfterFunc(wait, func() { d.loop.post(d.saveSessions) })
		return
	}
	d.sessionsNew.Store(false) // before flush looks who is here
	d.save()
}

// Intervals of saving.
const (
	retrySave    = 5 * time.Second        // after one that failed
	portsSave    = 60 * time.Second       // of the time when initiators were last here
	sessionsSave = 250 * time.Millisecond // between two for sessions that came and went
)

// turned ends a turn of the loop.
func (d *Daemon) turned() {
	since := time.Since(d.saved)
	if d.unsaved && since > retrySave || since > portsSave && d.server.SessionCount() > 0 {
		d.save()
	}
	if d.dirty {
		d.flush()
	}
	d.noteStuck()
	d.followHosts()
	d.followLibrary()
	// A session ends a little after its drive is told: so look each time.
	if s := d.summary(); s != d.told {
		d.told = s
		d.systemd.status(s)
		d.touch()
	}
	if d.touched {
		d.touched = false
		d.news.tell()
	}
}

// Status returns what the daemon is doing.
func (d *Daemon) Status(ctx context.Context) (client.Status, error) { return service{d}.Status(ctx) }
