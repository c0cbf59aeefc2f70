package mmcemu

import (
	"context"
	"encoding/binary"
	"time"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
	"spindle/scsi"
)

var subChannelCommands = []command{
	{0x42, "READ SUB-CHANNEL", needsMedium | concurrent, alloc16(7), checkSubChannel, (*Drive).readSubChannel},
	{0x44, "READ HEADER", needsMedium | concurrent | stopsPlay, alloc16(7), nil, (*Drive).readHeader},
}

// Formats of READ SUB-CHANNEL.
const (
	currentPosition = 1
	mediaCatalog    = 2
	trackISRC       = 3
)

const subQBit = 0x40

func checkSubChannel(cdb *scsi.CDB) error {
	if f := cdb[3]; cdb[2]&subQBit != 0 && (f < currentPosition || f > trackISRC) {
		return scsi.FieldInCDB(3, -1)
	}
	return nil
}

// readSubChannel answers READ SUB-CHANNEL. The position is where the head plays
// or stands: after a play where that ended, after SEEK where that went, at first
// where track 1 starts. Reads do not move it.
//
//	CDB  byte 1 bit 1 MSF; byte 2 bit 6 SUBQ; byte 3 format; byte 6 track of an ISRC
//	data 0, audio status, length (2); with SUBQ the format:
//	     position, 12 bytes: 1, ADR and control, track, index, absolute and
//	     relative address (4 each); the latter is below 0 in a pregap, and as
//	     MSF counts down
//	     catalogue number, 20 bytes: 2, 3 zeros, valid bit, 13 digits, 2 zeros
//	     ISRC, 20 bytes: 3, ADR and control, track, 0, valid bit, 12 characters, 3 zeros
//
// It fails with INVALID FIELD IN CDB for a track that is not there.
// Source: MMC-6, READ SUB-CHANNEL.
func (d *Drive) readSubChannel(_ context.Context, cmd *scsi.Command, m *medium) error {
	l, msf := m.layout, cmd.CDB[1]&2 != 0
	status, head := d.audioStatus(m)
	b := append(make([]byte, 0, 24), 0, status, 0, 0)
	if cmd.CDB[2]&subQBit == 0 {
		return cmd.In.Reply(b)
	}
	switch cmd.CDB[3] {
	case currentPosition:
		b = appendPosition(append(b, currentPosition), m, head, msf)
	case mediaCatalog:
		b = appendCode(append(b, mediaCatalog, 0, 0, 0), l.MCN, 13, 2)
	case trackISRC:
		_, t := findTrack(l, byTrack, uint32(cmd.CDB[6]))
		if t == nil {
			return scsi.FieldInCDB(6, -1)
		}
		b = appendCode(append(b, trackISRC, 0x10|t.Control&0x0F, t.Number, 0), t.ISRC, 12, 3)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return cmd.In.Reply(b)
}

// audioStatus returns what the player does, and where the head is.
func (d *Drive) audioStatus(m *medium) (status byte, head disc.LBA) {
	d.mu.Lock()
	defer d.unlock()
	now := time.Now()
	head = d.player.here(m, now)
	return d.player.report(now), head
}

// positionQ returns sub-channel Q of mode 1 at head: the image's, where it holds
// a good one, since a disc may say there what its table of contents does not.
func positionQ(m *medium, head disc.LBA) sector.Q {
	reader, reads := m.disc.(disc.SubReader)
	if holder, ok := m.disc.(disc.SubHolder); reads && ok && holder.HoldsSub() {
		var sub [disc.SubSize]byte
		if n, err := reader.ReadSub(sub[:], head); n == 1 && err == nil {
			if q := sector.QOf(sub[:]); q.Valid() && q[0]&0x0F == 1 {
				return q
			}
		}
	}
	if _, t := m.layout.TrackAt(head); t != nil {
		return sector.PositionQ(t, head)
	}
	return sector.LeadOutQ(m.layout, head) // between sessions
}

// appendPosition appends ADR and control, track, index, and both addresses. A DVD
// or BD has one track and no sub-channel; its addresses may be beyond what a
// sub-channel can say.
func appendPosition(b []byte, m *medium, head disc.LBA, msf bool) []byte {
	if t := m.layout.First(); m.layout.Kind != disc.CD {
		b, relative := append(b, 0x10|t.Control&0x0F, t.Number, 1), head-t.Start
		if msf {
			relative += disc.MSF{}.LBA() // it counts from 00:00:00
		}
		return appendAddress(appendAddress(b, head, msf), relative, msf)
	}
	q := positionQ(m, head)
	track := binaryOf(q[1])
	if q[1] == leadOut {
		track = leadOut
	}
	b = append(b, q[0]<<4|q[0]>>4, track, binaryOf(q[2]))
	if msf {
		a, r := msfOf(q[7:10]), msfOf(q[3:6])
		return append(b, 0, a.M, a.S, a.F, 0, r.M, r.S, r.F)
	}
	relative := framesOf(msfOf(q[3:6]))
	if q[2] == 0 {
		relative = -1 - relative
	}
	return appendAddress(appendAddress(b, disc.MSF{}.LBA()+framesOf(msfOf(q[7:10])), false), relative, false)
}

// msfOf is an address of sub-channel Q.
func msfOf(q []byte) disc.MSF {
	return disc.MSF{M: binaryOf(q[0]), S: binaryOf(q[1]), F: binaryOf(q[2])}
}

// binaryOf is the value of two digits.
func binaryOf(bcd byte) byte { return bcd>>4*10 + bcd&0x0F }

// appendCode appends a code of n characters behind its valid bit, and zeros;
// only zeros for a code that is not there.
func appendCode(b []byte, code string, n, zeros int) []byte {
	if len(code) != n {
		return append(b, make([]byte, 1+n+zeros)...)
	}
	return append(append(append(b, 0x80), code...), make([]byte, zeros)...)
}

func appendAddress(b []byte, at disc.LBA, msf bool) []byte {
	if msf {
		a := at.MSF()
		return append(b, 0, a.M, a.S, a.F)
	}
	return binary.BigEndian.AppendUint32(b, uint32(at))
}

// readHeader answers READ HEADER: the mode of a sector and its address. The
// mode is that of the sector's own header where the image has raw sectors.
//
//	CDB  byte 1 bit 1 MSF; bytes 2-5 LBA
//	data mode, 3 zeros, address (4)
//
// It fails with ILLEGAL MODE FOR THIS TRACK for audio, which has no header, and
// with LBA OUT OF RANGE between sessions. Source: MMC-3, READ HEADER.
func (d *Drive) readHeader(_ context.Context, cmd *scsi.Command, m *medium) error {
	lba := binary.BigEndian.Uint32(cmd.CDB[2:])
	if err := checkRange(m, lba, 1); err != nil {
		return err
	}
	_, t := m.layout.TrackAt(disc.LBA(lba))
	if t == nil {
		return scsi.ErrLBAOutOfRange.At(lba)
	}
	mode, audio := dataMode(t.Mode), !t.IsData()
	if r, ok := m.disc.(disc.RawReader); ok && !audio {
		var s [disc.SectorSize]byte
		if n, err := r.ReadSectors(s[:], disc.LBA(lba)); n == 0 && err != nil {
			return d.mediumError(m, lba, err)
		}
		mode, audio = s[15]&3, lba < uint32(t.Start) && !sector.IsRaw(s[:])
	}
	if audio {
		return illegalMode(disc.LBA(lba))
	}
	return cmd.In.Reply(appendAddress([]byte{mode, 0, 0, 0}, disc.LBA(lba), cmd.CDB[1]&2 != 0))
}
