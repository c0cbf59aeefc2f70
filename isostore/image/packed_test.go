package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/testdata/fixture"
)

// packedImages are those made already, by size.
var packedImages sync.Map

// packedImage returns an ISO image of n blocks that compresses as images do:
// text, noise and zeros in turns of eight blocks.
func packedImage(n int) []byte {
	if b, ok := packedImages.Load(n); ok {
		return slices.Clone(b.([]byte))
	}
	b := isoImage(n, n)
	r := rand.New(rand.NewPCG(1, 2))
	for k := 18; k < n; k++ {
		p := b[k*disc.BlockSize+4 : (k+1)*disc.BlockSize]
		switch k / 8 % 3 {
		case 0:
			for i := 0; i < len(p); {
				i += copy(p[i:], "the quick brown fox jumps over the lazy dog "[r.IntN(40):])
			}
		case 1:
			for ; len(p) >= 8; p = p[8:] {
				binary.LittleEndian.PutUint64(p, r.Uint64())
			}
		case 2:
			clear(b[k*disc.BlockSize : (k+1)*disc.BlockSize])
		}
	}
	packedImages.Store(n, slices.Clone(b))
	return b
}

// packedSource is a fixture's source of that image.
func packedSource(n int) *fixture.Source { return fixture.DVD(n, packedImage(n)) }

// packedSmall is a source that packs to little, as fuzzers want it.
func packedSmall() *fixture.Source { return fixture.DVD(20, isoImage(20, 20)) }

// packedOpen opens the image name in dir and checks all that it holds against
// want, which is filled up to blocks.
func packedOpen(t *testing.T, dir, name, format string, want []byte) Info {
	t.Helper()
	d, info, err := OpenFile(filepath.Join(dir, name), Options{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer d.Close()
	if info.Format != format || info.Label != "A LABEL" || info.Truncated || len(info.Warnings) != 0 {
		t.Errorf("%s: info = %+v", name, info)
	}
	packedRead(t, d, want)
	disctest.TestDisc(t, d)
	return info
}

// packedRead reads a disc in reads of several sizes, and compares.
func packedRead(t *testing.T, d disc.Disc, want []byte) {
	t.Helper()
	blocks := (len(want) + disc.BlockSize - 1) / disc.BlockSize
	want = append(slices.Clone(want), make([]byte, blocks*disc.BlockSize-len(want))...)
	if got := int(d.Layout().LeadOut()); got != blocks {
		t.Fatalf("%d blocks, want %d", got, blocks)
	}
	for _, n := range []int{1, 7, 128, blocks} {
		p := make([]byte, n*disc.BlockSize)
		for at := 0; at < blocks; at += n {
			k := min(n, blocks-at)
			got, err := d.ReadBlocks(p[:k*disc.BlockSize], disc.LBA(at))
			if got != k || err != nil {
				t.Fatalf("ReadBlocks of %d at %d = %d, %v", k, at, got, err)
			}
			if !bytes.Equal(p[:k*disc.BlockSize], want[at*disc.BlockSize:][:k*disc.BlockSize]) {
				t.Fatalf("ReadBlocks of %d at %d: other data", k, at)
			}
		}
	}
}

// A packedDamage is a way to damage an image, and what comes of it.
type packedDamage struct {
	name   string
	damage func(b []byte) []byte
	open   error  // of Open; nil when it opens
	read   error  // of reading, when it opens; nil when all can be read
	text   string // in the error
}

// packedDamages damages data, which is put into dir as name, in many ways.
func packedDamages(t *testing.T, dir, name string, data []byte, tests []packedDamage) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			os.Remove(path)
			if err := os.WriteFile(path, tt.damage(slices.Clone(data)), 0o644); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			d, _, err := OpenFile(path, Options{})
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
				t.Errorf("opening allocated %d bytes", n)
			}
			if (err == nil) != (tt.open == nil) || tt.open != errAny && !errors.Is(err, tt.open) {
				t.Fatalf("Open = %v, want %v", err, tt.open)
			}
			if err == nil {
				defer d.Close()
				_, err = d.ReadBlocks(make([]byte, disc.BlockSize*int(d.Layout().LeadOut())), 0)
				if !errors.Is(err, tt.read) {
					t.Fatalf("ReadBlocks = %v, want %v", err, tt.read)
				}
			}
			if err != nil && (!strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), name)) {
				t.Errorf("error %q does not name the file and %q", err, tt.text)
			}
		})
	}
}

// packedFuzz opens arbitrary bytes as an image of that name, and reads some of
// what it opened. dir may hold companions.
func packedFuzz(f *testing.F, dir, name string, change func(b []byte) []byte) {
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, name)
		os.Remove(path)
		if err := os.WriteFile(path, change(b), 0o644); err != nil {
			t.Fatal(err)
		}
		d, _, err := OpenFile(path, Options{})
		if err != nil {
			return
		}
		defer d.Close()
		p := make([]byte, 4*disc.BlockSize)
		for _, lba := range []disc.LBA{0, 1, 16, 300, d.Layout().LeadOut() - 4, d.Layout().LeadOut() - 1} {
			if n, err := d.ReadBlocks(p, lba); n < 4 && err == nil {
				t.Errorf("ReadBlocks at %d = %d without an error", lba, n)
			}
		}
	})
}

// packedSame leaves the fuzzer's bytes as they are.
func packedSame(b []byte) []byte { return b }
