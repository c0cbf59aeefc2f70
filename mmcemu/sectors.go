package mmcemu

import (
	"spindle/isostore/disc"
	"spindle/isostore/sector"
	"spindle/scsi"
)

// Bits of READ CD, byte 9, that select fields of a sector. On the disc they
// come in the order of fieldBits, and so they are sent.
const (
	selectSync      = 0x80
	selectHeader    = 0x20
	selectSubheader = 0x40
	selectUserData  = 0x10
	selectEDC       = 0x08
	selectMain      = 0xF8
)

var fieldBits = [...]byte{selectSync, selectHeader, selectSubheader, selectUserData, selectEDC}

// Values of the C2 field, byte 9 bits 2-1, and the bytes that they add: a bit
// for each byte of the sector, behind the block error byte and a pad byte. They
// are zeros: an image holds what a drive has corrected.
const (
	c2None = iota
	c2Bits
	c2AndBlock
)

var (
	c2Sizes  = [...]int{c2None: 0, c2Bits: disc.SectorSize / 8, c2AndBlock: 2 + disc.SectorSize/8}
	noErrors [2 + disc.SectorSize/8]byte
)

// Values of the sub-channel field, byte 10 bits 2-0.
const (
	subNone  = 0
	subRaw   = 1 // P to W as on the disc, P in bit 7
	subQ     = 2 // Q, 16 bytes
	subPacks = 4 // R to W, corrected and de-interleaved
)

var subSizes = [...]int{subRaw: disc.SubSize, subQ: qSize, subPacks: disc.SubSize}

const qSize = 16

// fields are what READ CD asks of each sector.
type fields struct{ main, c2, sub byte }

// userData are the fields that are read from any medium.
var userData = fields{main: selectUserData}

func fieldsOf(cdb *scsi.CDB) fields {
	return fields{cdb[9] & selectMain, cdb[9] >> 1 & 3, cdb[10] & 7}
}

// mainOf returns the fields of the main channel for a type of sector. Audio has
// no fields: whatever is selected is the sector.
func (f fields) mainOf(kind sectorType) byte {
	if kind == cddaType && f.main != 0 {
		return selectUserData
	}
	return f.main
}

// size returns the bytes that are sent of a sector. A field that the sector
// does not have is empty and no error. Fields that are not neighbours, which
// MMC-6 leaves undefined, are sent one after the other, as other emulators do.
func (f fields) size(kind sectorType) int {
	n, main := c2Sizes[f.c2]+subSizes[f.sub], f.mainOf(kind)
	for i, p := range sectorParts[kind] {
		if main&fieldBits[i] != 0 {
			n += p.end - p.start
		}
	}
	return n
}

// A part is a range of bytes of a raw sector.
type part struct{ start, end int }

// sectorParts are where the fields of a sector lie, by type, in the order of
// fieldBits. Form 2's EDC counts as user data.
// Source: ECMA-130, 14; MMC-6, READ CD; sizes as in reference/mmc.md 4.4.
var sectorParts = [...][len(fieldBits)]part{
	cddaType:  {3: {0, disc.SectorSize}},
	mode1Type: {{0, 12}, {12, 16}, {}, {16, 2064}, {2064, disc.SectorSize}},
	mode2Type: {{0, 12}, {12, 16}, {}, {16, disc.SectorSize}, {}},
	form1Type: {{0, 12}, {12, 16}, {16, 24}, {24, 2072}, {2072, disc.SectorSize}},
	form2Type: {{0, 12}, {12, 16}, {16, 24}, {24, disc.SectorSize}, {}},
}

// typeOf returns what a raw sector is, by its track and its own header; false
// in no track. A pregap of a data track may be audio, which has no sync. A
// sector of mode 0 is taken for a formless one: 2336 bytes follow its header.
func typeOf(m *medium, s []byte, lba disc.LBA) (sectorType, bool) {
	const form2 = 0x20 // submode
	_, track := m.layout.TrackAt(lba)
	switch {
	case track == nil:
		return 0, false
	case !track.IsData(), lba < track.Start && !sector.IsRaw(s):
		return cddaType, true
	case s[15]&3 == 1:
		return mode1Type, true
	case s[15]&3 == 0 || track.Mode != disc.Mode2XA:
		return mode2Type, true
	case s[18]&form2 != 0:
		return form2Type, true
	}
	return form1Type, true
}

// formattedQ is the sub-channel of selection 2: the 12 bytes of Q as on the
// disc, so in BCD and with its CRC, 3 zeros, and P in bit 7 of the last.
// Source: MMC-6, READ CD, formatted Q sub-channel.
func formattedQ(sub []byte) (b [qSize]byte) {
	q := sector.QOf(sub)
	copy(b[:], q[:])
	b[qSize-1] = sub[0] & 0x80
	return b
}
