package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// ecmFormat is a file of raw sectors, or any other, without what can be made
// again: sync, EDC and ECC.
var ecmFormat = format{
	name: "ecm",
	exts: []string{".ecm"},
	open: openECM,
}

// An ecmKind is what a record has so many of.
type ecmKind struct {
	in, out int64 // bytes in the file and in what it unpacks to
	unpack  func(s, in []byte) []byte
}

// ecmKinds are the types of records (reference 8.9). unpack makes a sector in s
// and returns what it unpacks to; of Mode 2 the 16 bytes before that are literal.
var ecmKinds = [4]ecmKind{
	{1, 1, nil}, // literal
	{3 + disc.BlockSize, disc.SectorSize, unpackMode1},
	{4 + disc.BlockSize, disc.SectorSize - 16, func(s, in []byte) []byte { return unpackMode2(s, in, sector.EncodeForm1) }},
	{4 + 2324, disc.SectorSize - 16, func(s, in []byte) []byte { return unpackMode2(s, in, sector.EncodeForm2) }},
}

// unpackMode1 makes a sector of its address and user data.
func unpackMode1(s, in []byte) []byte {
	const edc, reserved, ecc = 2064, 2068, 2076
	sector.Header(s, 0, 1)
	copy(s[12:], in[:3])
	copy(s[16:], in[3:])
	binary.LittleEndian.PutUint32(s[edc:], sector.EDC(s[:edc]))
	clear(s[reserved:ecc])
	sector.ECC(s)
	return s[:disc.SectorSize]
}

// unpackMode2 makes a sector of its sub-header and user data.
func unpackMode2(s, in []byte, encode func([]byte, disc.LBA)) []byte {
	copy(s[16:], in[:4])
	copy(s[20:], in)
	encode(s, 0)
	return s[16:disc.SectorSize]
}

// Bounds of what is unpacked: far above what a disc needs.
const (
	maxECMSize    = 1 << 36 // bytes
	maxECMRecords = 1 << 24
)

// ecmHunk is how much is unpacked at once, in bytes.
const ecmHunk = 32 * disc.SectorSize

// An ecm finds what it unpacks to through the record that each hunk begins in.
type ecm struct {
	source *source
	hunks  []ecmPlace
	size   int64
}

// An ecmPlace is where a record begins.
type ecmPlace struct {
	in  int64 // in the file
	out int64 // in what it unpacks to
}

