package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"spindle/isostore/disc"
)

// cdiFormat is DiscJuggler's image: the sectors of all tracks, pregaps too, then
// a descriptor, then where that begins.
var cdiFormat = format{
	name: "cdi",
	exts: []string{".cdi"},
	open: openCDI,
}

// Versions of CDI, in the last 8 bytes.
const (
	cdiVersion2  = 0x80000004
	cdiVersion3  = 0x80000005
	cdiVersion35 = 0x80000006 // 3.5 and 4
)

// maxCDIDescriptor bounds the descriptor, in bytes: it has file names and
// CD-TEXT.
const maxCDIDescriptor = 4 << 20

// cdiMarker begins the header of a track. The 15 bytes before that of a
// session's first track are the session's. Between those, versions differ.
var cdiMarker = []byte{0xFF, 0xFF, 0, 0, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF}

// A cdi is a descriptor while it is read. All integers are little-endian
// (reference 8.9).
type cdi struct {
	source *source
	start  int64 // of the descriptor in the file
	fields cursor
	tracks []cdiTrack
	layout disc.Layout
}

// A cdiTrack is a track of the descriptor.
type cdiTrack struct {
	session int
	isDVD   bool
	indexes []int64 // lengths from index 0 on, in sectors
	mode    byte
	lba     disc.LBA
	length  int64 // in sectors, with the pregap
	stored  uint32
	control byte
	isrc    string
	offset  int64 // of index 0
}

