package mmcemu

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// A rawDisc is a disc whose image holds raw sectors: audio, Mode 1, formless
// Mode 2, then XA with a sector of Form 2 at every tenth.
type rawDisc struct{ *fakeDisc }

func newRawDisc() rawDisc {
	return rawDisc{&fakeDisc{seed: 9, layout: &disc.Layout{Kind: disc.CD, Sessions: []disc.Session{{
		Number: 1, LeadOut: 400, Tracks: []disc.Track{
			{Number: 1, Mode: disc.Audio, Pregap: -150},
			{Number: 2, Control: 4, Mode: disc.Mode1, Pregap: 100, Start: 100},
			{Number: 3, Control: 4, Mode: disc.Mode2, Pregap: 200, Start: 200},
			{Number: 4, Control: 4, Mode: disc.Mode2XA, Pregap: 300, Start: 300},
		},
	}}}}}
}

func (r rawDisc) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	for n := range len(p) / disc.BlockSize {
		at := lba + disc.LBA(n)
		if at < 100 || at >= 200 {
			return n, disc.ErrMode
		}
		copy(p[n*disc.BlockSize:], rawSector(at)[16:16+disc.BlockSize])
	}
	return len(p) / disc.BlockSize, nil
}

func (r rawDisc) ReadSectors(p []byte, lba disc.LBA) (int, error) {
	for n := range len(p) / disc.SectorSize {
		at := lba + disc.LBA(n)
		if at < -150 || at >= r.layout.LeadOut() {
			return n, disc.ErrRange
		}
		if at == 150 && r.err != nil {
			return n, r.err
		}
		copy(p[n*disc.SectorSize:], rawSector(at))
	}
	return len(p) / disc.SectorSize, nil
}

func (r rawDisc) ReadSub(p []byte, lba disc.LBA) (int, error) {
	for n := range len(p) / disc.SubSize {
		at := lba + disc.LBA(n)
		switch {
		case at < 0 || at >= r.layout.LeadOut():
			return n, disc.ErrRange
		case at == 328 && r.err != nil:
			return n, r.err
		}
		copy(p[n*disc.SubSize:], subOf(at))
	}
	return len(p) / disc.SubSize, nil
}

// subOf are sub-channels in which every symbol is another one. Below LBA 0 the
// image has none.
func subOf(lba disc.LBA) []byte {
	p := make([]byte, disc.SubSize)
	if lba < 0 || lba >= 400 {
		sector.Sub(p, newRawDisc().layout, lba)
		return p
	}
	for i := range p {
		p[i] = byte(int(lba)*7 + i*5)
	}
	return p
}

// rawSector fills every byte of a sector with its address, and then says in
// the header what it is.
func rawSector(lba disc.LBA) []byte {
	p := bytes.Repeat([]byte{byte(lba)}, disc.SectorSize)
	switch {
	case lba < 100:
	case lba < 200:
		p[15] = 1
	case lba < 300:
		p[15] = 2
	default:
		p[15], p[18] = 2, 0x08
		if lba%10 == 9 {
			p[18] = 0x28
		}
	}
	return p
}

// TestReadCDSizes is table 4.4 of the reference: bytes of a sector by byte 9
// and kind of sector.
func TestReadCDSizes(t *testing.T) {
	drive := newDrive(t, newRawDisc())
	kinds := []disc.LBA{0, 160, 200, 300, 309} // CDDA, Mode 1, formless, Form 1, Form 2
	for _, tt := range []struct {
		fields byte
		sizes  [5]int
	}{
		{0x10, [5]int{2352, 2048, 2336, 2048, 2328}},
		{0x18, [5]int{2352, 2336, 2336, 2328, 2328}},
		{0x20, [5]int{2352, 4, 4, 4, 4}},
		{0x30, [5]int{2352, 2052, 2340, 2052, 2332}},
		{0x40, [5]int{2352, 0, 0, 8, 8}},
		{0x50, [5]int{2352, 2048, 2336, 2056, 2336}},
		{0x58, [5]int{2352, 2336, 2336, 2336, 2336}},
		{0x60, [5]int{2352, 4, 4, 12, 12}},
		{0x70, [5]int{2352, 2052, 2340, 2060, 2340}},
		{0x78, [5]int{2352, 2340, 2340, 2340, 2340}},
		{0xF8, [5]int{2352, 2352, 2352, 2352, 2352}},
		{0x00, [5]int{0, 0, 0, 0, 0}},
	} {
		for i, lba := range kinds {
			cdb := fmt.Sprintf("be 00 %08x 000001 %02x 00", uint32(lba), tt.fields)
			got := run(t, drive, usb(), cdb, nil)
			if len(got) != tt.sizes[i] {
				t.Errorf("%s = %d bytes; want %d", cdb, len(got), tt.sizes[i])
			}
		}
	}
}

