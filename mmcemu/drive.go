// Package mmcemu is an emulated optical drive: a logical unit that answers the
// commands of MMC-6 from a disc model, and a tray that people and programs open
// and close.
//
// It knows no transport and no image format. Commands, mode pages and features
// stand in tables beside their handlers; what commands share is done by the
// dispatcher (command.go); the tray and what hosts are told about it is one
// small state machine under one mutex (tray.go, nexus.go).
package mmcemu

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
)

// Options make a drive. The zero value is a drive that works.
type Options struct {
	Vendor   string // INQUIRY, 8 characters at most
	Product  string // 16 characters at most
	Revision string // 4 characters at most
	Serial   string // at least 12 characters of 0-9 and A-Z
	NAA      uint64 // designator, a locally assigned 3xxxxxxxxxxxxxxxh; 0 makes one of Serial

	Personality Personality // what it says of its kind
	// Slots make it a changer. There are MaxSlots at most; SetSlots changes what
	// lies in them.
	Slots []Slot

	// BlockLength is that of READ and READ CAPACITY after a reset, in bytes: 2048,
	// also when it is 0, or 512 for hosts that expect a CD to be a disk. A host may
	// switch it by MODE SELECT. Any other is taken for 2048.
	BlockLength int

	// Host is the kind of host that media changes are shown to, one of [Hosts];
	// by default, and for any other, one that suits them all.
	Host string
	// SwapHold is how long at most a swap leaves the drive empty for hosts to
	// notice that the old medium went: 0 is what suits Host, negative is none.
	SwapHold time.Duration
	// LoadTime is how long a disc takes to become ready in a closed tray.
	LoadTime time.Duration
	// RemoveOnEject makes a host's eject take the disc out for good, so that a
	// host's load does not bring it back.
	RemoveOnEject bool

	// Audio is given what is played, when its time has come: a frame, which is
	// 2352 bytes of 44.1 kHz stereo, signed 16 bits little endian, left first,
	// its own to keep; or nil for one that storage did not give within a second,
	// which is left out. Nothing comes while nothing plays; channels that mode
	// page 0Eh mutes are zeros. One goroutine of the drive calls it and is there
	// only while something is to be heard; it must not block, since later frames
	// would come late. Without Audio nothing is read to play: a play then does
	// not find out that storage fails.
	Audio func(pcm []byte) `json:"-"`

	Log *slog.Logger `json:"-"`
	// OnEvent is told what happens in the drive. It is called without the
	// drive's mutex, from whatever goroutine made it happen, and should return
	// soon: it may hold up the command that it tells about. Two events that
	// happen at once may come in either order: Status says what is.
	OnEvent func(Event) `json:"-"`
	// Ports are what [Drive.Ports] returned before a restart.
	Ports []PortRecord
}

// A Drive is an emulated optical drive with a tray. All methods may be called
// concurrently.
type Drive struct {
	o        Options
	log      *slog.Logger
	commands *commandTable
	features []feature
	life     context.Context // ends with Close
	end      context.CancelFunc
	cur      atomic.Pointer[medium] // the medium while the drive is ready, else nil
	block    atomic.Uint32          // block length: see blockLength

	mu        sync.Mutex
	closed    bool
	open      bool          // the tray
	disc      *medium       // in the closed drive or on the open tray; nil for none
	seq       sequence      // how changes are shown
	loadTime  time.Duration // of the next load
	loading   *time.Timer   // runs while disc becomes ready
	loadTotal time.Duration // that loading takes
	readyAt   time.Time     // when loading ends
	removedAt time.Time     // when the last medium stopped being ready
	ejectedBy *scsi.Nexus   // whose eject left the disc on the open tray
	change    *change       // an operator's insert that is not complete
	requested bool          // an operator waits for hosts to eject
	slots     []slot        // of a changer
	slot      int           // whose disc was last in the drive
	slotLoad  *slotLoad     // a host's load that goes on behind its command
	acts      int           // counts what took the medium away, and what would have
	serial    int           // of the last medium, to name those without an ID
	nexuses   map[*scsi.Nexus]*nexus
	ports     []PortRecord // of nexuses lost, oldest first
	pages     [][]byte     // current values, beside modePages
	speed     int          // read speed that a host set for the disc, in kB/s; 0 is the fastest
	region    region       // of DVD-Video, that a host set
	player    player

	events  []Event   // to tell when mu is released
	garbage []*medium // to release when mu is released
}

var (
	_ scsi.LogicalUnit  = (*Drive)(nil)
	_ scsi.Concurrent   = (*Drive)(nil)
	_ scsi.NexusWatcher = (*Drive)(nil)
	_ scsi.Resetter     = (*Drive)(nil)
)

// ErrClosed is returned by a drive that was closed.
var ErrClosed = errors.New("drive is closed")

