package lab

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A Fault is one bit that a [Proxy] flips in a PDU of the full feature phase, once.
// Digests pass as they came.
type Fault struct {
	ToTarget bool // else on the way to the initiator
	Opcode   byte // of the PDU (RFC 7143, 11.2.1.2)
	Data     bool // in the middle of its data segment; else in its header
	After    int  // this many such PDUs pass unharmed before
}

// A Proxy stands between an iSCSI initiator and its target and damages what passes.
type Proxy struct {
	target string
	l      net.Listener
	all    sync.WaitGroup

	mu      sync.Mutex
	open    []net.Conn
	stopped bool
	faults  []Fault // that are still to happen
	flipped int     // how many happened
	digests [2]bool // of header and data, as the latest login agreed
}

// StartProxy starts a proxy on the loopback for a target's portal. It ends with the
// test.
func StartProxy(t testing.TB, target string, faults ...Fault) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, l: l, faults: slices.Clone(faults)}
	p.all.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

// Addr is where initiators log in.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Flipped returns how many faults happened, and those that are still to happen.
func (p *Proxy) Flipped() (done int, left []Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flipped, slices.Clone(p.faults)
}

// Digests returns which digests the latest login agreed on.
func (p *Proxy) Digests() (header, data bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digests[0], p.digests[1]
}

func (p *Proxy) stop() {
	p.l.Close()
	p.mu.Lock()
	p.stopped = true
	for _, c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	p.all.Wait()
}

func (p *Proxy) accept() {
	for {
		near, err := p.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil { // the initiator tries again, as with a target that is away
			near.Close()
			continue
		}
		p.mu.Lock()
		if p.stopped {
			near.Close()
			far.Close()
		}
		p.open = append(p.open, near, far)
		p.mu.Unlock()
		l := &link{p: p}
		p.all.Go(func() { l.carry(near.(*net.TCPConn), far.(*net.TCPConn)) })
	}
}

// A link is one connection through a proxy.
type link struct {
	p *Proxy

	mu           sync.Mutex
	full         bool // the login is complete
	headerDigest bool
	dataDigest   bool
	text         []byte // of the login responses
}

// carry serves one connection until both ends have closed it.
func (l *link) carry(near, far *net.TCPConn) {
	defer near.Close()
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { l.pass(far, near, true) })
	both.Go(func() { l.pass(near, far, false) })
	both.Wait()
}

// pass carries PDUs one way until src ends or dst takes no more.
func (l *link) pass(dst, src *net.TCPConn, toTarget bool) {
	defer dst.CloseWrite()
	for {
		pdu, err := l.read(src)
		if err != nil {
			return
		}
		if !toTarget {
			l.watchLogin(pdu)
		}
		if l.isFull(pdu) {
			l.p.damage(pdu, l.dataAt(pdu), toTarget)
		}
		if _, err := dst.Write(pdu); err != nil {
			io.Copy(io.Discard, src) // until the initiator or the target has heard of it
			return
		}
	}
}

const bhs = 48 // bytes of a basic header segment

func dataLength(pdu []byte) int { return int(binary.BigEndian.Uint32(pdu[4:]) & 0xFFFFFF) }

// read reads a whole PDU with its digests.
func (l *link) read(src io.Reader) ([]byte, error) {
	pdu := make([]byte, bhs)
	if _, err := io.ReadFull(src, pdu); err != nil {
		return nil, err
	}
	n := dataLength(pdu)
	pdu = append(pdu, make([]byte, l.dataAt(pdu)-bhs+n+-n&3)...)
	l.mu.Lock()
	if l.full && l.dataDigest && n > 0 {
		pdu = append(pdu, 0, 0, 0, 0)
	}
	l.mu.Unlock()
	_, err := io.ReadFull(src, pdu[bhs:])
	return pdu, err
}

// dataAt is where the data segment of a PDU begins.
func (l *link) dataAt(pdu []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := bhs + int(pdu[4])*4
	if l.full && l.headerDigest {
		at += 4
	}
	return at
}

// Opcodes of the login.
const (
	loginRequest  = 0x03
	loginResponse = 0x23
)

// watchLogin learns from a login response which digests follow it.
func (l *link) watchLogin(pdu []byte) {
	if pdu[0]&0x3F != loginResponse {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, pdu[bhs:][:dataLength(pdu)]...) // no additional header has a place here
	const transit, fullFeature = 0x80, 3
	if pdu[1]&transit == 0 || pdu[1]&3 != fullFeature || pdu[36] != 0 { // byte 36 is the status class
		return
	}
	keys := strings.Split(string(l.text), "\x00")
	l.full = true
	l.headerDigest = slices.Contains(keys, "HeaderDigest=CRC32C")
	l.dataDigest = slices.Contains(keys, "DataDigest=CRC32C")
	l.p.mu.Lock()
	l.p.digests = [2]bool{l.headerDigest, l.dataDigest}
	l.p.mu.Unlock()
}

func (l *link) isFull(pdu []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	op := pdu[0] & 0x3F
	return l.full && op != loginRequest && op != loginResponse
}

// damage flips the bit of the first fault whose turn it is.
func (p *Proxy) damage(pdu []byte, dataAt int, toTarget bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.faults {
		f := &p.faults[i]
		if f.ToTarget != toTarget || f.Opcode != pdu[0]&0x3F || f.Data && dataLength(pdu) == 0 {
			continue
		}
		if f.After--; f.After >= 0 {
			continue
		}
		at := 37 // in the LBA of a READ, or a DataSN
		if f.Data {
			at = dataAt + dataLength(pdu)/2
		}
		pdu[at] ^= 0x10
		p.flipped++
		p.faults = slices.Delete(p.faults, i, i+1)
		return
	}
}
