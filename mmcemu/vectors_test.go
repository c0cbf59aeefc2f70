package mmcemu

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"spindle/isostore/disc"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// enhancedCD is the disc of the reference's vector: two audio tracks, then an
// XA data track in a second session.
func enhancedCD() *fakeDisc {
	return &fakeDisc{seed: 1, layout: &disc.Layout{Kind: disc.CD, MCN: "1234567890123", Sessions: []disc.Session{
		{Number: 1, LeadOut: 40000, Tracks: []disc.Track{
			{Number: 1, Mode: disc.Audio, Pregap: -150, ISRC: "USABC2600001"},
			{Number: 2, Mode: disc.Audio, Pregap: 20000, Start: 20000},
		}},
		{Number: 2, Type: 0x20, LeadOut: 81400, Tracks: []disc.Track{
			{Number: 3, Control: 4, Mode: disc.Mode2XA, Pregap: 51250, Start: 51400},
		}},
	}}}
}

// unevenDVD has 528 of its 1000 blocks in layer 0.
func unevenDVD() *fakeDisc {
	d := newDisc(1, 1000)
	d.layout.Kind, d.layout.LayerBreak = disc.DVD, 528
	return d
}

// A structuredDisc is a DVD whose image holds copyright structures.
type structuredDisc struct{ *fakeDisc }

func (structuredDisc) ReadStructure(format, layer byte) ([]byte, bool) {
	return []byte{1, 0xFD - layer, 0, 0}, format == 1
}

