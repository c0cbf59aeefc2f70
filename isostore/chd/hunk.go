package chd

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// crc16 is the CRC of hunks and maps: polynomial 1021h, from FFFFh on.
func crc16(p []byte) uint16 {
	x := uint16(0xFFFF)
	for ; len(p) >= 8; p = p[8:] {
		v := binary.BigEndian.Uint64(p) ^ uint64(x)<<48
		x = crcTable[7][byte(v>>56)] ^ crcTable[6][byte(v>>48)] ^ crcTable[5][byte(v>>40)] ^ crcTable[4][byte(v>>32)] ^
			crcTable[3][byte(v>>24)] ^ crcTable[2][byte(v>>16)] ^ crcTable[1][byte(v>>8)] ^ crcTable[0][byte(v)]
	}
	for _, c := range p {
		x = x<<8 ^ crcTable[0][byte(x>>8)^c]
	}
	return x
}

// crcTable[k][b] is what byte b gives when k zero bytes follow it.
var crcTable = func() (t [8][256]uint16) {
	for b := range 256 {
		x := uint16(b) << 8
		for range 8 {
			x = x<<1 ^ -(x>>15)&0x1021
		}
		t[0][b] = x
	}
	for k := 1; k < len(t); k++ {
		for b := range 256 {
			x := t[k-1][b]
			t[k][b] = x<<8 ^ t[0][byte(x>>8)]
		}
	}
	return t
}()

// scratch is memory for one hunk as it is stored, and one as it is used.
type scratch struct{ packed, whole []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// sized returns b with n bytes.
func sized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// ReadHunk fills p with hunk n: HunkBytes, or for the last one what the data has
// of it. It checks the hunk's CRC.
func (c *Reader) ReadHunk(p []byte, n int64) (err error) {
	want := min(int64(c.HunkBytes), c.Logical-n*int64(c.HunkBytes))
	if n < 0 || want <= 0 || int64(len(p)) != want {
		return fmt.Errorf("hunk %d of %d: %d bytes are wanted", n, c.Hunks(), len(p))
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: hunk %d: the decoder gave up: %v", ErrDamaged, n, r)
		}
	}()
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	whole := p
	if len(p) < c.HunkBytes {
		s.whole = sized(s.whole, c.HunkBytes)
		whole = s.whole
	}
	if !c.Compressed() {
		err = c.readPlain(whole, n)
	} else {
		err = c.readPacked(whole, s, n)
	}
	copy(p, whole)
	return err
}

// readPlain reads a hunk of a CHD without compression: its place, in hunks,
// stands in the map; at place 0 nothing is stored, and the hunk is zeros.
func (c *Reader) readPlain(p []byte, n int64) error {
	var b [4]byte
	if err := readFull(c.r, b[:], c.mapAt+4*n); err != nil {
		return err
	}
	place := int64(binary.BigEndian.Uint32(b[:]))
	if place == 0 {
		clear(p)
		return nil
	}
	at := place * int64(c.HunkBytes)
	if at >= c.size {
		return damaged(at, "hunk %d lies beyond the file", n)
	}
	return readFull(c.r, p, at)
}

// readPacked reads a hunk of a CHD with compression.
func (c *Reader) readPacked(p []byte, s *scratch, n int64) error {
	e := getEntry(c.hunks[n*entrySize:])
	if e.kind == typeStored {
		if err := readFull(c.r, p, e.off); err != nil {
			return err
		}
		return c.check(p, &e, n)
	}
	s.packed = sized(s.packed, e.length)
	if err := readFull(c.r, s.packed, e.off); err != nil {
		return err
	}
	if err := c.codecs[e.kind](p, s.packed); err != nil {
		return fmt.Errorf("%w: byte %d: hunk %d by %s: %w", ErrDamaged, e.off, n, c.Codecs[e.kind], err)
	}
	return c.check(p, &e, n)
}

func (c *Reader) check(p []byte, e *entry, n int64) error {
	if got := crc16(p); got != e.crc {
		return damaged(e.off, "hunk %d unpacks to data with CRC %04X, want %04X", n, got, e.crc)
	}
	return nil
}
