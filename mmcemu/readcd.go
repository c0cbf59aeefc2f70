package mmcemu

import (
	"context"
	"encoding/binary"

	"spindle/isostore/disc"
	"spindle/scsi"
)

var readCDCommands = []command{
	{0xBE, "READ CD", needsMedium | concurrent | stopsPlay, alloc{}, checkReadCD, (*Drive).readCD},
	{0xB9, "READ CD MSF", needsMedium | concurrent | stopsPlay, alloc{}, checkReadCDMSF, (*Drive).readCDMSF},
}

// A sectorType is the expected sector type of READ CD, and what a sector is.
type sectorType byte

const (
	anyType sectorType = iota
	cddaType
	mode1Type
	mode2Type
	form1Type
	form2Type
)

func wantedType(cdb *scsi.CDB) sectorType { return sectorType(cdb[1] >> 2 & 7) }

// checkReadCD refuses values that have no meaning, also for a length of 0: that
// is how tools probe for sub-channels and C2. DAP is taken as it comes: samples
// of an image have no flaws to obscure.
func checkReadCD(cdb *scsi.CDB) error {
	f := fieldsOf(cdb)
	switch {
	case wantedType(cdb) > form2Type:
		return scsi.FieldInCDB(1, 4)
	case f.c2 > c2AndBlock:
		return scsi.FieldInCDB(9, 2)
	case f.sub != subNone && f.sub != subRaw && f.sub != subQ && f.sub != subPacks:
		return scsi.FieldInCDB(10, 2)
	}
	return nil
}

func checkReadCDMSF(cdb *scsi.CDB) error {
	for _, at := range []int{3, 6} {
		if cdb[at+1] >= 60 {
			return scsi.FieldInCDB(at+1, -1)
		}
		if cdb[at+2] >= 75 {
			return scsi.FieldInCDB(at+2, -1)
		}
	}
	// From 90 minutes on an address is in the lead-in, or far out: see discAddress.
	start, end := msfAt(cdb, 3), msfAt(cdb, 6)
	if start.LBA() > end.LBA() && framesOf(start) > framesOf(end) {
		return scsi.FieldInCDB(6, -1)
	}
	return checkReadCD(cdb)
}

func msfAt(cdb *scsi.CDB, at int) disc.MSF { return disc.MSF{M: cdb[at], S: cdb[at+1], F: cdb[at+2]} }

// readCD answers READ CD.
//
//	CDB  byte 1 bits 4-2 expected sector type, bit 1 DAP; bytes 2-5 LBA, signed,
//	     from -150 on; bytes 6-8 length in sectors; byte 9 fields of a sector,
//	     bits 2-1 C2: 1 bits, 2 bits and block error byte; byte 10 bits 2-0
//	     sub-channel: 0 none, 1 P-W as on the disc, 2 Q, 4 packs of R-W
//	data for each sector: sync, header, sub-header, user data, EDC and ECC, C2
//	     (294 or 296), sub-channel (96, 16 or 96)
//
// User data alone is read from every medium. The other fields are read from a
// CD: INVALID FIELD IN CDB otherwise. A command may go from audio to data when
// any type is expected and what is selected is as long in both, as the whole
// sector is: readers of whole discs do not look at tracks. A sector that is not
// of the expected type, or of another length than the first, is ILLEGAL MODE FOR
// THIS TRACK; what lies past the lead-out or between sessions is LBA OUT OF
// RANGE. The good sectors before such a one are sent, but none when the range
// ends past the lead-out. Source: MMC-6, READ CD.
func (d *Drive) readCD(ctx context.Context, cmd *scsi.Command, m *medium) error {
	lba := disc.LBA(int32(binary.BigEndian.Uint32(cmd.CDB[2:])))
	return d.readSelected(ctx, cmd, m, lba, binary.BigEndian.Uint32(cmd.CDB[5:])&0xFFFFFF)
}

// readCDMSF answers READ CD MSF: as READ CD, with a start in bytes 3-5 and an
// end, which is not read, in bytes 6-8.
func (d *Drive) readCDMSF(ctx context.Context, cmd *scsi.Command, m *medium) error {
	start, end := discAddress(m, msfAt(&cmd.CDB, 3)), discAddress(m, msfAt(&cmd.CDB, 6))
	if start > end {
		return scsi.FieldInCDB(6, -1)
	}
	return d.readSelected(ctx, cmd, m, start, uint32(end-start))
}

func (d *Drive) readSelected(ctx context.Context, cmd *scsi.Command, m *medium, lba disc.LBA, n uint32) error {
	r := rawRead{lba, n, wantedType(&cmd.CDB), fieldsOf(&cmd.CDB)}
	if n == 0 || r.fields == (fields{}) {
		return nil
	}
	end, blocks := int64(lba)+int64(n), int64(m.blocks())
	if end > blocks {
		return scsi.ErrLBAOutOfRange.At(uint32(max(int64(lba), blocks)))
	}
	_, track := m.layout.TrackAt(lba)
	if track == nil {
		return scsi.ErrLBAOutOfRange.At(uint32(lba))
	}
	raw, ok := m.disc.(disc.RawReader)
	ok = ok && m.layout.Kind == disc.CD
	whole := lba >= track.Start && end <= int64(m.layout.End(track))
	switch plain := track.Mode == disc.Mode1 || track.Mode == disc.UserData; {
	case ok && !(plain && whole && r.fields == userData):
		return d.readRaw(ctx, cmd, m, raw, r)
	case r.fields.main != userData.main:
		return scsi.FieldInCDB(9, 7)
	case r.fields.c2 != 0:
		return scsi.FieldInCDB(9, 2)
	case r.fields.sub != 0:
		return scsi.FieldInCDB(10, 2)
	case r.want != anyType && r.want != mode1Type:
		return illegalMode(lba)
	case lba < 0:
		return scsi.ErrLBAOutOfRange.At(uint32(lba))
	}
	return d.readBlocks(ctx, cmd, m, disc.BlockSize, uint32(lba), n)
}

func illegalMode(lba disc.LBA) error {
	s := scsi.ErrIllegalMode.At(uint32(lba))
	s.ILI = true
	return s
}