// TestVectors answers commands with the bytes of the reference, section 10,
// on a USB nexus where nothing else is said.
func TestVectors(t *testing.T) {
	empty, cd := newDrive(t, nil), newDrive(t, newDisc(1, 100000))
	dvd, dual := newDrive(t, newDisc(1, 2000000)), newDrive(t, newDisc(1, 4000000))
	uneven, structured := newDrive(t, unevenDVD()), newDrive(t, structuredDisc{unevenDVD()})
	bd, enhanced := newDrive(t, newDisc(1, 20000000)), newDrive(t, enhancedCD())
	blank := "56454E444F522020 5649525455414C204F44442020202020 312E3030"
	for _, tt := range []struct {
		name      string
		drive     *Drive
		cdb, want string
	}{
		{"INQUIRY", empty, "12 00 00 00 60", "05 80 00 02 1F 00 00 00" + blank},
		{"VPD 00", empty, "12 01 00 00 ff", "05 00 00 03 00 80 83"},
		{"VPD 80", empty, "12 01 80 00 ff", "05 80 00 0C 30 31 32 33 34 35 36 37 38 39 41 42"},
		{"VPD 83", empty, "12 01 83 00 ff", "05 83 00 34 01 03 00 08 30 01 02 03 04 05 06 07 | 02 01 00 24" +
			"56454E444F522020 5649525455414C204F44442020202020 303132333435363738394142"},
		{"GESN, no class", empty, "4a 01 00 00 00 00 00 00 08", "00 02 80 10"},
		{"GESN, other classes", empty, "4a 01 00 00 4e 00 00 00 08", "00 02 80 10"},
		{"GESN, no disc", empty, "4a 01 00 00 10 00 00 00 08", "00 06 04 10 00 00 00 00"},
		{"GESN, disc", cd, "4a 01 00 00 10 00 00 00 08", "00 06 04 10 00 02 00 00"},
		{
			"GET CONFIGURATION, no medium", empty, "46 00 00 00 00 00 00 ff ff",
			"0000009C00000000 0000030C 00400000 00100000 00080000 00010B08 00000008 01000000 00020704 00000000" +
				"00030B04 39000000 00100008 00000800 00010100 001D0000 001E0804 00000000 001F0404 01000100" +
				"0040001C 00000000 0000000000000000 0000000000000000 FFFF000000000000" +
				"01000300 01030004 07000100 01050704 00000000 01071004 00000000 0108030C 303132333435363738394142",
		},
		{
			"GET CONFIGURATION, CD", cd, "46 00 00 00 00 00 00 ff ff",
			"0000009C00000008 0000030C 00400000 00100000 00080100 00010B08 00000008 01000000 00020704 00000000" +
				"00030B04 39000000 00100108 00000800 00010100 001D0100 001E0904 00000000 001F0404 01000100" +
				"0040001C 00000000 0000000000000000 0000000000000000 FFFF000000000000" +
				"01000300 01030104 07000100 01050704 00000000 01071104 00000000 0108030C 303132333435363738394142",
		},
		{"GET CONFIGURATION, unsupported", cd, "46 02 00 20 00 00 00 00 ff", "00 00 00 04 00 00 00 08"},
		{"GET CONFIGURATION, past the last", cd, "46 00 ff ff 00 00 00 00 ff", "00 00 00 04 00 00 00 08"},
		{"GET CONFIGURATION, current, CD", cd, "46 01 00 10 00 00 00 00 ff", "000000 48 00000008" +
			"00100108 00000800 00010100 001D0100 001E0904 00000000 01000300 01030104 07000100" +
			"01050704 00000000 01071104 00000000 0108030C 303132333435363738394142"},
		{"MODE SENSE(10) 2A", empty, "5a 08 2a 00 00 00 00 00 80", "00 26 00 00 00 00 00 00 2A 1E 0B 00 71 03 29 03 21 00 01 00 08 00 21 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 00"},
		{"MODE SENSE(6) 2A", empty, "1a 00 2a 00 80", "23 00 00 00 2A 1E 0B 00 71 03 29 03 21 00 01 00 08 00 21 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 00"},
		{"READ CAPACITY", cd, "25", "00 01 86 9F 00 00 08 00"},
		{"READ CAPACITY(16)", cd, "9e 10 00 00 00 00 00 00 00 00 00 00 00 20", "0000000000 01 86 9F 00 00 08 00" + "0000000000000000000000000000000000000000"},
		{"READ TOC, LBA", cd, "43 00 00 00 00 00 00 03 24", "00 12 01 01 00 14 01 00 00 00 00 00 00 14 AA 00 00 01 86 A0"},
		{"READ TOC, MSF", cd, "43 02 00 00 00 00 00 03 24", "00 12 01 01 00 14 01 00 00 00 02 00 00 14 AA 00 00 16 0F 19"},
		{"READ TOC, lead-out", cd, "43 00 00 00 00 00 aa 03 24", "00 0A 01 01 00 14 AA 00 00 01 86 A0"},
		{"READ TOC, sessions", cd, "43 00 01 00 00 00 00 03 24", "00 0A 01 01 00 14 01 00 00 00 00 00"},
		{"READ TOC, sessions, legacy", cd, "43 00 00 00 00 00 00 00 0c 40", "00 0A 01 01 00 14 01 00 00 00 00 00"},
		{"READ TOC, full", cd, "43 02 02 00 00 00 00 ff fe", "00 2E 01 01" +
			"01 14 00 A0 00 00 00 00 01 00 00 01 14 00 A1 00 00 00 00 01 00 00 01 14 00 A2 00 00 00 00 16 0F 19 01 14 00 01 00 00 00 00 00 02 00"},
		{"READ TOC, full, legacy", cd, "43 02 00 00 00 00 00 00 04 80", "00 2E 01 01"},
		{"READ TOC, full, Enhanced CD", enhanced, "43 02 02 00 00 00 00 ff fe", "00 86 01 02" +
			"01 10 00 A0 00 00 00 00 01 00 00 01 10 00 A1 00 00 00 00 02 00 00 01 10 00 A2 00 00 00 00 08 37 19" +
			"01 10 00 01 00 00 00 00 00 02 00 01 10 00 02 00 00 00 00 04 1C 32" +
			"01 50 00 B0 0B 19 19 02 4F 3B 4A 01 50 00 C0 00 00 00 00 61 22 17" +
			"02 14 00 A0 00 00 00 00 03 20 00 02 14 00 A1 00 00 00 00 03 00 00 02 14 00 A2 00 00 00 00 12 07 19" +
			"02 14 00 03 00 00 00 00 0B 1B 19 02 54 00 B0 FF FF FF 01 4F 3B 4A"},
		{"READ TOC, sessions, Enhanced CD", enhanced, "43 00 01 00 00 00 00 00 ff", "00 0A 01 02 00 14 03 00 00 00 C8 C8"},
		{"READ TOC, DVD", dvd, "43 00 00 00 00 00 00 00 ff", "00 12 01 01 00 14 01 00 00 00 00 00 00 14 AA 00 00 1E 84 80"},
		{"READ TOC, DVD beyond 255 minutes", dvd, "43 02 00 00 00 00 aa 00 ff", "00 0A 01 01 00 14 AA 00 00 FF 3B 4A"},
		{"READ DISC INFORMATION", cd, "51 00 00 00 00 00 00 00 ff", "00 20 0E 01 01 01 01 20 00 00 00 00 00 00 00 00 FF FF FF FF FF FF FF FF 00 00 00 00 00 00 00 00 00 00"},
		{"READ DISC INFORMATION, AL 2", cd, "51 00 00 00 00 00 00 00 02", "00 20"},
		{"READ TRACK INFORMATION", cd, "52 01 00 00 00 01 00 00 ff", "00 22 01 01 00 04 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 86 A0 00 00 00 00 00 00 00 00"},
		{"READ FORMAT CAPACITIES, no medium", empty, "23 00 00 00 00 00 00 00 fc", "00 00 00 08 00 FF FF FF 03 00 08 00"},
		{"READ FORMAT CAPACITIES", cd, "23 00 00 00 00 00 00 00 fc", "00 00 00 08 00 01 86 A0 02 00 08 00"},
		{"DVD physical format", dvd, "ad 00 00 00 00 00 00 00 00 18", "08 02 00 00 01 02 01 00 00 03 00 00 00 21 84 7F 00 00 00 00 00 00 00 00"},
		{"DVD copyright", dvd, "ad 00 00 00 00 00 00 01 00 ff", "00 06 00 00 00 00 00 00"},
		{"DVD of two layers", dual, "ad 00 00 00 00 00 01 00 00 14", "08 02 00 00 01 02 31 00 00 03 00 00 00 FC FF FF 00 21 84 7F"},
		{"DVD of two layers, break known", uneven, "ad 00 00 00 00 00 01 00 00 14", "08 02 00 00 01 02 31 00 00 03 00 00 00 FC FF C7 00 03 02 0F"},
		{"DVD structure of the image", structured, "ad 00 00 00 00 00 00 01 00 ff", "00 06 00 00 01 FD 00 00"},
		{"DVD structure of the image, layer 1", structured, "ad 00 00 00 00 00 01 01 00 ff", "00 06 00 00 01 FC 00 00"},
		{"DVD structure that the image lacks", structured, "ad 00 00 00 00 00 00 04 00 06", "08 02 00 00 00 00"},
		{"DVD manufacturing", dvd, "ad 00 00 00 00 00 00 04 00 06", "08 02 00 00 00 00"},
		{"DVD structures", empty, "ad 00 00 00 00 00 00 ff 00 ff", "00 12 00 00 00 40 08 04 01 40 00 08 04 40 08 04 FF 40 00 00"},
		{"BD disc information", bd, "ad 01 00 00 00 00 00 00 00 24", "10 02 00 00 44 49 01 08 00 00 20 00 42 44 4F 01 21 00 00 00 00 00 00 00 01 41 2C FF 00 02 00 00 00 28 25 9F"},
		{"GET CONFIGURATION, current, DVD", dvd, "46 01 00 10 00 00 00 00 0c", "0000003C 00000010 00100108"},
		{"GET CONFIGURATION, DVD read", dvd, "46 02 00 1f 00 00 00 00 ff", "0000000C 00000010 001F0504 01000100"},
		{"GET CONFIGURATION, BD blocking", bd, "46 02 00 10 00 00 00 00 ff", "00000010 00000040 00100108 00000800 00200100"},
		{"GET CONFIGURATION, BD read", bd, "46 02 00 40 00 00 00 00 0c", "00000024 00000040 0040011C"},
		{"GET CONFIGURATION, profiles with a BD", bd, "46 02 00 00 00 00 00 00 ff", "00000014 00000040 0000030C 00400100 00100000 00080000"},
		{"READ TRACK INFORMATION, audio", enhanced, "52 01 00 00 00 01 00 00 ff", "00220101 00000F00 00000000 00000000 00000000 00000000 00004E20 00000000 00000000"},
		{"READ TRACK INFORMATION, LBA", enhanced, "52 00 00 00 c8 c8 00 00 0c", "00 22 03 02 00 04 02 00 00 00 C8 C8"},
		{"READ TRACK INFORMATION, session", enhanced, "52 02 00 00 00 02 00 00 0c", "00 22 03 02 00 04 02 00 00 00 C8 C8"},
		{"READ DISC INFORMATION, Enhanced CD", enhanced, "51 00 00 00 00 00 00 00 09", "00 20 0E 01 02 03 03 20 00"},
		{"READ SUB-CHANNEL, status", cd, "42 00 00 01 00 00 00 00 ff", "00 15 00 00"},
		{"READ SUB-CHANNEL, position", cd, "42 00 40 01 00 00 00 00 ff", "00 15 00 0C 01 14 01 01 00 00 00 00 00 00 00 00"},
		{"READ SUB-CHANNEL, position, MSF", cd, "42 02 40 01 00 00 00 00 ff", "00 15 00 0C 01 14 01 01 00 00 02 00 00 00 00 00"},
		{"READ SUB-CHANNEL, no catalogue number", cd, "42 00 40 02 00 00 00 00 ff", "00 15 00 14 02 00 00 00 00000000000000000000000000000000"},
		{"READ SUB-CHANNEL, catalogue number", enhanced, "42 00 40 02 00 00 00 00 ff", "00 15 00 14 02 00 00 00 80 31323334353637383930313233 00 00"},
		{"READ SUB-CHANNEL, ISRC", enhanced, "42 00 40 03 00 00 01 00 ff", "00 15 00 14 03 10 01 00 80 555341424332363030303031 00 00 00"},
		{"READ HEADER", cd, "44 00 00 00 00 10 00 00 08", "01 00 00 00 00 00 00 10"},
		{"READ HEADER, MSF, XA", enhanced, "44 02 00 00 c8 c8 00 00 08", "02 00 00 00 00 0B 1B 19"},
		{"SET READ AHEAD", empty, "a7 00 00 00 00 10 00 00 00 20", ""},
		{"REPORT KEY, region", empty, "a4 00 00 00 00 00 00 00 00 08 08", "00 06 00 00 25 FF 01 00"},
		{"REQUEST SENSE", empty, "03 00 00 00 12", "70 00 00 00 00 00 00 0A 00 00 00 00 00 00 00 00 00 00"},
		{"MECHANISM STATUS", empty, "bd 00 00 00 00 00 00 00 00 08", "00 00 00 00 00 00 00 00"},
		{"GET PERFORMANCE", cd, "ac 00 00 00 00 00 00 00 00 c8 00", "00000014 00000000 00000000 00002100 0001869F 00002100"},
		{"GET PERFORMANCE, write speeds", cd, "ac 00 00 00 00 00 00 00 00 c8 03", "00000004 00000000"},
		{"GET PERFORMANCE, no descriptor wanted", cd, "ac 00 00 00 00 00 00 00 00 00 00", "00000014 00000000"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.drive, usb(), tt.cdb, tt.want) })
	}
}

