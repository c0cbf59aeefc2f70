//go:build linux

package bench

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/internal/lab"
)

const (
	each     = 400 * time.Millisecond
	discSize = 300 << 20
)

// The shapes of reading: commands of so many blocks of 2048 bytes.
var shapes = []struct {
	blocks int
	random bool
}{{32, false}, {128, false}, {512, false}, {1, true}, {2, true}}

// Who reads at once: sessions, and commands of each.
var crowds = []struct{ sessions, depth int }{{1, 1}, {1, 16}, {8, 4}, {32, 1}}

// BenchmarkCells is the main job: both servers give out one file from the page
// cache, to one, 8 and 32 sessions, without and with digests.
func BenchmarkCells(b *testing.B) {
	lab.Need(b, "tgtd", "tgtadm", "xorriso")
	iso := lab.ISO(b, lab.Image{Size: discSize, Seed: 6})
	b.Run("plain", func(b *testing.B) { cells(b, iso, plain) })
	b.Run("digests", func(b *testing.B) {
		const both = "CRC32C,None"
		offer := append([]string{"HeaderDigest=CRC32C", "DataDigest=CRC32C"}, plain...)
		cells(b, iso, offer, lab.Key{Name: "HeaderDigest", Value: both}, lab.Key{Name: "DataDigest", Value: both})
	})
}

// cells measures each cell with servers of its own: reads of 256 KiB cost tgtd
// half of what they do otherwise once it has served some of 1 MiB.
func cells(b *testing.B, iso string, offer []string, keys ...lab.Key) {
	figures := []figure{{"bytes/CPU", "%.2f"}, {"throughput", "%.0f"}}
	for _, crowd := range crowds {
		for _, s := range shapes {
			kind := "sequential"
			if s.random {
				kind = "random"
			}
			load := initiator.Load{Blocks: s.blocks, Depth: crowd.depth, Random: s.random, Span: discSize / 2048, For: each}
			b.Run(fmt.Sprintf("%s %d KiB, %d x %d", kind, s.blocks*2, crowd.sessions, crowd.depth), func(b *testing.B) {
				both := servers(b, iso, keys...)
				for range b.N {
					interleave(b, both, pairs, figures, func(s server) []float64 {
						return s.read(b, crowd.sessions, offer, load)
					})
				}
			})
		}
	}
}

// read has so many sessions read at once. It returns GiB for each CPU second of
// the server, and MB/s.
func (s server) read(b *testing.B, sessions int, keys []string, load initiator.Load) []float64 {
	b.Helper()
	load.LUN = s.lun
	var conns []*initiator.Conn
	for n := range sessions {
		conns = append(conns, s.session(b, n, keys))
	}
	bytes, errs := make([]int64, sessions), make([]error, sessions)
	var all sync.WaitGroup
	before, begun := s.cpu(b), time.Now()
	for n, c := range conns {
		all.Go(func() { bytes[n], _, errs[n] = load.Run(c) })
	}
	all.Wait()
	took, used := time.Since(begun), s.cpu(b)-before
	total := 0.0
	for n, c := range conns {
		if errs[n] != nil {
			b.Fatal(errs[n])
		}
		total += float64(bytes[n])
		c.Close()
	}
	return []float64{total / used.Seconds() / gib, total / took.Seconds() / 1e6}
}
