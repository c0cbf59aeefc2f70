package sector

import (
	"encoding/binary"
	"slices"

	"spindle/isostore/disc"
)

// channelSize is the bytes that one of the channels P to W has in a sector.
const channelSize = disc.SubSize / 8

// crcTable holds the CRC of a byte, polynomial x^16+x^12+x^5+1.
var crcTable = func() (t [256]uint16) {
	for b := range t {
		x := uint16(b) << 8
		for range 8 {
			x = x<<1 ^ -(x>>15)&0x1021
		}
		t[b] = x
	}
	return t
}()

// CRC16 returns the CRC of sub-channel Q and of CD-TEXT packs, inverted as it is
// stored, high byte first (ECMA-130, 22.3.6).
func CRC16(b []byte) (x uint16) {
	for _, c := range b {
		x = x<<8 ^ crcTable[byte(x>>8)^c]
	}
	return ^x
}

// Interleave makes the 96 symbols of P to W that READ CD sends, each a bit of every
// channel, P in the highest, of 12 bytes P, 12 bytes Q and so on to W, as CloneCD
// stores them. dst and src must not overlap.
func Interleave(dst, src []byte) {
	dst, src = dst[:disc.SubSize], src[:disc.SubSize]
	for i := range channelSize {
		var rows uint64
		for c := range 8 {
			rows = rows<<8 | uint64(src[c*channelSize+i])
		}
		binary.BigEndian.PutUint64(dst[8*i:], transpose(rows))
	}
}

// Deinterleave is the inverse of [Interleave].
func Deinterleave(dst, src []byte) {
	dst, src = dst[:disc.SubSize], src[:disc.SubSize]
	for i := range channelSize {
		rows := transpose(binary.BigEndian.Uint64(src[8*i:]))
		for c := range 8 {
			dst[c*channelSize+i] = byte(rows >> (56 - 8*c))
		}
	}
}

// transpose swaps rows and columns of a matrix of 8 by 8 bits, by halves.
func transpose(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00AA00AA00AA00AA
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000CCCC0000CCCC
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000F0F0F0F0
	return x ^ t ^ t<<28
}

// QOf returns sub-channel Q of the 96 interleaved bytes of P to W.
func QOf(sub []byte) (q Q) {
	for i, b := range sub[:disc.SubSize] {
		q[i/8] |= b >> 6 & 1 << (7 - i%8)
	}
	return q
}

// Sub writes at dst[:96] the P to W that a disc of layout l has at lba, interleaved:
// P is set in pregaps; Q is the position, but for one sector in a hundred that has the
// MCN and one that has the track's ISRC, where there are any; R to W are zero.
func Sub(dst []byte, l *disc.Layout, lba disc.LBA) {
	q, pause := qAt(l, lba)
	p := byte(0)
	if pause {
		p = 0x80
	}
	dst = dst[:disc.SubSize]
	for i := range dst {
		dst[i] = p | q[i/8]>>(7-i%8)&1<<6
	}
}

// Where in each hundred sectors the MCN and the ISRC are: a window, of which the
// first sector carries them that starts no track and no index.
const (
	period = 100
	window = 8
	mcnAt  = 37
	isrcAt = 73
)

// qAt returns sub-channel Q at lba and whether a pause is there.
func qAt(l *disc.Layout, lba disc.LBA) (q Q, pause bool) {
	_, t := l.TrackAt(lba)
	if first := l.First(); t == nil && lba < first.Start {
		t = first // its pregap has 150 sectors, whether or not the image holds them
	}
	switch {
	case t == nil:
		return LeadOutQ(l, lba), false
	case l.MCN != "" && carries(t, lba, mcnAt):
		q = MCNQ(t.Control, l.MCN, lba)
	case t.ISRC != "" && carries(t, lba, isrcAt):
		q = ISRCQ(t.Control, t.ISRC, lba)
	default:
		q = PositionQ(t, lba)
	}
	return q, lba < t.Start
}

// carries reports whether lba is the sector of its hundred for what has its window
// at phase.
func carries(t *disc.Track, lba disc.LBA, phase int) bool {
	place := (int(lba)%period+period)%period - phase
	if place < 0 || place >= window || begins(t, lba) {
		return false
	}
	for i := 1; i <= place; i++ {
		if !begins(t, lba-disc.LBA(i)) {
			return false
		}
	}
	return true
}

// begins reports whether an index of t begins at lba.
func begins(t *disc.Track, lba disc.LBA) bool {
	if lba == t.Pregap || lba == t.Start {
		return true
	}
	return slices.Contains(t.Indexes, lba)
}
