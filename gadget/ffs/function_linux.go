package ffs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options make a Function.
type Options struct {
	Subclass byte         // SubclassSCSI when zero
	Log      *slog.Logger // nil discards
}

// A Host is told what the bus does; a bot.Transport is one.
type Host interface {
	NexusLoss()
	Reset()
	MaxLUN() byte
}

// A Function is a mass storage interface in a mounted FunctionFS. It implements
// bot.Endpoints.
type Function struct {
	log     *slog.Logger
	ep0     *os.File // in the poller
	fd0     int      // its descriptor
	in, out int      // files of the bulk endpoints: a transfer blocks, being disabled does not

	mu        sync.Mutex
	changed   sync.Cond
	ready     bool         // the host chose the configuration, and the Host knows
	handling  bool         // events were read, and the Host does not know all yet
	abandoned bool         // from Abandon to Resume
	busy      map[int]bool // threads in a transfer
	packet    int          // bytes, of the largest packet
	since     time.Time    // of the host's choice, or zero
	most      int          // bytes of one transfer that the kernel has memory for

	wedge sync.WaitGroup // the goroutine of Wedge
}

// Open writes the descriptors into the FunctionFS mounted at dir and opens its
// endpoints. A gadget can be bound when it has returned, and Serve should run
// soon then.
func Open(dir string, o Options) (*Function, error) {
	f := &Function{
		log: o.Log, in: -1, out: -1,
		busy: map[int]bool{}, packet: highSpeedPacket, most: maxTransfer,
	}
	f.changed.L = &f.mu
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if o.Subclass == 0 {
		o.Subclass = SubclassSCSI
	}
	if err := f.open(dir, o.Subclass); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (f *Function) open(dir string, subclass byte) (err error) {
	if f.ep0, err = os.OpenFile(filepath.Join(dir, "ep0"), os.O_RDWR, 0); err != nil {
		return err
	}
	conn, err := f.ep0.SyscallConn()
	if err != nil {
		return err
	}
	if err := conn.Control(func(fd uintptr) { f.fd0 = int(fd) }); err != nil {
		return err
	}
	if _, err := f.ep0.Write(appendDescriptors(nil, subclass)); err != nil {
		return fmt.Errorf("descriptors: %w", err)
	}
	if _, err := f.ep0.Write(appendStrings(nil, "Mass Storage")); err != nil {
		return fmt.Errorf("strings: %w", err)
	}
	for _, ep := range []struct {
		fd   *int
		name string
	}{{&f.in, "ep1"}, {&f.out, "ep2"}} {
		path := filepath.Join(dir, ep.name)
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: path, Err: err}
		}
		*ep.fd = fd
	}
	return nil
}

// Close closes the files, which unbinds the gadget. Nothing may use the
// endpoints any more.
func (f *Function) Close() error {
	f.wedge.Wait()
	var err error
	for _, fd := range []*int{&f.in, &f.out} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
			*fd = -1
		}
	}
	if f.ep0 != nil {
		err = errors.Join(err, f.ep0.Close())
		f.ep0 = nil
	}
	return err
}

// Serve answers control requests and tells h what the bus does, until ctx is
// done, when it returns nil, or until ep0 fails.
func (f *Function) Serve(ctx context.Context, h Host) error {
	ep0 := f.ep0
	stop := context.AfterFunc(ctx, func() { _ = ep0.SetReadDeadline(past) })
	defer stop()
	buf := make([]byte, maxEvents*eventSize)
	var events []event
	for {
		n, err := ep0.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !transient(err):
			return fmt.Errorf("control endpoint: %w", err)
		}
		f.setHandling(true)
		events = appendEvents(events[:0], buf[:max(n, 0)])
		for _, e := range events {
			f.event(e, h)
		}
		f.setHandling(false)
	}
}

func (f *Function) event(e event, h Host) {
	f.log.Debug("USB event", "event", e.String())
	switch e.eventType {
	case eventEnable:
		h.NexusLoss() // SET_CONFIGURATION; after a port reset it is all that comes
		f.setReady(true)
		f.setSince(time.Now())
		f.log.Info("USB host connected", "packet", f.MaxPacket())
	case eventDisable, eventUnbind:
		f.setReady(false)
		f.setSince(time.Time{})
		h.NexusLoss()
	case eventSetup:
		f.request(e.setup, h)
	}
}

func (f *Function) setSince(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = t
}

// Since is when the host chose the configuration, zero while there is none.
func (f *Function) Since() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since
}

// request answers a class request.
func (f *Function) request(s setup, h Host) {
	var err error
	switch {
	case s.isReset():
		h.Reset()
		f.reopen()
		err = f.acknowledge()
	case s.isMaxLUN():
		_, err = f.ep0.Write([]byte{h.MaxLUN()})
	default:
		f.log.Debug("control request refused", "setup", fmt.Sprintf("%+v", s))
		err = f.stall(s)
	}
	if err != nil { // the host gave the request up, or the bus was reset
		f.log.Debug("control request", "error", err)
	}
}

// acknowledge ends a request without data by a read of no bytes, which
// os.File.Read would not carry out.
func (f *Function) acknowledge() error {
	_, err := unix.Read(f.fd0, nil)
	return err
}

// stall refuses a request: I/O against its direction, which fails with EL2HLT.
func (f *Function) stall(s setup) (err error) {
	if s.requestType&deviceToHost != 0 {
		_, err = unix.Read(f.fd0, nil)
	} else {
		_, err = unix.Write(f.fd0, nil)
	}
	if err == unix.EL2HLT {
		return nil
	}
	return err
}

// transient reports whether reading events may go on: EIDRM is a request that
// the host gave up.
func transient(err error) bool {
	return errors.Is(err, unix.EIDRM) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN)
}
