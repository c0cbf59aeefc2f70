package image

import (
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"spindle/isostore/disc"
	"spindle/testdata/fixture"
)

// benchBlocks is the size of the images of benchmarks, 24 MiB; while they run
// decoded hunks may take benchBudget, so that few reads find theirs.
const (
	benchBlocks = 12288
	benchBudget = 4 << 20
)

// benchImages are compressed images to measure. write makes one in dir and
// returns its name.
var benchImages = []struct {
	name  string
	write func(dir string, src *fixture.Source) (string, error)
}{
	{"cso", func(dir string, src *fixture.Source) (string, error) {
		return "a.cso", fixture.WriteCSO(dir, "a", src, fixture.CSOOptions{})
	}},
	{"zso", func(dir string, src *fixture.Source) (string, error) {
		return "a.zso", fixture.WriteCSO(dir, "a", src, fixture.CSOOptions{ZSO: true})
	}},
	{"zst-64KiB", func(dir string, src *fixture.Source) (string, error) {
		return "a.iso.zst", fixture.WriteZstd(dir, "a", src, fixture.ZstdOptions{})
	}},
	{"zst-1MiB", func(dir string, src *fixture.Source) (string, error) {
		return "a.iso.zst", fixture.WriteZstd(dir, "a", src, fixture.ZstdOptions{FrameSize: 1 << 20})
	}},
	{"dmg-zlib", func(dir string, src *fixture.Source) (string, error) {
		return "a.dmg", fixture.WriteDMG(dir, "a", src, fixture.DMGOptions{RunSectors: 1024})
	}},
}

// benchOpen opens a benchmark's image, and finds its hunks.
func benchOpen(b *testing.B, write func(dir string, src *fixture.Source) (string, error)) (disc.Disc, *hunks) {
	b.Helper()
	dir := b.TempDir()
	name, err := write(dir, packedSource(benchBlocks))
	if err != nil {
		b.Fatal(err)
	}
	d, _, err := OpenFile(filepath.Join(dir, name), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	for _, r := range d.(*cd).runs {
		switch from := r.data.(type) {
		case *hunks:
			return d, from
		case stitched:
			for _, e := range from {
				if h, ok := e.from.(*hunks); ok {
					return d, h
				}
			}
		}
	}
	b.Fatal("no hunks")
	return nil, nil
}

// BenchmarkSequential reads compressed images from end to end in reads of 256
// KiB. x-codec is how often as fast that is as decoding each hunk once in one
// goroutine, into memory that is there already; cpu/codec-cpu is the processor
// time of it as against that, which other work on the machine disturbs less.
func BenchmarkSequential(b *testing.B) {
	for _, tt := range benchImages {
		b.Run(tt.name, func(b *testing.B) {
			benchBudgetFor(b)
			d, h := benchOpen(b, tt.write)
			p := make([]byte, 128*disc.BlockSize)
			hunk := make([]byte, maxHunk)
			b.SetBytes(benchBlocks * disc.BlockSize)
			var reading, alone, readingCPU, aloneCPU time.Duration
			for b.Loop() {
				began, cpu := time.Now(), benchCPU()
				for lba := disc.LBA(0); lba < benchBlocks; lba += 128 {
					if n, err := d.ReadBlocks(p, lba); n < 128 {
						b.Fatal(err)
					}
				}
				h.ahead.Wait()
				reading += time.Since(began)
				readingCPU += benchCPU() - cpu
				began, cpu = time.Now(), benchCPU()
				for n := int64(0); n <= h.at(h.size-1); n++ {
					start, end := h.bounds(n)
					if err := h.decode(hunk[:end-start], n); err != nil {
						b.Fatal(err)
					}
				}
				alone += time.Since(began)
				aloneCPU += benchCPU() - cpu
			}
			b.ReportMetric(float64(alone)/float64(reading), "x-codec")
			b.ReportMetric(float64(readingCPU)/float64(aloneCPU), "cpu/codec-cpu")
		})
	}
}

// BenchmarkRandom reads blocks of compressed images here and there. x-CD is how
// often as fast that is as a CD at its single speed, 75 blocks a second.
func BenchmarkRandom(b *testing.B) {
	for _, tt := range benchImages {
		b.Run(tt.name, func(b *testing.B) {
			benchBudgetFor(b)
			d, _ := benchOpen(b, tt.write)
			r := rand.New(rand.NewPCG(3, 4))
			p := make([]byte, disc.BlockSize)
			b.SetBytes(disc.BlockSize)
			began, reads := time.Now(), 0
			for b.Loop() {
				if _, err := d.ReadBlocks(p, disc.LBA(r.IntN(benchBlocks))); err != nil {
					b.Fatal(err)
				}
				reads++
			}
			b.ReportMetric(float64(reads)/time.Since(began).Seconds()/75, "x-CD")
		})
	}
}

// benchBudgetFor lets decoded hunks take less memory while b runs.
func benchBudgetFor(b *testing.B) {
	decoded.mu.Lock()
	defer decoded.mu.Unlock()
	before := decoded.budget
	decoded.budget = benchBudget
	b.Cleanup(func() {
		decoded.mu.Lock()
		defer decoded.mu.Unlock()
		decoded.budget = before
	})
}

// benchCPU is the processor time that this process has used.
func benchCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
