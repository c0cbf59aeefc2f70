package disctest

import (
	"bytes"
	"errors"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// raw checks that sectors and blocks are of one disc.
func (c *checker) raw(raw disc.RawReader) {
	r := readFunc{"ReadSectors", disc.SectorSize, raw.ReadSectors}
	for _, lba := range c.points() {
		c.prefix(r, lba)
		_, t := c.l.TrackAt(lba)
		s, err := c.one(r, lba)
		switch {
		case t == nil:
		case err == nil && lba < t.Start:
			c.pause(t, lba, s)
		case err == nil && t.Mode != disc.Audio:
			c.dataSector(t, lba, s)
		case err != nil:
			c.refused(r, t, lba, err)
		}
	}
	p := make([]byte, disc.SectorSize)
	if n, err := raw.ReadSectors(p, c.l.LeadOut()); n != 0 || !errors.Is(err, disc.ErrRange) {
		c.errorf("ReadSectors at the lead-out = %d, %v; want 0, ErrRange", n, err)
	}
}

// refused checks the failure to read at lba, in track t: only a pregap may fail,
// that of track 1 for the reason that the image does not hold it.
func (c *checker) refused(r readFunc, t *disc.Track, lba disc.LBA, err error) {
	switch {
	case lba >= t.Start:
		c.errorf("%s at %d, track %d: %v", r.name, lba, t.Number, err)
	case lba < 0 && !errors.Is(err, disc.ErrRange):
		c.errorf("%s at %d, pregap of track %d: %v, want ErrRange or data", r.name, lba, t.Number, err)
	}
}

// pause checks a sector of the pregap of track t: it may be audio or, before a
// data track, data of any mode, but for track 1, which has nothing before it.
func (c *checker) pause(t *disc.Track, lba disc.LBA, s []byte) {
	switch {
	case lba < 0 && sector.IsRaw(s) == (t.Mode == disc.Audio):
		c.errorf("sector %d, pregap of track %d of mode %d, begins % X", lba, t.Number, t.Mode, s[:16])
	case t.Mode != disc.Audio && sector.IsRaw(s):
		c.header(lba, s[15], s)
		c.intact(t, lba, s)
	}
}

// dataSector checks all of a data track's sector.
func (c *checker) dataSector(t *disc.Track, lba disc.LBA, s []byte) {
	mode, user := byte(2), 24
	if t.Mode == disc.Mode1 {
		mode, user = 1, 16
	}
	c.header(lba, mode, s)
	c.intact(t, lba, s)
	block, err := c.one(c.blocks(), lba)
	if err == nil && !bytes.Equal(s[user:user+disc.BlockSize], block) {
		c.errorf("sector %d holds other user data than ReadBlocks gives", lba)
	}
}

// header checks sync and header.
func (c *checker) header(lba disc.LBA, mode byte, s []byte) {
	want := make([]byte, 16)
	sector.Header(want, lba, mode)
	if !bytes.Equal(s[:16], want) {
		c.errorf("sector %d begins % X, want % X", lba, s[:16], want)
	}
}

// intact checks EDC and ECC. A formless sector has neither, and its data may look
// as if it had.
func (c *checker) intact(t *disc.Track, lba disc.LBA, s []byte) {
	if t.Mode == disc.Mode2 && s[15] == 2 {
		return
	}
	if err := sector.Check(s); err != nil {
		c.errorf("sector %d: %v", lba, err)
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
			if t != nil {
				c.refused(r, t, lba, err)
			}
			continue
		}
		q := sector.QOf(p)
		if !q.Valid() {
			c.errorf("sub-channel Q at %d is % X, its CRC should be %04X", lba, q, sector.CRC16(q[:10]))
		}
		if q[0]&0xF != 1 {
			continue // MCN or ISRC
		}
		want := sector.PositionQ(t, lba)
		same := bytes.Equal(q[1:3], want[1:3]) && bytes.Equal(q[7:10], want[7:10])
		if !same || (q[0]^want[0])>>4&4 != 0 { // the relative address is as the image has it
			c.errorf("sub-channel Q at %d is % X, want track, index and address of % X", lba, q, want)
		}
	}
}
