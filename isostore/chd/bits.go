package chd

import (
	"errors"
	"io"
)

// errBits: a bit stream ended too early.
var errBits = errors.New("its bits end too early")

// A bitReader reads bits, the highest of each byte first. Beyond the end it
// reads zeros, and over tells so.
type bitReader struct {
	r     io.ByteReader
	acc   uint64
	n     uint // bits in acc, its lowest ones
	spare uint // of those, zeros from beyond the end
	bad   bool // bits were no code
	err   error
}

// peek returns the next k bits, at most 32, without taking them.
func (b *bitReader) peek(k uint) uint32 {
	for b.n < k {
		c, err := b.r.ReadByte()
		if err != nil {
			c, b.spare = 0, b.spare+8
			if b.err == nil && !errors.Is(err, io.EOF) {
				b.err = err
			}
		}
		b.acc, b.n = b.acc<<8|uint64(c), b.n+8
	}
	return uint32(b.acc >> (b.n - k) & (1<<k - 1))
}

// skip takes k bits that were peeked at.
func (b *bitReader) skip(k uint) { b.n -= k }

// read takes the next k bits, at most 32.
func (b *bitReader) read(k uint) uint32 {
	v := b.peek(k)
	b.n -= k
	return v
}

// over fails when bits were taken from beyond the end, or were no code.
func (b *bitReader) over() error {
	if b.bad {
		return errTree
	}
	if b.n < b.spare {
		if b.err != nil {
			return b.err
		}
		return errBits
	}
	return nil
}

// A bitWriter appends bits, the highest of each byte first.
type bitWriter struct {
	b   []byte
	acc uint64
	n   uint
}

// write appends the lowest k bits of v, at most 32.
func (w *bitWriter) write(v uint32, k uint) {
	w.acc, w.n = w.acc<<k|uint64(v)&(1<<k-1), w.n+k
	for w.n >= 8 {
		w.n -= 8
		w.b = append(w.b, byte(w.acc>>w.n))
	}
}

// bytes is what was written, with zeros up to a whole byte.
func (w *bitWriter) bytes() []byte {
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
	return w.b
}
