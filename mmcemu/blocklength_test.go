package mmcemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"spindle/isostore/disc"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// A countingDisc has the number of each 8 bytes in them, so that no two places
// are equal.
type countingDisc struct{ *fakeDisc }

func (c countingDisc) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	n, err := c.fakeDisc.ReadBlocks(p, lba)
	copy(p[:n*disc.BlockSize], counted(int64(lba)*disc.BlockSize, n*disc.BlockSize))
	return n, err
}

// counted is n bytes of a countingDisc from byte at on.
func counted(at int64, n int) []byte {
	p := make([]byte, n)
	for i := 0; i < n; i += 8 {
		binary.BigEndian.PutUint64(p[i:], uint64(at)+uint64(i))
	}
	return p
}

const (
	select512  = "15 10 00 00 0c"
	list512    = "00000008 00000000 00000200"
	list2048   = "00000008 00000000 00000800"
	select10   = "55 10 00 00 00 00 00 00 10"
	list512in  = "0000000000000008 00000000 00000200"
	capacity16 = "9e 10 00 00 00 00 00 00 00 00 00 00 00 0c"
)

// switchTo has a host switch the block length.
func switchTo(t testing.TB, drive *Drive, n *scsi.Nexus, cdb, list string) {
	t.Helper()
	if _, err := scsitest.DoNexus(t, drive, n, cdb, scsitest.Hex(t, list)); err != nil {
		t.Errorf("%s %s: %v", cdb, list, err)
	}
}

func TestReadInShortBlocks(t *testing.T) {
	drive := newDrive(t, countingDisc{newDisc(1, 100)})
	switchTo(t, drive, usb(), select512, list512)
	for _, tt := range []struct {
		cdb    string
		lba, n int
	}{
		{"08 00 00 00 01", 0, 1},
		{"08 00 00 05 02", 5, 2},
		{"08 00 00 03 00", 3, 256},
		{"28 00 00 00 00 10 00 00 04", 16, 4},
		{"28 00 00 00 00 11 00 00 04", 17, 4},
		{"28 00 00 00 00 0f 00 00 01", 15, 1},
		{"28 00 00 00 00 0f 00 00 02", 15, 2},
		{"28 00 00 00 00 01 00 01 8f", 1, 399},
		{"28 00 00 00 01 8f 00 00 01", 399, 1},
		{"28 00 00 00 01 90 00 00 00", 400, 0},
		{"a8 00 00 00 00 02 00 00 01 00 80", 2, 256},
	} {
		got, err := scsitest.DoNexus(t, drive, usb(), tt.cdb, nil)
		if err != nil || !bytes.Equal(got, counted(int64(tt.lba)*512, tt.n*512)) {
			t.Errorf("%s = %d bytes, %v; want blocks %d+%d", tt.cdb, len(got), err, tt.lba, tt.n)
		}
	}
}

// TestShortBlockSizes reads every span near the borders of blocks, for hosts
// that take less than they ask for, too.
func TestShortBlockSpans(t *testing.T) {
	drive := newDrive(t, countingDisc{newDisc(1, 100)})
	switchTo(t, drive, usb(), select512, list512)
	for lba := range 9 {
		for n := 1; n <= 9; n++ {
			for _, take := range []int{1, 512, 2047, 2048, 1 << 20} {
				cdb := scsi.CDB{0x28, 5: byte(lba), 8: byte(n)}
				in, err := scsitest.Execute(t.Context(), drive, usb(), cdb, int64(take), nil)
				want := counted(int64(lba)*512, n*512)[:min(take, n*512)]
				if err != nil || in.Misuse != nil || !bytes.Equal(in.Data, want) {
					t.Fatalf("READ %d+%d of which %d are taken: %d bytes, %v, %v", lba, n, take, len(in.Data), err, in.Misuse)
				}
			}
		}
	}
}

