package iscsi_test

import (
	"testing"
	"time"

	"spindle/internal/initiator"
)

// A player plays a program: its first two bytes choose the login, then each
// byte is an act of acts, modulo their number, followed by what the act takes.
// Bytes past the end are 0.
type player struct {
	t *testing.T
	*shelf
	*initiator.Conn
	program []byte
	rx      *listener

	in      bool // logged in
	astray  bool // the stream may be out of step: nobody knows what is a PDU
	wild    bool // a PDU was not as it should be
	written int
	asked   int64 // data-in of all commands

	flips  [][2]byte // of the next PDU's header: position, mask
	flip   [2]byte   // of its bytes on the wire, from the end
	pieces int       // size of those in which it is written; 0 is whole
	cut    int       // bytes that are written of it before the end; 0 is all
	ended  bool
}

const maxActs = 200

// acts are by the byte of a program that chooses them.
var acts = [...]func(p *player){
	(*player).actCommand, (*player).actKnownCommand, (*player).actWrite, (*player).actDataOut,
	(*player).actAnswer, (*player).actManage, (*player).actPing, (*player).actText,
	(*player).actLogout, (*player).actLogin, (*player).actRaw, (*player).actFlip,
	(*player).actCorrupt, (*player).actPieces, (*player).actCut, (*player).actSync,
	(*player).actStall, (*player).actTray, (*player).actReload, (*player).actNoise,
}

func (p *player) byte() byte {
	if len(p.program) == 0 {
		return 0
	}
	b := p.program[0]
	p.program = p.program[1:]
	return b
}

func (p *player) u16() int { return int(p.byte())<<8 | int(p.byte()) }

func (p *player) bytes(n int) []byte {
	b := make([]byte, n)
	copy(b, p.program)
	p.program = p.program[min(n, len(p.program)):]
	return b
}

func (p *player) play() {
	p.rx = &listener{t: p.t, c: p.Conn, done: make(chan struct{}), pongs: map[uint32]bool{}, ttt: initiator.NoTag}
	p.rx.heard.L = &p.rx.mu
	p.enter()
	go p.rx.listen(p.ExpStatSN)
	for range maxActs {
		if len(p.program) == 0 || p.ended || p.over() {
			break
		}
		acts[int(p.byte())%len(acts)](p)
	}
	p.leave()
	p.rx.update(func() { p.rx.over = true })
	p.Close()
	<-p.rx.done
	if most := 2*(p.written/48) + 2; p.rx.replies > most {
		p.t.Errorf("%d replies to %d bytes, want %d at most", p.rx.replies, p.written, most)
	}
	if !p.wild && int64(p.rx.bytes) > p.asked {
		p.t.Errorf("%d bytes of data-in came, %d were asked for", p.rx.bytes, p.asked)
	}
}

func (p *player) over() bool {
	p.rx.mu.Lock()
	defer p.rx.mu.Unlock()
	return p.rx.over
}

// logins are the keys of logins that hosts send, and of some that none does.
var logins = [][]string{
	{},
	{"HeaderDigest=CRC32C,None", "DataDigest=CRC32C,None", "InitialR2T=No", "ImmediateData=Yes", "MaxBurstLength=16776192", "FirstBurstLength=262144", "MaxRecvDataSegmentLength=262144", "MaxOutstandingR2T=1"},
	{"HeaderDigest=CRC32C", "InitialR2T=Yes", "ImmediateData=No", "MaxRecvDataSegmentLength=512", "MaxBurstLength=512", "FirstBurstLength=512"},
	{"DataDigest=CRC32C", "InitialR2T=No", "MaxRecvDataSegmentLength=65536", "FirstBurstLength=65536"},
	{"HeaderDigest=None,CRC32C", "ErrorRecoveryLevel=2", "MaxConnections=8", "IFMarker=No", "OFMarker=No", "X-vendor=1"},
	{"InitialR2T=No", "ImmediateData=Yes", "FirstBurstLength=16777215", "MaxBurstLength=512"},
	{"MaxRecvDataSegmentLength=0"},
	{"AuthMethod=CHAP,None"},
}

// enter logs in by the first two bytes of the program: the keys, and how.
func (p *player) enter() {
	keys, how := logins[int(p.byte())%len(logins)], p.byte()
	o := initiator.Options{Target: iqn, Keys: keys}
	switch how & 3 {
	case 1:
		o.Target = "" // discovery
	case 2: // not at all, or by acts
		p.ExpStatSN = 1
		return
	}
	p.SetDeadline(time.Now().Add(patience()))
	if how&4 != 0 { // the security stage first
		req := p.LoginRequest(initiator.Options{Target: o.Target})
		req.Header[1] = 0x81
		p.send(req)
		r, err := p.Recv()
		if err != nil || r.U16(36) != 0 {
			p.ended = true
			return
		}
		p.ExpStatSN = r.U32(24) + 1
	}
	p.written += 48 + 512
	_, err := p.Login(o)
	p.in, p.ended = err == nil, err != nil
	p.SetDeadline(time.Time{})
}

// leave ends an orderly session by a logout, which is answered.
func (p *player) leave() {
	if !p.in || p.astray || p.ended || p.stalled() || p.over() {
		return
	}
	p.flips, p.flip, p.cut = nil, [2]byte{}, 0
	p.send(initiator.New(initiator.Logout|initiator.Immediate, 0x80).Put32(16, 0x7FFFFFFF).Put32(24, p.CmdSN))
	if !p.rx.wait(func() bool { return false }) {
		p.t.Errorf("the connection goes on after a logout (answered: %v)", p.rx.left)
	}
}

func (p *player) stalled() bool {
	p.rx.mu.Lock()
	defer p.rx.mu.Unlock()
	return p.rx.stalled
}

// send writes q with what acts before it chose.
func (p *player) send(q *initiator.PDU) {
	if q.Header[5]|q.Header[6]|q.Header[7] == 0 {
		q.PutBytes(5, byte(len(q.Data)>>16), byte(len(q.Data)>>8), byte(len(q.Data)))
	}
	q.Header[4] = byte(len(q.AHS) / 4)
	for _, f := range p.flips {
		at := f[0] % 48
		q.Header[at] ^= f[1]
		p.wild = true
		p.astray = p.astray || at >= 4 && at < 8 || q.Op() == initiator.Login
	}
	p.flips = nil
	raw := p.Marshal(q)
	if p.flip[1] != 0 {
		raw[len(raw)-1-int(p.flip[0])%len(raw)] ^= p.flip[1]
		p.flip, p.wild, p.astray = [2]byte{}, true, true
	}
	p.writeOut(raw)
}

func (p *player) writeOut(raw []byte) {
	if p.cut > 0 {
		raw = raw[:min(p.cut, len(raw))]
		p.ended = true
	}
	size := len(raw)
	if p.pieces > 0 {
		size = max(p.pieces, len(raw)/64)
	}
	p.pieces, p.cut = 0, 0
	if p.stalled() { // what the server does not take now it will not take
		p.SetWriteDeadline(time.Now().Add(2 * time.Millisecond))
	}
	for len(raw) > 0 && !p.over() {
		n, err := p.Write(raw[:min(size, len(raw))])
		if p.written += n; err != nil {
			p.ended = true
			return
		}
		raw = raw[n:]
	}
}
