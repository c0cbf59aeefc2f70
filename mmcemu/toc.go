package mmcemu

import (
	"context"
	"encoding/binary"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
	"spindle/scsi"
)

var tocCommands = []command{
	{0x43, "READ TOC/PMA/ATIP", needsMedium | concurrent, alloc16(7), checkTOC, (*Drive).readTOC},
}

// leadOut is the number by which the lead-out goes among tracks.
const leadOut = 0xAA

// Formats of READ TOC/PMA/ATIP.
const (
	formattedTOC = 0
	sessionInfo  = 1
	fullTOC      = 2
	cdText       = 5
)

// tocFormat returns the format asked for: byte 2, and where that is zero bits
// 7-6 of byte 9, as in SFF-8020i. Linux asks for sessions and QEMU for
// everything by the old field, whose value 3 was never given a meaning.
func tocFormat(cdb *scsi.CDB) byte {
	if f := cdb[2] & 0x0F; f != 0 {
		return f
	}
	if f := cdb[9] >> 6; f <= fullTOC {
		return f
	}
	return formattedTOC
}

// checkTOC refuses what no medium of this drive has: every disc is a pressed
// one, whatever its image says of the medium it was copied from, so it has
// neither PMA nor ATIP, by which hosts know media that they could write on.
func checkTOC(cdb *scsi.CDB) error {
	if f := tocFormat(cdb); f > fullTOC && f != cdText {
		return scsi.FieldInCDB(2, 3)
	}
	return nil
}

