package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spindle/isostore/disc"
)

// hunksSource returns a source for hunks that tests decode themselves.
func hunksSource(t testing.TB) *source {
	t.Helper()
	root := write(t, t.TempDir(), "x.bin", make([]byte, 4096))
	os.Chtimes(filepath.Join(root.Name(), "x.bin"), time.Unix(1e9, 0), time.Unix(1e9, 0))
	f, err := openBelow(root, "x.bin")
	if err != nil {
		t.Fatal(err)
	}
	s := &source{file: f, root: root, name: "x.bin", info: new(Info)}
	t.Cleanup(func() { s.Close() })
	return s
}

// hunkByte is what a test's hunks hold at off.
func hunkByte(off int64) byte { return byte(off*7 + off>>9) }

// fillHunk decodes a test's hunk that starts at off.
func fillHunk(p []byte, off int64) {
	for i := range p {
		p[i] = hunkByte(off + int64(i))
	}
}

// wantHunks checks what a read of p at off got.
func wantHunks(t testing.TB, p []byte, off int64) {
	t.Helper()
	for i := range p {
		if p[i] != hunkByte(off+int64(i)) {
			t.Errorf("byte %d is %#x, want %#x", off+int64(i), p[i], hunkByte(off+int64(i)))
			return
		}
	}
}

func TestHunksBounds(t *testing.T) {
	const size, hunk = 10*1000 + 7, 1000
	h := newHunks(hunksSource(t), size, hunk, func(p []byte, n int64) error {
		if want := min(hunk, size-n*hunk); int64(len(p)) != want {
			return fmt.Errorf("hunk %d is %d bytes, want %d", n, len(p), want)
		}
		fillHunk(p, n*hunk)
		return nil
	})
	tests := []struct {
		off, n int64
		want   int64
		err    error
	}{
		{0, 0, 0, nil},
		{0, 1, 1, nil},
		{999, 2, 2, nil},
		{0, size, size, nil},
		{0, size + 1, size, io.EOF},
		{1500, 5000, 5000, nil},
		{size - 3, 3, 3, nil},
		{size - 3, 4, 3, io.EOF},
		{size, 1, 0, io.EOF},
		{size, 0, 0, nil},
		{size + 1, 1, 0, io.EOF},
		{-1, 1, 0, io.EOF},
	}
	for _, tt := range tests {
		p := make([]byte, tt.n)
		n, err := h.ReadAt(p, tt.off)
		if int64(n) != tt.want || err != tt.err {
			t.Errorf("ReadAt %d bytes at %d = %d, %v; want %d, %v", tt.n, tt.off, n, err, tt.want, tt.err)
		}
		wantHunks(t, p[:n], tt.off)
	}
}

// TestHunksDecodeOnce has many readers want the same hunks at once: each is
// decoded once, and hunks of one read are decoded beside each other.
func TestHunksDecodeOnce(t *testing.T) {
	const hunk, hunks, readers = 4096, 16, 8
	var decodes [hunks]atomic.Int32
	ready := make(chan struct{})
	h := newHunks(hunksSource(t), hunk*hunks, hunk, func(p []byte, n int64) error {
		<-ready
		decodes[n].Add(1)
		fillHunk(p, n*hunk)
		return nil
	})
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			if i == readers-1 {
				close(ready)
			}
			p := make([]byte, hunk*hunks)
			if n, err := h.ReadAt(p, 0); n != len(p) || err != nil {
				t.Errorf("ReadAt = %d, %v", n, err)
			}
			wantHunks(t, p, 0)
		})
	}
	wg.Wait()
	for n := range decodes {
		if got := decodes[n].Load(); got != 1 {
			t.Errorf("hunk %d was decoded %d times", n, got)
		}
	}
}

// TestHunksSequential reads an image that is larger than the budget in pieces
// smaller than its hunks, as hosts do: no hunk is decoded twice.
func TestHunksSequential(t *testing.T) {
	for _, hunk := range []int64{32 << 10, 1 << 20, 4 << 20} {
		size := int64(3*hunkBudget/2) / hunk * hunk
		decodes := make([]atomic.Int32, size/hunk)
		h := newHunks(hunksSource(t), size, hunk, func(p []byte, n int64) error {
			decodes[n].Add(1)
			return nil
		})
		p := make([]byte, 64<<10)
		for off := int64(0); off < size; off += int64(len(p)) {
			if n, err := h.ReadAt(p, off); n != len(p) || err != nil {
				t.Fatalf("ReadAt = %d, %v", n, err)
			}
		}
		extra := 0
		for n := range decodes {
			extra += int(decodes[n].Load()) - 1
		}
		if extra != 0 {
			t.Errorf("hunks of %d KiB: %d of %d were decoded again", hunk>>10, extra, len(decodes))
		}
		h.ahead.Wait()
		held, counted := hunksHeld(h.id)
		if counted > hunkBudget || held > counted || held < hunkBudget-hunk-1<<20 {
			t.Errorf("hunks of %d KiB: %d bytes are held and %d counted, and the budget is %d", hunk>>10, held, counted, hunkBudget)
		}
		h.forget()
	}
}

// hunksHeld returns how many bytes of an image are held, and how many bytes of
// all are counted.
func hunksHeld(image uint64) (held, counted int64) {
	decoded.mu.Lock()
	defer decoded.mu.Unlock()
	for k, e := range decoded.entries {
		if k.image == image {
			held += int64(len(e.p))
		}
	}
	return held, decoded.held
}