func TestShortBlockErrors(t *testing.T) {
	d := newDisc(1, 100)
	d.bad, d.err = 10, errors.New("scratched")
	drive := newDrive(t, countingDisc{d})
	switchTo(t, drive, usb(), select10, list512in)
	for _, tt := range []struct {
		cdb  string
		data int // bytes that come before the error
		want scsi.Sense
	}{
		{"28 00 00 00 01 90 00 00 01", 0, scsi.ErrLBAOutOfRange.At(400)},
		{"28 00 00 00 01 8f 00 00 02", 0, scsi.ErrLBAOutOfRange.At(400)},
		{"28 00 00 00 02 00 00 00 01", 0, scsi.ErrLBAOutOfRange.At(512)},
		{"a8 ff ff ff ff ff ff ff ff ff 00", 0, scsi.ErrLBAOutOfRange.At(0xFFFFFFFF)},
		{"2b 00 00 00 01 90", 0, scsi.ErrLBAOutOfRange.At(400)},
		{"2f 00 00 00 01 8f 00 00 02", 0, scsi.ErrLBAOutOfRange.At(400)},
		{"28 00 00 00 00 27 00 00 04", 512, scsi.ErrUnrecoveredRead.At(40)},
		{"28 00 00 00 00 2a 00 00 01", 0, scsi.ErrUnrecoveredRead.At(42)},
		{"28 00 00 00 00 00 00 00 40", 40 * 512, scsi.ErrUnrecoveredRead.At(40)},
		{"2f 00 00 00 00 27 00 00 04", 0, scsi.ErrUnrecoveredRead.At(40)},
		{"2f 00 00 00 00 2a 00 00 04", 0, scsi.ErrUnrecoveredRead.At(42)},
		// These stay in blocks of the disc.
		{"44 00 00 00 00 64 00 00 08", 0, scsi.ErrLBAOutOfRange.At(100)},
	} {
		got, err := scsitest.DoNexus(t, drive, usb(), tt.cdb, nil)
		if s := scsi.SenseOf(err); !errors.Is(s, tt.want) || s.Info != tt.want.Info || !s.Valid || len(got) != tt.data {
			t.Errorf("%s = %d bytes, %v; want %d, %v", tt.cdb, len(got), err, tt.data, tt.want)
		}
	}
}

func TestVerifyShortBlocks(t *testing.T) {
	drive := newDrive(t, countingDisc{newDisc(1, 100)})
	switchTo(t, drive, usb(), select512, list512)
	good, bad := counted(37*512, 80*512), counted(37*512, 80*512)
	bad[79*512] ^= 1
	cdb := "2f 02 00 00 00 25 00 00 50"
	if _, err := scsitest.DoNexus(t, drive, usb(), cdb, good); err != nil {
		t.Errorf("VERIFY of what is there: %v", err)
	}
	if _, err := scsitest.DoNexus(t, drive, usb(), cdb, bad); !errors.Is(err, errMiscompare) {
		t.Errorf("VERIFY of what is not: %v", err)
	}
}

// TestBlockLength walks the switch there and back: what is reported in which
// blocks, whom it is told, and what a reset does.
func TestBlockLength(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	a, b := join(drive, "a"), join(drive, "b")
	in2048 := []step{
		{"25", "00 00 03 e7 00 00 08 00", nil},
		{capacity16, "00 00 00 00 00 00 03 e7 00 00 08 00", nil},
		{"23 00 00 00 00 00 00 00 0c", "00 00 00 08 00 00 03 e8 02 00 08 00", nil},
		{"1a 00 0d 00 ff", "0b 00 00 00 0d 06 00 00 00 3c 00 4b", nil},
		{"1a 00 00 00 ff", "", scsi.ErrInvalidFieldInCDB},
		{"5a 00 0d 00 00 00 00 00 08", "00 0e 00 00 00 00 00 00", nil},
	}
	in512 := []step{
		{"25", "00 00 0f 9f 00 00 02 00", nil},
		{capacity16, "00 00 00 00 00 00 0f 9f 00 00 02 00", nil},
		{"23 00 00 00 00 00 00 00 0c", "00 00 00 08 00 00 0f a0 02 00 02 00", nil},
		{"1a 00 0d 00 ff", "13 00 00 08 00 00 0f a0 00 00 02 00 0d 06 00 00 00 3c 00 4b", nil},
		{"1a 08 0d 00 ff", "0b 00 00 00 0d 06 00 00 00 3c 00 4b", nil},
		{"1a 00 4d 00 ff", "13 00 00 08 00 00 0f a0 00 00 02 00 0d 06 00 0f 00 00 00 00", nil},
		{"1a 00 00 00 ff", "0b 00 00 08 00 00 0f a0 00 00 02 00", nil},
		{"5a 00 0d 00 00 00 00 00 10", "00 16 00 00 00 00 00 08 00 00 0f a0 00 00 02 00", nil},
		// In blocks and sectors of the disc as ever.
		{"43 00 00 00 00 00 aa 00 0c", "00 0a 01 01 00 14 aa 00 00 00 03 e8", nil},
		{"52 01 00 00 00 01 00 00 1c", "00 22 01 01 00 04 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 03 e8", nil},
		{"46 02 00 10 00 00 00 00 14", "00 00 00 10 00 00 00 08 00 10 01 08 00 00 08 00 00 01 01 00", nil},
	}
	walk(t, drive, a, in2048...)
	switchTo(t, drive, a, select512, list512)
	walk(t, drive, a, in512...)
	walk(t, drive, b, step{"25", "", scsi.ErrModeParametersChanged}, step{"25", "00 00 0f 9f 00 00 02 00", nil})
	switchTo(t, drive, a, select512, list512)
	walk(t, drive, b, step{tur, "", nil}) // nothing changed
	switchTo(t, drive, b, select512, list2048)
	walk(t, drive, a, append([]step{{tur, "", scsi.ErrModeParametersChanged}}, in2048...)...)
	switchTo(t, drive, b, select10, list512in)
	run(t, drive, a, tur, scsi.ErrModeParametersChanged)
	drive.Reset()
	walk(t, drive, a, in2048...)
}

