package bot_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"sync"
	"testing"
	"time"

	"spindle/gadget/bot"
)

// pipes are a pair of bulk endpoints and the host at their other end, packet
// by packet.
type pipes struct {
	packet int

	mu        sync.Mutex
	changed   sync.Cond
	out, in   [][]byte // packets under way
	haltIn    bool
	haltOut   bool
	wedged    bool
	abandoned bool
	disabled  bool
	closed    bool
}

func newPipes(packet int) *pipes {
	p := &pipes{packet: packet}
	p.changed.L = &p.mu
	return p
}

func (p *pipes) MaxPacket() int { return p.packet }

// await waits under mu until ready, or for what ends a transfer.
func (p *pipes) await(ready func() bool) error {
	for {
		switch {
		case p.abandoned:
			return bot.ErrAbandoned
		case p.disabled:
			return bot.ErrDisabled
		case p.closed:
			return errors.New("closed")
		case ready():
			return nil
		}
		p.changed.Wait()
	}
}

func (p *pipes) Read(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n < len(b) {
		if err := p.await(func() bool { return len(p.out) > 0 }); err != nil {
			return 0, err
		}
		packet := p.out[0]
		p.out = p.out[1:]
		p.changed.Broadcast()
		n += copy(b[n:], packet)
		if len(packet) < p.packet {
			break
		}
	}
	return n, nil
}

func (p *pipes) Write(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.await(func() bool { return !p.haltIn && len(p.in) == 0 }); err != nil {
		return err
	}
	for first := true; first || len(b) > 0; first = false {
		n := min(len(b), p.packet)
		p.in = append(p.in, append([]byte(nil), b[:n]...))
		b = b[n:]
	}
	p.changed.Broadcast()
	return p.await(func() bool { return len(p.in) == 0 })
}

func (p *pipes) set(f func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.changed.Broadcast()
	return nil
}

func (p *pipes) HaltIn() error  { return p.set(func() { p.haltIn = true }) }
func (p *pipes) HaltOut() error { return p.set(func() { p.haltOut = true }) }
func (p *pipes) Wedge() error {
	return p.set(func() { p.haltIn, p.haltOut, p.wedged = true, true, true })
}
func (p *pipes) Abandon() { p.set(func() { p.abandoned = true; p.in = nil }) }
func (p *pipes) Resume()  { p.set(func() { p.abandoned, p.wedged = false, false }) }

// The host's side.

var (
	errStall   = errors.New("stalled")
	errTimeout = errors.New("nothing came")
)

// patience bounds how long the host waits for the device: while it fuzzes, shorter
// than the 10 s that the fuzzer takes for a hang.
func patience() time.Duration {
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		return 7 * time.Second
	}
	return time.Minute
}

func (p *pipes) hostWait(ready func() bool) error {
	late := false
	timer := time.AfterFunc(patience(), func() { p.set(func() { late = true }) })
	defer timer.Stop()
	for !ready() {
		if late || p.closed {
			return errTimeout
		}
		p.changed.Wait()
	}
	return nil
}

// send sends b as one transfer: packets, the last short unless b fills it.
func (p *pipes) send(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for first := true; first || len(b) > 0; first = false {
		if p.haltOut {
			return errStall
		}
		n := min(len(b), p.packet)
		p.out = append(p.out, append([]byte(nil), b[:n]...))
		b = b[n:]
	}
	p.changed.Broadcast()
	return nil
}

// recv takes up to n bytes, to a short packet.
func (p *pipes) recv(n int) (b []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) < n {
		if err := p.hostWait(func() bool { return p.haltIn || len(p.in) > 0 }); err != nil {
			return b, err
		}
		if len(p.in) == 0 {
			return b, errStall
		}
		packet := p.in[0]
		p.in = p.in[1:]
		p.changed.Broadcast()
		b = append(b, packet...)
		if len(packet) < p.packet {
			break
		}
	}
	return b, nil
}

// clear is CLEAR_FEATURE(ENDPOINT_HALT) for both; a wedge stays.
func (p *pipes) clear() {
	p.set(func() {
		if !p.wedged {
			p.haltIn, p.haltOut = false, false
		}
	})
}

func (p *pipes) halted() (in, out bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.haltIn, p.haltOut
}

// A csw is a command status wrapper as the host reads it.
type csw struct {
	tag, residue uint32
	status       byte
}

func parseCSW(b []byte) (csw, error) {
	if len(b) != 13 || string(b[:4]) != "USBS" {
		return csw{}, errors.New("not a CSW")
	}
	return csw{binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:]), b[12]}, nil
}

func makeCBW(tag uint32, length int, in bool, lun byte, cdb []byte) []byte {
	b := append([]byte("USBC"), make([]byte, 27)...)
	binary.LittleEndian.PutUint32(b[4:], tag)
	binary.LittleEndian.PutUint32(b[8:], uint32(length))
	if in {
		b[12] = 0x80
	}
	b[13], b[14] = lun, byte(len(cdb))
	copy(b[15:], cdb)
	return b
}

// An exchange is what a host sees of one command.
type exchange struct {
	data    []byte
	stalled bool
	csw
}

// run plays a command as Linux does: a stalled data phase is cleared, then the
// CSW is read.
func (p *pipes) run(t *testing.T, tag uint32, length int, in bool, lun byte, cdb, out []byte) (x exchange) {
	t.Helper()
	if err := p.send(makeCBW(tag, length, in, lun, cdb)); err != nil {
		t.Fatalf("CBW: %v", err)
	}
	var err error
	switch {
	case length > 0 && in:
		if x.data, err = p.recv(length); errors.Is(err, errStall) {
			x.stalled = true
			p.clear()
		} else if err != nil {
			t.Fatalf("data-in: %v", err)
		}
	case length > 0:
		if err := p.send(out); err != nil {
			t.Fatalf("data-out: %v", err)
		}
	}
	b, err := p.recv(13)
	if errors.Is(err, errStall) {
		x.stalled = true
		p.clear()
		b, err = p.recv(13)
	}
	if err != nil {
		t.Fatalf("CSW: %v", err)
	}
	if x.csw, err = parseCSW(b); err != nil {
		t.Fatalf("CSW %x: %v", b, err)
	}
	if x.tag != tag {
		t.Fatalf("CSW of tag %x, want %x", x.tag, tag)
	}
	return x
}
