package chd

import (
	"errors"
	"math/bits"
	"sync"
)

// Parameters of the LZMA streams in CHDs, which have no header: 3 bits of the
// byte before as a literal's context, none of its position; 2 bits of the
// position for the rest. The general library decodes a fifth as fast as what
// random reads need: here the hunk itself is the dictionary.
const (
	lzmaLC     = 3
	lzmaPos    = 1 << 2 // positions that are told apart
	lzmaStates = 12     // what the last symbols were
	lzmaBits   = 11     // of a probability
	lzmaMove   = 5      // how fast it follows
	lzmaTop    = 1 << 24
	// lzmaRise makes of what a probability falls by what it rises by.
	lzmaRise = 1<<lzmaMove - 1 - 1<<lzmaBits
)

var (
	errLZMA    = errors.New("its LZMA stream is impossible")
	errLZMAEnd = errors.New("its LZMA stream ends too early")
)

// An lzmaLength is how lengths are coded.
type lzmaLength struct {
	choice, choice2 uint16
	low, mid        [lzmaPos][8]uint16
	high            [256]uint16
}

// lzmaProbs are the probabilities of zeros.
type lzmaProbs struct {
	isMatch, isRep0Long           [lzmaStates][lzmaPos]uint16
	isRep, isRep0, isRep1, isRep2 [lzmaStates]uint16
	slot                          [4][64]uint16
	special                       [128]uint16
	align                         [16]uint16
	length, repLength             lzmaLength
	literal                       [1 << lzmaLC][0x300]uint16
}

// An lzmaDecoder decodes one stream after the other.
type lzmaDecoder struct {
	rng, code uint32
	in        []byte
	over      bool // it took bytes from beyond the end
	lzmaProbs
}

var lzmaDecoders = sync.Pool{New: func() any { return new(lzmaDecoder) }}

// lzmaFresh are the probabilities at the start.
var lzmaFresh = sync.OnceValue(func() *lzmaProbs {
	p := new(lzmaProbs)
	const half = 1 << (lzmaBits - 1)
	fill := func(lists ...[]uint16) {
		for _, l := range lists {
			for i := range l {
				l[i] = half
			}
		}
	}
	for i := range lzmaStates {
		fill(p.isMatch[i][:], p.isRep0Long[i][:])
	}
	fill(p.isRep[:], p.isRep0[:], p.isRep1[:], p.isRep2[:], p.special[:], p.align[:])
	for i := range p.slot {
		fill(p.slot[i][:])
	}
	for _, l := range []*lzmaLength{&p.length, &p.repLength} {
		l.choice, l.choice2 = half, half
		for i := range lzmaPos {
			fill(l.low[i][:], l.mid[i][:])
		}
		fill(l.high[:])
	}
	for i := range p.literal {
		fill(p.literal[i][:])
	}
	return p
})

// unLZMA unpacks an LZMA stream without header and without end mark.
func unLZMA(p, packed []byte) error {
	if len(packed) < 5 || packed[0] != 0 {
		return errLZMA
	}
	d := lzmaDecoders.Get().(*lzmaDecoder)
	defer lzmaDecoders.Put(d)
	d.lzmaProbs = *lzmaFresh()
	d.rng, d.over = 0xFFFFFFFF, false
	d.code = uint32(packed[1])<<24 | uint32(packed[2])<<16 | uint32(packed[3])<<8 | uint32(packed[4])
	d.in = packed[5:]
	err := d.decode(p)
	d.in = nil
	if err == nil && d.over {
		err = errLZMAEnd
	}
	return err
}

// next returns the next byte.
func (d *lzmaDecoder) next() uint32 {
	if len(d.in) == 0 {
		d.over = true
		return 0
	}
	c := d.in[0]
	d.in = d.in[1:]
	return uint32(c)
}

// bit decodes a bit.
func (d *lzmaDecoder) bit(p *uint16) uint32 {
	v := uint32(*p)
	bound := d.rng >> lzmaBits * v
	bit := uint32(0)
	if d.code < bound {
		d.rng = bound
		*p = uint16(v + (1<<lzmaBits-v)>>lzmaMove)
	} else {
		d.rng, d.code, bit = d.rng-bound, d.code-bound, 1
		*p = uint16(v - v>>lzmaMove)
	}
	if d.rng < lzmaTop {
		d.rng, d.code = d.rng<<8, d.code<<8|d.next()
	}
	return bit
}

// tree decodes a number below limit, a power of two, from its highest bit on.
// It has no branch on the bits, which no processor could predict.
func (d *lzmaDecoder) tree(p []uint16, limit uint32) uint32 {
	rng, code, in := d.rng, d.code, d.in
	m := uint32(1)
	for m < limit {
		q := &p[m]
		v := uint32(*q)
		bound := rng >> lzmaBits * v
		rest, less := bits.Sub32(code, bound, 0)
		zero := -less // all ones for a bit of 0
		code = rest + bound&zero
		rng -= bound
		rng += (bound - rng) & zero
		*q = uint16(int32(v) - (int32(v)+lzmaRise&int32(zero))>>lzmaMove)
		m = m<<1 + 1 + zero
		if rng < lzmaTop {
			rng, code = rng<<8, code<<8
			if len(in) > 0 {
				code |= uint32(in[0])
				in = in[1:]
			} else {
				d.over = true
			}
		}
	}
	d.rng, d.code, d.in = rng, code, in
	return m - limit
}

