package mmcemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/sector"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// cdFields are what READ CD sends of a sector, by its kind, in the order of the
// stream: the bit of byte 9 and the bytes of the raw sector. Written from table
// 4.4 of the reference, not from the code.
var cdFields = map[string][]struct {
	bit        byte
	start, end int
}{
	"CDDA":     {{0xF8, 0, 2352}},
	"Mode 1":   {{0x80, 0, 12}, {0x20, 12, 16}, {0x10, 16, 2064}, {0x08, 2064, 2352}},
	"formless": {{0x80, 0, 12}, {0x20, 12, 16}, {0x10, 16, 2352}},
	"Form 1":   {{0x80, 0, 12}, {0x20, 12, 16}, {0x40, 16, 24}, {0x10, 24, 2072}, {0x08, 2072, 2352}},
	"Form 2":   {{0x80, 0, 12}, {0x20, 12, 16}, {0x40, 16, 24}, {0x10, 24, 2352}},
}

// cdKinds are where a rawDisc has sectors of each kind, and their expected type.
var cdKinds = []struct {
	kind string
	lba  disc.LBA
	typ  byte
}{{"CDDA", 10, 1}, {"Mode 1", 160, 2}, {"formless", 200, 3}, {"Form 1", 300, 4}, {"Form 2", 309, 5}}

// wantSector is what READ CD gives of a sector of a rawDisc.
func wantSector(kind string, lba disc.LBA, byte9, byte10 byte) (want []byte) {
	raw, sub := rawSector(lba), subOf(lba)
	for _, f := range cdFields[kind] {
		if byte9&f.bit != 0 {
			want = append(want, raw[f.start:f.end]...)
		}
	}
	switch byte9 & 6 {
	case 2:
		want = append(want, make([]byte, 294)...)
	case 4:
		want = append(want, make([]byte, 296)...)
	}
	switch byte10 {
	case 1:
		want = append(want, sub...)
	case 2:
		for i := 0; i < 96; i += 8 { // Q is bit 6, P bit 7
			var b byte
			for j := range 8 {
				b = b<<1 | sub[i+j]>>6&1
			}
			want = append(want, b)
		}
		want = append(want, 0, 0, 0, sub[0]&0x80)
	case 4:
		want = append(want, wantPacks(lba)...)
	}
	return want
}

// packOffsets are where on the disc the symbols of a pack lie, from its first
// on: those of the Red Book's figure, which programs for CD+G have as a table.
var packOffsets = []int{
	0, 66, 125, 191, 100, 50, 150, 175, 8, 33, 58, 83, 108, 133, 158, 183, 16, 41, 25, 91, 116, 141, 166, 75,
}

func wantPacks(lba disc.LBA) (want []byte) {
	stream := append(append(subOf(lba), subOf(lba+1)...), subOf(lba+2)...)
	for pack := 0; pack < 96; pack += 24 {
		for _, offset := range packOffsets {
			want = append(want, stream[pack+offset]&0x3F)
		}
	}
	return want
}

// TestReadCDSelections reads with every expected type, every selection of fields,
// C2 and sub-channel, of a sector of every kind. The reference has the selections
// without a sub-header between header and data (30h, 38h) as invalid for XA: they are
// sent one after the other here, since no host asks for them to be refused, and
// emulators that hosts know do so.
func TestReadCDSelections(t *testing.T) {
	drive := newDrive(t, newRawDisc())
	n := usb()
	for _, k := range cdKinds {
		for typ := range byte(6) {
			for _, byte10 := range []byte{0, 1, 2, 4} {
				for fields := range 32 * 3 {
					byte9 := byte(fields%32<<3 | fields/32<<1)
					cdb := scsi.CDB{0xBE, typ << 2, 4: byte(k.lba >> 8), 5: byte(k.lba), 8: 1, 9: byte9, 10: byte10}
					in, err := scsitest.Execute(t.Context(), drive, n, cdb, 1<<20, nil)
					want, wantErr := wantSector(k.kind, k.lba, byte9, byte10), error(nil)
					if typ != 0 && typ != k.typ && (byte9 != 0 || byte10 != 0) {
						want, wantErr = nil, scsi.ErrIllegalMode
					}
					if !bytes.Equal(in.Data, want) || !errors.Is(err, wantErr) || in.Misuse != nil {
						t.Fatalf("% x, %s: %d bytes, %v, %v; want %d, %v", cdb[:11], k.kind, len(in.Data), err, in.Misuse, len(want), wantErr)
					}
				}
			}
		}
	}
}