// openECM opens what an ECM file unpacks to, as raw sectors or as blocks. The
// file has no index: its records are read once, without their data. The checksum
// of the whole, at the end, is left to those who read it all.
func openECM(s *source) (disc.Disc, error) {
	var magic [4]byte
	if n, _ := s.ReadAt(magic[:], 0); n < len(magic) || string(magic[:]) != "ECM\x00" {
		return nil, fmt.Errorf("%w: byte 0: no ECM", ErrFormat)
	}
	e := &ecm{source: s}
	if err := e.scan(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	d := newHunks(s, e.size, ecmHunk, e.unpack)
	inner, err := openContent(s, d)
	switch {
	case !errors.Is(err, ErrFormat):
		return inner, err
	case e.size%disc.SectorSize != 0 || e.size < minAudio:
		return nil, fmt.Errorf("what it unpacks to: %w", err)
	}
	s.warn("there is no data track in it: it is taken for one of audio")
	return newRaw(s, disc.Track{Mode: disc.Audio}, run{form: audioForm, data: d, stride: disc.SectorSize})
}

// scan finds where each hunk begins.
func (e *ecm) scan() error {
	w := openWindow(e.source, 4096)
	defer w.close()
	at := int64(4)
	for range maxECMRecords {
		kind, count, length, err := w.record(at)
		if err != nil {
			return err
		}
		if count == 0 {
			return e.sized(at)
		}
		k := &ecmKinds[kind]
		next, end := at+length+count*k.in, e.size+count*k.out
		if next > e.source.size || end > maxECMSize {
			return fmt.Errorf("byte %d: a record up to byte %d of %d, which unpacks to %d bytes (hint: is the download complete?)", at, next, e.source.size, end)
		}
		for int64(len(e.hunks))*ecmHunk < end {
			e.hunks = append(e.hunks, ecmPlace{at, e.size})
		}
		at, e.size = next, end
	}
	return fmt.Errorf("byte %d: more than %d records", at, maxECMRecords)
}

// sized checks that anything was there before the end record.
func (e *ecm) sized(at int64) error {
	if e.size == 0 {
		return fmt.Errorf("byte %d: it ends without data", at)
	}
	return nil
}

// unpack fills p with hunk n.
func (e *ecm) unpack(p []byte, n int64) error {
	w := openWindow(e.source, windowSize)
	defer w.close()
	from := n * ecmHunk
	end := from + int64(len(p))
	for place := e.hunks[n]; place.out < end; {
		kind, count, length, err := w.record(place.in)
		if err != nil {
			return err
		}
		if count == 0 {
			return fmt.Errorf("%w: byte %d: it ends too early", ErrDamaged, place.in)
		}
		k, data := &ecmKinds[kind], place.in+length
		first := max(0, from-place.out) / k.out
		last := min(count, (end-place.out+k.out-1)/k.out)
		if err := w.units(p, k, data+first*k.in, place.out+first*k.out-from, last-first); err != nil {
			return err
		}
		place = ecmPlace{data + count*k.in, place.out + count*k.out}
	}
	return nil
}

// windowSize is how much of a file is read at once, in bytes.
const windowSize = 64 << 10

// A window is the part of a file that is in memory.
type window struct {
	file   *source
	start  int64
	held   []byte
	size   int
	buffer [windowSize]byte
	sector [disc.SectorSize]byte
}

var windows = sync.Pool{New: func() any { return new(window) }}

// openWindow returns a window of size bytes of a file.
func openWindow(file *source, size int) *window {
	w := windows.Get().(*window)
	w.file, w.size = file, size
	return w
}

// close gives the window's memory back.
func (w *window) close() {
	w.file, w.held = nil, nil
	windows.Put(w)
}

// at returns n bytes at off, or fewer where the file ends. They are valid until
// the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < w.start || off+int64(n) > w.start+int64(len(w.held)) {
		want := w.buffer[:min(int64(w.size), max(0, w.file.size-off))]
		got, err := w.file.ReadAt(want, off)
		if w.start, w.held = off, want[:got]; got < len(want) {
			return nil, fmt.Errorf("byte %d: %w", off+int64(got), noEOF(err))
		}
	}
	b := w.held[off-w.start:]
	return b[:min(n, len(b))], nil
}

// record reads the head of a record: its type in the lowest bits, then 32 bits
// of its count less one, seven a byte after the first, the lowest first. Of the
// last record all are set, and count is 0 here. length is that of the head.
func (w *window) record(at int64) (kind byte, count, length int64, err error) {
	b, err := w.at(at, 5)
	if err != nil {
		return 0, 0, 0, err
	}
	shift, value := 5, uint64(0)
	for i, c := range b {
		if i == 0 {
			kind, value = c&3, uint64(c>>2&0x1F)
		} else {
			value |= uint64(c&0x7F) << shift
			shift += 7
		}
		switch {
		case c&0x80 != 0:
		case value > 0xFFFFFFFF:
			return 0, 0, 0, fmt.Errorf("%w: byte %d: a record of %d", ErrDamaged, at, value)
		case value == 0xFFFFFFFF:
			return kind, 0, int64(i + 1), nil
		default:
			return kind, int64(value) + 1, int64(i + 1), nil
		}
	}
	return 0, 0, 0, fmt.Errorf("%w: byte %d: it ends within a record, or that is too long (hint: is the download complete?)", ErrDamaged, at)
}

// units unpacks n units of a record, which begin at byte in of the file, to p
// from off on. off may be negative, and the last unit reach behind p.
func (w *window) units(p []byte, k *ecmKind, in, off, n int64) error {
	if k.unpack == nil {
		return readFull(w.file, p[off:off+n], in)
	}
	for range n {
		b, err := w.at(in, int(k.in))
		if err != nil {
			return err
		}
		if int64(len(b)) < k.in {
			return fmt.Errorf("%w: byte %d: %w", ErrDamaged, in+int64(len(b)), noEOF(nil))
		}
		s := k.unpack(w.sector[:], b)
		if off < 0 {
			s = s[-off:]
		}
		copy(p[max(0, off):], s)
		in, off = in+k.in, off+k.out
	}
	return nil
}
