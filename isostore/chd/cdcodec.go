package chd

import (
	"encoding/binary"
	"fmt"
	"sync"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// FrameSize is the size of a CD's unit: a sector and its sub-channel, in bytes.
const FrameSize = disc.SectorSize + disc.SubSize

// cdFrames is the count of frames of a hunk. What a CD codec packs of them:
//
//	bitmap   a bit a frame, the lowest first: sync and ECC are left out, zeroed
//	length   of what follows, 2 bytes, or 3 for hunks of 64 KiB and more
//	sectors  2352 bytes a frame, packed
//	subs     96 bytes a frame, packed
type cdFrames int

// cdPool is for the sectors and sub-channels of a hunk, each behind the other.
var cdPool = sync.Pool{New: func() any { return new([]byte) }}

// buffers returns memory for the sectors and for the sub-channels of a hunk, and
// what gives it back.
func (f cdFrames) buffers() (sectors, subs []byte, done func()) {
	b := cdPool.Get().(*[]byte)
	*b = sized(*b, int(f)*FrameSize)
	at := int(f) * disc.SectorSize
	return (*b)[:at], (*b)[at:], func() { cdPool.Put(b) }
}

// header returns the sizes of the bitmap and of the length.
func (f cdFrames) header() (bitmap, length int) {
	bitmap, length = (int(f)+7)/8, 2
	if int(f)*FrameSize >= 1<<16 {
		length = 3
	}
	return bitmap, length
}

// decoder is the decoder whose sectors and sub-channels are packed so.
func (f cdFrames) decoder(sectors, subs decoder) decoder {
	return func(p, packed []byte) error {
		nb, nl := f.header()
		if len(packed) < nb+nl {
			return fmt.Errorf("its %d bytes have no place for a header of %d", len(packed), nb+nl)
		}
		bitmap, length, rest := packed[:nb], 0, packed[nb+nl:]
		for _, c := range packed[nb : nb+nl] {
			length = length<<8 | int(c)
		}
		if length > len(rest) {
			return fmt.Errorf("its sectors take %d bytes of %d", length, len(rest))
		}
		base, sub, done := f.buffers()
		defer done()
		if err := sectors(base, rest[:length]); err != nil {
			return fmt.Errorf("sectors: %w", err)
		}
		if err := subs(sub, rest[length:]); err != nil {
			return fmt.Errorf("sub-channels: %w", err)
		}
		f.join(p, base, sub)
		for i := range int(f) {
			if bitmap[i/8]>>(i%8)&1 != 0 {
				restore(p[i*FrameSize:][:disc.SectorSize])
			}
		}
		return nil
	}
}

// join puts each sub-channel behind its sector.
func (f cdFrames) join(p, sectors, subs []byte) {
	for i := range int(f) {
		copy(p[i*FrameSize:], sectors[i*disc.SectorSize:][:disc.SectorSize])
		copy(p[i*FrameSize+disc.SectorSize:], subs[i*disc.SubSize:][:disc.SubSize])
	}
}

// split is the opposite of join.
func (f cdFrames) split(sectors, subs, p []byte) {
	for i := range int(f) {
		copy(sectors[i*disc.SectorSize:][:disc.SectorSize], p[i*FrameSize:])
		copy(subs[i*disc.SubSize:][:disc.SubSize], p[i*FrameSize+disc.SectorSize:])
	}
}

// unFLAC is the decoder of audio: FLAC frames, the samples big-endian in the
// hunk, then the sub-channels, deflated.
func (f cdFrames) unFLAC(p, packed []byte) error {
	base, sub, done := f.buffers()
	defer done()
	n, err := flacFrames(base, packed, binary.BigEndian)
	if err != nil {
		return fmt.Errorf("sectors: %w", err)
	}
	if err := inflate(sub, packed[n:]); err != nil {
		return fmt.Errorf("sub-channels: %w", err)
	}
	f.join(p, base, sub)
	return nil
}

// Where the fields of a sector lie that the bitmap is about.
const (
	syncSize = 12
	eccAt    = 2076
)

var syncField = [syncSize]byte{0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0}

// restore makes sync and ECC of a sector that lacks them.
func restore(s []byte) {
	copy(s, syncField[:])
	sector.ECC(s)
}

// strip zeroes sync and ECC of a sector when restore makes the same again.
func strip(s []byte) bool {
	if [syncSize]byte(s) != syncField {
		return false
	}
	var made [disc.SectorSize]byte
	copy(made[:], s[:eccAt])
	sector.ECC(made[:])
	if [disc.SectorSize - eccAt]byte(made[eccAt:]) != [disc.SectorSize - eccAt]byte(s[eccAt:]) {
		return false
	}
	clear(s[:syncSize])
	clear(s[eccAt:])
	return true
}
