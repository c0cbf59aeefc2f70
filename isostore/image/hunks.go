package image

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
)

// hunkImages numbers opened images, so that none finds what another left.
var hunkImages atomic.Uint64

// maxHunk bounds the hunks that openers accept, in bytes.
const maxHunk = 16 << 20

// A hunks is data in hunks that are decoded one by one, on several processors
// where a read needs several. For one who reads in sequence it decodes ahead.
type hunks struct {
	source *source
	id     uint64
	size   int64
	hunk   int64   // bytes of each; the last one may hold less
	starts []int64 // where hunks differ in size: of each, and the end
	decode func(p []byte, n int64) error

	last    atomic.Int64 // hunk in which the latest read ended
	running atomic.Bool  // hunks are decoded ahead
	ahead   sync.WaitGroup
}

// newHunks returns data of size bytes in hunks of hunk bytes, which is at most
// maxHunk. decode fills p with hunk n, whole but for the last; it may be called
// concurrently, may panic on bad input, and does not keep p.
func newHunks(s *source, size, hunk int64, decode func(p []byte, n int64) error) *hunks {
	h := &hunks{source: s, id: hunkImages.Add(1), size: size, hunk: hunk, decode: decode}
	h.last.Store(-2)
	s.closers = append(s.closers, h.forget)
	return h
}

// newPieces is newHunks for hunks that differ in size: hunk n is from starts[n]
// to starts[n+1], at most maxHunk bytes and at least one.
func newPieces(s *source, starts []int64, decode func(p []byte, n int64) error) *hunks {
	h := newHunks(s, starts[len(starts)-1], 0, decode)
	h.starts = starts
	return h
}

// Size implements data.
func (h *hunks) Size() int64 { return h.size }

// at returns the hunk that holds the byte at off.
func (h *hunks) at(off int64) int64 {
	if h.starts == nil {
		return off / h.hunk
	}
	return int64(sort.Search(len(h.starts)-1, func(i int) bool { return h.starts[i+1] > off }))
}

// bounds returns where hunk n starts and ends.
func (h *hunks) bounds(n int64) (start, end int64) {
	if h.starts == nil {
		return n * h.hunk, min(h.size, (n+1)*h.hunk)
	}
	return h.starts[n], h.starts[n+1]
}

// ReadAt implements io.ReaderAt. What was decoded is not given out any more
// once a file of the image changed.
func (h *hunks) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > h.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), h.size-off)]
	n, err := h.read(want, off)
	if changed := h.source.intact(); changed != nil {
		return 0, changed
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// read fills p from off on, and returns how much is good.
func (h *hunks) read(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	first, last := h.at(off), h.at(off+int64(len(p))-1)
	h.foresee(first, last, int64(len(p)))
	if first == last {
		if err := h.copy(p, off, first); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return h.several(p, off, first, last)
}

// several fills p from off on, which is in hunks first to last.
func (h *hunks) several(p []byte, off, first, last int64) (int, error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		next   atomic.Int64
		failed error
		good   = len(p)
	)
	next.Store(first)
	// Hunks are taken in order: when one fails, those before it are with
	// workers that finish them.
	work := func() {
		for n := next.Add(1) - 1; n <= last; n = next.Add(1) - 1 {
			start, end := h.bounds(n)
			from, to := max(off, start), min(off+int64(len(p)), end)
			err := h.copy(p[from-off:to-off], from, n)
			if err == nil {
				continue
			}
			next.Store(last + 1)
			mu.Lock()
			if int(from-off) < good {
				good, failed = int(from-off), err
			}
			mu.Unlock()
			return
		}
	}
	for range min(int64(runtime.GOMAXPROCS(0))-1, last-first) {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return good, failed
}

// copy fills p with what hunk n has from off on.
func (h *hunks) copy(p []byte, off, n int64) error {
	b, err := decoded.get(h, n)
	if err != nil {
		return err
	}
	start, _ := h.bounds(n)
	copy(p, b[off-start:])
	return nil
}

// load decodes hunk n.
func (h *hunks) load(n int64) ([]byte, error) {
	start, end := h.bounds(n)
	b := make([]byte, end-start)
	if err := h.safely(b, n); err != nil {
		return nil, decodeError{fmt.Errorf("hunk %d: %w", n, err)}
	}
	return b, nil
}

// A decodeError is an error of decoding. It is never io.EOF, with which decoders
// say that a hunk is damaged: those who read would take it for the data's end.
type decodeError struct{ error }

// Is implements what package errors looks for.
func (e decodeError) Is(target error) bool { return target != io.EOF && errors.Is(e.error, target) }

// As implements what package errors looks for.
func (e decodeError) As(target any) bool { return errors.As(e.error, target) }

// safely decodes, and makes a panic of a decoder an error: what it decodes is
// hostile, and not all decoders know.
func (h *hunks) safely(p []byte, n int64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the decoder gave up: %v", ErrDamaged, r)
		}
	}()
	return h.decode(p, n)
}

// foresee decodes ahead of a read of n bytes in hunks first to last, where it
// goes on where the one before ended: as much again, and a hunk at least. What
// goes wrong there is left to the one who reads it.
func (h *hunks) foresee(first, last, n int64) {
	before := h.last.Swap(last)
	if last == before || first != before && first != before+1 {
		return
	}
	_, at := h.bounds(last)
	if at >= h.size || !h.running.CompareAndSwap(false, true) {
		return
	}
	h.ahead.Go(func() {
		defer h.running.Store(false)
		for k, end := last+1, min(h.size, at+n); at < end; k++ {
			if _, err := decoded.get(h, k); err != nil {
				return
			}
			_, at = h.bounds(k)
		}
	})
}

// forget gives the memory of the image's hunks back.
func (h *hunks) forget() {
	h.ahead.Wait()
	decoded.forget(h.id)
}
