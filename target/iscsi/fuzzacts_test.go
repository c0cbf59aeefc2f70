package iscsi_test

import (
	"context"
	"strings"

	"spindle/internal/initiator"
	"spindle/mmcemu"
)

// lengths are those that a host may expect.
var lengths = [...]uint32{0, 8, 36, 96, 255, 512, 2048, 4096, 65536, 1 << 18, 1 << 20, 1<<32 - 1, 4, 1, 2049, 24}

// known are the commands that need more than luck to come up.
var known = [][]byte{
	{0x00},
	{0x12, 0, 0, 0, 96},
	{0x28, 0, 0, 0, 0, 16, 0, 0, 1},
	{0x28, 0, 0, 0, 0, 0, 0, 1, 0},
	{0xA8, 0, 0, 0, 0, 0, 0, 0, 4, 0},
	{0x43, 2, 0, 0, 0, 0, 0, 3, 36},
	{0x46, 0, 0, 0, 0, 0, 0, 1, 0},
	{0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8},
	{0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 255},
	{0x1B, 0, 0, 0, 2},
	{0x1B, 0, 0, 0, 3},
	{0x1E, 0, 0, 0, 1},
	{0x1E},
	{0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 255},
	{0xBE, 0, 0, 0, 0, 0, 0, 0, 8, 0xF8, 1},
	{0xA6, 0, 0, 0, 2, 0, 0, 0, 1},
	{0x03, 0, 0, 0, 18},
	{0x25},
	{0x51, 0, 0, 0, 0, 0, 0, 0, 34},
	{0x47, 0, 0, 0, 2, 0, 0, 5, 0},
	{0x28, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF},
	{0x2F, 0, 0, 0, 0, 0, 0, 1, 0},
	{0x3C, 2, 0, 0, 0, 0, 0, 4, 0},
	{0xAD, 0, 0, 0, 0, 0, 0, 0, 0, 255},
}

// actKnownCommand takes which command, then as actCommand from the length on.
func (p *player) actKnownCommand() { p.command(known[int(p.byte())%len(known)], 0) }

// actCommand takes a CDB of 16 bytes, a length out of lengths, the LUN and how:
// the attribute in bits 0-2, immediate in 3, another CmdSN in 4-5, a tag that
// is in use in 6, no R in 7.
func (p *player) actCommand() { p.command(p.bytes(16), 0) }

func (p *player) command(cdb []byte, write int) *initiator.PDU {
	length, lun, how := lengths[p.byte()%byte(len(lengths))], p.byte(), p.byte()
	q := p.NewCommand(cdb, 0, write)
	q.Header[9] = lun % 6
	q.Header[1] = q.Header[1]&^7 | how&7
	if write == 0 && how&0x80 == 0 && length > 0 {
		q.Header[1] |= 0x40
		q.Put32(20, length)
		p.asked += int64(length)
	}
	if how&8 != 0 {
		q.Header[0] |= initiator.Immediate
	} else {
		p.CmdSN++
	}
	p.skew(q, how>>4&3)
	if how&0x40 != 0 {
		q.Put32(16, p.ITT-1)
	} else {
		p.ITT++
	}
	if write == 0 {
		p.send(q)
	}
	return q
}

// skew moves CmdSN: one ahead, one behind, or out of the window.
func (p *player) skew(q *initiator.PDU, how byte) {
	q.Put32(24, q.U32(24)+[...]uint32{0, 1, 1<<32 - 1, 70}[how])
}

