package image

import (
	"encoding/binary"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	"spindle/isostore/disc"
)

// iszFormat is compressed ISO of UltraISO, in one file or several.
var iszFormat = format{name: "isz", exts: []string{".isz"}, open: openISZ}

// Kinds of chunks.
const (
	iszZero = iota
	iszRaw
	iszZlib
	iszBzip2
)

// Bounds of what is accepted.
const (
	iszHeader    = 48
	iszMinChunk  = 512
	iszMaxChunks = 1 << 21
)

// An isz is a compressed ISO in chunks. Its header, packed and little-endian:
//
//	 0 IsZ!   4 u8 header size   5 u8 version   6 u32 serial   10 u16 sector size
//	12 u32 sectors   16 u8 encryption   25 u32 chunks   29 u32 chunk size
//	33 u8 bytes of an entry of the chunk table   34 u8 part
//	35 u32 chunk table, 0: all is stored   39 u32 part table, 0: one part
//	43 u32 data
//
// Source: reference 8.9.
type isz struct {
	*source
	head   []byte
	size   int64 // of the data
	chunk  int64
	count  int64
	kinds  []byte
	starts []int64 // of each chunk in packed, and the end
	packed stitched
}

// openISZ opens an ISZ image by its first part.
func openISZ(s *source) (disc.Disc, error) {
	h := make([]byte, iszHeader)
	if n, _ := s.ReadAt(h, 0); n < len(h) || string(h[:4]) != "IsZ!" {
		return nil, fmt.Errorf("%w: byte 0: not the IsZ! of an ISZ image", ErrFormat)
	}
	z := &isz{source: s, head: h}
	sector, sectors := int64(binary.LittleEndian.Uint16(h[10:])), int64(binary.LittleEndian.Uint32(h[12:]))
	z.size, z.count, z.chunk = sector*sectors, int64(binary.LittleEndian.Uint32(h[25:])), int64(binary.LittleEndian.Uint32(h[29:]))
	switch {
	case h[16] != 0:
		return nil, fmt.Errorf("byte 16: it is encrypted (%s), which is not supported (hint: convert it to ISO with UltraISO and its password)", iszCipher(h[16]))
	case h[34] > 1:
		return nil, fmt.Errorf("byte 34: it is part %d of an ISZ image (hint: take the first part, %s.isz)", h[34], s.stem())
	case z.size == 0 || z.size > math.MaxInt32*disc.BlockSize:
		return nil, fmt.Errorf("%w: byte 10: %d sectors of %d bytes", ErrDamaged, sectors, sector)
	case z.chunk < iszMinChunk || z.chunk > maxHunk:
		return nil, fmt.Errorf("%w: byte 29: chunks of %d bytes", ErrDamaged, z.chunk)
	case z.count != (z.size+z.chunk-1)/z.chunk || z.count > iszMaxChunks:
		return nil, fmt.Errorf("%w: byte 25: %d chunks of %d bytes for %d bytes", ErrDamaged, z.count, z.chunk, z.size)
	}
	if err := z.readChunks(); err != nil {
		return nil, err
	}
	if err := z.readParts(); err != nil {
		return nil, err
	}
	if have, want := z.packed.Size(), z.starts[z.count]; have < want {
		s.info.Truncated = true
		s.warn("the files hold %d of %d compressed bytes: is the download complete?", have, want)
	}
	return openInner(s, newHunks(s, z.size, z.chunk, z.decode))
}

func iszCipher(kind byte) string {
	names := []string{1: "by a password", 2: "by AES-128", 3: "by AES-192", 4: "by AES-256"}
	if int(kind) < len(names) {
		return names[kind]
	}
	return fmt.Sprintf("in way %d", kind)
}

// iszClear undoes how a table is hidden: each byte is xored with the inverse of
// one of the signature's.
func iszClear(b []byte) {
	for i := range b {
		b[i] ^= ^"IsZ!"[i%4]
	}
}

// span is how many bytes chunk i holds.
func (z *isz) span(i int64) int64 { return min(z.chunk, z.size-i*z.chunk) }

// readChunks reads the chunk table. Some writers do not hide it: it is what
// makes sense.
func (z *isz) readChunks() error {
	z.kinds, z.starts = make([]byte, z.count), make([]int64, z.count+1)
	at, width := int64(binary.LittleEndian.Uint32(z.head[35:])), int64(z.head[33])
	if at == 0 {
		for i := range z.count {
			z.kinds[i], z.starts[i+1] = iszRaw, z.starts[i]+z.span(i)
		}
		return nil
	}
	if width < 1 || width > 4 {
		return fmt.Errorf("%w: byte 33: entries of %d bytes", ErrDamaged, width)
	}
	if z.count*width > z.file.size-at {
		return fmt.Errorf("%w: byte 35: a table of %d chunks at byte %d, and the file ends at byte %d", ErrDamaged, z.count, at, z.file.size)
	}
	b := make([]byte, z.count*width)
	if err := readFull(z.file, b, at); err != nil {
		return err
	}
	iszClear(b)
	err := z.chunks(b, int(width))
	if err != nil {
		iszClear(b)
		if z.chunks(b, int(width)) == nil {
			return nil
		}
		return fmt.Errorf("the chunk table at byte %d: %w", at, err)
	}
	return nil
}

// chunks takes the chunk table: of an entry the top two bits are the kind, the
// others how many bytes are stored; of zeros, none are.
func (z *isz) chunks(b []byte, width int) error {
	var word [4]byte
	for i := range z.count {
		clear(word[:])
		copy(word[:], b[int(i)*width:][:width])
		v := binary.LittleEndian.Uint32(word[:])
		kind, n := byte(v>>(8*width-2)), int64(v&(1<<(8*width-2)-1))
		if n > z.chunk || kind == iszRaw && n < z.span(i) {
			return fmt.Errorf("%w: chunk %d has %d bytes of %d", ErrDamaged, i, n, z.span(i))
		}
		if kind == iszZero {
			n = 0
		}
		z.kinds[i], z.starts[i+1] = kind, z.starts[i]+n
	}
	return nil
}

