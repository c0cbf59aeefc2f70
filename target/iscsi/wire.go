package iscsi

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// Errors of reading. The first two end the connection: after them nobody
// knows where the next PDU starts (RFC 7143, 7.8 and 7.3).
var (
	errHeaderDigest = errors.New("header digest differs")
	errTooLong      = errors.New("data segment is longer than the MaxRecvDataSegmentLength that was declared")
	errDataDigest   = errors.New("data digest differs")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A wire reads PDUs. Its buffer is small: what is larger goes past it.
type wire struct {
	r            *reader
	headerDigest bool
	dataDigest   bool
	limit        int // longest data segment that is taken, in bytes

	scratch []byte // of additional header segments, which are rare; 4 * 255 bytes
	ahs     []byte // those of the last header
}

// next reads a header with its additional header segments.
func (w *wire) next(h *header) error {
	w.r.begin(w)
	if _, err := io.ReadFull(w.r, h[:]); err != nil {
		return err
	}
	if h.ahsLen() > 0 && w.scratch == nil {
		w.scratch = make([]byte, 4*255)
	}
	w.ahs = w.scratch[:h.ahsLen()]
	if _, err := io.ReadFull(w.r, w.ahs); err != nil {
		return unexpected(err)
	}
	if w.headerDigest {
		sum := crc32.Update(crc32.Checksum(h[:], castagnoli), castagnoli, w.ahs)
		if err := w.check(sum, errHeaderDigest); err != nil {
			return err
		}
	}
	if h.dataLen() > w.limit {
		return errTooLong
	}
	return nil
}

// data reads the data segment of length len(p) and its padding. After
// errDataDigest the stream is in step still.
func (w *wire) data(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := io.ReadFull(w.r, p); err != nil {
		return unexpected(err)
	}
	var pad [3]byte
	tail := pad[:padding(len(p))]
	if _, err := io.ReadFull(w.r, tail); err != nil {
		return unexpected(err)
	}
	if !w.dataDigest {
		return nil
	}
	return w.check(crc32.Update(crc32.Checksum(p, castagnoli), castagnoli, tail), errDataDigest)
}

// skip reads past a data segment of n bytes, its padding and digest.
func (w *wire) skip(n int) error {
	if n == 0 {
		return nil
	}
	n += padding(n)
	if w.dataDigest {
		n += digestSize
	}
	_, err := w.r.Discard(n)
	return unexpected(err)
}

func (w *wire) check(sum uint32, mismatch error) error {
	var d [digestSize]byte
	if _, err := io.ReadFull(w.r, d[:]); err != nil {
		return unexpected(err)
	}
	if binary.LittleEndian.Uint32(d[:]) != sum {
		w.r.digestErrors.Add(1)
		return mismatch
	}
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