// reverse decodes a number of n bits from its lowest bit on.
func (d *lzmaDecoder) reverse(p []uint16, n uint) (v uint32) {
	m := uint32(1)
	for i := range n {
		b := d.bit(&p[m])
		m = m<<1 | b
		v |= b << i
	}
	return v
}

// direct decodes a number of n bits that are as likely 0 as 1.
func (d *lzmaDecoder) direct(n uint) (v uint32) {
	for range n {
		d.rng >>= 1
		bit := uint32(0)
		if d.code >= d.rng {
			d.code, bit = d.code-d.rng, 1
		}
		v = v<<1 | bit
		if d.rng < lzmaTop {
			d.rng, d.code = d.rng<<8, d.code<<8|d.next()
		}
	}
	return v
}

// matched decodes a literal that follows a match: its bits are coded by those of
// the byte that the last distance leads to, as long as they agree. Otherwise it
// is as tree.
func (d *lzmaDecoder) matched(p *[0x300]uint16, like uint32) byte {
	rng, code, in := d.rng, d.code, d.in
	m, agree := uint32(1), uint32(0x100)
	for m < 0x100 {
		like <<= 1
		other := like & agree
		q := &p[agree+other+m]
		v := uint32(*q)
		bound := rng >> lzmaBits * v
		rest, less := bits.Sub32(code, bound, 0)
		zero := -less
		code = rest + bound&zero
		rng -= bound
		rng += (bound - rng) & zero
		*q = uint16(int32(v) - (int32(v)+lzmaRise&int32(zero))>>lzmaMove)
		m = m<<1 + 1 + zero
		agree &= other ^ zero
		if rng < lzmaTop {
			rng, code = rng<<8, code<<8
			if len(in) > 0 {
				code |= uint32(in[0])
				in = in[1:]
			} else {
				d.over = true
			}
		}
	}
	d.rng, d.code, d.in = rng, code, in
	return byte(m)
}

// size decodes the length of a match.
func (d *lzmaDecoder) size(l *lzmaLength, pos int) int {
	switch {
	case d.bit(&l.choice) == 0:
		return 2 + int(d.tree(l.low[pos][:], 8))
	case d.bit(&l.choice2) == 0:
		return 10 + int(d.tree(l.mid[pos][:], 8))
	}
	return 18 + int(d.tree(l.high[:], 256))
}

// distance decodes how far back a match of size n begins, less 1.
func (d *lzmaDecoder) distance(n int) uint32 {
	slot := d.tree(d.slot[min(n-2, 3)][:], 64)
	if slot < 4 {
		return slot
	}
	extra := uint(slot>>1 - 1)
	dist := (2 | slot&1) << extra
	if slot < 14 {
		// The numbers of a slot begin behind those of the one before.
		return dist + d.reverse(d.special[dist-slot:], extra)
	}
	return dist + d.direct(extra-4)<<4 + d.reverse(d.align[:], 4)
}

// decode fills p.
func (d *lzmaDecoder) decode(p []byte) error {
	var rep [4]uint32 // the last distances, less 1
	state, at := 0, 0
	for at < len(p) && !d.over {
		pos := at % lzmaPos
		if d.bit(&d.isMatch[state][pos]) == 0 {
			before := byte(0)
			if at > 0 {
				before = p[at-1]
			}
			probs := &d.literal[before>>(8-lzmaLC)]
			if state < 7 {
				p[at] = byte(d.tree(probs[:], 256))
			} else if int(rep[0]) >= at {
				return errLZMA
			} else {
				p[at] = d.matched(probs, uint32(p[at-1-int(rep[0])]))
			}
			at++
			state = lzmaAfterLiteral[state]
			continue
		}
		n := d.match(&state, &rep, pos)
		if int64(rep[0]) >= int64(at) || n > len(p)-at {
			return errLZMA // also an end mark, whose distance is -1
		}
		from := at - 1 - int(rep[0])
		for range n {
			p[at] = p[from]
			at, from = at+1, from+1
		}
	}
	return nil
}

// lzmaAfterLiteral is the state that follows on a literal.
var lzmaAfterLiteral = [lzmaStates]int{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}

// match decodes a match: its size, and its distance as rep[0].
func (d *lzmaDecoder) match(state *int, rep *[4]uint32, pos int) int {
	s := *state
	// after chooses the next state by whether the last symbol was a literal.
	after := func(literal, other int) {
		if *state = other; s < 7 {
			*state = literal
		}
	}
	if d.bit(&d.isRep[s]) == 0 {
		n := d.size(&d.length, pos)
		rep[0], rep[1], rep[2], rep[3] = d.distance(n), rep[0], rep[1], rep[2]
		after(7, 10)
		return n
	}
	switch {
	case d.bit(&d.isRep0[s]) == 0:
		if d.bit(&d.isRep0Long[s][pos]) == 0 {
			after(9, 11)
			return 1
		}
	case d.bit(&d.isRep1[s]) == 0:
		rep[0], rep[1] = rep[1], rep[0]
	case d.bit(&d.isRep2[s]) == 0:
		rep[0], rep[1], rep[2] = rep[2], rep[0], rep[1]
	default:
		rep[0], rep[1], rep[2], rep[3] = rep[3], rep[0], rep[1], rep[2]
	}
	after(8, 11)
	return d.size(&d.repLength, pos)
}
