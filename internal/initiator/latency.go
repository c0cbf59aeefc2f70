package initiator

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

// fine is how many buckets of a Latency lie between one power of two and the
// next, as a power of two: a percentile is off by 1/32 at most.
const fine = 5

// A Latency counts durations by their size, from any number of goroutines, in
// 16 KiB. The zero value is ready.
type Latency struct {
	buckets [(64 - fine) << fine]atomic.Uint64
	most    atomic.Int64
}

// Add counts d.
func (l *Latency) Add(d time.Duration) {
	d = max(d, 0)
	l.buckets[bucketOf(uint64(d))].Add(1)
	for {
		most := l.most.Load()
		if int64(d) <= most || l.most.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// bucketOf returns the bucket of d ns: its highest bits after the first and its
// magnitude.
func bucketOf(d uint64) int {
	shift := max(bits.Len64(d)-fine-1, 0)
	return shift<<fine + int(d>>shift)
}

// endOf returns the longest duration of bucket i, in ns.
func endOf(i int) uint64 {
	shift := max(i>>fine-1, 0)
	return (uint64(i-shift<<fine)+1)<<shift - 1
}

// Count returns how many durations were counted.
func (l *Latency) Count() int {
	n := uint64(0)
	for i := range l.buckets {
		n += l.buckets[i].Load()
	}
	return int(n)
}

// Max returns the longest duration.
func (l *Latency) Max() time.Duration { return time.Duration(l.most.Load()) }

// Percentile returns the duration that p percent of them do not exceed, 0 when
// there are none.
func (l *Latency) Percentile(p float64) time.Duration {
	rank := p / 100 * float64(l.Count())
	seen := uint64(0)
	for i := range l.buckets {
		if n := l.buckets[i].Load(); n > 0 {
			if seen += n; float64(seen) >= rank {
				return min(time.Duration(endOf(i)), l.Max())
			}
		}
	}
	return 0
}

// String tells the percentiles that people ask for.
func (l *Latency) String() string {
	at := func(p float64) time.Duration { return l.Percentile(p).Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d: p50 %v, p99 %v, p999 %v, max %v", l.Count(), at(50), at(99), at(99.9), l.Max().Round(10*time.Microsecond))
}
