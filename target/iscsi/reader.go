package iscsi

import (
	"bufio"
	"io"
	"sync/atomic"
)

// A reader is where PDUs are read from. It keeps the bytes of the one that is
// being read while somebody follows.
type reader struct {
	*bufio.Reader
	taps *taps // nil: nobody ever follows

	fresh  bool   // nothing has come of this PDU
	tap    *Tap   // who follows this PDU, or nil
	seen   []byte // what came of it
	header int    // bytes of header digest
	data   int    // and of data digest

	digestErrors atomic.Uint64 // for stats
}

// begin notes that a PDU is about to begin. It may take long to come: who
// follows then is found out in Read.
func (r *reader) begin(w *wire) {
	r.fresh, r.tap, r.header, r.data = r.taps != nil, nil, 0, 0
	if w.headerDigest {
		r.header = digestSize
	}
	if w.dataDigest {
		r.data = digestSize
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.fresh && n > 0 {
		r.fresh = false
		if r.tap = r.taps.live.Load(); r.tap != nil {
			r.seen = r.seen[:0]
		} else {
			r.seen = nil
		}
	}
	if r.tap != nil {
		r.note(p[:n])
	}
	return n, err
}

// Discard skips n bytes.
func (r *reader) Discard(n int) (int, error) {
	if r.tap == nil {
		return r.Reader.Discard(n)
	}
	return io.ReadFull(r, make([]byte, n)) // bounded by what a PDU may hold
}

// note keeps what came, and gives the PDU away when it is whole.
func (r *reader) note(p []byte) {
	r.seen = append(r.seen, p...)
	if len(r.seen) >= headerSize && len(r.seen) == r.size() {
		r.tap.add(false, r.textAt(), r.seen)
		r.tap = nil
	}
}

// textAt is where the data segment of the PDU begins.
func (r *reader) textAt() int {
	return headerSize + (*header)(r.seen).ahsLen() + r.header
}

// size is how many bytes the PDU has on the wire.
func (r *reader) size() int {
	n := r.textAt()
	if data := (*header)(r.seen).dataLen(); data > 0 {
		n += data + padding(data) + r.data
	}
	return n
}

// cut gives away what came of a PDU that never became whole.
func (r *reader) cut(t *Tap) {
	if r.tap == t && len(r.seen) >= headerSize {
		t.add(false, r.textAt(), r.seen)
	}
}