// TestBlockLengthOption: a drive for old hosts starts with blocks of 512 bytes,
// goes back to them with a reset, and shows its descriptor also after a host
// switched away.
func TestBlockLengthOption(t *testing.T) {
	o := testOptions
	o.BlockLength = 512
	drive := New(o)
	defer drive.Close()
	walk(
		t, drive, usb(),
		step{"1a 00 0d 00 ff", "13 00 00 08 00 00 00 00 00 00 02 00 0d 06 00 00 00 3c 00 4b", nil},
		step{"23 00 00 00 00 00 00 00 0c", "00 00 00 08 00 ff ff ff 03 00 02 00", nil},
	)
	insert(t, drive, newDisc(1, 5000000), "large") // more blocks than a descriptor counts
	walk(
		t, drive, scsitest.NewNexus("a"),
		step{"25", "01 31 2c ff 00 00 02 00", nil},
		step{"1a 00 0d 00 0c", "13 00 00 08 00 00 00 00 00 00 02 00", nil},
	)
	switchTo(t, drive, usb(), select512, list2048)
	expect(t, drive, usb(), "1a 00 0d 00 0c", "13 00 00 08 00 4c 4b 40 00 00 08 00")
	drive.Reset()
	expect(t, drive, usb(), "25", "01 31 2c ff 00 00 02 00")
	o.SwapHold = -1
	huge := newChanger(t, func(h *Options) { *h = o })
	insert(t, huge, newDisc(1, 0x50000000), "huge") // more than 32 bits count
	n := scsitest.NewNexus("a")
	expect(t, huge, n, "25", "ff ff ff ff 00 00 02 00")
	expect(t, huge, n, capacity16, "00 00 00 01 3f ff ff ff 00 00 02 00")
	expect(t, huge, n, "23 00 00 00 00 00 00 00 0c", "00 00 00 08 ff ff ff ff 02 00 02 00")
}

// TestBlockLengthRefused: any other length is refused with a pointer to it, and
// then nothing changes, not even what stands behind it.
func TestBlockLengthRefused(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	for _, length := range []string{"0000", "0100", "0400", "0920", "0924", "0930", "0990"} {
		for cdb, list := range map[string]string{
			"15 10 00 00 18":             "00000008 00000000 0000" + length + "010a0007 00000000 00000000",
			"55 10 00 00 00 00 00 00 1c": "0000000000000008 00000000 0000" + length + "010a0007 00000000 00000000",
		} {
			_, err := scsitest.DoNexus(t, drive, usb(), cdb, scsitest.Hex(t, list))
			want := scsi.FieldInParameterList(len(scsitest.Hex(t, list))-15, -1)
			if s := scsi.SenseOf(err); s != want {
				t.Errorf("%s %s: %v %x; want %x", cdb, list, err, s.SKS, want.SKS)
			}
		}
	}
	expect(t, drive, usb(), "25", "00 00 03 e7 00 00 08 00")
	expect(t, drive, usb(), "1a 00 01 00 ff", "0f000000 010a0005 00000000 00000000")
}

func TestShortBlocksDoNotAllocate(t *testing.T) {
	drive, n := newDrive(t, newDisc(1, 1000)), scsitest.NewNexus("a")
	switchTo(t, drive, n, select512, list512)
	in := new(scsitest.DataIn)
	in.Data = make([]byte, 0, 64*disc.BlockSize)
	cmd := &scsi.Command{Nexus: n, CDB: scsitest.CDB(t, "28 00 00 00 00 11 00 00 80"), Out: scsitest.NoData}
	allocs := testing.AllocsPerRun(100, func() {
		in.Begun, in.Data, in.Limit, cmd.In = false, in.Data[:0], 1<<20, in
		if err := drive.Execute(context.Background(), cmd); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("READ(10) of blocks of 512 bytes allocates %v times; want 0", allocs)
	}
}

// TestReadCDAmongShortBlocks: READ CD counts in sectors, whatever the blocks of
// READ are.
func TestReadCDAmongShortBlocks(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	n := join(drive, "a")
	switchTo(t, drive, n, select512, list512)
	got, err := scsitest.DoNexus(t, drive, n, "be 00 00 00 00 10 00 00 02 10 00 00", nil)
	if want := blocksOf(1, 16, 2); err != nil || !bytes.Equal(got, want) {
		t.Errorf("READ CD of 2 sectors = %d bytes, %v; want %d of block 16 on", len(got), err, len(want))
	}
}
