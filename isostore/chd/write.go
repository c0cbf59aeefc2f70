package chd

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
)

// CreateOptions say what a new CHD is like.
type CreateOptions struct {
	HunkBytes int
	UnitBytes int     // HunkBytes is a multiple of it
	Codecs    []Codec // one to four; each hunk is packed by the one that packs it best
}

// CDOptions are right for CDs: what chdman 0.251 reads, quick to write.
func CDOptions() CreateOptions {
	return CreateOptions{HunkBytes: 8 * FrameSize, UnitBytes: FrameSize, Codecs: []Codec{CDZlib, CDFLAC}}
}

// DVDOptions are right for data in blocks of 2048 bytes.
func DVDOptions() CreateOptions {
	return CreateOptions{HunkBytes: 8 * 2048, UnitBytes: 2048, Codecs: []Codec{Zlib}}
}

// A Writer writes a CHD, version 5. Its data is written to it in order, by one
// goroutine; hunks are packed on all processors. Close completes the file; a
// file without it is no CHD, because its header is written last. A Writer that
// failed or is given up need not be closed.
type Writer struct {
	h        Header
	w        io.WriterAt
	encoders []encoder
	raw      hash.Hash
	err      error

	free    []*job
	pending []*job // in the order of hunks
	filling *job
	seen    map[[16]byte]uint32 // hunks by what they hold
	m       hunkMap
	at      int64 // where the next hunk goes in the file
}

// A job is a hunk on its way.
type job struct {
	hunk   []byte
	fill   int
	packed []byte
	entry  entry
	err    error
	done   chan struct{}
}

// maxSeen bounds the hunks that are remembered to find equal ones.
const maxSeen = 1 << 18

// Create begins a CHD in w, which is empty.
func Create(w io.WriterAt, o CreateOptions) (*Writer, error) {
	if o.HunkBytes < minHunk || o.HunkBytes > maxHunk || o.UnitBytes <= 0 || o.HunkBytes%o.UnitBytes != 0 {
		return nil, fmt.Errorf("hunks of %d bytes in units of %d", o.HunkBytes, o.UnitBytes)
	}
	c := &Writer{w: w, raw: sha1.New(), seen: map[[16]byte]uint32{}, at: headerSize}
	c.h.HunkBytes, c.h.UnitBytes = o.HunkBytes, o.UnitBytes
	if len(o.Codecs) == 0 || len(o.Codecs) > len(c.h.Codecs) {
		return nil, fmt.Errorf("%d codecs, want 1 to %d", len(o.Codecs), len(c.h.Codecs))
	}
	for i, codec := range o.Codecs {
		e, err := encoderOf(codec, o.HunkBytes)
		if err != nil {
			return nil, err
		}
		c.h.Codecs[i], c.encoders = codec, append(c.encoders, e)
	}
	return c, nil
}

// Write appends data.
func (c *Writer) Write(p []byte) (n int, err error) {
	for n < len(p) && c.err == nil {
		if c.filling == nil {
			c.filling = c.newJob()
		}
		j := c.filling
		k := copy(j.hunk[j.fill:], p[n:])
		n, j.fill = n+k, j.fill+k
		if j.fill == len(j.hunk) {
			c.start()
		}
	}
	return n, c.err
}

// newJob is an empty hunk.
func (c *Writer) newJob() *job {
	if k := len(c.free); k > 0 {
		j := c.free[k-1]
		c.free = c.free[:k-1]
		j.fill, j.err, j.entry = 0, nil, entry{}
		return j
	}
	return &job{hunk: make([]byte, c.h.HunkBytes)}
}

// start has the hunk that was filled packed, and waits when many are.
func (c *Writer) start() {
	j := c.filling
	c.filling = nil
	clear(j.hunk[j.fill:])
	c.raw.Write(j.hunk[:j.fill])
	c.h.Logical += int64(j.fill)
	n := len(c.m)/entrySize + len(c.pending)
	sum := sha256.Sum256(j.hunk)
	key := [16]byte(sum[:])
	j.done = make(chan struct{})
	if same, ok := c.seen[key]; ok {
		j.entry = entry{kind: typeSelf, off: int64(same)}
		close(j.done)
	} else {
		if len(c.seen) < maxSeen {
			c.seen[key] = uint32(n)
		}
		go c.pack(j)
	}
	c.pending = append(c.pending, j)
	if len(c.pending) > 2*runtime.GOMAXPROCS(0) {
		c.settle()
	}
}

// pack packs a hunk by the codec that makes it smallest, if any does.
func (c *Writer) pack(j *job) {
	defer close(j.done)
	j.packed = append(j.packed[:0], j.hunk...)
	j.entry = entry{kind: typeStored, crc: crc16(j.hunk), length: len(j.hunk)}
	var b []byte
	for i, e := range c.encoders {
		if b, j.err = e(b[:0], j.hunk); j.err != nil {
			return
		}
		if b != nil && len(b) < len(j.packed) {
			j.packed, b = b, j.packed
			j.entry.kind, j.entry.length = entryType(i), len(j.packed)
		}
	}
}

// settle writes the oldest hunk.
func (c *Writer) settle() {
	j := c.pending[0]
	c.pending = c.pending[1:]
	<-j.done
	if c.err == nil {
		c.err = j.err
	}
	if j.entry.kind != typeSelf {
		j.entry.off = c.at
		c.put(j.packed)
	}
	c.m = append(c.m, make([]byte, entrySize)...)
	j.entry.put(c.m[len(c.m)-entrySize:])
	c.free = append(c.free, j)
}

// put writes p where the last ended.
func (c *Writer) put(p []byte) {
	if c.err == nil {
		_, c.err = c.w.WriteAt(p, c.at)
	}
	c.at += int64(len(p))
}

// Close writes the last hunk, the map, the metadata and the header.
func (c *Writer) Close(metadata []Metadata) error {
	if c.filling != nil {
		c.start()
	}
	for len(c.pending) > 0 {
		c.settle()
	}
	if c.err == nil && c.h.Logical == 0 {
		c.err = errors.New("a CHD without data")
	}
	c.h.mapAt = c.at
	c.put(c.m.encode(headerSize))
	if len(metadata) > 0 {
		c.h.metaAt = c.at
	}
	for i, m := range metadata {
		if len(m.Tag) != 4 || len(m.Data) > maxMetadataSize {
			return fmt.Errorf("metadata %q of %d bytes", m.Tag, len(m.Data))
		}
		next := int64(0)
		if i+1 < len(metadata) {
			next = c.at + metadataHeader + int64(len(m.Data))
		}
		c.put(appendMetadata(nil, m, next))
	}
	c.h.RawSHA1 = [20]byte(c.raw.Sum(nil))
	c.h.SHA1 = overallSHA1(c.h.RawSHA1, metadata)
	if c.err == nil {
		_, c.err = c.w.WriteAt(c.h.bytes(), 0)
	}
	return c.err
}

// bytes is the header as it stands in a file.
func (h *Header) bytes() []byte {
	be := binary.BigEndian
	b := be.AppendUint32([]byte(magic), headerSize)
	b = be.AppendUint32(b, 5)
	for _, c := range h.Codecs {
		b = be.AppendUint32(b, uint32(c))
	}
	for _, v := range []int64{h.Logical, h.mapAt, h.metaAt} {
		b = be.AppendUint64(b, uint64(v))
	}
	b = be.AppendUint32(be.AppendUint32(b, uint32(h.HunkBytes)), uint32(h.UnitBytes))
	b = append(append(b, h.RawSHA1[:]...), h.SHA1[:]...)
	return append(b, make([]byte, headerSize-len(b))...)
}
