package mmcemu

import (
	"bytes"
	"errors"
	"testing"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

func TestModeSense(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	page01, page0D := "010a0005 00000000 00000000", "0d060000 003c004b"
	for _, tt := range []struct{ cdb, want string }{
		{"1a 08 0d 00 ff", "0b000000" + page0D},
		{"1a 00 01 00 ff", "0f000000" + page01},
		{"1a 00 41 00 ff", "0f000000 010a3fff 00000000 00000000"},
		{"1a 00 81 00 ff", "0f000000" + page01},
		{"5a 00 01 00 00 00 00 00 04", "00120000"},
		{"5a 00 2a 00 00 00 00 00 08", "0026000000000000"},
		{"5a 10 1d ff 00 00 00 00 ff", "0010000000000000 1d080000 0000001e 001e"},
		{"1a 00 2a 00 00", ""},
		{"1a 00 08 00 ff", "0f000000 080a0000 00000000 00000000"},
		{"1a 00 1c 00 ff", "0f000000 1c0a0000 00000000 00000000"},
	} {
		expect(t, drive, scsitest.NewNexus("a"), tt.cdb, tt.want)
	}
	// QEMU: MODE SENSE(6) page 3Fh AL 255; pages ascend and the length is right.
	all := run(t, drive, scsitest.NewNexus("a"), "1a 00 3f 00 ff", nil)
	if int(all[0]) != len(all)-1 {
		t.Errorf("mode data length %d of %d bytes", all[0], len(all))
	}
	last := byte(0)
	for p := all[4:]; len(p) > 0; p = p[2+int(p[1]):] {
		if p[0] <= last {
			t.Errorf("page %02x after %02x", p[0], last)
		}
		last = p[0]
	}
	if last != capabilitiesPage {
		t.Errorf("last page %02x", last)
	}
}

func TestModeSelect(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	a, b := join(drive, "a"), join(drive, "b")
	retries := "010a0007 00000000 00000000"
	tests := []struct {
		name, cdb, list string
		want            error
		other           error // what b is told
	}{
		{"6 bytes", "15 10 00 00 10", "00000000" + retries, nil, scsi.ErrModeParametersChanged},
		{"the same again", "15 10 00 00 10", "0f000000" + retries, nil, nil},
		{"10 bytes, block descriptor, PF 0", "55 00 00 00 00 00 00 00 1c", "0000000000000008 0000000000000800 010a0009 00000000 00000000", nil, scsi.ErrModeParametersChanged},
		{"bits that cannot be changed", "15 10 00 00 0c", "00000000 0d060000 00110022", nil, nil},
		{"capabilities written back", "15 10 00 00 24", "00000000 2a1e0b0071032900210001000800210000000000000000010000000000000000", nil, nil},
		{"nothing", "15 10 00 00 00", "", nil, nil},
		{"header alone", "15 10 00 00 04", "00000000", nil, nil},
		{"cut header", "15 10 00 00 03", "000000", scsi.ErrParameterListLength, nil},
		{"cut page", "15 10 00 00 0e", "00000000 010a0007 00000000 0000", scsi.ErrParameterListLength, nil},
		{"less data than said", "15 10 00 00 10", "00000000", scsi.ErrParameterListLength, nil},
		{"unknown page", "15 10 00 00 06", "00000000 2000", scsi.ErrInvalidFieldInParameterList, nil},
		{"page length", "15 10 00 00 0c", "00000000 0106 000000000000", scsi.ErrInvalidFieldInParameterList, nil},
		{"one good page, one bad: none", "15 10 00 00 12", "00000000 010a000c 00000000 00000000 2000", scsi.ErrInvalidFieldInParameterList, nil},
		{"block length", "15 10 00 00 0c", "00000008 0000000000000930", scsi.ErrInvalidFieldInParameterList, nil},
		{"block descriptor length", "15 10 00 00 0c", "00000004 0000000000000800", scsi.ErrInvalidFieldInParameterList, nil},
	}
	for _, tt := range tests {
		_, err := scsitest.DoNexus(t, drive, a, tt.cdb, scsitest.Hex(t, tt.list))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
		if a.Pending() {
			t.Errorf("%s: the nexus that did it is told", tt.name)
		}
		run(t, drive, b, tur, tt.other)
	}
	expect(t, drive, a, "1a 00 01 00 ff", "0f000000 010a0009 00000000 00000000")
	expect(t, drive, a, "1a 00 0d 00 ff", "0b000000 0d060000 003c004b")
	drive.Reset()
	expect(t, drive, a, "1a 00 01 00 ff", "0f000000 010a0005 00000000 00000000")
}

func TestSpeed(t *testing.T) {
	cd, dvd := newDrive(t, newDisc(1, 1000)), newDrive(t, newDisc(1, 2000000))
	for _, tt := range []struct {
		drive *Drive
		cdb   string
		want  string // page 2Ah, bytes 8-9 and 14-15
	}{
		{cd, "bb 00 03 00 ff ff", "2100 02c0"}, // 768: 4x
		{cd, "bb 00 00 01 ff ff", "2100 02c0"}, // below the slowest
		{cd, "bb 00 ff ff ff ff", "2100 2100"}, // SET CD SPEED FFFF of macOS
		{dvd, "bb 00 2b 48 ff ff", "5690 2b48"},
		{dvd, "bb 00 00 00 00 00", "5690 5690"},
	} {
		run(t, tt.drive, usb(), tt.cdb, nil)
		page := run(t, tt.drive, usb(), "1a 00 2a 00 ff", nil)[4:]
		if got := append(bytes.Clone(page[8:10]), page[14:16]...); !bytes.Equal(got, scsitest.Hex(t, tt.want)) {
			t.Errorf("%s: speeds % x; want %s", tt.cdb, got, tt.want)
		}
	}
}

// TestSpeedIsOfTheDisc: it stays when a host ejects the disc and loads it again, and
// goes with the disc.
func TestSpeedIsOfTheDisc(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	n := usb()
	const slow, fast = "23 00 00 00 2a 1e 0b 00 71 7f 29 03 21 00 01 00 08 00 02 c0", "23 00 00 00 2a 1e 0b 00 71 7f 29 03 56 90 01 00 08 00 56 90"
	run(t, drive, n, "bb 00 03 00 ff ff", nil)
	walk(t, drive, n, step{hostEject, "", nil}, step{hostLoad, "", nil}, step{tur, "", nil}, step{"1a 00 2a 00 14", slow, nil})
	drive.NexusLost(n) // it need not be told
	insert(t, drive, newDisc(2, 2000000), "dvd")
	expect(t, drive, usb(), "1a 00 2a 00 14", fast)
}

func TestSetStreaming(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	set := "b6 00 00 00 00 00 00 00 00 00 1c"
	head := "00000000 00000000 000003e7"
	for _, tt := range []struct {
		list string
		err  error
		want string // GET PERFORMANCE, speed
	}{
		{head + "00000b00 000003e8 00000000 000003e8", nil, "00000b00"},
		{head + "00000b00 00000000 00000000 000003e8", scsi.ErrInvalidFieldInParameterList, "00000b00"},
		{head + "00000001 ffffffff 00000000 000003e8", nil, "000002c0"}, // below the slowest
		{"04000000 00000000 00000000 00000000 00000000 00000000 00000000", nil, "00002100"},
		{"04000000", scsi.ErrParameterListLength, "00002100"},
	} {
		_, err := scsitest.DoNexus(t, drive, usb(), set, scsitest.Hex(t, tt.list))
		if !errors.Is(err, tt.err) {
			t.Errorf("SET STREAMING %s: %v; want %v", tt.list, err, tt.err)
		}
		if got := run(t, drive, usb(), "ac 00 00 00 00 00 00 00 00 01 00", nil); !bytes.Equal(got[12:16], scsitest.Hex(t, tt.want)) {
			t.Errorf("SET STREAMING %s: speed % x; want %s", tt.list, got[12:16], tt.want)
		}
	}
}
