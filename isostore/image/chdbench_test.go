package image_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"spindle/isostore/chd"
	"spindle/isostore/disc"
	"spindle/isostore/image"
)

// chdBenchBlocks is how much of this program the benchmarks' discs hold.
const chdBenchBlocks = 4096

// chdBenchImages makes CDs by chdman, by codec, and a DVD of ours, of a part of
// this very program: as data goes, neither easy nor hard to pack.
func chdBenchImages(b *testing.B) map[string]string {
	b.Helper()
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		b.Fatal(err)
	}
	dir, images := b.TempDir(), map[string]string{}
	data = data[:min(len(data)/disc.BlockSize, chdBenchBlocks)*disc.BlockSize]
	for name, text := range map[string][]byte{"a.iso": data, "a.cue": []byte("FILE \"a.iso\" BINARY\n TRACK 01 MODE1/2048\n  INDEX 01 00:00:00\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for _, codec := range []string{"cdlz", "cdzl"} {
		images[codec] = filepath.Join(dir, codec+".chd")
		chdTool(b, dir, "chdman", "createcd", "-i", "a.cue", "-o", images[codec], "-c", codec)
	}
	for name, o := range map[string]chd.CreateOptions{
		"zlib": chd.DVDOptions(),
		"zstd": {HunkBytes: 8 * disc.BlockSize, UnitBytes: disc.BlockSize, Codecs: []chd.Codec{chd.Zstd}},
	} {
		images[name] = filepath.Join(dir, name+".chd")
		f, err := os.Create(images[name])
		if err != nil {
			b.Fatal(err)
		}
		w, err := chd.Create(f, o)
		if err == nil {
			_, err = w.Write(data)
		}
		if err == nil {
			err = w.Close([]chd.Metadata{{Tag: chd.TagDVD, Data: []byte{0}}})
		}
		f.Close()
		if err != nil {
			b.Fatal(err)
		}
	}
	return images
}

// BenchmarkCHDRandom reads blocks at random, each from a hunk that is not in the
// cache. "x" is the speed in that of a CD player, 75 sectors a second.
func BenchmarkCHDRandom(b *testing.B) {
	for name, path := range chdBenchImages(b) {
		b.Run(name, func(b *testing.B) {
			var d disc.Disc
			var order []int
			p := make([]byte, disc.BlockSize)
			for b.Loop() {
				if len(order) == 0 {
					b.StopTimer()
					if d != nil {
						d.Close() // which empties the cache of it
					}
					var err error
					if d, _, err = image.OpenFile(path, image.Options{}); err != nil {
						b.Fatal(err)
					}
					order = rand.Perm(int(d.Layout().LeadOut()) / 8)
					b.StartTimer()
				}
				lba := disc.LBA(order[0]*8 + rand.IntN(8))
				order = order[1:]
				if _, err := d.ReadBlocks(p, lba); err != nil {
					b.Fatal(err)
				}
			}
			d.Close()
			b.SetBytes(disc.BlockSize)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/75, "x")
		})
	}
}

// BenchmarkCHDSequential reads a disc in order, and compares with what the codec
// does alone on one processor: "codecs" is how often as fast it is.
func BenchmarkCHDSequential(b *testing.B) {
	for name, path := range chdBenchImages(b) {
		b.Run(name, func(b *testing.B) {
			alone, bytes := chdAlone(b, path)
			p := make([]byte, 64*disc.BlockSize)
			for b.Loop() {
				d, _, err := image.OpenFile(path, image.Options{})
				if err != nil {
					b.Fatal(err)
				}
				end := d.Layout().LeadOut()
				for lba := disc.LBA(0); lba < end; lba += 64 {
					n := min(64, end-lba)
					if _, err := d.ReadBlocks(p[:n*disc.BlockSize], lba); err != nil {
						b.Fatal(err)
					}
				}
				d.Close()
			}
			b.SetBytes(bytes)
			b.ReportMetric(alone.Seconds()*float64(b.N)/b.Elapsed().Seconds(), "codecs")
		})
	}
}

// chdAlone is how long all hunks take by themselves, and the disc's bytes.
func chdAlone(b *testing.B, path string) (time.Duration, int64) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	c, err := chd.Open(f, fi.Size())
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, c.HunkBytes)
	start := time.Now()
	for n := range c.Hunks() {
		if err := c.ReadHunk(p[:min(int64(len(p)), c.Logical-n*int64(len(p)))], n); err != nil {
			b.Fatal(fmt.Errorf("hunk %d: %w", n, err))
		}
	}
	return time.Since(start), c.Logical / int64(c.UnitBytes) * disc.BlockSize
}
