package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
)

// errAny stands for an error that is neither ErrFormat nor ErrDamaged.
var errAny = errors.New("another error")

// fuzzAllocation bounds what opening an image may allocate, in bytes.
const fuzzAllocation = 64 << 20

// fuzzOpen opens name beside files, and reads some of what it opened. It fails
// when opening allocates more than it should or gives an impossible disc.
func fuzzOpen(t *testing.T, dir, name string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		os.Remove(filepath.Join(dir, name)) // some file systems flush a file that is written anew
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, info, err := OpenFile(filepath.Join(dir, name), Options{})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > fuzzAllocation {
		t.Errorf("%d bytes were allocated", n)
	}
	if len(info.Warnings) > 200 {
		t.Errorf("%d warnings", len(info.Warnings))
	}
	if err != nil {
		return
	}
	defer d.Close()
	if info.Truncated {
		fuzzRead(d) // what is missing cannot be read
		return
	}
	disctest.TestDisc(fuzzTB{t}, d)
}

// fuzzRead reads a disc where tracks start and end.
func fuzzRead(d disc.Disc) {
	l := d.Layout()
	p := make([]byte, 4*disc.SectorSize)
	for tr := range l.Tracks() {
		for _, lba := range []disc.LBA{tr.Pregap, tr.Start, l.End(tr) - 2} {
			d.ReadBlocks(p[:4*disc.BlockSize], lba)
			if raw, ok := d.(disc.RawReader); ok {
				raw.ReadSectors(p, lba)
			}
			if sub, ok := d.(disc.SubReader); ok {
				sub.ReadSub(p[:4*disc.SubSize], lba)
			}
		}
	}
}

// A fuzzTB lets a fuzzed disc break what only a good image keeps: sectors and
// sub-channels whose bytes are of another place, and parts that do not unpack.
type fuzzTB struct{ testing.TB }

// Error implements testing.TB.
func (t fuzzTB) Error(args ...any) {
	t.Helper()
	text := fmt.Sprint(args...)
	for _, stored := range []string{
		"begins", "sub-channel Q", "other user data", "holds no 2048-byte user data", "EDC", "ECC", "damaged image",
	} {
		if strings.Contains(text, stored) {
			return
		}
	}
	t.TB.Error(args...)
}
