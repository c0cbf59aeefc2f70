package mmcemu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

func TestPlayTrackIndex(t *testing.T) {
	for _, tt := range []struct {
		name, cdb string
		err       error
		at        disc.LBA // where it begins
		frames    int
	}{
		{"one track", "48 00 00 00 01 01 00 01 01", nil, 1000, 4000},
		{"index 0 is the whole track", "48 00 00 00 02 00 00 02 00", nil, 5150, 3850},
		{"an index", "48 00 00 00 02 02 00 02 02", nil, 6000, 1000},
		{"to an index", "48 00 00 00 01 01 00 02 01", nil, 1000, 5000},
		{"an end index beyond the last", "48 00 00 00 02 03 00 02 63", nil, 7000, 2000},
		{"an end track beyond the last", "48 00 00 00 02 03 00 63 01", nil, 7000, 2000}, // and then data
		{"no track", "48 00 00 00 04 01 00 04 01", scsi.ErrInvalidFieldInCDB, 0, 0},
		{"track 0", "48 00 00 00 00 01 00 01 01", scsi.ErrInvalidFieldInCDB, 0, 0},
		{"no index", "48 00 00 00 01 02 00 01 02", scsi.ErrInvalidFieldInCDB, 0, 0},
		{"end before start", "48 00 00 00 02 01 00 01 01", scsi.ErrInvalidFieldInCDB, 0, 0},
		{"end index before start", "48 00 00 00 02 02 00 02 01", scsi.ErrInvalidFieldInCDB, 0, 0},
		{"data track", "48 00 00 00 03 01 00 03 01", scsi.ErrIllegalMode, 0, 0},
	} {
		drive := newDrive(t, mixedCD())
		if _, err := scsitest.DoNexus(t, drive, usb(), tt.cdb, nil); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.err)
			continue
		}
		if c := drive.player.course; tt.err == nil && (c.from != tt.at || c.frames != int64(tt.frames)) {
			t.Errorf("%s: plays %d+%d; want %d+%d", tt.name, c.from, c.frames, tt.at, tt.frames)
		}
	}
}

func TestAudioErrors(t *testing.T) {
	empty, data, mixed := newDrive(t, nil), newDrive(t, newDisc(1, 1000)), newDrive(t, mixedCD())
	dvd := newDrive(t, newDisc(1, 1000000))
	noMedium, field := scsi.ErrMediumNotPresentTrayClosed, scsi.ErrInvalidFieldInCDB
	for _, tt := range []struct {
		name  string
		drive *Drive
		cdb   string
		want  error
	}{
		{"PLAY(10), no medium", empty, "45 00 00 00 00 00 00 00 4b", noMedium},
		{"PLAY(12), no medium", empty, playCDB(0, 75), noMedium},
		{"PLAY MSF, no medium", empty, "47 00 00 00 02 00 00 03 00", noMedium},
		{"PLAY INDEX, no medium", empty, "48 00 00 00 01 01 00 01 01", noMedium},
		{"PAUSE, no medium", empty, pause, noMedium},
		{"STOP, no medium", empty, stop, noMedium},
		{"SCAN, no medium", empty, "ba", noMedium},
		{"PLAY(10), data", data, "45 00 00 00 00 00 00 00 4b", scsi.ErrIllegalMode},
		{"PLAY(12), data", data, playCDB(0, 75), scsi.ErrIllegalMode},
		{"PLAY MSF, data", data, "47 00 00 00 02 00 00 03 00", scsi.ErrIllegalMode},
		{"PLAY INDEX, data", data, "48 00 00 00 01 01 00 01 01", scsi.ErrIllegalMode},
		{"PLAY, DVD", dvd, playCDB(0, 75), scsi.ErrIllegalMode},
		{"SCAN, data", data, "ba", scsi.ErrIllegalMode},
		{"PAUSE, data", data, pause, scsi.ErrCommandSequence},
		{"STOP, data", data, stop, nil},
		{"PLAY(10) of nothing", data, "45 00 00 00 00 00 00 00 00", nil},
		{"PLAY(12) of nothing", data, playCDB(5000, 0), nil},
		{"PLAY MSF of nothing", data, "47 00 00 00 02 00 00 02 00", nil},
		{"PLAY at the end", mixed, playCDB(11999, 2), scsi.ErrLBAOutOfRange},
		{"PLAY far out", mixed, playCDB(0x7FFFFFFF, 1), scsi.ErrLBAOutOfRange},
		{"PLAY before the disc", mixed, playCDB(-151, 1), scsi.ErrLBAOutOfRange},
		{"PLAY of too much", mixed, "a5 00 00 00 03 e8 ff ff ff ff", scsi.ErrLBAOutOfRange},
		{"PLAY of the data track", mixed, playCDB(9150, 10), scsi.ErrIllegalMode},
		{"PLAY MSF backwards", mixed, "47 00 00 00 10 00 00 0f 4a", field},
		{"PLAY MSF, 60 s", mixed, "47 00 00 00 3c 00 01 02 00", field},
		{"PLAY MSF, 75 frames", mixed, "47 00 00 00 10 00 00 12 4b", field},
		{"PLAY MSF from here, backwards", mixed, "47 00 00 ff ff ff 00 00 01", field},
		{"PLAY MSF far out", mixed, "47 00 00 00 10 00 ff 3b 4a", scsi.ErrLBAOutOfRange},
		{"SCAN, type 3", mixed, "ba 00 00 00 00 00 00 00 00 c0", field},
		{"SCAN, track 0", mixed, "ba 00 00 00 00 00 00 00 00 80", field},
		{"SCAN, no track", mixed, "ba 00 00 00 00 04 00 00 00 80", field},
		{"SCAN, MSF of 75 frames", mixed, "ba 00 00 00 10 4b 00 00 00 40", field},
		{"SCAN of data", mixed, "ba 00 00 00 23 be", scsi.ErrIllegalMode},
	} {
		if _, err := scsitest.DoNexus(t, tt.drive, usb(), tt.cdb, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: %s: %v; want %v", tt.name, tt.cdb, err, tt.want)
		}
	}
}

