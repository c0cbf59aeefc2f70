package mmcemu

import (
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// CDBs of the audio tests.
const (
	subChannel = "42 00 40 01 00 00 00 00 ff"
	pause      = "4b 00 00 00 00 00 00 00 00"
	resume     = "4b 00 00 00 00 00 00 00 01"
	stop       = "4e"
)

// playCDB is PLAY AUDIO(12), which takes any length.
func playCDB(from disc.LBA, n int) string {
	return fmt.Sprintf("a5 00 %08x %08x", uint32(from), n)
}

// mixedCD has a hidden track before track 1, audio to 9000, with a pregap and
// indexes in track 2, then data to 12000.
func mixedCD() disc.Disc { return disctest.Synthetic(disctest.HiddenTrack()) }

// A position is what READ SUB-CHANNEL says.
type position struct {
	status, control, track, index byte
	at, relative                  int32
}

func positionOf(t testing.TB, drive *Drive, n *scsi.Nexus) position {
	t.Helper()
	b := run(t, drive, n, subChannel, nil)
	if len(b) != 16 {
		t.Fatalf("READ SUB-CHANNEL = % x", b)
	}
	return position{
		b[1], b[5], b[6], b[7],
		int32(binary.BigEndian.Uint32(b[8:])), int32(binary.BigEndian.Uint32(b[12:])),
	}
}

// isAt checks a position, its addresses to two frames.
func isAt(t testing.TB, drive *Drive, n *scsi.Nexus, want position) {
	t.Helper()
	got := positionOf(t, drive, n)
	near := func(a, b int32) bool { return a-b <= 2 && b-a <= 2 }
	if !near(got.at, want.at) || !near(got.relative, want.relative) {
		t.Errorf("position %+v; want %+v within two frames", got, want)
	}
	if got.at, got.relative = want.at, want.relative; got != want {
		t.Errorf("position %+v; want %+v", got, want)
	}
}

// audioSeed is every audio command, and what changes what the next one finds.
func audioSeed(t testing.TB) (seed []byte) {
	for _, text := range []string{
		playCDB(0, 75), subChannel, pause, resume, "ba 10 ff ff ff ff", mechanism, stop, "45 00 ff ff ff ff 00 00 0a",
		"47 00 00 00 02 00 00 03 00", "47 00 00 ff ff ff 00 03 00", "48 00 00 00 01 00 00 01 00",
		"ba 00 00 00 02 00 00 00 00 40", "ba 00 00 00 00 01 00 00 00 80", readFirst, hostEject, subChannel,
	} {
		cdb := scsitest.CDB(t, text)
		seed = append(seed, cdb[:]...)
	}
	return seed
}

func TestPlayPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, mixedCD())
		n := join(drive, "a")
		isAt(t, drive, n, position{0x15, 0x10, 1, 1, 1000, 0})
		run(t, drive, n, playCDB(-150, 9150), nil) // hidden track, tracks 1 and 2, to the data
		for _, tt := range []struct {
			seconds float64
			want    position
		}{
			{0, position{0x11, 0x10, 1, 0, -150, -1150}},
			{2, position{0x11, 0x10, 1, 0, 0, -1000}},
			{10, position{0x11, 0x10, 1, 0, 600, -400}},
			{20, position{0x11, 0x10, 1, 1, 1350, 350}},
			{70, position{0x11, 0x12, 2, 0, 5100, -50}},
			{71, position{0x11, 0x12, 2, 1, 5175, 25}},
			{83, position{0x11, 0x12, 2, 2, 6075, 925}},
			{100, position{0x11, 0x12, 2, 3, 7350, 2200}},
			{121.9, position{0x11, 0x12, 2, 3, 8992, 3842}},
		} {
			wait(time.Duration(tt.seconds*float64(time.Second)) - time.Since(drive.player.since))
			isAt(t, drive, n, tt.want)
		}
		wait(time.Second)
		isAt(t, drive, n, position{0x13, 0x12, 2, 3, 8999, 3849}) // told once
		isAt(t, drive, n, position{0x15, 0x12, 2, 3, 8999, 3849})
	})
}

func TestPlayPositionMSF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, mixedCD())
		n := join(drive, "a")
		run(t, drive, n, "47 00 00 00 10 00 01 00 00", nil)
		wait(2 * time.Second)
		// 18 s: in the gap of track 1, whose start is at 15:25, LBA 1000 at 00:15:25.
		expect(t, drive, n, "42 02 40 01 00 00 00 00 ff", "00 11 00 0c 01 10 01 01 00 00 12 00 00 00 02 32")
		run(t, drive, n, "47 00 00 00 05 00 00 06 00", nil)
		expect(t, drive, n, "42 02 40 01 00 00 00 00 ff", "00 11 00 0c 01 10 01 00 00 00 05 00 00 00 0a 18")
		// MSF FF:FF:FF: from where the head is.
		wait(500 * time.Millisecond)
		run(t, drive, n, "47 00 00 ff ff ff 00 07 00", nil)
		wait(500 * time.Millisecond)
		expect(t, drive, n, "42 02 40 01 00 00 00 00 ff", "00 11 00 0c 01 10 01 00 00 00 05 4a 00 00 09 19")
	})
}

func TestPauseResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, mixedCD())
		n := join(drive, "a")
		walk(t, drive, n, step{pause, "", scsi.ErrCommandSequence}, step{resume, "", scsi.ErrCommandSequence})
		walk(t, drive, n, step{playCDB(1000, 750), "", nil}, step{resume, "", nil})
		wait(4 * time.Second)
		walk(t, drive, n, step{pause, "", nil}, step{pause, "", nil})
		wait(time.Hour)
		isAt(t, drive, n, position{0x12, 0x10, 1, 1, 1300, 300})
		walk(
			t, drive, n,
			step{"03 00 00 00 12", "70 00 00 00 00 00 00 0a 00 00 00 00 00 12 00 00 00 00", nil},
			step{mechanism, "00 00 00 05 14 00 00 00", nil},
			step{resume, "", nil},
		)
		wait(2 * time.Second)
		isAt(t, drive, n, position{0x11, 0x10, 1, 1, 1450, 450})
		walk(
			t, drive, n,
			step{"03 00 00 00 12", "70 00 00 00 00 00 00 0a 00 00 00 00 00 11 00 00 00 00", nil},
			step{mechanism, "00 20 00 05 aa 00 00 00", nil},
		)
		wait(4*time.Second + 50*time.Millisecond)
		walk(
			t, drive, n,
			step{"03 00 00 00 12", "70 00 00 00 00 00 00 0a 00 00 00 00 00 13 00 00 00 00", nil},
			step{pause, "", scsi.ErrCommandSequence},
		)
		isAt(t, drive, n, position{0x13, 0x10, 1, 1, 1749, 749})
		walk(t, drive, n, step{"03 00 00 00 12", "70 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00", nil})
		// The head is where the play ended: that is where the next one begins.
		run(t, drive, n, "45 00 ff ff ff ff 00 01 00", nil)
		isAt(t, drive, n, position{0x11, 0x10, 1, 1, 1749, 749})
	})
}

// TestPlayStops: what needs the head ends the play, what asks does not.
func TestPlayStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions
		o.SwapHold = -1
		drive := New(o)
		defer drive.Close()
		insert(t, drive, mixedCD(), "disc")
		n := join(drive, "a")
		play := playCDB(1000, 7500)
		for _, tt := range []struct {
			name, cdb string
			err       error
			stops     bool
		}{
			{"TEST UNIT READY", tur, nil, false},
			{"INQUIRY", "12 00 00 00 24", nil, false},
			{"REQUEST SENSE", "03 00 00 00 12", nil, false},
			{"GESN", gesn, nil, false},
			{"GET CONFIGURATION", "46 00 00 00 00 00 00 00 ff", nil, false},
			{"MODE SENSE", "1a 00 3f 00 ff", nil, false},
			{"READ TOC", "43 00 00 00 00 00 00 00 ff", nil, false},
			{"READ SUB-CHANNEL", subChannel, nil, false},
			{"READ DISC INFORMATION", "51 00 00 00 00 00 00 00 ff", nil, false},
			{"READ CAPACITY", "25", nil, false},
			{"MECHANISM STATUS", mechanism, nil, false},
			{"PREVENT", allow, nil, false},
			{"PLAY of nothing", "45 00 00 00 03 e8 00 00 00", nil, false},
			{"READ CD with a bad field", "be 00 00 00 03 e8 00 00 01 f8 07", scsi.ErrInvalidFieldInCDB, false},
			{"READ(6)", "08 00 23 be 01", nil, true},
			{"READ(10)", "28 00 00 00 23 be 00 00 01", nil, true},
			{"READ(12)", "a8 00 00 00 23 be 00 00 00 01", nil, true},
			{"READ of audio", "28 00 00 00 03 e8 00 00 01", scsi.ErrIllegalMode, true},
			{"READ CD", "be 00 00 00 03 e8 00 00 01 f8 00", nil, true},
			{"READ CD MSF", "b9 00 00 00 0f 19 00 0f 1a f8 00", nil, true},
			{"SEEK(10)", "2b 00 00 00 04 33", nil, true},
			{"VERIFY(10)", "2f 00 00 00 23 be 00 00 01", nil, true},
			{"READ HEADER", "44 00 00 00 23 be 00 00 08", nil, true},
			{"STOP PLAY/SCAN", stop, nil, true},
			{"STOP", "1b 00 00 00 00", nil, true},
			{"STANDBY", "1b 00 00 00 30", nil, true},
			{"START", "1b 00 00 00 01", nil, false},
			{"LOAD", hostLoad, nil, false},
			{"PREVENT", prevent, nil, false},
			{"EJECT while prevented", hostEject, scsi.ErrRemovalPrevented, false},
		} {
			run(t, drive, n, play, nil)
			wait(time.Second)
			run(t, drive, n, tt.cdb, tt.err)
			wait(time.Second)
			want := position{0x11, 0x10, 1, 1, 1150, 150}
			if tt.stops {
				want = position{0x15, 0x10, 1, 1, 1075, 75}
			}
			t.Log(tt.name)
			isAt(t, drive, n, want)
		}
	})
}

