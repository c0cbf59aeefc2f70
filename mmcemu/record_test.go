package mmcemu

import (
	"context"
	"testing"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
	"spindle/scsi/filter"
	"spindle/scsi/scsitest"
)

// lender is a data-in of a megabyte that costs nothing, as the wire's own.
type lender struct {
	room [1 << 20]byte
	left int64
}

func (l *lender) Begin(n int64) (int64, error) { l.left = n; return n, nil }
func (l *lender) Buffer() ([]byte, error)      { return l.room[:min(l.left, int64(len(l.room)))], nil }
func (l *lender) Send(n int) error             { l.left -= int64(n); return nil }
func (l *lender) Reply([]byte) error           { return nil }

// plainDisc gives its blocks at the speed of a copy, as a page cache does.
type plainDisc struct {
	*fakeDisc
	data []byte
}

func (p plainDisc) ReadBlocks(b []byte, lba disc.LBA) (int, error) {
	return copy(b, p.data[int(lba)*disc.BlockSize:]) / disc.BlockSize, nil
}

const recordBlocks = 8192 // 16 MiB

func newPlain(t testing.TB) *Drive {
	f := newDisc(1, recordBlocks)
	d := New(Options{})
	t.Cleanup(func() { d.Close() })
	if err := d.Insert(t.Context(), Medium{Disc: plainDisc{f, make([]byte, recordBlocks*disc.BlockSize)}, Name: "plain"}, false); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestRecordedReadDoesNotAllocate is the budget of a READ with the flight
// recorder on, as it always is, below and beyond the allowance for hashes.
func TestRecordedReadDoesNotAllocate(t *testing.T) {
	_, lu := filter.Record(newPlain(t))
	n, in := scsitest.NewNexus("a"), new(lender)
	cmd := &scsi.Command{Nexus: n, CDB: scsitest.CDB(t, "28 00 00 00 00 10 00 01 00"), Length: 1 << 19, Out: scsitest.NoData}
	for _, what := range []string{"hashed", "not hashed"} {
		allocs := testing.AllocsPerRun(100, func() {
			cmd.In = in
			if err := lu.Execute(context.Background(), cmd); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("a recorded READ(10), %s, allocates %v times; want 0", what, allocs)
		}
	}
}

// BenchmarkRecordedRead reads in sequence without and with the recorder, in
// turns, and prints how much longer it takes: 1.00 is no cost.
func BenchmarkRecordedRead(b *testing.B) {
	for _, size := range []struct {
		name string
		cdb  string
		n    int
	}{
		{"64KiB", "28 00 00 00 00 00 00 00 20", 32},
		{"256KiB", "28 00 00 00 00 00 00 00 80", 128},
	} {
		b.Run(size.name, func(b *testing.B) {
			drive := newPlain(b)
			_, recorded := filter.Record(drive)
			n, in := scsitest.NewNexus("a"), new(lender)
			cmd := &scsi.Command{Nexus: n, CDB: scsitest.CDB(b, size.cdb), Length: int64(size.n) * disc.BlockSize, Out: scsitest.NoData}
			pass := func(lu scsi.LogicalUnit) time.Duration {
				start := time.Now()
				for at := 0; at < recordBlocks; at += size.n {
					cmd.In, cmd.CDB[4], cmd.CDB[5] = in, byte(at>>8), byte(at)
					if err := lu.Execute(context.Background(), cmd); err != nil {
						b.Fatal(err)
					}
				}
				return time.Since(start)
			}
			pass(recorded) // spends what may be hashed at once
			var off, on time.Duration
			for b.Loop() {
				off += pass(drive)
				on += pass(recorded)
			}
			b.SetBytes(2 * recordBlocks * disc.BlockSize)
			b.ReportMetric(float64(on)/float64(off), "on/off")
		})
	}
}
