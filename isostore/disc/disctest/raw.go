package disctest

import (
	"bytes"
	"errors"

	"spindle/isostore/disc"
)

// syncField starts every sector of a data track (ECMA-130, 14.1).
var syncField = []byte{0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0}

// raw checks that sectors and blocks are of one disc.
func (c *checker) raw(raw disc.RawReader) {
	r := readFunc{"ReadSectors", disc.SectorSize, raw.ReadSectors}
	for _, lba := range c.points() {
		c.prefix(r, lba)
		_, t := c.l.TrackAt(lba)
		sector, err := c.one(r, lba)
		if t == nil || lba < t.Start {
			continue
		}
		if err != nil {
			c.errorf("ReadSectors at %d, track %d: %v", lba, t.Number, err)
			continue
		}
		if t.Mode != disc.Audio {
			c.dataSector(t, lba, sector)
		}
	}
	p := make([]byte, disc.SectorSize)
	if n, err := raw.ReadSectors(p, c.l.LeadOut()); n != 0 || !errors.Is(err, disc.ErrRange) {
		c.errorf("ReadSectors at the lead-out = %d, %v; want 0, ErrRange", n, err)
	}
}

// dataSector checks sync, header and user data of a data track's sector.
func (c *checker) dataSector(t *disc.Track, lba disc.LBA, sector []byte) {
	m := lba.MSF()
	mode, user := byte(2), 24
	if t.Mode == disc.Mode1 {
		mode, user = 1, 16
	}
	header := []byte{bcd(m.M), bcd(m.S), bcd(m.F), mode}
	if !bytes.Equal(sector[:12], syncField) || !bytes.Equal(sector[12:16], header) {
		c.errorf("sector %d begins % X, want sync and % X", lba, sector[:16], header)
	}
	block, err := c.one(c.blocks(), lba)
	if err == nil && !bytes.Equal(sector[user:user+disc.BlockSize], block) {
		c.errorf("sector %d holds other user data than ReadBlocks gives", lba)
	}
}

// sub checks that the Q sub-channel agrees with the layout.
func (c *checker) sub(sub disc.SubReader) {
	r := readFunc{"ReadSub", disc.SubSize, sub.ReadSub}
	for _, lba := range c.points() {
		c.prefix(r, lba)
		_, t := c.l.TrackAt(lba)
		p, err := c.one(r, lba)
		if t == nil || err != nil {
			if t != nil && lba >= t.Start {
				c.errorf("ReadSub at %d, track %d: %v", lba, t.Number, err)
			}
			continue
		}
		q := QOf(p)
		if crc := crc16(q[:10]); q[10] != byte(crc>>8) || q[11] != byte(crc) {
			c.errorf("sub-channel Q at %d is % X, its CRC should be %04X", lba, q, crc)
		}
		if q[0]&0xF != 1 {
			continue // MCN or ISRC
		}
		m := lba.MSF()
		want := []byte{bcd(t.Number), bcd(index(t, lba)), bcd(m.M), bcd(m.S), bcd(m.F)}
		got := append(bytes.Clone(q[1:3]), q[7:10]...)
		if !bytes.Equal(got, want) || q[0]>>4&4 != t.Control&4 {
			c.errorf("sub-channel Q at %d is % X, want track, index and address % X, control %X", lba, q, want, t.Control)
		}
	}
}

// index returns the index that lba has in track t.
func index(t *disc.Track, lba disc.LBA) byte {
	if lba < t.Start {
		return 0
	}
	n := byte(1)
	for _, i := range t.Indexes {
		if lba >= i {
			n++
		}
	}
	return n
}

// QOf returns the 12 bytes of sub-channel Q in the 96 bytes of P to W: bit 6 of
// each, the first in the highest bit (MMC-6, 4.2.4).
func QOf(sub []byte) (q [12]byte) {
	for i, b := range sub[:disc.SubSize] {
		q[i/8] |= b >> 6 & 1 << (7 - i%8)
	}
	return q
}

// crc16 is the CRC of sub-channel Q: polynomial 1021h, inverted (ECMA-130,
// 22.3.6).
func crc16(b []byte) (crc uint16) {
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			carry := crc >> 15
			crc = crc<<1 ^ carry*0x1021
		}
	}
	return ^crc
}

func bcd(b byte) byte { return b/10<<4 | b%10 }