// An iszPart is an entry of the part table.
//
//	0 u64 size, 0 ends the table   8 u32 chunks   12 u32 first chunk
//	16 u32 where that begins   20 u32 bytes of the last chunk in the next part
type iszPart struct{ size, chunks, first, at, left int64 }

// readParts puts the packed data of all parts together.
func (z *isz) readParts() error {
	at := int64(binary.LittleEndian.Uint32(z.head[39:]))
	if at == 0 {
		begin := int64(binary.LittleEndian.Uint32(z.head[43:]))
		z.packed.add(min(z.starts[z.count], z.file.size-begin), z.file, begin)
		return nil
	}
	parts, err := z.partTable(at)
	if err != nil {
		return fmt.Errorf("the part table at byte %d: %w", at, err)
	}
	before := int64(0) // bytes of the last part's last chunk
	for i, p := range parts {
		f := z.file
		if i > 0 {
			if f, err = z.part(i); err != nil {
				return err
			}
		}
		begin, end := p.at-before, p.at+z.starts[p.first+p.chunks]-z.starts[p.first]-p.left
		if p.chunks == 0 { // the middle of a chunk
			begin, end = p.at, min(p.at+before, f.size)
			p.left = before - (end - begin)
		}
		if begin < 0 || end < begin {
			return fmt.Errorf("%w: part %d: bytes %d to %d", ErrDamaged, i+1, begin, end)
		}
		if end > f.size {
			z.info.Truncated = true
			z.warn("%s ends at byte %d of %d: is the download complete?", path.Base(f.path), f.size, end)
		}
		z.packed.add(end-begin, f, begin)
		before = p.left
	}
	return nil
}

// partTable reads the part table. Its chunks must be all chunks.
func (z *isz) partTable(at int64) (parts []iszPart, err error) {
	b := make([]byte, min(24*(maxCompanions+1), max(0, z.file.size-at)))
	if err := readFull(z.file, b, at); err != nil {
		return nil, err
	}
	iszClear(b)
	parts, err = z.partEntries(b)
	if err != nil {
		iszClear(b)
		if plain, bad := z.partEntries(b); bad == nil {
			return plain, nil
		}
	}
	return parts, err
}

// partEntries takes the entries of a part table.
func (z *isz) partEntries(b []byte) (parts []iszPart, err error) {
	next := int64(0)
	for ; len(b) >= 24; b = b[24:] {
		u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
		p := iszPart{int64(binary.LittleEndian.Uint64(b)), u32(8), u32(12), u32(16), u32(20)}
		if p.size == 0 {
			break
		}
		if p.chunks > 0 && p.first != next || p.chunks > z.count-next || p.left > z.chunk {
			return nil, fmt.Errorf("%w: part %d has %d chunks from %d on, where %d should come", ErrDamaged, len(parts)+1, p.chunks, p.first, next)
		}
		if p.chunks == 0 {
			p.first = next
		}
		next += p.chunks
		parts = append(parts, p)
	}
	if next != z.count {
		return nil, fmt.Errorf("%w: %d parts have %d of %d chunks", ErrDamaged, len(parts), next, z.count)
	}
	return parts, nil
}

// part opens part i of the image, counted from 0: NAME.i01 after NAME.isz, and
// NAME.part02.isz after NAME.part01.isz.
func (z *isz) part(i int) (*file, error) {
	name := fmt.Sprintf("%s.i%02d", z.stem(), i)
	if base := strings.TrimRight(z.stem(), "0123456789"); strings.HasSuffix(strings.ToLower(base), ".part") {
		digits := z.stem()[len(base):]
		if first, err := strconv.Atoi(digits); err == nil {
			name = fmt.Sprintf("%s%0*d%s", base, len(digits), first+i, path.Ext(z.name))
		}
	}
	f, err := z.companion(name)
	if err != nil {
		return nil, fmt.Errorf("part %d: %w", i+1, err)
	}
	h := make([]byte, 10)
	if n, _ := f.ReadAt(h, 0); n < len(h) || string(h[:4]) != "IsZ!" || string(h[6:10]) != string(z.head[6:10]) {
		return nil, fmt.Errorf("%w: %s is no part of this image", ErrDamaged, name)
	}
	return f, nil
}

// iszCodecs unpack the chunks that are stored compressed.
var iszCodecs = [...]func(p, b []byte) error{iszZlib: inflateZlib, iszBzip2: func(p, b []byte) error {
	copy(b, "BZh") // which the writer takes away
	return unpackBzip2(p, b)
}}

// decode implements hunks.
func (z *isz) decode(p []byte, n int64) error {
	at, size := z.starts[n], z.starts[n+1]-z.starts[n]
	if z.kinds[n] == iszZero {
		return nil // p is new
	}
	if z.kinds[n] == iszRaw {
		size = int64(len(p))
	}
	b := scratch(int(size))
	defer scratches.Put(b)
	if k, err := z.packed.ReadAt(*b, at); k < len(*b) {
		return fmt.Errorf("compressed byte %d: %w", at+int64(k), noEOF(err))
	}
	if z.kinds[n] == iszRaw {
		copy(p, *b)
		return nil
	}
	if err := iszCodecs[z.kinds[n]](p, *b); err != nil {
		return fmt.Errorf("chunk %d: %w", n, err)
	}
	return nil
}
