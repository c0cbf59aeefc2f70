package mmcemu

import (
	"context"
	"errors"
	"testing"

	"spindle/isostore/disc"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

var errWire = errors.New("wire fails")

// A failingIn fails at the call of that number.
type failingIn struct {
	scsitest.DataIn
	calls, fails int
}

func (f *failingIn) next() error {
	if f.calls++; f.calls == f.fails {
		return errWire
	}
	return nil
}

func (f *failingIn) Begin(n int64) (int64, error) {
	if err := f.next(); err != nil {
		return 0, err
	}
	return f.DataIn.Begin(n)
}

func (f *failingIn) Buffer() ([]byte, error) {
	if err := f.next(); err != nil {
		return nil, err
	}
	return f.DataIn.Buffer()
}

func (f *failingIn) Send(n int) error {
	if err := f.next(); err != nil {
		return err
	}
	return f.DataIn.Send(n)
}

// TestReadCDWireFails: whatever call of data-in fails, READ CD ends with it, also
// where a sector fails in the same command.
func TestReadCDWireFails(t *testing.T) {
	raw := newRawDisc()
	raw.err = disc.ErrChanged
	drive := newDrive(t, raw)
	for cdb, most := range map[string]int{
		"be 00 00 00 00 00 00 00 20 f8 01": 11, // 32 sectors in 5 chunks
		"be 00 00 00 01 32 00 00 04 10 00": 3,  // 3 of Form 1, then Form 2
		"be 00 00 00 00 94 00 00 04 f8 00": 3,  // 2, then one that cannot be read
	} {
		for fails := 1; fails <= most; fails++ {
			in := &failingIn{DataIn: scsitest.DataIn{Limit: 1 << 20}, fails: fails}
			err := drive.Execute(t.Context(), &scsi.Command{Nexus: usb(), CDB: scsitest.CDB(t, cdb), In: in, Out: scsitest.NoData})
			if !errors.Is(err, errWire) || in.calls != fails {
				t.Errorf("%s: call %d of data-in fails: %v after %d calls", cdb, fails, err, in.calls)
			}
		}
	}
}

// TestReadCDAborted ends with the task's cause before the next sectors are read.
func TestReadCDAborted(t *testing.T) {
	drive := newDrive(t, newRawDisc())
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(scsi.TaskAborted)
	in, err := scsitest.Execute(ctx, drive, usb(), scsitest.CDB(t, "be 00 00 00 00 00 00 00 20 f8 00"), 1<<20, nil)
	if !errors.Is(err, scsi.TaskAborted) || len(in.Data) != 0 {
		t.Errorf("aborted READ CD: %d bytes, %v", len(in.Data), err)
	}
}

// A shortDisc reads one sector less than it is asked for, and says nothing.
type shortDisc struct{ rawDisc }

func (d shortDisc) ReadSectors(p []byte, lba disc.LBA) (int, error) {
	return d.rawDisc.ReadSectors(p[:len(p)-disc.SectorSize], lba)
}

// A shortSub does so with sub-channels.
type shortSub struct{ rawDisc }

func (d shortSub) ReadSub(p []byte, lba disc.LBA) (int, error) {
	return d.rawDisc.ReadSub(p[:len(p)-disc.SubSize], lba)
}

// TestReadCDShort: a read that is short for no reason is a read error.
func TestReadCDShort(t *testing.T) {
	for _, d := range []disc.Disc{shortDisc{newRawDisc()}, shortSub{newRawDisc()}} {
		in, err := scsitest.Execute(t.Context(), newDrive(t, d), usb(), scsitest.CDB(t, "be 00 00 00 00 00 00 00 08 f8 01"), 1<<20, nil)
		if senseText(err) != "3/11/00 at 7" || len(in.Data) != 7*2448 {
			t.Errorf("%T: %d bytes, %s; want 7 sectors and 3/11/00 at 7", d, len(in.Data), senseText(err))
		}
	}
}

// A shortBlocks is a disc that leaves the last block of every read out.
type shortBlocks struct{ *fakeDisc }

func (d shortBlocks) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	return d.fakeDisc.ReadBlocks(p[:len(p)-disc.BlockSize], lba)
}

// TestReadShort is the same of user data: it must end, whatever the disc does.
func TestReadShort(t *testing.T) {
	drive := newDrive(t, shortBlocks{newDisc(1, 1000)})
	for cdb, good := range map[string]int{
		"28 00 00 00 00 00 00 00 08": 7, "be 00 00 00 00 00 00 00 08 10 00": 7, "2f 00 00 00 00 00 00 00 08": 0,
	} {
		got, err := scsitest.DoNexus(t, drive, usb(), cdb, nil)
		if senseText(err) != "3/11/00 at 7" || len(got) != good*disc.BlockSize {
			t.Errorf("%s: %d bytes, %s; want %d blocks and 3/11/00 at 7", cdb, len(got), senseText(err), good)
		}
	}
}

// TestReadCDEndsBeforeError: what the host does not take need not be good, also when
// it was read together with what it takes.
func TestReadCDEndsBeforeError(t *testing.T) {
	raw := newRawDisc()
	raw.err = disc.ErrChanged
	drive := newDrive(t, raw)
	for limit, want := range map[int64]string{8 * 2352: "<nil>", 10 * 2352: "<nil>", 10*2352 + 1: "3/11/00 at 150"} {
		in, err := scsitest.Execute(t.Context(), drive, usb(), scsitest.CDB(t, "be 00 00 00 00 8c 00 00 10 f8 00"), limit, nil)
		if senseText(err) != want || int64(len(in.Data)) != min(limit, 10*2352) {
			t.Errorf("a host that takes %d bytes: %d, %s; want %s", limit, len(in.Data), senseText(err), want)
		}
	}
}

// TestReadHeaderFails gives the sense of a sector that cannot be read.
func TestReadHeaderFails(t *testing.T) {
	raw := newRawDisc()
	raw.err = disc.ErrChanged
	_, err := row{cdb: "44 00 00 00 00 96 00 00 08"}.perform(t, newDrive(t, raw))
	if senseText(err) != "3/11/00 at 150" {
		t.Errorf("READ HEADER: %s; want 3/11/00 at 150", senseText(err))
	}
}
