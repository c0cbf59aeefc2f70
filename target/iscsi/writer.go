package iscsi

import (
	"encoding/binary"
	"hash/crc32"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// batch is how many PDUs leave in one vectored write at most.
const batch = 16

// A writer sends PDUs whole. StatSN, ExpCmdSN and MaxCmdSN are put in here, so
// that they are in the order of the wire (RFC 7143, 4.2.2).
type writer struct {
	conn *conn

	mu     sync.Mutex
	statSN uint32
	since  atomic.Int64 // when the write that is under way began; 0 is none

	*sheaf  // nil while nothing is queued
	vectors net.Buffers
	count   int
}

// A sheaf is the memory of what is queued. A connection has one only while it
// writes: most are idle.
type sheaf struct {
	headers [batch][headerSize + digestSize]byte
	trailer [batch][3 + digestSize]byte // padding and data digest
	slots   [3 * batch][]byte
}

var sheaves = sync.Pool{New: func() any { return new(sheaf) }}

// How a PDU uses StatSN.
type statUse byte

const (
	statNone    statUse = iota // Data-In without status: the field is reserved
	statCurrent                // R2T, unsolicited NOP-In: carried, not advanced
	statAdvance                // everything that carries status
)

// send writes one PDU.
func (w *writer) send(h *header, use statUse, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(h, use, data)
	return w.flush()
}

// add queues a PDU for flush; data stays the caller's until then. w.mu is held.
func (w *writer) add(h *header, use statUse, data []byte) {
	h.setDataLen(len(data))
	switch use {
	case statAdvance:
		h.put32(24, w.statSN)
		w.statSN++
	case statCurrent:
		h.put32(24, w.statSN)
	}
	if s := w.conn.sess; s != nil {
		exp, maximum := s.window()
		h.put32(28, exp)
		h.put32(32, maximum)
	}
	w.append(h, data)
}

func (w *writer) append(h *header, data []byte) {
	if w.sheaf == nil {
		w.sheaf = sheaves.Get().(*sheaf)
		w.vectors = w.slots[:0]
	}
	in := &w.conn.in
	head := w.headers[w.count][:headerSize]
	copy(head, h[:])
	if in.headerDigest {
		head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	}
	w.vectors = append(w.vectors, head)
	if len(data) > 0 {
		w.vectors = append(w.vectors, data)
		w.appendTrailer(data, in.dataDigest)
	}
	w.count++
}

func (w *writer) appendTrailer(data []byte, digest bool) {
	tail := w.trailer[w.count][:padding(len(data))]
	clear(tail)
	if digest {
		sum := crc32.Update(crc32.Checksum(data, castagnoli), castagnoli, tail)
		tail = binary.LittleEndian.AppendUint32(tail, sum)
	}
	if len(tail) > 0 {
		w.vectors = append(w.vectors, tail)
	}
}

// flush writes what add queued. w.mu is held.
func (w *writer) flush() error {
	w.conn.taps.sent(w)
	w.since.Store(time.Now().UnixNano())
	_, err := w.vectors.WriteTo(w.conn.nc)
	w.since.Store(0)
	clear(w.slots[:]) // they hold on to data
	sheaves.Put(w.sheaf)
	w.sheaf, w.vectors, w.count = nil, nil, 0
	if err != nil {
		w.conn.fail(err)
	}
	return err
}

// stuckFor returns how long the write that is under way has taken.
func (w *writer) stuckFor(now time.Time) time.Duration {
	if since := w.since.Load(); since != 0 {
		return time.Duration(now.UnixNano() - since)
	}
	return 0
}
