package mmcemu

import (
	"context"
	"encoding/binary"

	"spindle/isostore/disc"
	"spindle/scsi"
)

var informationCommands = []command{
	{0x51, "READ DISC INFORMATION", needsMedium | concurrent, alloc16(7), checkDiscInformation, (*Drive).discInformation},
	{0x52, "READ TRACK INFORMATION", needsMedium | concurrent, alloc16(7), checkTrackInformation, (*Drive).trackInformation},
	{0xBD, "MECHANISM STATUS", concurrent, alloc16(8), nil, (*Drive).mechanismStatus},
}

func checkDiscInformation(cdb *scsi.CDB) error {
	if cdb[1]&7 != 0 {
		return scsi.FieldInCDB(1, 2) // track and POW resources are for recorders
	}
	return nil
}

// discInformation answers READ DISC INFORMATION for a finalized disc.
//
//	data 34 bytes: length (2), status, first track; sessions, first and last
//	     track of the last session, low bytes; flags, disc type; their high
//	     bytes; disc id (4), start of the last lead-in and last possible
//	     lead-out (4 each, all FFh as there is no next session), bar code (8)
//
// Source: MMC-6, READ DISC INFORMATION.
func (d *Drive) discInformation(_ context.Context, cmd *scsi.Command, m *medium) error {
	const (
		complete     = 0x0E // last session and disc complete
		unrestricted = 0x20 // URU: usable in any drive
	)
	l := m.layout
	b := make([]byte, 34)
	b[1] = byte(len(b) - 2)
	b[2] = complete
	b[3] = l.First().Number
	b[4] = byte(len(l.Sessions))
	b[5] = l.LastSession().Tracks[0].Number
	b[6] = l.Last().Number
	b[7] = unrestricted
	b[8] = l.Sessions[0].Type
	for i := 16; i < 24; i++ {
		b[i] = 0xFF
	}
	return cmd.In.Reply(b)
}

// Address types of READ TRACK INFORMATION.
const (
	byLBA = iota
	byTrack
	bySession
)

func checkTrackInformation(cdb *scsi.CDB) error {
	if cdb[1]&3 > bySession {
		return scsi.FieldInCDB(1, 1)
	}
	return nil
}

// trackInformation answers READ TRACK INFORMATION for a complete track: no
// next writable address, no free blocks.
//
//	CDB  byte 1 bits 1-0 type of address; bytes 2-5 address
//	data 36 bytes: length (2), track, session, 0, control, data mode, 0, start
//	     (4), 0 (12), size (4) and 0 in blocks
//
// It fails with INVALID FIELD IN CDB when there is no such track, the
// incomplete track FFh among them. Source: MMC-6, READ TRACK INFORMATION.
func (d *Drive) trackInformation(_ context.Context, cmd *scsi.Command, m *medium) error {
	l := m.layout
	session, track := findTrack(l, cmd.CDB[1]&3, binary.BigEndian.Uint32(cmd.CDB[2:]))
	if track == nil {
		return scsi.FieldInCDB(2, -1)
	}
	b := make([]byte, 36)
	b[1] = byte(len(b) - 2)
	b[2] = track.Number
	b[3] = session.Number
	b[5] = track.Control & 0x0F
	b[6] = dataMode(track.Mode)
	binary.BigEndian.PutUint32(b[8:], uint32(track.Start))
	binary.BigEndian.PutUint32(b[24:], uint32(l.End(track)-track.Start))
	return cmd.In.Reply(b)
}

func findTrack(l *disc.Layout, kind byte, address uint32) (*disc.Session, *disc.Track) {
	if kind == byLBA {
		return l.TrackAt(disc.LBA(int32(address)))
	}
	for i := range l.Sessions {
		s := &l.Sessions[i]
		if kind == bySession {
			if uint32(s.Number) == address {
				return s, &s.Tracks[0]
			}
			continue
		}
		for j := range s.Tracks {
			if uint32(s.Tracks[j].Number) == address {
				return s, &s.Tracks[j]
			}
		}
	}
	return nil, nil
}

func dataMode(m disc.Mode) byte {
	switch m {
	case disc.Mode1, disc.UserData:
		return 1
	case disc.Mode2, disc.Mode2XA:
		return 2
	}
	return 0x0F
}

// mechanismStatus answers MECHANISM STATUS: what plays, and the slots of a changer.
//
//	CDB  bytes 8-9 allocation length
//	data fault and slot, mechanism state and tray (bit 4 open), LBA (3), slots,
//	     length of the slot table (2), slot table
//
// Source: MMC-6, MECHANISM STATUS.
func (d *Drive) mechanismStatus(_ context.Context, cmd *scsi.Command, _ *medium) error {
	d.mu.Lock()
	b := make([]byte, 8, 8+4*MaxSlots)
	if d.open {
		b[1] = 0x10
	}
	d.putMechanism(b)
	b = d.appendSlotTable(b)
	d.unlock()
	return cmd.In.Reply(b)
}
