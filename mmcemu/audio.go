package mmcemu

import (
	"context"
	"encoding/binary"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
)

var audioCommands = []command{
	{0x45, "PLAY AUDIO(10)", needsMedium, alloc{}, nil, (*Drive).playAudio10},
	{0xA5, "PLAY AUDIO(12)", needsMedium, alloc{}, nil, (*Drive).playAudio12},
	{0x47, "PLAY AUDIO MSF", needsMedium, alloc{}, checkPlayMSF, (*Drive).playAudioMSF},
	{0x48, "PLAY AUDIO TRACK INDEX", needsMedium, alloc{}, checkPlayIndex, (*Drive).playAudioIndex},
	{0x4B, "PAUSE/RESUME", needsMedium, alloc{}, nil, (*Drive).pauseResume},
	{0x4E, "STOP PLAY/SCAN", needsMedium, alloc{}, nil, (*Drive).stopPlayScan},
	{0xBA, "SCAN", needsMedium, alloc{}, checkScan, (*Drive).scan},
}

// currentAddress is the LBA that stands for where the head is.
const currentAddress = 0xFFFFFFFF

// An Audio is what the audio player does.
type Audio struct {
	State string // "playing", "paused", "scanning", or empty
	Track byte   // that the head is in, 0 when it does nothing
	At    disc.LBA
	Late  int64 // frames that Options.Audio was not given because storage was late
}

// audio returns what the player does. The mutex is held.
func (d *Drive) audio() Audio {
	a := Audio{Late: d.player.sound.late}
	m := d.cur.Load()
	if m == nil {
		return a
	}
	at := d.player.here(m, time.Now())
	switch d.player.state {
	case playing:
		a.State = "playing"
	case paused:
		a.State = "paused"
	case scanning:
		a.State = "scanning"
	default:
		return a
	}
	if _, t := m.layout.TrackAt(at); t != nil {
		a.Track = t.Number
	}
	a.At = at
	return a
}

// withPlayer runs f with the mutex held and the medium m in the drive.
func (d *Drive) withPlayer(cmd *scsi.Command, m *medium, f func(p *player, now time.Time) error) error {
	d.mu.Lock()
	if d.cur.Load() != m {
		d.unlock()
		return d.notReady(cmd.Nexus) // it went since the command entered
	}
	defer d.unlock()
	return f(&d.player, time.Now())
}

// stopPlay ends play for a command that needs the head: see stopsPlay.
func (d *Drive) stopPlay() {
	d.mu.Lock()
	defer d.unlock()
	d.player.halted(time.Now())
}

// putMechanism puts into the answer to MECHANISM STATUS whether something plays,
// and where the head is. The mutex is held.
func (d *Drive) putMechanism(b []byte) {
	const plays, scans = 1 << 5, 2 << 5
	m := d.cur.Load()
	if m == nil {
		return
	}
	lba := uint32(d.player.here(m, time.Now()))
	b[2], b[3], b[4] = byte(lba>>16), byte(lba>>8), byte(lba)
	switch d.player.state {
	case playing:
		b[1] |= plays
	case scanning:
		b[1] |= scans
	}
}

// playAudio10 answers PLAY AUDIO(10). It returns at once, as the IMMED bit of
// mode page 0Eh says.
//
//	CDB  bytes 2-5 LBA, signed, FFFFFFFFh for where the head is; bytes 7-8
//	     length in blocks, 0 plays nothing
//
// It fails with ILLEGAL MODE FOR THIS TRACK when it would begin in a data track
// and with LOGICAL BLOCK ADDRESS OUT OF RANGE when it would leave the disc.
// Source: MMC-6, PLAY AUDIO (10).
func (d *Drive) playAudio10(_ context.Context, cmd *scsi.Command, m *medium) error {
	return d.playLength(cmd, m, int64(binary.BigEndian.Uint16(cmd.CDB[7:])))
}

// playAudio12 answers PLAY AUDIO(12): as PLAY AUDIO(10), with the length in
// bytes 6-9.
func (d *Drive) playAudio12(_ context.Context, cmd *scsi.Command, m *medium) error {
	return d.playLength(cmd, m, int64(binary.BigEndian.Uint32(cmd.CDB[6:])))
}