// actWrite takes a command that writes, how many bytes, how many with it, and
// then as actCommand. Bit 15 of the second count leaves F out.
func (p *player) actWrite() {
	cdbs := [][]byte{{0x55, 0x10}, {0x15, 0x10}, {0x3B, 2}, {0xA3}, {0xBF}, {0x2A, 0, 0, 0, 0, 0, 0, 0, 4}, {0xB6}, {0x5D}}
	cdb := append([]byte(nil), cdbs[int(p.byte())%len(cdbs)]...)
	n, with := p.u16(), p.u16()
	cdb = append(cdb, make([]byte, 16-len(cdb))...)
	switch cdb[0] {
	case 0x15:
		cdb[4] = byte(n)
	case 0x55, 0x3B:
		cdb[7], cdb[8] = byte(n>>8), byte(n)
	default:
		cdb[8], cdb[9] = byte(n>>8), byte(n)
	}
	q := p.command(cdb, n)
	q.Data = p.bytes(min(with&0x3FFF, 8192))
	if with&0x8000 != 0 {
		q.Header[1] &^= 0x80
	}
	p.send(q)
}

// actDataOut takes what it is for (bit 0: the last R2T, else the last command
// unasked; bit 1: not the last of its sequence), DataSN, offset and length.
func (p *player) actDataOut() {
	how, sn, at, n := p.byte(), p.byte(), p.u16(), p.u16()
	q := initiator.New(initiator.DataOut, 0x80).Put32(16, p.ITT-1).Put32(20, initiator.NoTag).Put32(36, uint32(sn)).Put32(40, uint32(at))
	p.rx.update(func() {
		if i := len(p.rx.r2ts) - 1; how&1 != 0 && i >= 0 {
			q.Put32(16, p.rx.r2ts[i].U32(16)).Put32(20, p.rx.r2ts[i].U32(20))
		}
	})
	if how&2 != 0 {
		q.Header[1] = 0
	}
	q.Data = p.bytes(n % 8193)
	p.send(q)
}

// actAnswer gives every R2T that came what it asks for.
func (p *player) actAnswer() {
	p.actSync()
	var list []*initiator.PDU
	p.rx.update(func() { list, p.rx.r2ts = p.rx.r2ts, nil })
	for _, r := range list {
		for at, n, sn := r.U32(40), min(r.U32(44), 64<<10), uint32(0); n > 0 && !p.ended; sn++ {
			part := min(n, 8192)
			q := initiator.New(initiator.DataOut, 0).Put32(16, r.U32(16)).Put32(20, r.U32(20)).Put32(36, sn).Put32(40, at)
			if q.Data = p.bytes(int(part)); part == n {
				q.Header[1] = 0x80
			}
			p.send(q)
			at, n = at+part, n-part
		}
	}
}

// actManage takes the function, how far back its task's tag is, and the LUN,
// with bit 7 for a function that is not immediate.
func (p *player) actManage() {
	function, back, lun := p.byte(), p.byte(), p.byte()
	q := initiator.New(initiator.TaskMgmt|initiator.Immediate, 0x80|function).Put32(16, p.ITT).Put32(20, p.ITT-uint32(back)).
		Put32(24, p.CmdSN).Put32(32, p.CmdSN-uint32(back)+1)
	p.ITT++
	if q.Header[9] = lun % 6; lun&0x80 != 0 {
		q.Header[0], p.CmdSN = initiator.TaskMgmt, p.CmdSN+1
	}
	p.send(q)
}

// actPing takes how (bit 0: counted, bit 1: no answer is wanted) and its data.
func (p *player) actPing() {
	how, n := p.byte(), p.u16()
	q := initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, p.ITT).Put32(20, initiator.NoTag).Put32(24, p.CmdSN)
	if p.ITT++; how&1 != 0 {
		q.Header[0], p.CmdSN = initiator.NopOut, p.CmdSN+1
	}
	if how&2 != 0 {
		q.Put32(16, initiator.NoTag)
	}
	p.skew(q, how>>4&3)
	q.Data = p.bytes(n % 8193)
	p.send(q)
}

