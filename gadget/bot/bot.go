// Package bot is the Bulk-Only Transport of USB Mass Storage 1.0 over two
// endpoints: wrappers, the thirteen cases of host and device disagreement,
// stalls, reset recovery. It knows no operating system; its tests use pipes.
package bot

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"spindle/scsi"
	"spindle/target"
)

// Errors of [Endpoints].
var (
	// ErrAbandoned: the transfer ended because of Abandon.
	ErrAbandoned = errors.New("transfer abandoned")
	// ErrDisabled: the host left the configuration, or the bus was reset or
	// unplugged. The endpoints may work again later: Read waits for that.
	ErrDisabled = errors.New("endpoints disabled")
)

// Endpoints are the two bulk endpoints of a configured interface.
type Endpoints interface {
	// Read receives one transfer: it returns when p is full or a short packet
	// came, so 0 bytes are a zero-length packet. len(p) is a multiple of the
	// largest packet.
	Read(p []byte) (int, error)
	// Write sends p as one transfer; no zero-length packet follows it. An empty
	// p is one.
	Write(p []byte) error
	// HaltIn and HaltOut stall an endpoint until the host clears it.
	HaltIn() error
	HaltOut() error
	// Wedge stalls both endpoints until Resume: a host that clears them meets
	// the next stall.
	Wedge() error
	// MaxPacket is the size in bytes of the largest packet at this speed.
	MaxPacket() int
	// Abandon makes transfers under way, and those that begin, fail with
	// ErrAbandoned until Resume. Both may be called from any goroutine.
	Abandon()
	Resume()
}

// ChunkSize is the most that a command holds of memory at once, in bytes: one
// write a command up to this was the fastest (docs/performance.md).
const ChunkSize = 1 << 20

// Options make a Transport.
type Options struct {
	// Host is what the host is called, for who looks at holders: on a cable it
	// has no name of its own.
	Host string
	// Stall ends short data-in by a halt, as most real drives do, where the
	// default is a zero-length packet: SeaBIOS does not recover from stalls.
	Stall bool
	Log   *slog.Logger // nil discards
}

// A Transport carries the logical units of one gadget to one host. The bus is
// one nexus: [Transport.NexusLoss] is for SET_CONFIGURATION, port reset and
// unbind, [Transport.Reset] for the class request, which aborts the task only.
type Transport struct {
	o      Options
	target *target.Target
	max    byte // largest logical unit number
	ep     Endpoints

	mu      sync.Mutex
	changed sync.Cond
	session *target.Session // nil until the host speaks
	task    *task           // under way, or nil
	stops   int             // interrupts that wait for the loop or hold it
	parked  bool            // the loop holds still, or is not running
	over    bool            // Serve is to end

	// The loop's alone.
	sense []scsi.Sense // by LUN: what failed last
	kept  []bool       // sense waits for the REQUEST SENSE that follows
	spare *task        // for the next command
	csw   [cswSize]byte
}

// New returns a transport over ep for units, which are LUN 0 and up: 16 at
// most.
func New(units []*target.Unit, ep Endpoints, o Options) *Transport {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	luns := map[uint16]*target.Unit{}
	for i, u := range units {
		luns[uint16(i)] = u
	}
	t := &Transport{
		o: o, ep: ep, target: target.New("", luns), max: byte(len(units) - 1), parked: true,
		sense: make([]scsi.Sense, len(units)), kept: make([]bool, len(units)),
	}
	t.changed.L = &t.mu
	return t
}

// MaxLUN answers GET MAX LUN (Bulk-Only Transport, 3.2).
func (t *Transport) MaxLUN() byte { return t.max }