func TestReadCDRaw(t *testing.T) {
	drive := newDrive(t, newRawDisc())
	var want []byte
	for lba := disc.LBA(-10); lba < 40; lba++ {
		want = append(want, rawSector(lba)...)
	}
	for _, cdb := range []string{"be 04 ff ff ff f6 00 00 32 f8 00", "b9 00 00 00 01 41 00 02 28 10 00"} {
		if got := run(t, drive, usb(), cdb, nil); !bytes.Equal(got, want) {
			t.Errorf("%s = %d bytes; want sectors -10 to 39", cdb, len(got))
		}
	}
	// A host that takes less gets the start.
	in, err := scsitest.Execute(t.Context(), drive, usb(), scsitest.CDB(t, "be 04 ff ff ff f6 00 00 32 f8 00"), 3000, nil)
	if err != nil || in.Total != 50*disc.SectorSize || !bytes.Equal(in.Data, want[:3000]) {
		t.Errorf("3000 bytes of 50 sectors: %d of %d, %v", len(in.Data), in.Total, err)
	}
}

// TestReadCDPlain is what macOS reads of any medium: user data by READ CD.
func TestReadCDPlain(t *testing.T) {
	for _, blocks := range []uint32{1000, 500000, 5000000} {
		drive := newDrive(t, newDisc(3, blocks))
		for _, cdb := range []string{"be 00 00 00 00 10 00 00 04 10 00", "be 08 00 00 00 10 00 00 04 10 00"} {
			if got := run(t, drive, usb(), cdb, nil); !bytes.Equal(got, blocksOf(3, 16, 4)) {
				t.Errorf("%s of %d blocks = %d bytes", cdb, blocks, len(got))
			}
		}
	}
}

// TestReadCDStops sends the good sectors, then says which one is not.
func TestReadCDStops(t *testing.T) {
	raw := newRawDisc()
	raw.err = disc.ErrChanged
	drive := newDrive(t, raw)
	for _, tt := range []struct {
		name, cdb string
		good      int // bytes
		want      scsi.Sense
	}{
		{"audio, then data", "be 00 00 00 00 62 00 00 04 f8 00", 4 * 2352, scsi.Sense{}},
		{"audio, then data, CDDA expected", "be 04 00 00 00 62 00 00 04 f8 00", 2 * 2352, scsi.ErrIllegalMode.At(100)},
		{"Form 1, then Form 2", "be 00 00 00 01 32 00 00 04 10 00", 3 * 2048, scsi.ErrIllegalMode.At(309)},
		{"image changed", "be 00 00 00 00 94 00 00 04 f8 00", 2 * 2352, scsi.ErrUnrecoveredRead.At(150)},
		{"audio, then Mode 1 of other length", "be 00 00 00 00 62 00 00 04 10 00", 2 * 2352, scsi.ErrIllegalMode.At(100)},
		{"Mode 1, then formless, headers", "be 00 00 00 00 c6 00 00 04 20 00", 4 * 4, scsi.Sense{}},
		{"Mode 1 expected, then formless, headers", "be 08 00 00 00 c6 00 00 04 20 00", 2 * 4, scsi.ErrIllegalMode.At(200)},
		{"audio, then data, Q", "be 00 00 00 00 62 00 00 04 00 02", 4 * 16, scsi.Sense{}},
		{"audio, then data, Q, CDDA expected", "be 04 00 00 00 62 00 00 04 00 02", 2 * 16, scsi.ErrIllegalMode.At(100)},
		{"sub-channel changed", "be 00 00 00 01 36 00 00 14 f8 01", 18 * 2448, scsi.ErrUnrecoveredRead.At(328)},
		{"packs that reach a changed sub-channel", "be 00 00 00 01 36 00 00 14 00 04", 16 * 96, scsi.ErrUnrecoveredRead.At(326)},
		{"before the pregap", "be 00 ff ff ff 60 00 00 01 f8 00", 0, scsi.ErrLBAOutOfRange.At(0xFFFFFF60)},
	} {
		got, err := scsitest.DoNexus(t, drive, usb(), tt.cdb, nil)
		var s scsi.Sense
		if err != nil {
			s = scsi.SenseOf(err)
		}
		if len(got) != tt.good || s.Key != tt.want.Key || s.Code != tt.want.Code || s.Info != tt.want.Info {
			t.Errorf("%s: %d bytes, %v; want %d, %v", tt.name, len(got), err, tt.good, tt.want)
		}
	}
}