func TestInquiryISCSI(t *testing.T) {
	drive := newDrive(t, nil)
	got := run(t, drive, scsitest.NewNexus("a"), "12 00 00 00 ff", nil)
	if len(got) != 96 || !bytes.Equal(got[:8], scsitest.Hex(t, "05 80 06 02 5B 00 00 02")) ||
		!bytes.Equal(got[36:66], scsitest.Hex(t, "00000000000000000000 00000000000000000000 0000 00A0 0960 0460 04E0")) {
		t.Errorf("INQUIRY = % x", got)
	}
	want := "05 83 00 A0 01 03 00 08 30 01 02 03 04 05 06 07 02 01 00 24" +
		"56454E444F522020 5649525455414C204F44442020202020 303132333435363738394142" +
		"03 08 00 30" + hex.EncodeToString([]byte("iqn.2026-11.spindle:test,L,0x3001020304050607\x00\x00\x00")) +
		"53 98 00 24" + hex.EncodeToString([]byte("iqn.2026-11.spindle:test,t,0x0001\x00\x00\x00")) +
		"51 94 00 04 00000001" + "51 95 00 04 00000001"
	expect(t, drive, scsitest.NewNexus("a"), "12 01 83 00 ff", want)
}

// TestSenseVectors checks how failures look on the wire.
func TestSenseVectors(t *testing.T) {
	empty, cd := newDrive(t, nil), newDrive(t, newDisc(1, 100000))
	for _, tt := range []struct {
		name      string
		drive     *Drive
		cdb, want string
	}{
		{"no medium", empty, "00", "70 00 02 00 00 00 00 0A 00 00 00 00 3A 01 00 00 00 00"},
		{"LBA out of range", cd, "28 00 00 01 86 a0 00 00 01", "F0 00 05 00 01 86 A0 0A 00 00 00 00 21 00 00 00 00 00"},
		{"last of two blocks out of range", cd, "28 00 00 01 86 9f 00 00 02", "F0 00 05 00 01 86 A0 0A 00 00 00 00 21 00 00 00 00 00"},
		{"no blocks beyond the end", cd, "28 00 00 01 86 a1 00 00 00", "F0 00 05 00 01 86 A1 0A 00 00 00 00 21 00 00 00 00 00"},
		{"READ(12) of 2^32 blocks", cd, "a8 00 00 00 00 00 ff ff ff ff", "F0 00 05 00 01 86 A0 0A 00 00 00 00 21 00 00 00 00 00"},
		{"unknown mode page", cd, "1a 00 20 00 ff", "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 CD 00 02"},
		{"saved mode page", cd, "5a 00 ea 00 00 00 00 00 ff", "70 00 05 00 00 00 00 0A 00 00 00 00 39 00 00 00 00 00"},
		{"unknown opcode", cd, "5e", "70 00 05 00 00 00 00 0A 00 00 00 00 20 00 00 00 00 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := scsitest.DoNexus(t, tt.drive, usb(), tt.cdb, nil)
			if got := scsi.SenseOf(err).AppendFixed(nil); err == nil || !bytes.Equal(got, scsitest.Hex(t, tt.want)) {
				t.Errorf("%s: %v, % x; want %s", tt.cdb, err, got, tt.want)
			}
		})
	}
}