// TestReadCDOfHosts are the requests that hosts and tools really make.
func TestReadCDOfHosts(t *testing.T) {
	drive := newDrive(t, newRawDisc())
	for _, tt := range []struct {
		who, kind     string
		typ           byte
		byte9, byte10 byte
	}{
		{"Linux CDROMREADMODE1", "Mode 1", 0, 0x10, 0},
		{"Linux CDROMREADMODE2", "formless", 0, 0x58, 0},
		{"Linux CDROMREADMODE2", "Form 1", 0, 0x58, 0},
		{"Linux CDROMREADCOOKED", "Form 2", 0, 0x58, 0},
		{"Linux CDROMREADRAW", "Mode 1", 0, 0x78, 0},
		{"Linux CDROMREADRAW", "Form 1", 0, 0x78, 0},
		{"Linux cdda", "CDDA", 1, 0xF8, 0},
		{"cdparanoia", "CDDA", 0, 0xF8, 0},
		{"cdparanoia", "CDDA", 1, 0x10, 0},
		{"libcdio, audio", "CDDA", 1, 0x10, 0},
		{"libcdio, Mode 1", "Mode 1", 2, 0x10, 0},
		{"libcdio, Mode 2", "Form 1", 0, 0x58, 0},
		{"libcdio, Form 1", "Form 1", 4, 0x10, 0},
		{"libcdio, Form 2", "Form 2", 5, 0x10, 0},
		{"readom, data", "Mode 1", 0, 0x10, 0},
		{"readom -clone", "CDDA", 0, 0xF8, 1},
		{"readom -clone", "Mode 1", 0, 0xF8, 1},
		{"readom -clone", "Form 2", 0, 0xF8, 1},
		{"readcd -c2scan", "Mode 1", 0, 0xFA, 0},
		{"readcd -c2scan, block byte", "CDDA", 0, 0xFC, 0},
		{"cdrdao, audio and Q", "CDDA", 1, 0xF8, 2},
		{"cdrdao, audio and P-W", "CDDA", 1, 0xF8, 1},
		{"cdrdao, audio and packs", "CDDA", 1, 0xF8, 4},
		{"cdrdao, data", "Form 1", 0, 0xF8, 0},
		{"cdrdao, Q alone", "CDDA", 0, 0x00, 2},
		{"Windows raw", "Form 2", 0, 0xF8, 0},
		{"Windows raw with P-W", "CDDA", 1, 0xF8, 1},
		{"Windows raw with Q and C2", "CDDA", 1, 0xFA, 2},
		{"macOS", "Form 1", 0, 0x10, 0},
		{"macOS, all headers", "Form 2", 0, 0x60, 0},
	} {
		for _, k := range cdKinds {
			if k.kind != tt.kind {
				continue
			}
			cdb := fmt.Sprintf("be %02x %08x 000001 %02x %02x", tt.typ<<2, uint32(k.lba), tt.byte9, tt.byte10)
			if got := run(t, drive, usb(), cdb, nil); !bytes.Equal(got, wantSector(k.kind, k.lba, tt.byte9, tt.byte10)) {
				t.Errorf("%s, %s: %s = %d bytes", tt.who, tt.kind, cdb, len(got))
			}
		}
	}
}

// TestReadCDMany reads more sectors than are read at once, with all that there is
// of each, over the ends of tracks and of the image's sub-channels.
func TestReadCDMany(t *testing.T) {
	drive := newDrive(t, newRawDisc())
	want := make([]byte, 0, 250*2448)
	for lba := disc.LBA(-150); lba < 100; lba++ {
		want = append(want, wantSector("CDDA", lba, 0xF8, 1)...)
	}
	for _, cdb := range []string{"be 06 ff ff ff 6a 00 00 fa f8 01", "b9 04 00 00 00 00 00 03 19 f8 01"} {
		if got := run(t, drive, usb(), cdb, nil); !bytes.Equal(got, want) {
			t.Errorf("%s = %d bytes; want %d", cdb, len(got), len(want))
		}
	}
	// Packs up to the lead-out, past which the symbols are zeros.
	want = want[:0]
	for lba := disc.LBA(380); lba < 400; lba++ {
		want = append(want, wantPacks(lba)...)
	}
	if got := run(t, drive, usb(), "be 00 00 00 01 7c 00 00 14 00 04", nil); !bytes.Equal(got, want) {
		t.Errorf("packs of sectors 380 to 399: %d bytes; want %d", len(got), len(want))
	}
}

// A silentDisc holds raw sectors and no sub-channels.
type silentDisc struct {
	disc.Disc
	disc.RawReader
}

