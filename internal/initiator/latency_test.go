package initiator

import (
	"math"
	"slices"
	"testing"
	"time"
)

// A percentile is never below the true one and at most 1/32 above it.
func TestLatency(t *testing.T) {
	var l Latency
	if l.Percentile(50) != 0 || l.Count() != 0 {
		t.Errorf("nothing counted: p50 %v of %d", l.Percentile(50), l.Count())
	}
	var all []time.Duration
	d := time.Duration(1)
	for range 1000 {
		all = append(all, d)
		l.Add(d)
		d = d*1021/1000 + 1
	}
	slices.Sort(all)
	for _, p := range []float64{0.1, 1, 50, 90, 99, 99.9, 100} {
		want := all[int(math.Ceil(p/100*1000))-1]
		if got := l.Percentile(p); got < want || got > want+want/32+1 {
			t.Errorf("p%g is %d ns, want %d to %d", p, got, want, want+want/32+1)
		}
	}
	if l.Max() != all[999] || l.Count() != 1000 {
		t.Errorf("max %d of %d, want %d of 1000", l.Max(), l.Count(), all[999])
	}
	for _, d := range []time.Duration{-1, 0, math.MaxInt64} { // the ends of what can be asked
		l.Add(d)
	}
	if l.Percentile(100) != math.MaxInt64 {
		t.Errorf("p100 %d", l.Percentile(100))
	}
}