// openCDI opens an image of version 2, 3, 3.5 or 4.
func openCDI(s *source) (disc.Disc, error) {
	var b [8]byte
	if s.size < 64 {
		return nil, s.notOf(fmt.Sprintf("%d bytes have no descriptor of DiscJuggler", s.size), ".cdi")
	}
	if err := readFull(s, b[:], s.size-8); err != nil {
		return nil, err
	}
	version, at := binary.LittleEndian.Uint32(b[:]), int64(binary.LittleEndian.Uint32(b[4:]))
	switch version {
	case cdiVersion2, cdiVersion3:
	case cdiVersion35:
		at = s.size - at
	default:
		return nil, s.notOf(fmt.Sprintf("byte %d: no version of DiscJuggler", s.size-8), ".cdi")
	}
	if at < 0 || at > s.size-24 || s.size-at > maxCDIDescriptor {
		// Another file may well end in these four bytes.
		return nil, s.notOf(fmt.Sprintf("byte %d: a descriptor of DiscJuggler should begin at byte %d", s.size-4, at), ".cdi")
	}
	c := &cdi{source: s, start: at, fields: cursor{b: make([]byte, s.size-8-at)}}
	if err := readFull(s, c.fields.b, at); err != nil {
		return nil, err
	}
	if err := c.sessions(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	c.discInfo()
	return c.disc()
}

// header goes to the next track's header, and returns where it is.
func (c *cdi) header() (int, error) {
	f := &c.fields
	i := bytes.Index(f.b[f.at:], cdiMarker)
	if i < 0 {
		return 0, fmt.Errorf("byte %d: no header of a track from here on", c.start+int64(f.at))
	}
	at := f.at + i
	for bytes.HasPrefix(f.b[at+10:], cdiMarker) {
		at += 10 // marks stand one behind the other, and the header behind the last
	}
	f.at = at
	return at, nil
}

// sessions reads sessions and tracks.
func (c *cdi) sessions() error {
	count := int(c.fields.u8())
	if count == 0 || count > 99 {
		return fmt.Errorf("byte %d: %d sessions", c.start, count)
	}
	for i := range count {
		at, err := c.header()
		if err != nil {
			return err
		}
		if at < 16 || c.fields.b[at-6] != 1 || c.fields.b[at-14] == 0 {
			return fmt.Errorf("byte %d: session %d should be here", c.start+int64(at)-15, i+1)
		}
		for range c.fields.b[at-14] {
			if at, err = c.header(); err != nil {
				return err
			}
			if len(c.tracks) == 99 {
				return fmt.Errorf("byte %d: a track after the 99th", c.start+int64(at))
			}
			if err := c.track(i); err != nil {
				return fmt.Errorf("byte %d: track %d: %w", c.start+int64(at), len(c.tracks)+1, err)
			}
		}
	}
	return nil
}

// common reads what the headers of a track and of the disc have in common: a
// file name and, from version 3.00.780 on, the medium.
func (c *cdi) common() (medium uint16) {
	f := &c.fields
	f.skip(len(cdiMarker) + 4)
	f.skip(int(f.u8()))
	f.skip(19)
	if f.u32() == 0x80000000 {
		f.skip(6)
		medium = f.u16()
	}
	return medium
}

// cdiDVD is the medium of a DVD; a CD is 98h.
const cdiDVD = 0x38

// track reads a track up to its recording code.
func (c *cdi) track(session int) error {
	f := &c.fields
	t := cdiTrack{session: session, isDVD: c.common() == cdiDVD}
	count := f.u16()
	if count == 0 || count > 100 {
		return fmt.Errorf("%d indexes", count)
	}
	for range count {
		t.indexes = append(t.indexes, int64(f.u32()))
	}
	if err := f.cdText(); err != nil {
		return err
	}
	f.skip(2)
	t.mode = f.u8()
	f.skip(7 + 4 + 4)
	t.lba, t.length = disc.LBA(f.u32()), int64(f.u32())
	f.skip(12 + 4)
	t.stored, t.control = f.u32(), byte(f.u32()&0xF)
	f.skip(1 + 4 + 4)
	isrc := f.bytes(12)
	if f.u32() != 0 {
		t.isrc = string(isrc)
	}
	if f.short {
		return fmt.Errorf("the descriptor ends in it")
	}
	c.tracks = append(c.tracks, t)
	return nil
}

// cdText skips the blocks of a track's CD-TEXT: 18 fields each, with their
// length before them. The packs are with the disc's data.
func (f *cursor) cdText() error {
	blocks := f.u32()
	if blocks > 64 {
		return fmt.Errorf("%d blocks of CD-TEXT", blocks)
	}
	for range blocks * 18 {
		f.skip(int(f.u8()))
	}
	return nil
}

// discInfo reads what stands behind the last session, as far as it is there:
// catalogue number and CD-TEXT.
func (c *cdi) discInfo() {
	if _, err := c.header(); err != nil {
		return
	}
	f := &c.fields
	c.common()
	f.skip(4)
	f.skip(int(f.u8())) // volume identifier
	f.skip(9)
	mcn, valid := string(f.bytes(13)), f.u32() != 0
	size := f.u32()
	if f.short {
		return
	}
	if valid {
		c.layout.MCN = mcn
	}
	if packs := f.bytes(int(min(size, maxCDIDescriptor))); !f.short {
		addPacks(c.source, &c.layout, packs)
	}
}

// A cursor reads little-endian fields one after the other. Behind the end all
// are zero, and short is set.
type cursor struct {
	b     []byte
	at    int
	short bool
}

func (f *cursor) bytes(n int) []byte {
	if f.short = f.short || n > len(f.b)-f.at; f.short {
		return make([]byte, min(n, 16))
	}
	f.at += n
	return f.b[f.at-n : f.at]
}

func (f *cursor) skip(n int)  { f.bytes(n) }
func (f *cursor) u8() byte    { return f.bytes(1)[0] }
func (f *cursor) u16() uint16 { return binary.LittleEndian.Uint16(f.bytes(2)) }
func (f *cursor) u32() uint32 { return binary.LittleEndian.Uint32(f.bytes(4)) }

// disc makes the disc that the descriptor describes.
func (c *cdi) disc() (disc.Disc, error) {
	at := int64(0)
	for i := range c.tracks {
		t := &c.tracks[i]
		t.offset = at
		size, err := t.size()
		if err != nil {
			return nil, fmt.Errorf("%w: track %d: %w", ErrDamaged, i+1, err)
		}
		if at += t.length * size; at > c.start {
			return nil, fmt.Errorf("%w: track %d ends at byte %d, and the descriptor begins at byte %d", ErrDamaged, i+1, at, c.start)
		}
	}
	if t := &c.tracks[0]; t.isDVD && len(c.tracks) == 1 && t.stored == 0 && t.length > t.indexes[0] {
		return c.dvd(t)
	}
	runs, err := c.place()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	d, err := newCD(c.source, &c.layout, runs)
	if err != nil {
		return nil, err
	}
	d.readSubNames()
	return d, nil
}

// dvd makes a DVD of its one track, which has a pregap as on a CD.
func (c *cdi) dvd(t *cdiTrack) (disc.Disc, error) {
	n := t.length - t.indexes[0]
	if c.source.options.Kind == 0 && n <= disc.MaxDVDBlocks {
		c.source.options.Kind = disc.DVD
	}
	return newFlat(c.source, io.NewSectionReader(c.source, t.offset+t.indexes[0]*disc.BlockSize, n*disc.BlockSize))
}