// TestRefusals lists what is answered with an error, in the order of checks:
// field before medium, operation code before both.
func TestRefusals(t *testing.T) {
	empty, cd := newDrive(t, nil), newDrive(t, newDisc(1, 1000))
	dvd, enhanced := newDrive(t, newDisc(1, 500000)), newDrive(t, enhancedCD())
	audio := enhancedCD()
	audio.err = disc.ErrMode
	audioDrive := newDrive(t, audio)
	field := scsi.ErrInvalidFieldInCDB
	for _, tt := range []struct {
		name  string
		drive *Drive
		cdb   string
		want  error
	}{
		{"INQUIRY page without EVPD", cd, "12 00 80 00 ff", field},
		{"INQUIRY unknown page", cd, "12 01 b0 00 ff", field},
		{"asynchronous GESN", cd, "4a 00 00 00 10 00 00 00 08", field},
		{"GET CONFIGURATION RT 3", cd, "46 03 00 00 00 00 00 00 ff", field},
		{"MODE SENSE subpage", cd, "1a 00 3f 01 ff", field},
		{"Apple's mode page", cd, "5a 00 31 00 00 00 00 00 10", field},
		{"MODE SELECT saving", cd, "15 11 00 00 00", field},
		{"READ TOC PMA", cd, "43 00 03 00 00 00 00 00 ff", field},
		{"READ TOC ATIP", cd, "43 00 04 00 00 00 00 00 ff", field},
		{"READ TOC CD-TEXT, empty", empty, "43 00 05 00 00 00 00 00 ff", field},
		{"READ TOC no such track", cd, "43 00 00 00 00 00 02 00 ff", field},
		{"READ TOC no such session", cd, "43 00 02 00 00 00 02 00 ff", field},
		{"READ TOC full of a DVD", dvd, "43 00 02 00 00 00 00 00 ff", field},
		{"READ TOC, empty", empty, "43 00 00 00 00 00 02 00 ff", scsi.ErrMediumNotPresentTrayClosed},
		{"READ DISC INFORMATION resources", cd, "51 01 00 00 00 00 00 00 ff", field},
		{"READ TRACK INFORMATION incomplete track", cd, "52 01 00 00 00 ff 00 00 ff", field},
		{"READ TRACK INFORMATION beyond", cd, "52 00 00 01 00 00 00 00 ff", field},
		{"READ TRACK INFORMATION type", cd, "52 03 00 00 00 00 00 00 ff", field},
		{"DVD structure of a CD", cd, "ad 00 00 00 00 00 00 00 00 08", scsi.ErrIncompatibleMedium},
		{"BD structure of a DVD", dvd, "ad 01 00 00 00 00 00 00 00 08", scsi.ErrIncompatibleMedium},
		{"DVD structure, empty", empty, "ad 00 00 00 00 00 00 00 00 08", scsi.ErrMediumNotPresentTrayClosed},
		{"DVD structure of layer 1", dvd, "ad 00 00 00 00 00 01 00 00 08", field},
		{"DVD BCA", dvd, "ad 00 00 00 00 00 00 03 00 08", field},
		{"REPORT KEY challenge", dvd, "a4 00 00 00 00 00 00 00 00 0c 00", field},
		{"GET PERFORMANCE type 1", dvd, "ac 00 00 00 00 00 00 00 00 ff 01", field},
		{"READ CAPACITY, empty", empty, "25", scsi.ErrMediumNotPresentTrayClosed},
		{"SERVICE ACTION IN 11", cd, "9e 11", field},
		{"READ of audio", audioDrive, "28 00 00 00 00 00 00 00 01", scsi.ErrIllegalMode},
		{"READ CD sub-channel of nothing", cd, "be 00 00 00 00 00 00 00 00 00 04", field},
		{"READ CD raw without raw sectors", cd, "be 00 00 00 00 00 00 00 01 f8 00", field},
		{"READ CD audio of data", cd, "be 04 00 00 00 00 00 00 01 10 00", scsi.ErrIllegalMode},
		{"READ CD beyond", cd, "be 00 00 00 03 e8 00 00 01 10 00", scsi.ErrLBAOutOfRange},
		{"READ CD pregap", cd, "be 00 ff ff ff ff 00 00 01 10 00", scsi.ErrLBAOutOfRange},
		{"READ CD between sessions", enhanced, "be 00 00 00 a0 00 00 00 01 10 00", scsi.ErrLBAOutOfRange},
		{"READ CD MSF backwards", cd, "b9 00 00 00 03 00 00 02 00 10 00", field},
		{"READ CD MSF second 60", cd, "b9 00 00 00 3c 00 00 02 00 10 00", field},
		{"READ SUB-CHANNEL format", cd, "42 00 40 00 00 00 00 00 ff", field},
		{"READ SUB-CHANNEL, ISRC of no track", cd, "42 00 40 03 00 00 02 00 ff", field},
		{"READ SUB-CHANNEL, empty", empty, "42 00 40 01 00 00 00 00 ff", scsi.ErrMediumNotPresentTrayClosed},
		{"READ HEADER beyond", cd, "44 00 00 00 03 e8 00 00 08", scsi.ErrLBAOutOfRange},
		{"READ HEADER of audio", enhanced, "44 00 00 00 00 00 00 00 08", scsi.ErrIllegalMode},
		{"READ HEADER between sessions", enhanced, "44 00 00 00 a0 00 00 00 08", scsi.ErrLBAOutOfRange},
		{"SEEK beyond", cd, "2b 00 00 00 03 e8", scsi.ErrLBAOutOfRange},
		{"VERIFY beyond", cd, "2f 00 00 00 03 e8 00 00 01", scsi.ErrLBAOutOfRange},
		{"START, empty", empty, "1b 00 00 00 01", scsi.ErrMediumNotPresentTrayClosed},
		{"WRITE(10)", cd, "2a 00 00 00 00 00 00 00 01", scsi.ErrInvalidOpcode},
		{"WRITE(12)", cd, "aa", scsi.ErrInvalidOpcode},
		{"RESERVE(6)", cd, "16", scsi.ErrInvalidOpcode},
		{"RELEASE(10)", empty, "57", scsi.ErrInvalidOpcode},
		{"PERSISTENT RESERVE IN", cd, "5e", scsi.ErrInvalidOpcode},
		{"PERSISTENT RESERVE OUT", cd, "5f", scsi.ErrInvalidOpcode},
		{"REPORT LUNS", cd, "a0", scsi.ErrInvalidOpcode},
		{"LOAD/UNLOAD", cd, "a6", scsi.ErrInvalidOpcode},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := scsitest.DoNexus(t, tt.drive, usb(), tt.cdb, nil)
			if !errors.Is(err, tt.want) || len(got) != 0 {
				t.Errorf("%s = % x, %v; want %v", tt.cdb, got, err, tt.want)
			}
		})
	}
}

// TestWithoutMedium lists the commands that a drive without a disc answers.
func TestWithoutMedium(t *testing.T) {
	drive := newDrive(t, nil)
	for _, cdb := range []string{
		"03 00 00 00 12", "12 00 00 00 24", "1a 00 3f 00 ff", "5a 00 3f 00 00 00 00 00 ff",
		"46 00 00 00 00 00 00 00 ff", "4a 01 00 00 10 00 00 00 08", "1e 00 00 00 01", "1e 00 00 00 00",
		"bd 00 00 00 00 00 00 00 00 08", "23 00 00 00 00 00 00 00 0c", "ac 00 00 00 00 00 00 00 00 01 00",
		"ac 00 00 00 00 00 00 00 00 01 03", "a4 00 00 00 00 00 00 00 00 08 08", "bb 00 ff ff ff ff",
		"35", "1b 00 00 00 00", "1b 00 00 00 03", "1b 00 00 00 30", "ad 00 00 00 00 00 00 ff 00 ff",
	} {
		run(t, drive, usb(), cdb, nil)
	}
}