// TestMediumErrors: the good blocks, the sense with the failing one, and one
// alarm for a medium.
func TestMediumErrors(t *testing.T) {
	for _, tt := range []struct {
		err    error
		want   scsi.Sense
		alarms int
	}{
		{disc.ErrMode, scsi.ErrIllegalMode, 0},
		{disc.ErrRange, scsi.ErrLBAOutOfRange, 0},
		{disc.ErrChanged, scsi.ErrUnrecoveredRead, 1},
		{errors.New("input/output error"), scsi.ErrUnrecoveredRead, 1},
	} {
		alarms := 0
		o := testOptions
		o.OnEvent = func(e Event) {
			if e.Kind == EventAlarm && errors.Is(e.Err, tt.err) {
				alarms++
			}
		}
		drive, d := New(o), newDisc(1, 1000)
		d.bad, d.err = 13, tt.err
		insert(t, drive, d, "disc")
		for range 3 {
			got, err := scsitest.Do(t, drive, "28 00 00 00 00 00 00 00 40")
			s := scsi.SenseOf(err)
			if !bytes.Equal(got, blocksOf(1, 0, 13)) || !errors.Is(err, tt.want) || !errors.Is(err, tt.err) || s.Info != 13 || !s.Valid {
				t.Errorf("%v: %d bytes, %v", tt.err, len(got), err)
			}
			if s.ILI != errors.Is(tt.err, disc.ErrMode) {
				t.Errorf("%v: ILI %v", tt.err, s.ILI)
			}
		}
		if alarms != tt.alarms {
			t.Errorf("%v: %d alarms; want %d", tt.err, alarms, tt.alarms)
		}
	}
}

func TestVerify(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	same := blocksOf(1, 5, 20)
	other := bytes.Clone(same)
	other[len(other)-1] ^= 1
	for _, tt := range []struct {
		name, cdb string
		out       []byte
		want      error
	}{
		{"medium only", "2f 00 00 00 00 05 00 03 00", nil, nil},
		{"nothing", "2f 00 00 00 03 e8 00 00 00", nil, nil},
		{"equal", "2f 02 00 00 00 05 00 00 14", same, nil},
		{"not equal", "2f 02 00 00 00 05 00 00 14", other, errMiscompare},
		{"not equal, not compared", "2f 00 00 00 00 05 00 00 14", other, nil},
		{"less data than said", "2f 02 00 00 00 05 00 00 14", same[:100], scsi.ErrInvalidFieldInCDB},
	} {
		if _, err := scsitest.DoNexus(t, drive, usb(), tt.cdb, tt.out); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
	}
}