// Serve carries commands until ctx is done, when it returns nil, or until the
// endpoints fail for good.
func (t *Transport) Serve(ctx context.Context) error {
	t.setParked(false)
	defer t.endServe()
	stop := context.AfterFunc(ctx, func() {
		t.mu.Lock()
		t.over = true
		t.mu.Unlock()
		t.interrupt(false)
	})
	defer stop()
	cbw := make([]byte, 1024) // or a full packet of a host that is wrong
	for {
		err := t.serveOne(cbw)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil, errors.Is(err, ErrDisabled):
		case errors.Is(err, ErrAbandoned):
			t.park()
		default:
			return err
		}
	}
}

func (t *Transport) endServe() {
	t.setParked(true)
	t.closeSession()
}

func (t *Transport) setParked(p bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parked = p
	t.changed.Broadcast()
}

// serveOne waits for a CBW and serves its command.
func (t *Transport) serveOne(buf []byte) error {
	n, err := t.ep.Read(buf[:min(len(buf), t.ep.MaxPacket())])
	if err != nil {
		return err
	}
	var w cbw
	switch valid, meaningful := w.parse(buf[:n], t.max); {
	case !valid: // 6.6.1: stalled until reset recovery
		t.o.Log.Warn("invalid CBW: stalled until reset recovery", "length", n)
		if err := t.ep.Wedge(); err != nil {
			return err
		}
		t.awaitInterrupt()
		return ErrAbandoned
	case !meaningful: // 6.4: as f_mass_storage does
		t.o.Log.Debug("CBW is not meaningful", "cbw", buf[:n])
		// IN last: the host reads there, and clears both when it meets a stall.
		return errors.Join(t.ep.HaltOut(), t.ep.HaltIn())
	}
	return t.command(&w)
}

// Reset is the class request Bulk-Only Mass Storage Reset (3.1): it aborts the
// task and makes the device ready for the next CBW. It returns when that is so.
func (t *Transport) Reset() { t.interrupt(false) }

// NexusLoss ends the nexus: its tasks are aborted, and what it held, such as
// the prevention of medium removal, is let go.
func (t *Transport) NexusLoss() { t.interrupt(true) }

// interrupt brings the loop to a stand, and lets it go on.
func (t *Transport) interrupt(nexusLoss bool) {
	t.mu.Lock()
	t.stops++
	task := t.task
	t.changed.Broadcast()
	t.mu.Unlock()
	t.ep.Abandon()
	if task != nil {
		t.abort(task)
	}
	t.mu.Lock()
	for !t.parked {
		t.changed.Wait()
	}
	t.mu.Unlock()
	if nexusLoss {
		t.closeSession()
	}
	t.mu.Lock()
	t.stops--
	if t.stops == 0 && !t.over {
		t.ep.Resume()
	}
	t.changed.Broadcast()
	t.mu.Unlock()
}

// abort ends a task. One that storage holds is left behind: its unit answers
// BUSY until it returns, and it touches the endpoints no more.
func (t *Transport) abort(k *task) {
	t.mu.Lock()
	s := t.session
	t.mu.Unlock()
	if s == nil {
		return
	}
	_, err := s.Abort(lunOf(k.w.lun), func(u *target.Task) bool { return u.Owner == target.Owner(k) })
	if err != nil {
		t.o.Log.Error("task is left behind", "error", err)
		k.leave()
	}
}

// park holds the loop still while something interrupts it.
func (t *Transport) park() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parked = true
	t.changed.Broadcast()
	for t.stops > 0 {
		t.changed.Wait()
	}
	t.parked = false
}

func (t *Transport) awaitInterrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.stops == 0 && !t.over {
		t.changed.Wait()
	}
}

// nexus returns the session of the host, which begins with its first command.
func (t *Transport) nexus() *target.Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session == nil {
		t.session = t.target.Open(target.Initiator{Name: t.o.Host}, [6]byte{}, scsi.Port{Protocol: scsi.USB, RelativeID: 1}, "")
	}
	return t.session
}

func (t *Transport) closeSession() {
	t.mu.Lock()
	s := t.session
	t.session = nil
	t.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

func lunOf(n byte) target.LUN { return target.LUN{0, n} }
