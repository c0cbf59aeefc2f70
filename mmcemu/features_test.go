package mmcemu

import (
	"slices"
	"testing"
)

// promises are the commands that MMC-6 5.3 makes mandatory for a feature, and of
// those that it makes so for a bit of the feature, such as SET CD SPEED for SCS,
// the ones that this drive has.
var promises = map[uint16][]byte{
	0x0000: {0x46},
	0x0001: {0x46, 0x4A, 0x12, 0x55, 0x5A, 0x03, 0x00},
	0x0002: {0x46, 0x4A},
	0x0003: {0xBD, 0x1E, 0x1B},
	0x0010: {0x25, 0x28},
	0x001D: {0x28, 0xBE, 0x51, 0x52},
	0x001E: {0xBE, 0xB9, 0x43},
	0x001F: {0x28, 0xA8, 0xAD, 0x43},
	0x0040: {0x28, 0xA8, 0xAD, 0x43, 0x51, 0x52},
	0x0100: {0x1B, 0x55, 0x5A},
	0x0102: {0xA6, 0xBD},
	0x0103: {0x45, 0x47, 0x4B, 0x4E, 0xBA, 0x42, 0x43, 0xBD},
	0x0105: {0x55, 0x5A},
	0x0107: {0xAC, 0xA7, 0xB6, 0x5C, 0xA8},
	0x0108: {0x12},
}

// TestFeaturesAreTrue: the drive claims no feature whose mandatory commands are
// not in its command table, and its own list of what a feature promises has them.
func TestFeaturesAreTrue(t *testing.T) {
	table := newCommandTable()
	last := -1
	for _, f := range featuresFor(3) { // a changer has all that others have
		if int(f.code) <= last {
			t.Errorf("feature %04x after %04x", f.code, last)
		}
		last = int(f.code)
		mandatory, known := promises[f.code]
		if !known {
			t.Errorf("feature %04x: what it promises is not in the test (hint: add the list of MMC-6, 5.3)", f.code)
		}
		for _, op := range append(slices.Clone(mandatory), f.commands...) {
			if table[op] == nil {
				t.Errorf("feature %04x promises command %02x, which has no row", f.code, op)
			}
			if !slices.Contains(f.commands, op) {
				t.Errorf("feature %04x has command %02x by MMC-6, which its row does not list", f.code, op)
			}
		}
		switch f.code {
		case 0x0020, 0x0024, 0x0028, 0x0106, 0x010D:
			t.Errorf("feature %04x on a read-only drive without keys", f.code)
		}
	}
}

// TestCurrentFeatures: for each profile exactly the features that MMC-6 asks for
// are current, the mandatory ones of the profile among them.
func TestCurrentFeatures(t *testing.T) {
	persistent := []uint16{0x0000, 0x0001, 0x0002, 0x0003, 0x0100, 0x0105, 0x0108}
	for _, tt := range []struct {
		on      string
		profile uint16
		current []uint16
	}{
		{"empty", 0x0000, nil},
		{"open", 0x0000, nil},
		{"cd", 0x0008, []uint16{0x0010, 0x001D, 0x001E, 0x0103, 0x0107}},
		{"audio", 0x0008, []uint16{0x0010, 0x001D, 0x001E, 0x0103, 0x0107}},
		{"dvd", 0x0010, []uint16{0x0010, 0x001F, 0x0107}},
		{"dual", 0x0010, []uint16{0x0010, 0x001F, 0x0107}},
		{"bd", 0x0040, []uint16{0x0010, 0x0040, 0x0107}},
		{"bd 128", 0x0040, []uint16{0x0010, 0x0040, 0x0107}},
		{"changer", 0x0008, []uint16{0x0010, 0x001D, 0x001E, 0x0102, 0x0103, 0x0107}},
	} {
		want := append(slices.Clone(persistent), tt.current...)
		slices.Sort(want)
		drive := driveOn(t, tt.on)
		for _, cdb := range []string{"46 00 00 00 00 00 00 ff ff", "46 01 00 00 00 00 00 ff ff"} {
			profile, current, other := parseConfiguration(t, run(t, drive, usb(), cdb, nil))
			if profile != tt.profile || !slices.Equal(current, want) || cdb[4] == '1' && len(other) > 0 {
				t.Errorf("%s: %s: profile %04x, current %04x, others %04x; want %04x, %04x", tt.on, cdb, profile, current, other, tt.profile, want)
			}
		}
	}
}

// parseConfiguration walks what GET CONFIGURATION returned by its lengths.
func parseConfiguration(t *testing.T, b []byte) (profile uint16, current, other []uint16) {
	t.Helper()
	if len(b) < 8 || int(b[2])<<8+int(b[3])+4 != len(b) {
		t.Fatalf("GET CONFIGURATION of %d bytes says % x", len(b), b[:min(8, len(b))])
	}
	profile = uint16(b[6])<<8 | uint16(b[7])
	for b = b[8:]; len(b) >= 4; b = b[4+int(b[3]):] {
		code := uint16(b[0])<<8 | uint16(b[1])
		if b[3]%4 != 0 || len(b) < 4+int(b[3]) {
			t.Fatalf("feature %04x has %d bytes, of %d", code, b[3], len(b))
		}
		if b[2]&1 != 0 {
			current = append(current, code)
		} else {
			other = append(other, code)
		}
	}
	return profile, current, other
}

