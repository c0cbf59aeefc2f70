package mmcemu

import (
	"bytes"
	"encoding/hex"
	"testing"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

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
