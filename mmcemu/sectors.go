package mmcemu

import "spindle/isostore/disc"

// A part is a range of bytes of a raw sector.
type part struct{ start, end int }

// sectorParts are where the fields of a sector lie, by type: sync, header,
// sub-header, user data, EDC and ECC. Form 2's EDC counts as user data.
// Source: ECMA-130, 14; MMC-6, READ CD; sizes as in reference/mmc.md 4.4.
var sectorParts = map[sectorType][5]part{
	mode1Type: {{0, 12}, {12, 16}, {}, {16, 2064}, {2064, disc.SectorSize}},
	mode2Type: {{0, 12}, {12, 16}, {}, {16, disc.SectorSize}, {}},
	form1Type: {{0, 12}, {12, 16}, {16, 24}, {24, 2072}, {2072, disc.SectorSize}},
	form2Type: {{0, 12}, {12, 16}, {16, 24}, {24, disc.SectorSize}, {}},
}

var wholeSector = []part{{0, disc.SectorSize}}

// partsOf returns the parts of a sector that READ CD's byte 9 selects. Audio
// has no fields: whatever is selected is the sector. A field that a sector
// does not have is empty and no error.
func partsOf(kind sectorType, fields byte) []part {
	if kind == cddaType {
		return wholeSector
	}
	all := sectorParts[kind]
	parts := make([]part, 0, len(all))
	for i, bit := range []byte{selectSync, selectHeader, selectSubheader, selectUserData, selectEDC} {
		if fields&bit != 0 {
			parts = append(parts, all[i])
		}
	}
	return parts
}

// typeOf returns what a raw sector is, by its track and its own header; false
// in no track.
func typeOf(m *medium, sector []byte, lba disc.LBA) (sectorType, bool) {
	const form2 = 0x20 // submode
	_, track := m.layout.TrackAt(lba)
	switch {
	case track == nil:
		return 0, false
	case !track.IsData():
		return cddaType, true
	case sector[15]&3 == 1:
		return mode1Type, true
	case track.Mode != disc.Mode2XA:
		return mode2Type, true
	case sector[18]&form2 != 0:
		return form2Type, true
	}
	return form1Type, true
}
