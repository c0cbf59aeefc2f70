// Package chd reads and writes CHD files, version 5: data in hunks of some
// kilobytes that are compressed one by one, and metadata (MAME's "compressed
// hunks of data"; reference section 8.7). What the data is, a CD or a DVD, is
// said by the metadata; track.go has those of CDs.
//
// A file is hostile: what is kept of it is bounded, no hunk takes more than its
// size to decode, and nothing panics.
package chd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Errors of reading; what wraps neither is of a CHD that is not supported.
var (
	// ErrFormat: the file is no CHD.
	ErrFormat = errors.New("not a CHD")
	// ErrDamaged: the file contradicts itself, or ends too early.
	ErrDamaged = errors.New("damaged CHD")
)

const (
	magic      = "MComprHD"
	headerSize = 124
	// minHunk and maxHunk are what chdman accepts for a hunk, in bytes.
	minHunk = 16
	maxHunk = 1 << 20
)

// A Codec names how hunks are compressed, by four letters; 0 is none.
type Codec uint32

// Codecs. Those whose names begin with "cd" are for units of 2448 bytes: they
// leave sync and ECC out and compress sub-channels apart.
const (
	Zlib   Codec = 'z'<<24 | 'l'<<16 | 'i'<<8 | 'b'
	LZMA   Codec = 'l'<<24 | 'z'<<16 | 'm'<<8 | 'a'
	Huff   Codec = 'h'<<24 | 'u'<<16 | 'f'<<8 | 'f'
	FLAC   Codec = 'f'<<24 | 'l'<<16 | 'a'<<8 | 'c'
	Zstd   Codec = 'z'<<24 | 's'<<16 | 't'<<8 | 'd'
	CDZlib Codec = 'c'<<24 | 'd'<<16 | 'z'<<8 | 'l'
	CDLZMA Codec = 'c'<<24 | 'd'<<16 | 'l'<<8 | 'z'
	CDFLAC Codec = 'c'<<24 | 'd'<<16 | 'f'<<8 | 'l'
	CDZstd Codec = 'c'<<24 | 'd'<<16 | 'z'<<8 | 's'
)

func (c Codec) String() string { return tagString(uint32(c)) }

// tagString is a tag as it is written, with what is not printable as a number.
func tagString(t uint32) string {
	b := binary.BigEndian.AppendUint32(nil, t)
	for _, c := range b {
		if c < 0x20 || c > 0x7E {
			return fmt.Sprintf("%08Xh", t)
		}
	}
	return string(b)
}

// A Header is the header of a CHD, version 5, as far as readers need it.
type Header struct {
	Codecs    [4]Codec // all 0: hunks are stored
	Logical   int64    // bytes of data
	HunkBytes int      // bytes of a hunk
	UnitBytes int      // bytes of a sector, or what else the data consists of
	RawSHA1   [20]byte // of the data; zeros where none was computed
	SHA1      [20]byte // of that and the metadata
	mapAt     int64
	metaAt    int64
}

// Compressed reports whether hunks are compressed.
func (h *Header) Compressed() bool { return h.Codecs[0] != 0 }

// Hunks is the count of hunks.
func (h *Header) Hunks() int64 {
	return (h.Logical + int64(h.HunkBytes) - 1) / int64(h.HunkBytes)
}

// A Reader reads the hunks of a CHD. Its methods may be called concurrently.
type Reader struct {
	Header
	Metadata []Metadata // in the file's order

	r      io.ReaderAt
	size   int64
	codecs [4]decoder
	hunks  hunkMap
}

// Open reads header, metadata and map of a CHD of size bytes.
func Open(r io.ReaderAt, size int64) (*Reader, error) {
	var b [headerSize]byte
	n, err := r.ReadAt(b[:], 0)
	if n < 16 || string(b[:8]) != magic {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: it does not begin with %s", ErrFormat, magic)
	}
	if v := binary.BigEndian.Uint32(b[12:]); v != 5 {
		return nil, fmt.Errorf("CHD version %d is not supported, only 5 is (hint: make it anew by chdman copy -i OLD -o NEW)", v)
	}
	if n < headerSize {
		return nil, fmt.Errorf("%w: byte %d: it ends within its header", ErrDamaged, n)
	}
	c := &Reader{r: r, size: size}
	if err := c.Header.parse(b[:]); err != nil {
		return nil, err
	}
	for i, codec := range c.Codecs {
		if c.codecs[i], err = decoderOf(codec, &c.Header); err != nil {
			return nil, err
		}
	}
	if c.Metadata, err = readMetadata(r, c.metaAt, size); err != nil {
		return nil, err
	}
	if c.hunks, err = readMap(r, &c.Header, size); err != nil {
		return nil, err
	}
	return c, nil
}

// parse takes the fields of a version 5 header and checks them.
func (h *Header) parse(b []byte) error {
	be := binary.BigEndian
	if n := be.Uint32(b[8:]); n != headerSize {
		return fmt.Errorf("%w: byte 8: a header of %d bytes, want %d", ErrDamaged, n, headerSize)
	}
	for i := range h.Codecs {
		h.Codecs[i] = Codec(be.Uint32(b[16+4*i:]))
	}
	logical, hunk, unit := be.Uint64(b[32:]), be.Uint32(b[56:]), be.Uint32(b[60:])
	if logical > 1<<44 {
		return fmt.Errorf("%w: byte 32: %d bytes are more than any disc has", ErrDamaged, logical)
	}
	if hunk < minHunk || hunk > maxHunk {
		return fmt.Errorf("%w: byte 56: hunks of %d bytes, want %d to %d", ErrDamaged, hunk, minHunk, maxHunk)
	}
	if unit == 0 || hunk%unit != 0 {
		return fmt.Errorf("%w: byte 60: units of %d bytes in hunks of %d", ErrDamaged, unit, hunk)
	}
	h.Logical, h.HunkBytes, h.UnitBytes = int64(logical), int(hunk), int(unit)
	h.mapAt, h.metaAt = int64(be.Uint64(b[40:])), int64(be.Uint64(b[48:]))
	if h.mapAt < 0 || h.metaAt < 0 {
		return fmt.Errorf("%w: byte 40: map or metadata lie beyond any file", ErrDamaged)
	}
	h.RawSHA1, h.SHA1 = [20]byte(b[64:84]), [20]byte(b[84:104])
	if slices.IndexFunc(b[104:124], func(c byte) bool { return c != 0 }) >= 0 {
		return fmt.Errorf("it holds only what differs from a parent CHD, which is not supported (hint: make a whole one by chdman copy -i CHILD -ip PARENT -o NEW)")
	}
	return nil
}

// damaged is an error at a byte of the file.
func damaged(off int64, format string, args ...any) error {
	return fmt.Errorf("%w: byte %d: %s", ErrDamaged, off, fmt.Sprintf(format, args...))
}

// readFull reads len(p) bytes at off.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return damaged(off+int64(n), "it ends where %d bytes more should be", len(p)-n)
	}
	return fmt.Errorf("byte %d: %w", off+int64(n), err)
}
