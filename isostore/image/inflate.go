package image

import (
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// scratches are for packed data.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// scratch returns n bytes of memory, to be put back into scratches.
func scratch(n int) *[]byte {
	b := scratches.Get().(*[]byte)
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	return b
}

// inflaters are for raw Deflate: a new one takes 40 KiB.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflate fills p with raw Deflate data. What follows in b is left alone.
func inflate(p, b []byte) error {
	r := inflaters.Get().(io.Reader)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(b), nil); err != nil {
		return err
	}
	return unpackAll(r, p, "Deflate")
}

// zlibs are for Deflate with a zlib header.
var zlibs sync.Pool

// inflateZlib fills p with zlib data.
func inflateZlib(p, b []byte) error {
	r, _ := zlibs.Get().(io.Reader)
	var err error
	if r == nil {
		r, err = zlib.NewReader(bytes.NewReader(b))
	} else {
		err = r.(zlib.Resetter).Reset(bytes.NewReader(b), nil)
	}
	if err != nil {
		return fmt.Errorf("%w: zlib: %w", ErrDamaged, err)
	}
	defer zlibs.Put(r)
	return unpackAll(r, p, "zlib")
}

// unpackBzip2 fills p with bzip2 data.
func unpackBzip2(p, b []byte) error {
	return unpackAll(bzip2.NewReader(bytes.NewReader(b)), p, "bzip2")
}

// unpackAll fills p from r, which must hold that much.
func unpackAll(r io.Reader, p []byte, what string) error {
	n, err := io.ReadFull(r, p)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %d of %d bytes: %w", ErrDamaged, what, n, len(p), err)
}
