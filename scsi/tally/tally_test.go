package tally

import (
	"sync"
	"testing"
	"time"

	"spindle/scsi"
)

func TestBuckets(t *testing.T) {
	for _, tt := range []struct {
		took time.Duration
		want int
	}{
		{-time.Second, 0},
		{0, 0},
		{999 * time.Nanosecond, 0},
		{time.Microsecond, 1},
		{1999 * time.Nanosecond, 1},
		{2 * time.Microsecond, 2},
		{time.Millisecond, 10},
		{1024 * time.Microsecond, 11},
		{time.Second, 20},
		{4194303 * time.Microsecond, 22},
		{4194304 * time.Microsecond, 23},
		{time.Hour, 23},
		{1<<63 - 1, 23},
	} {
		got := bucketOf(tt.took)
		if got != tt.want {
			t.Errorf("bucketOf(%v) = %d; want %d", tt.took, got, tt.want)
		}
		if got < Buckets-1 && tt.took >= Bound(got) {
			t.Errorf("%v is in bucket %d, which ends at %v", tt.took, got, Bound(got))
		}
	}
}

func TestQuantile(t *testing.T) {
	var none Latency
	if got := none.Quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	l := Latency{3: 98, 10: 1, 23: 1}
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0, 8}, {0.5, 8}, {0.97, 8}, {0.98, 1024}, {0.99, 8388608}, {1, 8388608}} {
		if got := l.Quantile(tt.q); got != tt.want*time.Microsecond {
			t.Errorf("Quantile(%v) = %v; want %v", tt.q, got, tt.want*time.Microsecond)
		}
	}
	if got := l.Plus(l); got != (Latency{3: 196, 10: 2, 23: 2}) {
		t.Errorf("Plus = %v", got)
	}
}

func TestNote(t *testing.T) {
	var c Commands
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				c.Note(&End{CDB: scsi.CDB{0x28}, Took: 100 * time.Microsecond, In: 2048})
			}
		})
	}
	all.Wait()
	c.Note(&End{CDB: scsi.CDB{0x00}, Status: scsi.CheckCondition, Took: time.Microsecond})
	c.Note(&End{CDB: scsi.CDB{0xBE}, Status: scsi.TaskSetFull})
	c.Note(&End{CDB: scsi.CDB{0x28}, Aborted: true, Took: time.Hour, In: 5})
	c.Note(&End{CDB: scsi.CDB{0x2A}, Out: 7, Took: time.Second})
	want := Snapshot{
		Commands: 4004, Errors: 1, Busy: 1, Aborted: 1, In: 4000*2048 + 5, Out: 7,
		Reads: Latency{0: 1, 7: 4000}, Others: Latency{1: 1, 20: 1},
	}
	if got := c.Snapshot(); got != want {
		t.Errorf("Snapshot = %+v\nwant %+v", got, want)
	}
}