func (d *Drive) playLength(cmd *scsi.Command, m *medium, length int64) error {
	if length == 0 {
		return nil
	}
	lba := binary.BigEndian.Uint32(cmd.CDB[2:])
	return d.withPlayer(cmd, m, func(p *player, now time.Time) error {
		from := int64(int32(lba))
		if lba == currentAddress {
			from = int64(p.here(m, now))
		}
		return p.play(d, m, from, from+length, d.stopsOnCrossing(), now)
	})
}

// isCurrent reports whether the address at CDB byte at is FF:FF:FF.
func isCurrent(cdb *scsi.CDB, at int) bool {
	return msfAt(cdb, at) == disc.MSF{M: 0xFF, S: 0xFF, F: 0xFF}
}

// checkPlayMSF refuses addresses that are none, and an end before the start.
func checkPlayMSF(cdb *scsi.CDB) error {
	current := isCurrent(cdb, 3)
	if !current {
		if err := checkMSF(cdb, 3); err != nil {
			return err
		}
	}
	if err := checkMSF(cdb, 6); err != nil {
		return err
	}
	if !current && framesOf(msfAt(cdb, 6)) < framesOf(msfAt(cdb, 3)) {
		return scsi.FieldInCDB(6, -1)
	}
	return nil
}

// framesOf is an MSF address as a count of frames.
func framesOf(a disc.MSF) disc.LBA {
	return (disc.LBA(a.M)*60+disc.LBA(a.S))*framesPerSecond + disc.LBA(a.F)
}

// discAddress returns the LBA of an MSF address on medium m. From 90 minutes on
// that is in the lead-in, unless the disc is so long.
func discAddress(m *medium, a disc.MSF) disc.LBA {
	if lba := (disc.MSF{}).LBA() + framesOf(a); lba <= m.layout.LeadOut() {
		return lba
	}
	return a.LBA()
}

// checkMSF refuses an address with more than 59 seconds or 74 frames.
func checkMSF(cdb *scsi.CDB, at int) error {
	switch {
	case cdb[at+1] >= 60:
		return scsi.FieldInCDB(at+1, -1)
	case cdb[at+2] >= framesPerSecond:
		return scsi.FieldInCDB(at+2, -1)
	}
	return nil
}

// playAudioMSF answers PLAY AUDIO MSF: as PLAY AUDIO(10), with addresses in
// minutes, seconds and frames. Equal ones play nothing.
//
//	CDB  bytes 3-5 start, FF:FF:FF for where the head is; bytes 6-8 end, which
//	     is not played
//
// An end before the start is INVALID FIELD IN CDB.
// Source: MMC-6, PLAY AUDIO MSF.
func (d *Drive) playAudioMSF(_ context.Context, cmd *scsi.Command, m *medium) error {
	return d.withPlayer(cmd, m, func(p *player, now time.Time) error {
		from, end := discAddress(m, msfAt(&cmd.CDB, 3)), discAddress(m, msfAt(&cmd.CDB, 6))
		if isCurrent(&cmd.CDB, 3) {
			from = p.here(m, now)
		}
		switch {
		case end == from:
			return nil
		case end < from:
			return scsi.FieldInCDB(6, -1)
		}
		return p.play(d, m, int64(from), int64(end), d.stopsOnCrossing(), now)
	})
}

// maxIndex is the highest number of a track and of an index.
const maxIndex = 99

func checkPlayIndex(cdb *scsi.CDB) error {
	switch {
	case cdb[4] == 0 || cdb[4] > maxIndex:
		return scsi.FieldInCDB(4, -1)
	case cdb[5] > maxIndex:
		return scsi.FieldInCDB(5, -1)
	case cdb[7] < cdb[4]:
		return scsi.FieldInCDB(7, -1)
	case cdb[7] == cdb[4] && cdb[8] != 0 && cdb[8] < cdb[5]:
		return scsi.FieldInCDB(8, -1)
	}
	return nil
}