// actText takes the text, how (bit 0: goes on, bit 1: C, bit 2: the tag that
// the last answer had), and more text.
func (p *player) actText() {
	texts := []string{"SendTargets=All\x00", "SendTargets=\x00", "SendTargets=" + iqn + "\x00", "MaxRecvDataSegmentLength=1024\x00", "HeaderDigest=None\x00", "X=", ""}
	text, how, n := texts[int(p.byte())%len(texts)], p.byte(), p.byte()
	q := initiator.New(initiator.Text|initiator.Immediate, 0x80).Put32(16, p.ITT).Put32(20, initiator.NoTag).Put32(24, p.CmdSN)
	p.ITT++
	if how&1 != 0 {
		q.Header[1] &^= 0x80
	}
	if how&2 != 0 {
		q.Header[1] = 0x40
	}
	if how&4 != 0 {
		p.rx.update(func() { q.Put32(20, p.rx.ttt) })
	}
	q.Data = append([]byte(text), p.bytes(int(n))...)
	p.send(q)
}

// actLogout takes the reason and the connection.
func (p *player) actLogout() {
	q := initiator.New(initiator.Logout|initiator.Immediate, 0x80|p.byte()&3).Put32(16, p.ITT).Put32(24, p.CmdSN)
	q.PutBytes(21, p.byte())
	p.ITT++
	p.send(q)
}

// actLogin takes the flags of a login request and its keys.
func (p *player) actLogin() {
	q := p.LoginRequest(initiator.Options{Target: iqn, Keys: logins[int(p.byte())%len(logins)]})
	q.Header[1] = p.byte()
	if more := p.byte(); more&1 != 0 {
		q.Data = []byte(strings.Repeat("k=v\x00", int(more)))
	}
	p.wild, p.astray = true, true
	p.send(q)
}

// actRaw takes a header and how much data follows it.
func (p *player) actRaw() {
	q := &initiator.PDU{}
	copy(q.Header[:], p.bytes(48))
	q.Data = p.bytes(int(p.byte()))
	q.PutBytes(5, 0, 0, byte(len(q.Data)))
	q.AHS = p.bytes(int(q.Header[4]) % 8 * 4)
	p.wild, p.astray = true, true
	p.send(q)
}

func (p *player) actFlip()    { p.flips = append(p.flips, [2]byte{p.byte(), p.byte()}) }
func (p *player) actCorrupt() { p.flip = [2]byte{p.byte(), p.byte()} }
func (p *player) actPieces()  { p.pieces = 1 + int(p.byte()) }
func (p *player) actCut()     { p.cut = 1 + p.u16() }

// actSync waits until all that was said before is heard, which a ping tells.
func (p *player) actSync() {
	if !p.in || p.astray || p.ended || p.stalled() || p.pieces|p.cut|len(p.flips)|int(p.flip[1]) != 0 {
		return
	}
	const tag = 0x70000000
	p.rx.update(func() { delete(p.rx.pongs, tag) })
	p.send(initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, tag).Put32(20, initiator.NoTag).Put32(24, p.CmdSN))
	if !p.rx.wait(func() bool { return p.rx.pongs[tag] }) {
		p.t.Error("a ping is not answered, and the connection goes on")
		p.ended = true
	}
}

// actStall takes nothing more of what the server says.
func (p *player) actStall() { p.rx.update(func() { p.rx.stalled = true }) }

// actTray takes a drive and whether its disc goes or another comes.
func (p *player) actTray() {
	d, how := p.drives[int(p.byte())%len(p.drives)], p.byte()
	switch how % 3 {
	case 0:
		d.Eject(context.Background(), true)
	case 1:
		d.Insert(context.Background(), dataMedium("another"), how&0x80 != 0)
	case 2:
		d.SetSlots([]mmcemu.Slot{{}})
	}
}

// actReload takes whether the target goes.
func (p *player) actReload() {
	if p.byte()&1 != 0 {
		p.srv.Set(exported())
		return
	}
	p.srv.Set(p.exports)
}

// actNoise takes a count and as many bytes, which are no PDU.
func (p *player) actNoise() {
	p.wild, p.astray = true, true
	p.writeOut(p.bytes(p.u16() % 4096))
}
