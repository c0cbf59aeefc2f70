package usbip

import (
	"net"
	"sync"
	"time"

	"spindle/gadget/bot"
)

// What a client can make this server hold.
const (
	maxURBs     = 1024    // in flight; a host sends a transfer in pages at worst
	maxTransfer = 4 << 20 // of one URB, in bytes
	maxHeld     = 4 << 20 // data-out that nobody took yet, in bytes
)

// sendTime is how long a client may leave what is sent to it.
const sendTime = 30 * time.Second

// An urb is a transfer that the host wants.
type urb struct {
	seq   uint32
	size  int    // room of data-in
	data  []byte // data-in so far, whole packets; or data-out
	taken int    // of data-out
	ends  bool   // data-out of whole packets that an empty packet follows
}

// A pipe is an endpoint and the URBs that wait there.
type pipe struct {
	urbs   []*urb
	halted bool
}

// endpoints are the two bulk endpoints, as bot.Endpoints, at the client's end
// of the connection. What is sent leaves under mu: a URB is either unlinked or
// answered, never both, and in that order on the wire.
type endpoints struct {
	conn   net.Conn
	packet int

	mu        sync.Mutex
	changed   sync.Cond
	in, out   pipe
	held      int // bytes of data-out
	wedged    bool
	abandoned bool
	err       error // why the connection ended
	head      [headerSize]byte
	vector    [3][]byte
}

func newEndpoints(c net.Conn, packet int) *endpoints {
	e := &endpoints{conn: c, packet: packet}
	e.changed.L = &e.mu
	return e
}

// reply sends the answer to an URB or an unlink. e.mu is held.
func (e *endpoints) reply(command, seq uint32, status, actual int, data ...[]byte) error {
	if e.err != nil {
		return e.err
	}
	putReply(&e.head, command, seq, status, actual)
	v := net.Buffers(append(e.vector[:0], e.head[:]))
	for _, p := range data {
		if len(p) > 0 {
			v = append(v, p)
		}
	}
	e.conn.SetWriteDeadline(time.Now().Add(sendTime))
	if _, err := v.WriteTo(e.conn); err != nil {
		e.fail(err)
	}
	return e.err
}

// fail ends the endpoints for good. e.mu is held.
func (e *endpoints) fail(err error) {
	if e.err == nil {
		e.err = err
		e.conn.Close()
	}
	e.changed.Broadcast()
}

// close is fail for others.
func (e *endpoints) close(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail(err)
}

// await waits until p has an URB. e.mu is held.
func (e *endpoints) await(p *pipe) error {
	for {
		switch {
		case e.err != nil:
			return e.err
		case e.abandoned:
			return bot.ErrAbandoned
		case !p.halted && len(p.urbs) > 0:
			return nil
		}
		e.changed.Wait()
	}
}

// shift takes the first URB of p away.
func (p *pipe) shift() {
	n := copy(p.urbs, p.urbs[1:])
	p.urbs[n] = nil
	p.urbs = p.urbs[:n]
}

// Read implements bot.Endpoints.
func (e *endpoints) Read(b []byte) (n int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for n < len(b) {
		if err := e.await(&e.out); err != nil {
			return 0, err
		}
		u := e.out.urbs[0]
		k := copy(b[n:], u.data[u.taken:])
		u.taken += k
		n += k
		if u.taken < len(u.data) {
			break
		}
		e.out.shift()
		e.held -= len(u.data)
		if err := e.reply(retSubmit, u.seq, 0, len(u.data)); err != nil {
			return 0, err
		}
		if u.ends || len(u.data) == 0 || len(u.data)%e.packet != 0 {
			break
		}
	}
	return n, nil
}

// Write implements bot.Endpoints. An URB that a short packet does not end and
// that is not full keeps what it got: the next Write goes on there.
func (e *endpoints) Write(b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for first := true; first || len(b) > 0; first = false {
		if err := e.await(&e.in); err != nil {
			return err
		}
		u := e.in.urbs[0]
		room := u.size - len(u.data)
		n, status := min(len(b), room), 0
		rest := b[n:]
		if len(rest) > 0 && room%e.packet != 0 { // the packet that does not fit is lost
			rest = rest[min(len(rest), e.packet-room%e.packet):]
			status = urbOverflow
		}
		short := len(rest) == 0 && (len(b) == 0 || len(b)%e.packet != 0)
		if n < room && !short {
			u.data = append(u.data, b[:n]...)
			return nil
		}
		e.in.shift()
		if err := e.reply(retSubmit, u.seq, status, len(u.data)+n, u.data, b[:n]); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// halt stalls p: what waits there fails. e.mu is held.
func (e *endpoints) halt(p *pipe) error {
	p.halted = true
	urbs := p.urbs
	p.urbs = nil
	for _, u := range urbs {
		actual, data := u.taken, []byte(nil)
		if p == &e.in {
			actual, data = len(u.data), u.data
		} else {
			e.held -= len(u.data)
		}
		if err := e.reply(retSubmit, u.seq, urbStall, actual, data); err != nil {
			return err
		}
	}
	return nil
}

// HaltIn implements bot.Endpoints.
func (e *endpoints) HaltIn() error { return e.setHalt(&e.in) }

// HaltOut implements bot.Endpoints.
func (e *endpoints) HaltOut() error { return e.setHalt(&e.out) }

func (e *endpoints) setHalt(p *pipe) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.halt(p)
}

// Wedge implements bot.Endpoints.
func (e *endpoints) Wedge() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wedged = true
	if err := e.halt(&e.in); err != nil {
		return err
	}
	return e.halt(&e.out)
}

// clearHalt is the host's CLEAR_FEATURE(ENDPOINT_HALT).
func (e *endpoints) clearHalt(p *pipe) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.wedged {
		p.halted = false
		e.changed.Broadcast()
	}
}

// configured is what SET_CONFIGURATION does to halts.
func (e *endpoints) configured() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wedged, e.in.halted, e.out.halted = false, false, false
	e.changed.Broadcast()
}

func (e *endpoints) isHalted(p *pipe) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return p.halted
}

// MaxPacket implements bot.Endpoints.
func (e *endpoints) MaxPacket() int { return e.packet }

// Abandon implements bot.Endpoints. URBs stay: they are the host's to unlink.
func (e *endpoints) Abandon() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.abandoned = true
	e.changed.Broadcast()
}

// Resume implements bot.Endpoints.
func (e *endpoints) Resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.abandoned, e.wedged = false, false
	e.changed.Broadcast()
}
