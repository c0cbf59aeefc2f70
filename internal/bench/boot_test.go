//go:build linux

package bench

import (
	"context"
	"os"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/internal/lab"
)

const (
	bootSize = 80 << 20 // of the disc that is read as the recorded one was
	booting  = 200      // sessions

	bootPairs = 5 // each pair moves 10 GB
)

// BenchmarkBootStorm has 200 sessions read what a real boot read, each its next
// command after the answer to the last: the dependencies of the boot without its
// think times. Times are of a command, as its host sees them.
//
// SPINDLE_RECORD=1 records the boot anew before, from QEMU booting a live disc.
func BenchmarkBootStorm(b *testing.B) {
	lab.Need(b, "tgtd", "tgtadm", "xorriso")
	if os.Getenv("SPINDLE_RECORD") == "1" {
		recordBoot(b)
	}
	list, err := loadBoot()
	if err != nil {
		b.Fatal(err)
	}
	both := servers(b, lab.ISO(b, lab.Image{Size: bootSize, Seed: 9}))
	figures := []figure{{"p50", "%.1f"}, {"p99", "%.1f"}, {"p999", "%.1f ms"}, {"bytes/CPU", "%.2f"}, {"throughput", "%.0f"}}
	for range b.N {
		interleave(b, both, bootPairs, figures, func(s server) []float64 { return bootAll(b, s, list) })
	}
}

// bootAll returns percentiles of the time of a read in ms, GiB for a CPU second
// of the server, and MB/s.
func bootAll(b *testing.B, s server, list []read) []float64 {
	b.Helper()
	storm := s.storm(booting)
	storm.Meet = true
	var used time.Duration
	var begun time.Time
	storm.AllIn = func() { used, begun = s.cpu(b), time.Now() }
	storm.Work = func(_ context.Context, one *initiator.Session) error {
		if err := one.Ready(); err != nil {
			return err
		}
		for _, r := range list {
			if err := one.Read(r.lba, r.blocks); err != nil {
				return err
			}
		}
		return nil
	}
	r := run(b, storm)
	took := time.Since(begun)
	used = s.cpu(b) - used
	ms := func(p float64) float64 { return float64(r.ReadTime.Percentile(p)) / 1e6 }
	bytes := float64(r.ReadBytes.Load())
	return []float64{ms(50), ms(99), ms(99.9), bytes / used.Seconds() / gib, bytes / took.Seconds() / 1e6}
}
