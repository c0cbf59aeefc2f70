package chd

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// An entryType says how a hunk is stored.
type entryType byte

// Types of map entries, and what else stands in the stream of types: how often
// the last one comes again, and short forms of self and parent.
const (
	typeCodec0 entryType = iota // by the codec of that slot
	typeCodec1
	typeCodec2
	typeCodec3
	typeStored
	typeSelf   // as another hunk
	typeParent // in the parent
	typeRepeat // 3 and more times
	typeRepeatMore
	typeSelfLast
	typeSelfNext
	typeParentHere
	typeParentLast
	typeParentNext
)

// An entry is where a hunk lies.
type entry struct {
	kind   entryType
	length int
	off    int64 // in the file; of a self the hunk's number
	crc    uint16
}

// entrySize is the size of an entry in memory, in the form over which the map's
// CRC goes: type, u24 length, u48 offset, u16 CRC.
const entrySize = 12

func (e *entry) put(b []byte) {
	b[0], b[1], b[2], b[3] = byte(e.kind), byte(e.length>>16), byte(e.length>>8), byte(e.length)
	binary.BigEndian.PutUint16(b[4:], uint16(e.off>>32))
	binary.BigEndian.PutUint32(b[6:], uint32(e.off))
	binary.BigEndian.PutUint16(b[10:], e.crc)
}

func getEntry(b []byte) entry {
	return entry{
		kind:   entryType(b[0]),
		length: int(b[1])<<16 | int(b[2])<<8 | int(b[3]),
		off:    int64(binary.BigEndian.Uint16(b[4:]))<<32 | int64(binary.BigEndian.Uint32(b[6:])),
		crc:    binary.BigEndian.Uint16(b[10:]),
	}
}

// A hunkMap is where all hunks lie, 12 bytes each. That of a CHD without
// compression stays in the file.
type hunkMap []byte

// maxMap bounds the hunks of a small file, and mapShare the bytes of file that
// each one more must have: the map of a hostile file takes at most 48 MiB.
const (
	maxMap   = 4 << 20
	mapShare = 1024
)

// readMap reads the map of a CHD, and resolves hunks that are as others.
func readMap(r io.ReaderAt, h *Header, size int64) (hunkMap, error) {
	n := h.Hunks()
	if !h.Compressed() {
		if h.mapAt < headerSize || n > (size-h.mapAt)/4 {
			return nil, damaged(h.mapAt, "the map of %d hunks reaches beyond the file", n)
		}
		return nil, nil
	}
	if n > max(maxMap, size/mapShare) {
		return nil, damaged(32, "%d hunks are too many for a file of %d bytes", n, size)
	}
	var head [16]byte
	if err := readFull(r, head[:], h.mapAt); err != nil {
		return nil, err
	}
	at, length := h.mapAt+int64(len(head)), int64(binary.BigEndian.Uint32(head[:]))
	if length > size-at {
		return nil, damaged(h.mapAt, "a map of %d bytes reaches beyond the file", length)
	}
	p := mapReader{
		bits:       bitReader{r: bufio.NewReaderSize(io.NewSectionReader(r, at, length), 32<<10)},
		m:          make(hunkMap, n*entrySize),
		n:          int(n),
		h:          h,
		first:      int64(binary.BigEndian.Uint16(head[4:]))<<32 | int64(binary.BigEndian.Uint32(head[6:])),
		lengthBits: uint(head[12]),
		selfBits:   uint(head[13]),
		parentBits: uint(head[14]),
	}
	if err := p.read(); err != nil {
		return nil, fmt.Errorf("%w: byte %d: the map: %w", ErrDamaged, h.mapAt, err)
	}
	if got, want := crc16(p.m), binary.BigEndian.Uint16(head[10:]); got != want {
		return nil, damaged(h.mapAt, "the map's CRC is %04X, want %04X", got, want)
	}
	return p.m, p.m.resolve(size)
}

// A mapReader expands a compressed map.
type mapReader struct {
	bits       bitReader
	m          hunkMap
	n          int
	h          *Header
	first      int64 // offset of the first hunk that is not another
	lengthBits uint
	selfBits   uint
	parentBits uint
}

func (p *mapReader) read() error {
	if p.lengthBits > 24 || p.selfBits > 32 || p.parentBits > 32 {
		return fmt.Errorf("fields of %d, %d and %d bits", p.lengthBits, p.selfBits, p.parentBits)
	}
	tree, err := readTreeRLE(&p.bits, 16, 8)
	if err != nil {
		return err
	}
	p.types(tree)
	if err := p.bits.over(); err != nil {
		return err
	}
	return p.places()
}

// types reads the type of each hunk.
func (p *mapReader) types(tree *huffTree) {
	last, again := typeCodec0, 0
	for i := range p.n {
		if again > 0 {
			again--
		} else {
			switch t := entryType(tree.decode(&p.bits)); t {
			case typeRepeat:
				again = 2 + int(tree.decode(&p.bits))
			case typeRepeatMore:
				again = 2 + 16 + int(tree.decode(&p.bits))<<4
				again += int(tree.decode(&p.bits))
			default:
				last = t
			}
		}
		p.m[i*entrySize] = byte(last)
	}
}

// places reads where each hunk lies.
func (p *mapReader) places() error {
	at, self := p.first, uint32(0)
	for i := range p.n {
		e := entry{kind: entryType(p.m[i*entrySize]), off: at}
		switch e.kind {
		case typeCodec0, typeCodec1, typeCodec2, typeCodec3:
			e.length = int(p.bits.read(p.lengthBits))
			e.crc = uint16(p.bits.read(16))
			at += int64(e.length)
		case typeStored:
			e.length = p.h.HunkBytes
			e.crc = uint16(p.bits.read(16))
			at += int64(e.length)
		case typeSelf, typeSelfLast, typeSelfNext:
			switch e.kind {
			case typeSelf:
				self = p.bits.read(p.selfBits)
			case typeSelfNext:
				self++
			}
			e.kind, e.off = typeSelf, int64(self)
		default:
			return fmt.Errorf("hunk %d lies in a parent CHD, or nowhere (type %d)", i, e.kind)
		}
		if e.length > p.h.HunkBytes {
			return fmt.Errorf("hunk %d has %d bytes, more than the %d that it unpacks to", i, e.length, p.h.HunkBytes)
		}
		if e.kind < typeStored && p.h.Codecs[e.kind] == 0 {
			return fmt.Errorf("hunk %d is by codec %d, which the header does not name", i, e.kind)
		}
		e.put(p.m[i*entrySize:])
		if i%4096 == 0 && p.bits.over() != nil {
			break
		}
	}
	return p.bits.over()
}

// resolve checks offsets, and replaces each hunk that is as another by what that
// one is. A hunk is only as one before it, which is resolved by then: there are
// no chains, and no circles.
func (m hunkMap) resolve(size int64) error {
	for i := 0; i < len(m); i += entrySize {
		e := getEntry(m[i:])
		switch {
		case e.kind != typeSelf:
			if e.off+int64(e.length) > size {
				return damaged(e.off, "hunk %d of %d bytes reaches beyond the file", i/entrySize, e.length)
			}
		case e.off >= int64(i/entrySize):
			return fmt.Errorf("%w: hunk %d is as hunk %d, which does not stand before it", ErrDamaged, i/entrySize, e.off)
		default:
			copy(m[i:i+entrySize], m[e.off*entrySize:])
		}
	}
	return nil
}