// TestPlayLong: on a disc of more than 90 minutes MSF addresses go on, which are
// in the lead-in of others.
func TestPlayLong(t *testing.T) {
	l := disctest.HiddenTrack()
	l.Sessions[0].Tracks = l.Sessions[0].Tracks[:2]
	l.Sessions[0].LeadOut = 445000
	long := newDrive(t, disctest.Synthetic(l))
	run(t, long, usb(), "47 00 00 5b 00 00 5b 01 00", nil)
	expect(t, long, usb(), "42 02 40 01 00 00 00 00 ff", "00 11 00 0c 01 12 02 03 00 5b 00 00 00 59 31 19")
	expect(t, long, usb(), subChannel, "00 11 00 0c 01 12 02 03 00 06 3f 06 00 06 2a e8")
	run(t, newDrive(t, mixedCD()), usb(), "47 00 00 5b 00 00 5b 01 00", scsi.ErrLBAOutOfRange)
}

// TestReadLong: READ CD MSF has the same addresses as play.
func TestReadLong(t *testing.T) {
	l := disctest.HiddenTrack()
	l.Sessions[0].Tracks = l.Sessions[0].Tracks[:2]
	l.Sessions[0].LeadOut = 445000
	long := newDrive(t, disctest.Synthetic(l))
	for _, tt := range []struct{ msf, lba string }{
		{"b9 00 00 5b 00 00 5b 00 01 f8 00", "be 00 00 06 3f 06 00 00 01 f8 00"}, // 91:00:00
		{"b9 00 00 59 3b 4a 5a 00 01 f8 00", "be 00 00 06 2d 71 00 00 02 f8 00"}, // across 90:00:00
		{"b9 00 00 62 37 18 62 37 19 f8 00", "be 00 00 06 ca 47 00 00 01 f8 00"}, // to the lead-out
	} {
		got, err := scsitest.DoNexus(t, long, usb(), tt.msf, nil)
		want, _ := scsitest.DoNexus(t, long, usb(), tt.lba, nil)
		if err != nil || len(want) == 0 || !bytes.Equal(got, want) {
			t.Errorf("%s = %d bytes, %v; want the %d of %s", tt.msf, len(got), err, len(want), tt.lba)
		}
	}
	run(t, long, usb(), "b9 00 00 5b 00 00 5a 00 00 f8 00", scsi.ErrInvalidFieldInCDB)
	run(t, newDrive(t, mixedCD()), usb(), "b9 00 00 5b 00 00 5b 00 01 f8 00", scsi.ErrLBAOutOfRange)
}

// A subDisc holds a sub-channel of its own.
type subDisc struct{ disc.Disc }

func (subDisc) HoldsSub() bool { return true }

func (d subDisc) ReadSectors(p []byte, lba disc.LBA) (int, error) {
	return d.Disc.(disc.RawReader).ReadSectors(p, lba)
}

// ReadSub says track 7, index 9 in each fourth sector. After it come one with
// nothing, one with a CRC that does not agree, and one with a catalogue number.
func (subDisc) ReadSub(p []byte, lba disc.LBA) (int, error) {
	clear(p)
	if lba%4 == 1 {
		return 1, nil
	}
	q := []byte{0x21, 0x07, 0x09, 0x01, 0x02, 0x03, 0, 0x00, 0x15, 0x25, 0, 0}
	if lba%4 == 3 {
		q[0] = 0x22
	}
	crc := uint16(0)
	for _, b := range q[:10] {
		for i := range 8 {
			bit := uint16(b>>(7-i))&1 ^ crc>>15
			crc = crc<<1 ^ bit*0x1021
		}
	}
	binary.BigEndian.PutUint16(q[10:], ^crc)
	if lba%4 == 2 {
		q[11] ^= 1
	}
	for i := range p {
		p[i] = q[i/8] >> (7 - i%8) & 1 << 6
	}
	return 1, nil
}

// TestPositionOfSub: the position is what the disc's own sub-channel says, where
// that is good.
func TestPositionOfSub(t *testing.T) {
	drive := newDrive(t, subDisc{mixedCD()})
	n := usb()
	run(t, drive, n, playCDB(1000, 75), nil)
	run(t, drive, n, pause, nil)
	expect(t, drive, n, "42 02 40 01 00 00 00 00 ff", "00 12 00 0c 01 12 07 09 00 00 0f 19 00 01 02 03")
	for frame, want := range map[disc.LBA]string{
		1001: "03 e9 00 00 00 01", // nothing
		1002: "03 ea 00 00 00 02", // bad CRC
		1003: "03 eb 00 00 00 03", // catalogue number
	} {
		run(t, drive, n, playCDB(frame, 75), nil)
		run(t, drive, n, pause, nil)
		expect(t, drive, n, subChannel, "00 12 00 0c 01 10 01 01 00 00 "+want)
	}
}
