// Package tally counts commands and how long they took, without a lock and
// without memory that grows: one [Commands] for each thing that people want to
// see numbers of, as a session or a drive.
package tally

import (
	"math/bits"
	"sync/atomic"
	"time"

	"spindle/scsi"
)

// Buckets is how many buckets a latency histogram has. Bucket i holds what took
// less than [Bound](i) and not less than half of it; the first also holds all
// that was shorter, the last all that was longer.
const Buckets = 24

// Bound returns the time below which bucket i lies: 1 µs, 2 µs, 4 µs and so on
// to 8.4 s.
func Bound(i int) time.Duration { return time.Microsecond << i }

// bucketOf returns the bucket of a latency.
func bucketOf(d time.Duration) int {
	return min(bits.Len64(uint64(max(d, 0)/time.Microsecond)), Buckets-1)
}

// A Commands counts commands that ended. The zero value is ready; all methods
// may be called from any goroutine.
type Commands struct {
	errors, busy, aborted atomic.Uint64
	in, out               atomic.Uint64
	reads, others         [Buckets]atomic.Uint64
}

// An End is how a command ended.
type End struct {
	CDB     scsi.CDB
	Status  scsi.Status
	Aborted bool
	Took    time.Duration
	In, Out int64 // bytes of data-in and data-out that moved
}

// Note counts a command. One that was aborted has no latency.
func (c *Commands) Note(e *End) {
	add(&c.in, e.In)
	add(&c.out, e.Out)
	switch {
	case e.Aborted:
		c.aborted.Add(1)
		return
	case e.Status == scsi.CheckCondition:
		c.errors.Add(1)
	case e.Status != scsi.Good:
		c.busy.Add(1)
	}
	class := &c.others
	if reads(e.CDB[0]) {
		class = &c.reads
	}
	class[bucketOf(e.Took)].Add(1)
}

func add(to *atomic.Uint64, n int64) {
	if n > 0 {
		to.Add(uint64(n))
	}
}

// reads reports whether an operation code reads the medium: READ(6), (10),
// (12) and (16), READ CD and READ CD MSF.
func reads(op byte) bool {
	switch op {
	case 0x08, 0x28, 0xA8, 0x88, 0xBE, 0xB9:
		return true
	}
	return false
}

// A Snapshot is what a [Commands] has counted.
type Snapshot struct {
	Commands uint64 // that ended, the aborted ones with them
	Errors   uint64 // CHECK CONDITION
	Busy     uint64 // BUSY, TASK SET FULL and other statuses
	Aborted  uint64
	In, Out  uint64 // bytes of data-in and data-out
	Reads    Latency
	Others   Latency // of the commands that do not read the medium
}

// Snapshot returns what was counted. Commands that end meanwhile may be in some
// of the numbers only.
func (c *Commands) Snapshot() Snapshot {
	s := Snapshot{Errors: c.errors.Load(), Busy: c.busy.Load(), Aborted: c.aborted.Load(), In: c.in.Load(), Out: c.out.Load()}
	for i := range Buckets {
		s.Reads[i] = c.reads[i].Load()
		s.Others[i] = c.others[i].Load()
	}
	s.Commands = s.Reads.Count() + s.Others.Count() + s.Aborted
	return s
}

// A Latency is a histogram: how many commands each bucket holds.
type Latency [Buckets]uint64

// Count returns how many commands there are.
func (l *Latency) Count() (n uint64) {
	for _, b := range l {
		n += b
	}
	return n
}

// Quantile returns the time within which the part q, 0 to 1, of the commands
// ended: the [Bound] of the bucket in which that one lies, so up to twice what it
// really took. It is 0 when there are none.
func (l *Latency) Quantile(q float64) time.Duration {
	n := l.Count()
	if n == 0 {
		return 0
	}
	rank := min(uint64(q*float64(n)), n-1) // of the command, from 0
	for i, b := range l {
		if rank < b {
			return Bound(i)
		}
		rank -= b
	}
	return Bound(Buckets - 1)
}

// Plus returns both together.
func (l Latency) Plus(m Latency) Latency {
	for i := range m {
		l[i] += m[i]
	}
	return l
}
