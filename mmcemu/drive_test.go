package mmcemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// A fakeDisc computes its blocks from seed and LBA, so that any byte says
// which disc it came from.
type fakeDisc struct {
	layout *disc.Layout
	seed   uint32
	closed atomic.Int32
	gone   chan struct{} // closed by Close

	bad    disc.LBA // block that fails, when err is set
	err    error
	onRead func() // called before each read
}

// newDisc returns a disc of one data track, of the kind that so many blocks make.
func newDisc(seed, blocks uint32) *fakeDisc {
	kind, mode := disc.KindFor(int64(blocks)), disc.UserData
	if kind == disc.CD {
		mode = disc.Mode1
	}
	return &fakeDisc{seed: seed, gone: make(chan struct{}), layout: &disc.Layout{Kind: kind, Sessions: []disc.Session{{
		Number: 1, LeadOut: disc.LBA(blocks),
		Tracks: []disc.Track{{Number: 1, Control: 4, Mode: mode, Pregap: -150}},
	}}}}
}

func (f *fakeDisc) Layout() *disc.Layout { return f.layout }

func (f *fakeDisc) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	if f.onRead != nil {
		f.onRead()
	}
	if f.closed.Load() != 0 {
		return 0, errors.New("read of a closed disc")
	}
	for n := range len(p) / disc.BlockSize {
		at := lba + disc.LBA(n)
		if at < 0 || at >= f.layout.LeadOut() {
			return n, disc.ErrRange
		}
		if f.err != nil && at == f.bad {
			return n, f.err
		}
		fillBlock(p[n*disc.BlockSize:][:disc.BlockSize], f.seed, uint32(at))
	}
	return len(p) / disc.BlockSize, nil
}

func (f *fakeDisc) Close() error {
	if f.closed.Add(1) != 1 {
		panic("disc closed twice")
	}
	if f.gone != nil {
		close(f.gone)
	}
	return nil
}

// isClosed waits for the disc to be closed, which nobody who releases it does.
func (f *fakeDisc) isClosed() bool {
	select {
	case <-f.gone:
		return true
	case <-time.After(20 * time.Second):
		return false
	}
}

func fillBlock(p []byte, seed, lba uint32) {
	for i := 0; i < len(p); i += 8 {
		binary.BigEndian.PutUint32(p[i:], seed)
		binary.BigEndian.PutUint32(p[i+4:], lba)
	}
}

func blocksOf(seed, lba, n uint32) []byte {
	p := make([]byte, n*disc.BlockSize)
	for i := range n {
		fillBlock(p[i*disc.BlockSize:][:disc.BlockSize], seed, lba+i)
	}
	return p
}

// testOptions name the drive as the vectors of the reference do.
var testOptions = Options{
	Vendor: "VENDOR", Product: "VIRTUAL ODD", Revision: "1.00", Serial: "0123456789AB", NAA: 0x3001020304050607,
}

// newDrive returns a drive with a disc in it, or none when d is nil.
func newDrive(t testing.TB, d disc.Disc) *Drive {
	t.Helper()
	drive := New(testOptions)
	t.Cleanup(func() { _ = drive.Close() })
	if d != nil {
		insert(t, drive, d, "disc")
	}
	return drive
}

func insert(t testing.TB, drive *Drive, d disc.Disc, id string) {
	t.Helper()
	if err := drive.Insert(t.Context(), Medium{Disc: d, Name: id, ID: id}, false); err != nil {
		t.Fatalf("insert %s: %v", id, err)
	}
}

// usb returns a nexus as a USB front end makes it.
func usb() *scsi.Nexus {
	return &scsi.Nexus{Initiator: "usb host", Port: scsi.Port{Protocol: scsi.USB}}
}

// join announces a new nexus of the initiator to the drive.
func join(drive *Drive, name string) *scsi.Nexus {
	n := scsitest.NewNexus(name)
	n.Since = time.Now()
	drive.NexusJoined(n)
	return n
}

// run executes a command and checks its error; it returns the data-in.
func run(t testing.TB, drive *Drive, n *scsi.Nexus, cdb string, want error) []byte {
	t.Helper()
	got, err := scsitest.DoNexus(t, drive, n, cdb, nil)
	if !errors.Is(err, want) {
		t.Errorf("%s on %s: error %v; want %v", cdb, n.Initiator, err, want)
	}
	return got
}

// expect executes a command that must succeed with these bytes.
func expect(t testing.TB, drive *Drive, n *scsi.Nexus, cdb, want string) {
	t.Helper()
	if got := run(t, drive, n, cdb, nil); !bytes.Equal(got, scsitest.Hex(t, want)) {
		t.Errorf("%s on %s = % x; want %s", cdb, n.Initiator, got, want)
	}
}

func TestReadReturnsTheDisc(t *testing.T) {
	drive := newDrive(t, newDisc(7, 1000))
	for _, tt := range []struct {
		cdb    string
		lba, n uint32
	}{
		{"08 00 00 05 02", 5, 2},
		{"08 00 00 05 00", 5, 256},
		{"28 00 00 00 00 10 00 00 01", 16, 1},
		{"28 e0 00 00 00 10 00 00 01", 16, 1}, // LUN bits of an old host
		{"28 18 00 00 00 00 00 00 64", 0, 100},
		{"28 00 00 00 03 e7 00 00 01", 999, 1},
		{"28 00 00 00 03 e8 00 00 00", 1000, 0},
		{"a8 00 00 00 00 00 00 00 01 00 80", 0, 256},
	} {
		got, err := scsitest.Do(t, drive, tt.cdb)
		if err != nil || !bytes.Equal(got, blocksOf(7, tt.lba, tt.n)) {
			t.Errorf("%s = %d bytes, %v; want blocks %d+%d", tt.cdb, len(got), err, tt.lba, tt.n)
		}
	}
}

// wait lets time pass in a synctest bubble.
func wait(d time.Duration) { _ = scsitest.Pause(context.Background(), d) }

func TestReadDoesNotAllocate(t *testing.T) {
	drive, n := newDrive(t, newDisc(1, 1000)), scsitest.NewNexus("a")
	in := new(scsitest.DataIn)
	in.Data = make([]byte, 0, 64*disc.BlockSize)
	cmd := &scsi.Command{Nexus: n, CDB: scsitest.CDB(t, "28 00 00 00 00 10 00 00 20"), Out: scsitest.NoData}
	allocs := testing.AllocsPerRun(100, func() {
		in.Begun, in.Data, in.Limit, cmd.In = false, in.Data[:0], 1<<20, in
		if err := drive.Execute(context.Background(), cmd); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("READ(10) allocates %v times; want 0", allocs)
	}
}

func BenchmarkRead(b *testing.B) {
	drive, n := newDrive(b, newDisc(1, 1000)), scsitest.NewNexus("a")
	in := new(scsitest.DataIn)
	in.Data = make([]byte, 0, 64*disc.BlockSize)
	cmd := &scsi.Command{Nexus: n, CDB: scsitest.CDB(b, "28 00 00 00 00 10 00 00 20"), Out: scsitest.NoData}
	b.ReportAllocs()
	b.SetBytes(32 * disc.BlockSize)
	for b.Loop() {
		in.Begun, in.Data, in.Limit, cmd.In = false, in.Data[:0], 1<<20, in
		if err := drive.Execute(b.Context(), cmd); err != nil {
			b.Fatal(err)
		}
	}
}