// TestClaims: what feature 001Eh and mode page 2Ah say of reading CDs is what
// commands do.
func TestClaims(t *testing.T) {
	drive := driveOn(t, "hidden")
	feature := run(t, drive, usb(), "46 02 00 1e 00 00 00 00 ff", nil)
	page := run(t, drive, usb(), "5a 08 2a 00 00 00 00 00 ff", nil)
	if len(feature) != 16 || len(page) != 40 {
		t.Fatalf("feature 001E = % x, page 2A = % x", feature, page)
	}
	works := func(on, cdb string) bool {
		got, err := row{cdb: cdb}.perform(t, driveOn(t, on))
		return err == nil && len(got) > 0
	}
	for _, tt := range []struct {
		what, on, cdb string
		claims        []bool
	}{
		{"DAP", "hidden", "be 06 00 00 00 00 00 00 01 f8 00", []bool{feature[12]&0x80 != 0}},
		{"C2 bits", "hidden", "be 00 00 00 00 00 00 00 01 fa 00", []bool{feature[12]&0x02 != 0, page[13]&0x10 != 0}},
		{"C2 bits and block error", "hidden", "be 00 00 00 00 00 00 00 01 fc 00", []bool{feature[12]&0x02 != 0}},
		{"CD-TEXT", "audio", "43 00 05 00 00 00 00 00 ff", []bool{feature[12]&0x01 != 0}},
		{"CD-DA commands", "hidden", "be 04 00 00 00 00 00 00 01 10 00", []bool{page[13]&0x01 != 0}},
		{"R-W", "hidden", "be 00 00 00 00 00 00 00 01 f8 01", []bool{page[13]&0x04 != 0}},
		{"R-W, de-interleaved", "hidden", "be 00 00 00 00 00 00 00 01 f8 04", []bool{page[13]&0x08 != 0}},
		{"ISRC", "hidden", "42 00 40 03 00 00 01 00 ff", []bool{page[13]&0x20 != 0}},
		{"UPC", "hidden", "42 00 40 02 00 00 00 00 ff", []bool{page[13]&0x40 != 0}},
		{"P-W of the lead-in", "hidden", "be 00 ff ff ff 00 00 00 01 00 01", []bool{page[15]&0x20 != 0}},
		{"Form 1", "sessions", "28 00 00 00 c8 c8 00 00 01", []bool{page[12]&0x10 != 0}},
		{"Form 2", "raw", "be 14 00 00 01 35 00 00 01 10 00", []bool{page[12]&0x20 != 0}},
		{"several sessions", "sessions", "43 00 02 00 00 00 02 00 ff", []bool{page[12]&0x40 != 0}},
	} {
		for _, claim := range tt.claims {
			if got := works(tt.on, tt.cdb); got != claim {
				t.Errorf("%s: claimed %v, works %v (%s)", tt.what, claim, got, tt.cdb)
			}
		}
	}
}

// TestRegion sets the region of DVD-Video until it is for good. It outlives disc
// and reset, and every nexus sees it.
func TestRegion(t *testing.T) {
	drive := driveOn(t, "dvd")
	const report = "a4 00 00 00 00 00 00 00 00 08 08"
	expect(t, drive, usb(), report, "00 06 00 00 25 FF 01 00")
	for _, tt := range []struct {
		mask string
		want string // sense
		then string // RPC state
	}{
		{"FE", "<nil>", "64 FE 01 00"},
		{"FE", "<nil>", "64 FE 01 00"}, // no change
		{"FF", "5/26/00 byte 4", "64 FE 01 00"},
		{"FC", "5/26/00 byte 4", "64 FE 01 00"},
		{"FD", "<nil>", "63 FD 01 00"},
		{"FB", "<nil>", "62 FB 01 00"},
		{"F7", "<nil>", "A1 F7 01 00"}, // one is left
		{"EF", "<nil>", "E0 EF 01 00"}, // for good
		{"EF", "<nil>", "E0 EF 01 00"},
		{"FE", "5/6F/05", "E0 EF 01 00"},
	} {
		r := row{cdb: "a3 00 00 00 00 00 00 00 00 08 06 < 00 06 00 00 " + tt.mask + " 00 00 00"}
		if _, err := r.perform(t, drive); senseText(err) != tt.want {
			t.Errorf("region mask %s: %s; want %s", tt.mask, senseText(err), tt.want)
		}
		expect(t, drive, usb(), report, "00 06 00 00 "+tt.then)
	}
	drive.Reset()
	insert(t, drive, newDisc(1, 1000), "other")
	n := usb()
	drive.NexusJoined(n)
	for n.Pending() {
		n.Take()
	}
	expect(t, drive, n, report, "00 06 00 00 E0 EF 01 00")
}
