package iscsi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A PDU is one that passed on a connection, as on the wire with padding and
// digests. The values of CHAP keys are blanked.
type PDU struct {
	Time   time.Time
	Sent   bool   // by the target
	Data   []byte // the first bytes of it
	Length int    // of the whole
	Missed int64  // bytes of PDUs of its direction before it that the tap lost
}

// Bounds of what a tap holds, in bytes.
const (
	loginLog    = 8 << 10 // of a login, which its session keeps
	tapQueue    = 8 << 20 // of PDUs that nobody has taken yet
	pduOverhead = 96      // counted for each PDU besides its bytes
)

// A Tap follows the PDUs of a session. It never holds the session up: what is
// not taken in time is lost, and counted.
type Tap struct {
	conn  *conn
	keep  int // bytes of a PDU; 0 is all
	limit int // bytes in queue

	mu     sync.Mutex
	queue  []PDU
	held   int // bytes in queue
	missed [2]int64
	lost   uint64
	closed bool
	blank  [2]blanker
	ready  chan struct{} // holds a value when there is something new; 1
}

func newTap(c *conn, keep, limit int) *Tap {
	if keep > 0 {
		keep = max(keep, headerSize) // without it a capture says nothing
	}
	return &Tap{conn: c, keep: keep, limit: limit, ready: make(chan struct{}, 1)}
}

// Errors of Tap and Drop.
var (
	ErrNoSession = errors.New("there is no such session")
	ErrTapped    = errors.New("the session is traced already")
)

// Tap begins to follow the session of a TSIH, keeping the first keep bytes of
// each PDU, or all when it is 0; login and text PDUs are kept whole. One tap a
// session: another one is ErrTapped. It is to be closed.
func (s *Server) Tap(tsih uint16, keep int) (*Tap, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.tsihs[tsih]
	if n == nil || !n.conn.ready {
		return nil, fmt.Errorf("%w: TSIH %d", ErrNoSession, tsih)
	}
	t := newTap(n.conn, keep, tapQueue)
	if !n.conn.taps.live.CompareAndSwap(nil, t) {
		return nil, ErrTapped
	}
	return t, nil
}

// Ends returns the addresses of the connection. One that is not of TCP is
// 0.0.0.0:0.
func (t *Tap) Ends() (initiator, target netip.AddrPort) {
	return addrPort(t.conn.nc.RemoteAddr()), addrPort(t.conn.nc.LocalAddr())
}

func addrPort(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// Login returns the PDUs of the session's login, up to 8 KiB of them.
func (t *Tap) Login() []PDU { return t.conn.taps.login }

// Next waits for PDUs and returns those that there are, with how many were lost
// so far. The error is io.EOF when the session has ended and all were returned,
// and that of ctx when it is done, even while there are always more.
func (t *Tap) Next(ctx context.Context) (list []PDU, lost uint64, err error) {
	for {
		t.mu.Lock()
		list, lost = t.queue, t.lost
		t.queue, t.held = nil, 0
		closed := t.closed
		t.mu.Unlock()
		switch {
		case len(list) > 0:
			return list, lost, ctx.Err()
		case closed:
			return nil, lost, io.EOF
		}
		select {
		case <-t.ready:
		case <-ctx.Done():
			return nil, lost, ctx.Err()
		}
	}
}

// Close ends the following.
func (t *Tap) Close() {
	t.conn.taps.live.CompareAndSwap(t, nil)
	t.end()
}

func (t *Tap) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.wake()
}

func (t *Tap) wake() {
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// add takes a copy of a PDU, given in pieces; at is where its text would begin.
func (t *Tap) add(sent bool, at int, pieces ...[]byte) {
	length := 0
	for _, p := range pieces {
		length += len(p)
	}
	head := (*header)(pieces[0])
	keep, dir := length, direction(sent)
	if t.keep > 0 && !isText(head.op()) {
		keep = min(length, t.keep)
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	room := t.limit - t.held - pduOverhead
	if t.limit == loginLog { // shows how it began, at least
		keep = min(keep, room)
	}
	if room < keep || keep < headerSize {
		t.lost++
		t.missed[dir] += int64(length)
		return
	}
	data := make([]byte, 0, keep)
	for _, p := range pieces {
		data = append(data, p[:min(len(p), keep-len(data))]...)
	}
	if isText(head.op()) {
		from := min(at, len(data))
		t.blank[dir].blank(data[from:min(at+head.dataLen(), len(data))], head.flags()&flagContinue != 0)
	}
	t.queue = append(t.queue, PDU{Time: now, Sent: sent, Data: data, Length: length, Missed: t.missed[dir]})
	t.missed[dir] = 0
	t.held += keep + pduOverhead
	t.wake()
}

func direction(sent bool) int {
	if sent {
		return 1
	}
	return 0
}

// isText reports whether a PDU carries text keys.
func isText(op opcode) bool {
	switch op {
	case opLogin, opLoginResp, opText, opTextResp:
		return true
	}
	return false
}

// taps are how a connection is followed: by a log of its login first, which it
// keeps, then by whoever looks on.
type taps struct {
	live  atomic.Pointer[Tap]
	login []PDU // written before the session is ready
}

// loggedIn ends the log of the login.
func (p *taps) loggedIn() {
	if t := p.live.Swap(nil); t != nil {
		p.login, _, _ = t.Next(context.Background())
	}
}

// end ends whoever follows, with what came of a last PDU.
func (p *taps) end(r *reader) {
	if t := p.live.Swap(nil); t != nil {
		r.cut(t)
		t.end()
	}
}

// sent shows the PDUs that w is about to write.
func (p *taps) sent(w *writer) {
	t := p.live.Load()
	if t == nil {
		return
	}
	for v := w.vectors; len(v) > 0; {
		head := (*header)(v[0])
		n := 1
		if data := head.dataLen(); data > 0 {
			n++
			if padding(data) > 0 || w.conn.in.dataDigest {
				n++
			}
		}
		t.add(true, len(v[0]), v[:n]...)
		v = v[n:]
	}
}
