// Package disctest holds the contract that every disc keeps, and discs without
// an image that prove it.
package disctest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"spindle/isostore/disc"
)

// TestDisc reports every breach of the contract of [disc.Disc], and of
// [disc.RawReader] and [disc.SubReader] where d implements them. It reads a few
// sectors around each boundary of the layout. Run it under the race detector:
// it reads concurrently.
func TestDisc(t testing.TB, d disc.Disc) {
	t.Helper()
	for _, err := range Check(d) {
		t.Error(err)
	}
}

// Check is TestDisc for a caller that wants the breaches.
func Check(d disc.Disc) []error {
	c := &checker{d: d, l: d.Layout()}
	c.layout()
	if len(c.errs) > 0 {
		return c.errs // the rest relies on it
	}
	c.reads()
	c.outside()
	c.concurrent()
	if raw, ok := d.(disc.RawReader); ok {
		c.raw(raw)
	}
	if sub, ok := d.(disc.SubReader); ok {
		c.sub(sub)
	}
	return c.errs
}

type checker struct {
	d    disc.Disc
	l    *disc.Layout
	errs []error
}

func (c *checker) errorf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// points are the addresses around each boundary of the layout.
func (c *checker) points() []disc.LBA {
	var p []disc.LBA
	for t := range c.l.Tracks() {
		end := c.l.End(t)
		p = append(p, t.Pregap, (t.Pregap+t.Start)/2, t.Start-1, t.Start, t.Start+1, (t.Start+end)/2, end-2, end-1)
		for _, i := range t.Indexes {
			p = append(p, i-1, i)
		}
	}
	return p
}

// A readFunc is one of the three ways to read a disc, in units of size bytes.
type readFunc struct {
	name string
	size int
	read func(p []byte, lba disc.LBA) (int, error)
}

// one reads the unit at lba.
func (c *checker) one(r readFunc, lba disc.LBA) ([]byte, error) {
	p := bytes.Repeat([]byte{0xEE}, r.size)
	n, err := r.read(p, lba)
	switch {
	case err == nil && n != 1, err != nil && n != 0:
		c.errorf("%s of 1 at %d = %d, %v: the count must be 1, or 0 with an error", r.name, lba, n, err)
	case err == nil:
		return p, nil
	case err != nil:
		return nil, err
	}
	return nil, errors.New("wrong count")
}

// prefix checks that a read of several units is the reads of one, up to the
// first that fails, and fails for the same reason.
func (c *checker) prefix(r readFunc, lba disc.LBA) {
	const units = 4
	var want []byte
	var wantErr error
	for i := range disc.LBA(units) {
		p, err := c.one(r, lba+i)
		if err != nil {
			wantErr = err
			break
		}
		want = append(want, p...)
	}
	got := bytes.Repeat([]byte{0xEE}, units*r.size)
	n, err := r.read(got, lba)
	if n != len(want)/r.size || (err == nil) != (wantErr == nil) {
		c.errorf("%s of %d at %d = %d, %v; one by one %d, %v", r.name, units, lba, n, err, len(want)/r.size, wantErr)
		return
	}
	for _, sentinel := range []error{disc.ErrMode, disc.ErrRange, disc.ErrChanged} {
		if errors.Is(err, sentinel) != errors.Is(wantErr, sentinel) {
			c.errorf("%s of %d at %d fails with %v; one by one with %v", r.name, units, lba, err, wantErr)
		}
	}
	if !bytes.Equal(got[:len(want)], want) {
		c.errorf("%s of %d at %d gives other data than one by one", r.name, units, lba)
	}
}

func (c *checker) blocks() readFunc {
	return readFunc{"ReadBlocks", disc.BlockSize, c.d.ReadBlocks}
}

// reads checks the user data at each boundary.
func (c *checker) reads() {
	r := c.blocks()
	for _, lba := range c.points() {
		c.prefix(r, lba)
		_, err := c.one(r, lba)
		_, t := c.l.TrackAt(lba)
		switch {
		case lba < 0 || t == nil:
			if !errors.Is(err, disc.ErrRange) {
				c.errorf("ReadBlocks at %d, outside any track: %v, want ErrRange", lba, err)
			}
		case lba < t.Start: // a pregap may hold data or not
		case t.Mode == disc.Audio, t.Mode == disc.Mode2:
			if !errors.Is(err, disc.ErrMode) {
				c.errorf("ReadBlocks at %d, track %d without user data: %v, want ErrMode", lba, t.Number, err)
			}
		case t.Mode == disc.Mode2XA && errors.Is(err, disc.ErrMode): // Form 2
		case err != nil:
			c.errorf("ReadBlocks at %d, track %d: %v", lba, t.Number, err)
		}
	}
	if n, err := c.d.ReadBlocks(nil, c.l.First().Start); n != 0 || err != nil {
		c.errorf("ReadBlocks of nothing = %d, %v", n, err)
	}
}

// outside checks that nothing is read where there is nothing.
func (c *checker) outside() {
	far := []disc.LBA{math.MinInt32, -1, math.MaxInt32}
	for i := range c.l.Sessions {
		far = append(far, c.l.Sessions[i].LeadOut)
	}
	p := make([]byte, 3*disc.BlockSize)
	for _, lba := range far {
		if n, err := c.d.ReadBlocks(p, lba); n != 0 || !errors.Is(err, disc.ErrRange) {
			c.errorf("ReadBlocks of 3 at %d, outside the disc = %d, %v; want 0, ErrRange", lba, n, err)
		}
	}
}

// concurrent reads the same addresses from several goroutines at once.
func (c *checker) concurrent() {
	points := c.points()
	want := make([][]byte, len(points))
	for i, lba := range points {
		want[i], _ = c.one(c.blocks(), lba)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for g := range 4 {
		wg.Go(func() {
			p := make([]byte, disc.BlockSize)
			for i := range points {
				i = (i + g*7) % len(points)
				n, err := c.d.ReadBlocks(p, points[i])
				if (err == nil) != (want[i] != nil) || n == 1 && !bytes.Equal(p, want[i]) {
					mu.Lock()
					c.errorf("concurrent ReadBlocks at %d = %d, %v, or other data than alone", points[i], n, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}