// TestMediumEndsPlay: a medium that goes takes the play with it.
func TestMediumEndsPlay(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, drive *Drive, n *scsi.Nexus){
		"host's eject": func(t *testing.T, drive *Drive, n *scsi.Nexus) {
			walk(t, drive, n, step{hostEject, "", nil}, step{mechanism, "00 10 00 00 00 00 00 00", nil}, step{hostLoad, "", nil})
		},
		"operator's eject": func(t *testing.T, drive *Drive, n *scsi.Nexus) {
			if err := drive.Eject(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			insert(t, drive, mixedCD(), "again")
		},
		"swap":  func(t *testing.T, drive *Drive, n *scsi.Nexus) { insert(t, drive, mixedCD(), "other") },
		"reset": func(t *testing.T, drive *Drive, n *scsi.Nexus) { drive.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := testOptions
				o.SwapHold = -1
				heard := 0
				o.Audio = func([]byte) { heard++ }
				drive := New(o)
				defer drive.Close()
				insert(t, drive, mixedCD(), "disc")
				n := join(drive, "a")
				run(t, drive, n, playCDB(1000, 7500), nil)
				wait(time.Second + time.Millisecond)
				act(t, drive, n)
				synctest.Wait()
				if heard != 75 {
					t.Errorf("%d frames heard in a second", heard)
				}
				wait(time.Minute)
				for n.Pending() {
					n.Take()
				}
				want := position{0x15, 0x10, 1, 1, 1000, 0}
				if name == "reset" { // the medium stays, and so does the head
					want.at, want.relative = 1075, 75
				}
				isAt(t, drive, n, want)
				if synctest.Wait(); heard != 75 {
					t.Errorf("%d frames heard; want 75", heard)
				}
				walk(t, drive, n, step{resume, "", scsi.ErrCommandSequence})
			})
		})
	}
}

// TestPlayIntoData ends in an error where the audio does, and with SOTC at the
// end of the track.
func TestPlayIntoData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, mixedCD())
		n := join(drive, "a")
		run(t, drive, n, playCDB(8925, 500), nil)
		wait(1100 * time.Millisecond)
		walk(t, drive, n, step{"03 00 00 00 12", "70 00 00 00 00 00 00 0a 00 00 00 00 00 14 00 00 00 00", nil})
		isAt(t, drive, n, position{0x14, 0x12, 2, 3, 8999, 3849})
		isAt(t, drive, n, position{0x15, 0x12, 2, 3, 8999, 3849})

		list := scsitest.Hex(t, "00000000 0e0e06000000004b 01ff02ff 00000000")
		if _, err := scsitest.DoNexus(t, drive, n, "15 10 00 00 14", list); err != nil {
			t.Fatal(err)
		}
		for _, play := range []string{playCDB(4900, 4500), "47 00 00 01 07 19 02 00 00", "48 00 00 00 01 01 00 02 01"} {
			run(t, drive, n, play, nil)
			wait(time.Minute)
			t.Log(play)
			isAt(t, drive, n, position{0x13, 0x10, 1, 1, 4999, 3999})
		}
	})
}

// TestSeek: SEEK ends a play and moves the head, from where the next one begins.
func TestSeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, mixedCD())
		n := join(drive, "a")
		run(t, drive, n, playCDB(1000, 7500), nil)
		wait(time.Second)
		run(t, drive, n, "2b 00 00 00 17 d4", nil)
		isAt(t, drive, n, position{0x15, 0x12, 2, 2, 6100, 950})
		run(t, drive, n, "2b 00 00 00 2e e0", scsi.ErrLBAOutOfRange) // 12000 is the lead-out
		run(t, drive, n, "a5 00 ff ff ff ff 00 00 03 e8", nil)
		wait(time.Second)
		isAt(t, drive, n, position{0x11, 0x12, 2, 2, 6175, 1025})

		enhanced := newDrive(t, disctest.Synthetic(disctest.EnhancedCD()))
		run(t, enhanced, n, "2b 00 00 00 9c 4a", nil) // between the sessions
		isAt(t, enhanced, n, position{0x15, 0x10, 0xAA, 1, 40010, 10})
		dvd := newDrive(t, newDisc(1, 2000000))
		run(t, dvd, n, "2b 00 00 1e 84 7f", nil)
		isAt(t, dvd, n, position{0x15, 0x14, 1, 1, 1999999, 1999999})
		run(t, dvd, n, "2b 00 00 01 86 a0", nil)
		expect(t, dvd, n, "42 02 40 01 00 00 00 00 ff", "00 15 00 0c 01 14 01 01 00 16 0f 19 00 16 0d 19")
	})
}

func TestScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, mixedCD())
		n := join(drive, "a")
		run(t, drive, n, playCDB(1000, 7500), nil)
		wait(time.Second)
		run(t, drive, n, "ba 00 ff ff ff ff", nil) // from here, forward
		wait(2 * time.Second)
		isAt(t, drive, n, position{0x11, 0x10, 1, 1, 2275, 1275})
		walk(t, drive, n, step{mechanism, "00 40 00 08 e3 00 00 00", nil})
		run(t, drive, n, stop, nil) // plays on
		wait(time.Second)
		isAt(t, drive, n, position{0x11, 0x10, 1, 1, 2350, 1350})
		run(t, drive, n, "ba 10 00 00 0f 19 00 00 00 40", nil) // reverse, from 00:15:25
		wait(time.Second)
		isAt(t, drive, n, position{0x11, 0x10, 1, 0, 400, -600})
		run(t, drive, n, pause, nil)
		isAt(t, drive, n, position{0x12, 0x10, 1, 0, 400, -600})
		run(t, drive, n, resume, nil)
		wait(20 * time.Second)
		isAt(t, drive, n, position{0x11, 0x10, 1, 1, 1900, 900})
		run(t, drive, n, "ba 00 00 00 00 02 00 00 00 80", nil) // track 2, to the end of the play
		wait(10 * time.Second)
		isAt(t, drive, n, position{0x13, 0x12, 2, 3, 8404, 3254}) // the last burst
		run(t, drive, n, "ba 00 00 00 22 60", nil)                // with no play: to the data
		wait(10 * time.Second)
		isAt(t, drive, n, position{0x13, 0x12, 2, 3, 8934, 3784})
		run(t, drive, n, "ba 10 00 00 00 01 00 00 00 80", nil) // from track 1 back to the start of the disc
		wait(10 * time.Second)
		isAt(t, drive, n, position{0x13, 0x10, 1, 0, -65, -1065})
		run(t, drive, n, playCDB(1000, 75), nil)
		run(t, drive, n, "ba 00 00 00 13 88", nil) // from behind the play: not to its end
		wait(2 * time.Second)
		isAt(t, drive, n, position{0x11, 0x12, 2, 2, 6200, 1050})
		run(t, drive, n, playCDB(1000, 8500), nil) // into the data
		run(t, drive, n, "ba 10 00 00 00 01 00 00 00 80", nil)
		wait(10 * time.Second)
		isAt(t, drive, n, position{0x13, 0x10, 1, 0, -65, -1065}) // no error: it went the other way
	})
}

// TestPositionIsExact: where the head stands, to the frame, around the starts of
// track and index. In a pregap the frames count down to 0, as in sub-channel Q,
// whose last one there is -1 as an LBA.
func TestPositionIsExact(t *testing.T) {
	drive := newDrive(t, mixedCD())
	for _, tt := range []struct {
		at         disc.LBA
		lba, asMSF string // of index on
	}{
		{0, "01 10 01 00 00000000 fffffc18", "01 10 01 00 00000200 00000d18"},
		{999, "01 10 01 00 000003e7 ffffffff", "01 10 01 00 00000f18 00000000"},
		{1000, "01 10 01 01 000003e8 00000000", "01 10 01 01 00000f19 00000000"},
		{5149, "01 12 02 00 0000141d ffffffff", "01 12 02 00 00010a31 00000000"},
		{6000, "01 12 02 02 00001770 00000352", "01 12 02 02 00011600 00000b19"},
	} {
		run(t, drive, usb(), fmt.Sprintf("2b 00 %08x", uint32(tt.at)), nil)
		expect(t, drive, usb(), subChannel, "00 15 00 0c "+tt.lba)
		expect(t, drive, usb(), "42 02 40 01 00 00 00 00 ff", "00 15 00 0c "+tt.asMSF)
	}
}

// TestPlayToIndexBeyond: a last index that is not there is the last one, FFh too.
func TestPlayToIndexBeyond(t *testing.T) {
	for _, index := range []string{"63", "64", "fe", "ff"} {
		drive := newDrive(t, mixedCD())
		n := join(drive, "a")
		run(t, drive, n, "48 00 00 00 01 01 00 01 "+index, nil)
		if s := drive.Status().Audio.State; s != "playing" {
			t.Errorf("to index %sh: %q; want playing", index, s)
		}
	}
}