// TestReadCDSynthesises makes the sub-channels that a disc does not have.
func TestReadCDSynthesises(t *testing.T) {
	l := disctest.HiddenTrack()
	d := disctest.Synthetic(l)
	drive := newDrive(t, silentDisc{d, d.(disc.RawReader)})
	var want []byte
	for lba := disc.LBA(-150); lba < 50; lba++ {
		var sub [disc.SubSize]byte
		sector.Sub(sub[:], l, lba)
		want = append(want, sub[:]...)
	}
	if got := run(t, drive, usb(), "be 00 ff ff ff 6a 00 00 c8 00 01", nil); !bytes.Equal(got, want) {
		t.Errorf("sub-channels of sectors -150 to 49: %d bytes; want %d, as of the layout", len(got), len(want))
	}
}

// TestReadCDPregap: user data of track 1's pregap, which READ(10) cannot reach,
// and of a pregap that holds no data.
func TestReadCDPregap(t *testing.T) {
	drive := newDrive(t, disctest.Synthetic(disctest.Pregapped()))
	want := make([]byte, 4*disc.BlockSize)
	for i := range 4 {
		disctest.Fill(want[i*disc.BlockSize:][:disc.BlockSize], disc.LBA(i-2))
	}
	for _, cdb := range []string{"be 00 ff ff ff fe 00 00 04 10 00", "be 08 ff ff ff fe 00 00 04 10 00", "b9 08 00 00 01 49 00 02 02 10 00"} {
		if got := run(t, drive, usb(), cdb, nil); !bytes.Equal(got, want) {
			t.Errorf("%s = %d bytes; want blocks -2 to 1", cdb, len(got))
		}
	}
	// A pause of silence before a data track is audio.
	raw := newRawDisc()
	raw.layout.Sessions[0].Tracks[1].Start = 110
	drive = newDrive(t, raw)
	for cdb, want := range map[string]error{
		"be 04 00 00 00 62 00 00 04 10 00": nil, "be 08 00 00 00 64 00 00 01 10 00": scsi.ErrIllegalMode,
		"44 00 00 00 00 64 00 00 08": scsi.ErrIllegalMode, "44 00 00 00 00 6e 00 00 08": nil,
	} {
		run(t, drive, usb(), cdb, want)
	}
}

func TestReadCDDoesNotAllocate(t *testing.T) {
	drive, n := newDrive(t, disctest.Synthetic(disctest.HiddenTrack())), scsitest.NewNexus("a")
	in := new(scsitest.DataIn)
	in.Data = make([]byte, 0, 64*2742)
	for _, cdb := range []string{
		"be 00 00 00 00 00 00 00 20 f8 00", "be 00 00 00 00 00 00 00 20 fc 01",
		"be 00 00 00 23 be 00 00 20 b8 02", "be 00 00 00 23 be 00 00 20 00 04",
	} {
		cmd := &scsi.Command{Nexus: n, CDB: scsitest.CDB(t, cdb), Out: scsitest.NoData}
		allocs := testing.AllocsPerRun(20, func() {
			in.Begun, in.Data, in.Limit, cmd.In = false, in.Data[:0], 1<<20, in
			if err := drive.Execute(context.Background(), cmd); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s allocates %v times; want 0", cdb, allocs)
		}
	}
}

// A mode0Disc is a rawDisc whose sector at 305, in the XA track, is of mode 0, with
// the submode of Form 2 where an XA sector has one.
type mode0Disc struct{ rawDisc }

func (d mode0Disc) ReadSectors(p []byte, lba disc.LBA) (int, error) {
	n, err := d.rawDisc.ReadSectors(p, lba)
	if at := 305 - lba; at >= 0 && int(at) < n {
		s := p[at*disc.SectorSize:]
		s[15], s[18] = 0, 0x28
	}
	return n, err
}

// TestReadCDMode0: a sector of mode 0, as in a pause that a burner wrote, is read as a
// formless one, in a track of XA too.
func TestReadCDMode0(t *testing.T) {
	drive := newDrive(t, mode0Disc{newRawDisc()})
	for cdb, size := range map[string]int{
		"be 00 00 00 01 31 00 00 01 10 00": 2336, "be 0c 00 00 01 31 00 00 01 10 00": 2336, "be 00 00 00 01 31 00 00 01 40 00": 0,
		"be 00 00 00 01 31 00 00 01 f8 00": 2352, "be 00 00 00 01 30 00 00 02 f8 00": 2 * 2352,
	} {
		if got := run(t, drive, usb(), cdb, nil); len(got) != size {
			t.Errorf("%s = %d bytes; want %d", cdb, len(got), size)
		}
	}
	run(t, drive, usb(), "be 14 00 00 01 31 00 00 01 10 00", scsi.ErrIllegalMode)
	expect(t, drive, usb(), "44 00 00 00 01 31 00 00 08", "00 00 00 00 00 00 01 31")
}
