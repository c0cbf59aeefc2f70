package image

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

// hunkBudget bounds the decoded hunks of all images together, in bytes.
const hunkBudget = 64 << 20

// A hunkKey is hunk n of one opened image.
type hunkKey struct{ image, n uint64 }

// decoded holds decoded hunks; it is made when the first compressed image is
// opened. Two readers of one hunk decode it once.
var decoded = sync.OnceValue(func() *otter.Cache[hunkKey, []byte] {
	return otter.Must(&otter.Options[hunkKey, []byte]{
		MaximumWeight: hunkBudget,
		Weigher:       func(_ hunkKey, p []byte) uint32 { return uint32(cap(p)) + 64 },
	})
})

// hunkImages numbers opened images, so that none finds what another left.
var hunkImages atomic.Uint64

// maxHunk bounds the hunks that openers accept, in bytes.
const maxHunk = 16 << 20

// A hunks is data in hunks that are decoded one by one, on several processors
// where a read needs several.
type hunks struct {
	source *source
	id     uint64
	size   int64
	hunk   int64 // bytes; the last one may hold less
	decode func(p []byte, n int64) error
}

// newHunks returns data of size bytes in hunks of hunk bytes, which is at most
// maxHunk. decode fills p with hunk n, whole but for the last; it may be called
// concurrently, may panic on bad input, and does not keep p.
func newHunks(s *source, size, hunk int64, decode func(p []byte, n int64) error) *hunks {
	h := &hunks{source: s, id: hunkImages.Add(1), size: size, hunk: hunk, decode: decode}
	s.closers = append(s.closers, h.forget)
	return h
}

// Size implements data.
func (h *hunks) Size() int64 { return h.size }

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
	first, last := off/h.hunk, (off+int64(len(p))-1)/h.hunk
	if len(p) == 0 {
		return 0, nil
	}
	if first == last {
		if err := h.copy(p, off, first); err != nil {
			return 0, err
		}
		return len(p), nil
	}
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
			from, to := max(off, n*h.hunk), min(off+int64(len(p)), (n+1)*h.hunk)
			err := h.copy(p[from-off:to-off], from, n)
			if err == nil {
				continue
			}
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
	b, err := h.get(n)
	if err != nil {
		return err
	}
	copy(p, b[off-n*h.hunk:])
	return nil
}

// get returns hunk n, which nobody may write to.
func (h *hunks) get(n int64) ([]byte, error) {
	key := hunkKey{h.id, uint64(n)}
	if b, ok := decoded().GetIfPresent(key); ok {
		return b, nil
	}
	return decoded().Get(context.Background(), key, otter.LoaderFunc[hunkKey, []byte](func(context.Context, hunkKey) ([]byte, error) {
		b := make([]byte, min(h.hunk, h.size-n*h.hunk))
		if err := h.safely(b, n); err != nil {
			return nil, fmt.Errorf("hunk %d: %w", n, err)
		}
		return b, nil
	}))
}

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

// forget gives the memory of the image's hunks back.
func (h *hunks) forget() {
	for n := range decoded().Keys() {
		if n.image == h.id {
			decoded().Invalidate(n)
		}
	}
}