// New returns an empty drive with its tray closed.
func New(o Options) *Drive {
	setDefault(&o.Vendor, "SPINDLE")
	setDefault(&o.Product, "VIRTUAL CD/DVD")
	setDefault(&o.Revision, "1.0")
	setDefault(&o.Serial, "000000000000")
	if o.NAA == 0 {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %s", o.Vendor, o.Serial)
		o.NAA = h.Sum64()&(1<<60-1) | 3<<60
	}
	o.Slots = o.Slots[:min(len(o.Slots), MaxSlots)]
	if !blockLengthOK(o.BlockLength) {
		o.BlockLength = disc.BlockSize
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Drive{o: o, log: o.Log, commands: newCommandTable(), nexuses: make(map[*scsi.Nexus]*nexus)}
	d.features = featuresFor(len(o.Slots))
	d.life, d.end = context.WithCancel(context.Background())
	for _, s := range o.Slots {
		d.slots = append(d.slots, slot{Slot: s})
	}
	d.o.Personality.Speeds = o.Personality.Speeds.orPlain()
	d.pages = defaultPages()
	d.player.sound = newSound(o.Audio)
	d.setBlockLength(uint32(o.BlockLength))
	d.setPace(Pace{o.Host, o.SwapHold, o.LoadTime})
	for _, r := range o.Ports {
		d.remember(r)
	}
	return d
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// Close takes the disc out and ends the drive. Reads that run finish on the
// disc; later commands find no medium.
func (d *Drive) Close() error {
	d.mu.Lock()
	defer d.unlock()
	if !d.closed {
		d.closed = true
		d.end()
		d.abandonChange(ErrClosed)
		d.takeOut()
		d.player.sound.end()
	}
	return nil
}

// unlock releases the mutex and does what must not be done under it: telling
// events, closing discs.
func (d *Drive) unlock() {
	events, garbage := d.events, d.garbage
	d.events, d.garbage = nil, nil
	d.mu.Unlock()
	for _, m := range garbage {
		m.release()
	}
	for _, e := range events {
		d.tell(e)
	}
}

// emit queues an event until unlock.
func (d *Drive) emit(e Event) { d.events = append(d.events, e) }

// tell reports an event; the mutex is not held.
func (d *Drive) tell(e Event) {
	d.log.Debug("drive event", "event", e.Kind, "medium", e.Medium, "nexus", e.Nexus, "err", e.Err)
	if d.o.OnEvent != nil {
		d.o.OnEvent(e)
	}
}

// An EventKind is what happened.
type EventKind string

// Kinds of events.
const (
	EventReady    EventKind = "ready"       // a medium became ready
	EventEjected  EventKind = "ejected"     // an operator took the medium out
	EventHostOut  EventKind = "host-eject"  // a host ejected the medium
	EventHostIn   EventKind = "host-load"   // a host closed the tray over the disc on it
	EventSlotIn   EventKind = "slot-load"   // a host has the disc of a slot loaded
	EventSlotOut  EventKind = "slot-unload" // a host put the disc back into its slot, or its load failed
	EventHeld     EventKind = "held"        // a host began to prevent removal
	EventReleased EventKind = "released"    // the last host that prevented removal lets go
	EventAlarm    EventKind = "alarm"       // a medium could not be read; once for each medium
)

// An Event is something that happened in the drive.
type Event struct {
	Kind     EventKind
	Medium   string // name of the medium that it concerns, if any
	MediumID string
	Nexus    string // initiator that did it, if one did
	Removed  bool   // EventHostOut: the disc went for good
	Slot     int    // EventSlotIn, EventSlotOut: number of the slot
	Err      error  // EventAlarm
}

// Status is what a drive is, at one moment.
type Status struct {
	State    string // "ready", "changing", "open" or "empty"
	Medium   string // name of the medium, also when it lies on the open tray
	MediumID string
	Next     string // name of the medium that is about to be inserted
	NextID   string
	Kind     string // CD, DVD or BD
	Blocks   int64  // of 2048 bytes
	Holders  []Holder
	Nexuses  []NexusStatus // the oldest first
	Audio    Audio
	Slots    []SlotStatus // of a changer
	Slot     int          // number of the slot whose disc is, or was last, in the drive
	InSlot   bool         // Medium is of that slot
}

// A NexusStatus is a host that is connected to the drive.
type NexusStatus struct {
	Initiator string
	Address   string
	Since     time.Time
}

// Status returns what the drive is now.
func (d *Drive) Status() Status {
	d.mu.Lock()
	defer d.unlock()
	s := Status{State: d.state(), Holders: d.holders(), Audio: d.audio(), Slots: d.slotStatus(), Slot: d.slot}
	if m := d.disc; m != nil {
		s.Medium, s.MediumID, s.InSlot = m.name, m.id, m.slot >= 0
		s.Kind, s.Blocks = m.layout.Kind.String(), int64(m.blocks())
	}
	if d.change != nil {
		s.Next, s.NextID = d.change.m.name, d.change.m.id
	}
	for n := range d.nexuses {
		s.Nexuses = append(s.Nexuses, NexusStatus{n.Initiator, n.Address, n.Since})
	}
	slices.SortFunc(s.Nexuses, func(a, b NexusStatus) int { return a.Since.Compare(b.Since) })
	return s
}

func (d *Drive) state() string {
	switch {
	case d.cur.Load() != nil:
		return "ready"
	case d.change != nil || d.loading != nil || d.slotLoad != nil:
		return "changing"
	case d.open:
		return "open"
	}
	return "empty"
}