// playAudioIndex answers PLAY AUDIO TRACK INDEX, which MMC gave up and players
// still send.
//
//	CDB  byte 4 first track, byte 5 first index; byte 7 last track, byte 8 last
//	     index, which is played too
//
// Index 0, which hosts send for a whole track, begins at index 1 and ends with
// the track. A last track or index beyond those that are there is the last one;
// a first one is INVALID FIELD IN CDB. Source: SCSI-2, PLAY AUDIO TRACK INDEX.
func (d *Drive) playAudioIndex(_ context.Context, cmd *scsi.Command, m *medium) error {
	l := m.layout
	_, first := findTrack(l, byTrack, uint32(cmd.CDB[4]))
	if first == nil {
		return scsi.FieldInCDB(4, -1)
	}
	from, ok := indexStart(first, int(cmd.CDB[5]))
	if !ok {
		return scsi.FieldInCDB(5, -1)
	}
	last := l.Last()
	if _, t := findTrack(l, byTrack, uint32(cmd.CDB[7])); t != nil {
		last = t
	}
	end := l.End(last)
	if i := cmd.CDB[8]; i != 0 {
		if next, ok := indexStart(last, int(i)+1); ok {
			end = next
		}
	}
	if end <= from {
		return scsi.FieldInCDB(7, -1)
	}
	return d.withPlayer(cmd, m, func(p *player, now time.Time) error {
		return p.play(d, m, int64(from), int64(end), d.stopsOnCrossing(), now)
	})
}

// indexStart returns where index i of a track starts, and whether there is one;
// 0 is 1.
func indexStart(t *disc.Track, i int) (disc.LBA, bool) {
	switch {
	case i <= 1:
		return t.Start, true
	case i-2 < len(t.Indexes):
		return t.Indexes[i-2], true
	}
	return 0, false
}

// pauseResume answers PAUSE/RESUME.
//
//	CDB  byte 8 bit 0 RESUME
//
// It fails with COMMAND SEQUENCE ERROR when nothing plays or is paused.
// Source: MMC-6, PAUSE/RESUME.
func (d *Drive) pauseResume(_ context.Context, cmd *scsi.Command, m *medium) error {
	return d.withPlayer(cmd, m, func(p *player, now time.Time) error {
		if cmd.CDB[8]&1 != 0 {
			return p.resume(d, m, now)
		}
		return p.pause(now)
	})
}

// stopPlayScan answers STOP PLAY/SCAN: a scan goes over into play, a play ends.
// It is no error when nothing plays. Source: MMC-6, STOP PLAY/SCAN.
func (d *Drive) stopPlayScan(_ context.Context, cmd *scsi.Command, m *medium) error {
	return d.withPlayer(cmd, m, func(p *player, now time.Time) error {
		if p.settle(now); p.state == scanning {
			return p.resume(d, m, now)
		}
		p.halted(now)
		return nil
	})
}

// Types of the address of SCAN, byte 9 bits 7-6.
const (
	scanLBA = iota
	scanMSF
	scanTrack
)

func checkScan(cdb *scsi.CDB) error {
	switch cdb[9] >> 6 {
	case scanLBA:
	case scanMSF:
		if !isCurrent(cdb, 3) {
			return checkMSF(cdb, 3)
		}
	case scanTrack:
		if cdb[5] == 0 || cdb[5] > maxIndex {
			return scsi.FieldInCDB(5, -1)
		}
	default:
		return scsi.FieldInCDB(9, 7)
	}
	return nil
}

// scan answers SCAN: fast play, of which a fifth of a second is heard for each
// 1.6 s of the disc.
//
//	CDB  byte 1 bit 4 DIR, reverse; bytes 2-5 start: an LBA, FFFFFFFFh for where
//	     the head is, or MSF in bytes 3-5, or a track in byte 5; byte 9 bits 7-6
//	     which of them
//
// It fails as PLAY AUDIO(10) does. Source: MMC-6, SCAN.
func (d *Drive) scan(_ context.Context, cmd *scsi.Command, m *medium) error {
	lba := binary.BigEndian.Uint32(cmd.CDB[2:])
	from, current := int64(int32(lba)), lba == currentAddress
	switch cmd.CDB[9] >> 6 {
	case scanMSF:
		from, current = int64(discAddress(m, msfAt(&cmd.CDB, 3))), isCurrent(&cmd.CDB, 3)
	case scanTrack:
		_, t := findTrack(m.layout, byTrack, uint32(cmd.CDB[5]))
		if t == nil {
			return scsi.FieldInCDB(5, -1)
		}
		from = int64(t.Start)
	}
	return d.withPlayer(cmd, m, func(p *player, now time.Time) error {
		if current {
			from = int64(p.here(m, now))
		}
		return p.scan(d, m, from, cmd.CDB[1]&0x10 != 0, now)
	})
}