// TestHunksLeastUsed checks which hunk goes when there is no more room.
func TestHunksLeastUsed(t *testing.T) {
	var decodes [hunkBudget/maxHunk + 1]atomic.Int32
	h := newHunks(hunksSource(t), int64(len(decodes))*maxHunk, maxHunk, func(_ []byte, n int64) error {
		decodes[n].Add(1)
		return nil
	})
	p := make([]byte, 1)
	for _, n := range []int64{0, 2, 0, 4, 0, 3, 0, 2} { // three are held at a time
		h.ReadAt(p, n*maxHunk)
	}
	h.ahead.Wait()
	if decodes[0].Load() != 1 || decodes[2].Load() != 2 {
		t.Errorf("hunk 0, used all the time, was decoded %d times, want 1; hunk 2, used before two others, %d times, want 2", decodes[0].Load(), decodes[2].Load())
	}
}

// TestHunksForget checks that a closed image leaves no hunks.
func TestHunksForget(t *testing.T) {
	h := newHunks(hunksSource(t), 1<<20, 4096, func([]byte, int64) error { return nil })
	h.ReadAt(make([]byte, 1<<20), 0)
	h.source.Close()
	if held, counted := hunksHeld(h.id); held != 0 || counted < 0 {
		t.Errorf("%d bytes are still held, %d are counted", held, counted)
	}
}

func TestHunksErrors(t *testing.T) {
	bad := errors.New("bad sector")
	var broken atomic.Bool
	broken.Store(true)
	h := newHunks(hunksSource(t), 64*1024, 1024, func(p []byte, n int64) error {
		fillHunk(p, n*1024)
		switch {
		case !broken.Load():
		case n == 40:
			return bad
		case n == 50:
			return fmt.Errorf("%d", p[len(p)])
		}
		return nil
	})
	p := make([]byte, 64*1024)
	for range 20 {
		n, err := h.ReadAt(p, 100)
		if n != 40*1024-100 || !errors.Is(err, bad) || !strings.Contains(err.Error(), "hunk 40") {
			t.Fatalf("ReadAt over hunk 40 = %d, %v; want what is before it", n, err)
		}
		wantHunks(t, p[:n], 100)
	}
	n, err := h.ReadAt(p[:3000], 49*1024)
	if n != 1024 || !errors.Is(err, ErrDamaged) {
		t.Errorf("ReadAt over a hunk whose decoder panics = %d, %v; want 1024, %v", n, err, ErrDamaged)
	}
	broken.Store(false)
	if n, err := h.ReadAt(p, 0); n != len(p) || err != nil || !bytes.Equal(p[41*1024:41*1024+1], []byte{hunkByte(41 * 1024)}) {
		t.Errorf("ReadAt after the errors = %d, %v; an error is not to be kept", n, err)
	}
}

// TestPieces reads hunks that differ in size.
func TestPieces(t *testing.T) {
	starts := []int64{0, 1, 500, 501, 4000, 4096}
	h := newPieces(hunksSource(t), starts, func(p []byte, n int64) error {
		if want := starts[n+1] - starts[n]; int64(len(p)) != want {
			return fmt.Errorf("piece %d is %d bytes, want %d", n, len(p), want)
		}
		fillHunk(p, starts[n])
		return nil
	})
	for off := range int64(4097) {
		for _, n := range []int64{1, 2, 600, 5000} {
			p := make([]byte, n)
			got, err := h.ReadAt(p, off)
			if want := min(n, 4096-off); int64(got) != want || (err == nil) != (want == n) {
				t.Fatalf("ReadAt %d bytes at %d = %d, %v; want %d", n, off, got, err, want)
			}
			wantHunks(t, p[:got], off)
		}
	}
}

// TestHunksAhead reads in sequence: the next hunk is decoded before anybody
// asks for it, and one who reads here and there causes none of that.
func TestHunksAhead(t *testing.T) {
	decodes := make(chan int64, 100)
	h := newHunks(hunksSource(t), 100*1024, 1024, func(_ []byte, n int64) error {
		decodes <- n
		return nil
	})
	read := func(n int64) (list []int64) {
		h.ReadAt(make([]byte, 100), n*1024)
		h.ahead.Wait()
		for len(decodes) > 0 {
			list = append(list, <-decodes)
		}
		slices.Sort(list)
		return list
	}
	for _, tt := range []struct {
		at   int64
		want []int64
	}{{50, []int64{50}}, {10, []int64{10}}, {11, []int64{11, 12}}, {11, nil}, {12, []int64{13}}, {40, []int64{40}}, {98, []int64{98}}, {99, []int64{99}}} {
		if got := read(tt.at); !slices.Equal(got, tt.want) {
			t.Errorf("a read in hunk %d decoded %d, want %d", tt.at, got, tt.want)
		}
	}
}

// TestHunksChanged changes the image's file: what is decoded already is not
// given out any more.
func TestHunksChanged(t *testing.T) {
	s := hunksSource(t)
	h := newHunks(s, 64*1024, 1024, func([]byte, int64) error { return nil })
	p := make([]byte, 64*1024)
	if n, err := h.ReadAt(p, 0); n != len(p) || err != nil {
		t.Fatalf("ReadAt = %d, %v", n, err)
	}
	writeAt(t, s.file.path, 100, "x")
	if n, err := h.ReadAt(p, 0); n != 0 || !errors.Is(err, disc.ErrChanged) {
		t.Errorf("ReadAt after the file changed = %d, %v; want %v", n, err, disc.ErrChanged)
	}
}