// readTOC answers READ TOC/PMA/ATIP.
//
//	CDB  byte 1 bit 1 MSF; byte 2 bits 3-0 format, or byte 9 bits 7-6;
//	     byte 6 first track or session
//
// It fails with INVALID FIELD IN CDB for a track or session past the last one,
// for the full TOC of a DVD or BD, which has no lead-in to hold it, and for
// CD-TEXT where there is none: tools take that for its absence without a word,
// and some complain of packs of no length.
// Source: MMC-6, READ TOC/PMA/ATIP.
func (d *Drive) readTOC(_ context.Context, cmd *scsi.Command, m *medium) error {
	msf, start := cmd.CDB[1]&2 != 0, cmd.CDB[6]
	var b []byte
	switch tocFormat(&cmd.CDB) {
	case formattedTOC:
		b = formatted(m.layout, start, msf)
	case sessionInfo:
		b = lastSession(m.layout, msf)
	case fullTOC:
		if m.layout.Kind != disc.CD {
			return scsi.FieldInCDB(2, 3)
		}
		b = full(m.layout, start)
	case cdText:
		if len(m.layout.CDText) == 0 || m.layout.Kind != disc.CD {
			return scsi.FieldInCDB(2, 3)
		}
		b = packs(m.layout)
	}
	if b == nil {
		return scsi.FieldInCDB(6, -1)
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return cmd.In.Reply(b)
}

// maxPacks is how many CD-TEXT packs a length of 16 bits can tell: the 8 blocks
// of 256 packs that there can be are fewer.
const maxPacks = (0xFFFF - 2) / sector.PackSize

// packs is format 0101b: the CD-TEXT packs of the lead-in, as the image has
// them. Byte 6 and MSF mean nothing to it.
//
//	data 4-byte header, 18 bytes a pack
func packs(l *disc.Layout) []byte {
	text := l.CDText[:min(len(l.CDText)/sector.PackSize, maxPacks)*sector.PackSize]
	return append(make([]byte, 4, 4+len(text)), text...)
}

// formatted is format 0000b: a descriptor for each track from the starting one
// on, then one for the lead-out; nil when there is no such track.
//
//	data 4-byte header, 8 bytes a track: at most 4 + 8*100 bytes
func formatted(l *disc.Layout, start byte, msf bool) []byte {
	first, last := l.First().Number, l.Last().Number
	if start > last && start != leadOut {
		return nil
	}
	b := append(make([]byte, 0, 4+8*100), 0, 0, first, last)
	if start != leadOut {
		for t := range l.From(start) {
			b = appendTrack(b, t.Number, t.Control, t.Start, msf)
		}
	}
	return appendTrack(b, leadOut, l.Last().Control, l.LeadOut(), msf)
}

// lastSession is format 0001b: the first track of the last session.
func lastSession(l *disc.Layout, msf bool) []byte {
	s := l.LastSession()
	t := &s.Tracks[0]
	return appendTrack([]byte{0, 0, l.Sessions[0].Number, s.Number}, t.Number, t.Control, t.Start, msf)
}

func appendTrack(b []byte, number, control byte, at disc.LBA, msf bool) []byte {
	return appendAddress(append(b, 0, 0x10|control&0x0F, number, 0), at, msf)
}

// Addresses of the full TOC of a disc with several sessions, those of a disc
// of 80 minutes.
var (
	firstLeadIn = disc.MSF{M: 97, S: 34, F: 23}
	lastLeadOut = disc.MSF{M: 79, S: 59, F: 74}
)

// full is format 0010b: the entries of the lead-in's Q sub-channel, of each
// session from the given one on; nil when there is no such session. Values are
// binary whatever the MSF bit says.
//
//	data 4-byte header, 11 bytes an entry: session, ADR and control, TNO,
//	     point, MIN SEC FRAME, ZERO, PMIN PSEC PFRAME
func full(l *disc.Layout, start byte) []byte {
	first, last := l.Sessions[0].Number, l.LastSession().Number
	if start > last {
		return nil
	}
	b := []byte{0, 0, first, last}
	for i := range l.Sessions {
		if s := &l.Sessions[i]; s.Number >= start {
			b = appendSession(b, s)
			if first != last {
				b = appendLinks(b, l, i)
			}
		}
	}
	return b
}

// appendSession appends the entries of a session: first track and disc type,
// last track, lead-out, and the tracks.
func appendSession(b []byte, s *disc.Session) []byte {
	head, tail := &s.Tracks[0], &s.Tracks[len(s.Tracks)-1]
	none := disc.MSF{}
	b = appendEntry(b, s, 0x10|head.Control&0x0F, 0xA0, none, 0, disc.MSF{M: head.Number, S: s.Type})
	b = appendEntry(b, s, 0x10|tail.Control&0x0F, 0xA1, none, 0, disc.MSF{M: tail.Number})
	b = appendEntry(b, s, 0x10|tail.Control&0x0F, 0xA2, none, 0, s.LeadOut.MSF())
	for i := range s.Tracks {
		t := &s.Tracks[i]
		b = appendEntry(b, s, 0x10|t.Control&0x0F, t.Number, none, 0, t.Start.MSF())
	}
	return b
}

// appendLinks appends the mode 5 entries of session i of several: B0h, where the
// next program area begins, FF:FF:FF after the last, and how many such entries
// there are; and in the first session C0h.
func appendLinks(b []byte, l *disc.Layout, i int) []byte {
	const pregap = 150
	s := &l.Sessions[i]
	control := 0x50 | s.Tracks[len(s.Tracks)-1].Control&0x0F
	next, entries := disc.MSF{M: 0xFF, S: 0xFF, F: 0xFF}, byte(1)
	if i+1 < len(l.Sessions) {
		next = (l.Sessions[i+1].Tracks[0].Start - pregap).MSF()
	}
	if i == 0 {
		entries = 2
	}
	b = appendEntry(b, s, control, 0xB0, next, entries, lastLeadOut)
	if i == 0 {
		b = appendEntry(b, s, control, 0xC0, disc.MSF{}, 0, firstLeadIn)
	}
	return b
}

func appendEntry(b []byte, s *disc.Session, adrControl, point byte, at disc.MSF, zero byte, p disc.MSF) []byte {
	return append(b, s.Number, adrControl, 0, point, at.M, at.S, at.F, zero, p.M, p.S, p.F)
}
