package image

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/pierrec/lz4/v4"

	"spindle/isostore/disc"
)

// csoFormat is compressed ISO of the PSP and PS2: CSO versions 0 to 2, and ZSO.
var csoFormat = format{name: "cso", exts: []string{".cso", ".ciso", ".zso"}, open: openCSO}

// A cso is a compressed ISO.
//
//	0 CISO or ZISO   4 u32 header size, unreliable   8 u64 size of the data
//	16 u32 block size   20 u8 version   21 u8 shift   22 2 bytes
//	24 u32 index, an entry a block and one more
//
// An entry without its bit 31, shifted left, is where the block starts; the
// next one says where its slot ends. What is in the slot may be shorter.
// Source: reference 8.9. All numbers are little-endian.
type cso struct {
	*file
	zso     bool
	version byte
	shift   byte
	size    int64 // of the data
	block   int64
	blocks  int64
	group   int64 // blocks a hunk
}

// Bounds of what is accepted.
const (
	csoHeader   = 24
	csoMinBlock = 512
	csoMaxShift = 16
	csoHunk     = 32 << 10 // smaller blocks are decoded together; twice as many of LZ4, which is fast
	csoFlag     = 1 << 31
)

// openCSO opens a compressed ISO. It looks through the index, and keeps none of
// it: one of a DVD has 9 MB.
func openCSO(s *source) (disc.Disc, error) {
	h := make([]byte, csoHeader)
	if n, _ := s.ReadAt(h, 0); n < len(h) || string(h[:4]) != "CISO" && string(h[:4]) != "ZISO" {
		return nil, fmt.Errorf("%w: byte 0: no CISO and no ZISO", ErrFormat)
	}
	size, block := binary.LittleEndian.Uint64(h[8:]), int64(binary.LittleEndian.Uint32(h[16:]))
	c := &cso{file: s.file, zso: h[0] == 'Z', version: h[20], shift: h[21], size: int64(size), block: block}
	switch {
	case c.version > 2 || c.zso && c.version > 1:
		return nil, fmt.Errorf("version %d of %s is not supported (hint: convert the image to ISO with the program that made it)", c.version, h[:4])
	case block < csoMinBlock || block > maxHunk || block&(block-1) != 0:
		return nil, fmt.Errorf("%w: byte 16: blocks of %d bytes", ErrDamaged, block)
	case c.shift > csoMaxShift:
		return nil, fmt.Errorf("%w: byte 21: positions in units of 2^%d bytes", ErrDamaged, c.shift)
	case size == 0 || size > math.MaxInt32*disc.BlockSize:
		return nil, fmt.Errorf("%w: byte 8: it says that it holds %d bytes", ErrDamaged, size)
	}
	c.blocks = (c.size + block - 1) / block
	if c.group = max(1, csoHunk/block); c.zso {
		c.group = max(1, 2*csoHunk/block)
	}
	if err := c.checkIndex(s); err != nil {
		return nil, err
	}
	if c.isXbox() {
		return nil, fmt.Errorf("an Xbox CISO image is not supported: its disc is for that console only (hint: where you need it, unpack it to ISO with the program that made it)")
	}
	return openInner(s, newHunks(s, c.size, c.block*c.group, c.decode))
}

// entries reads index entries from number first on into b, which has 4 bytes
// for each.
func (c *cso) entries(b []byte, first int64) error {
	return readFull(c.file, b, csoHeader+4*first)
}

// start is where an entry's block starts.
func (c *cso) start(entry uint32) int64 { return int64(entry&^csoFlag) << c.shift }

// checkIndex looks through the index: it must rise. Where the file ends before
// the last block the image is truncated.
func (c *cso) checkIndex(s *source) error {
	b := make([]byte, 64<<10)
	low := csoHeader + 4*(c.blocks+1)
	for i := int64(0); i <= c.blocks; {
		n := min(int64(len(b)), 4*(c.blocks+1-i))
		if err := c.entries(b[:n], i); err != nil {
			return fmt.Errorf("the index: %w", err)
		}
		for at := int64(0); at < n; at, i = at+4, i+1 {
			start := c.start(binary.LittleEndian.Uint32(b[at:]))
			if start < low {
				return fmt.Errorf("%w: byte %d: block %d starts at byte %d, before byte %d", ErrDamaged, csoHeader+4*i, i, start, low)
			}
			low = start
		}
	}
	if low > s.Size() {
		s.info.Truncated = true
		s.warn("the file ends at byte %d of %d: is the download complete?", s.Size(), low)
	}
	return nil
}

// isXbox reports whether an image of version 2 is one of the Xbox's, whose LZ4
// blocks begin with their length in 4 bytes.
func (c *cso) isXbox() bool {
	b := make([]byte, 8)
	for i := int64(0); c.version == 2 && i < min(c.blocks, 4096); i++ {
		if c.entries(b, i) != nil {
			return false
		}
		entry := binary.LittleEndian.Uint32(b)
		slot := c.start(binary.LittleEndian.Uint32(b[4:])) - c.start(entry)
		if entry&csoFlag == 0 || slot >= c.block {
			continue
		}
		if readFull(c.file, b[:4], c.start(entry)) != nil {
			return false
		}
		rest := slot - 4 - int64(binary.LittleEndian.Uint32(b))
		return rest >= 0 && rest < 1<<c.shift
	}
	return false
}

// decode implements hunks: it reads the slots of some blocks at once.
func (c *cso) decode(p []byte, n int64) error {
	first := n * c.group
	count := (int64(len(p)) + c.block - 1) / c.block
	index := make([]byte, 4*(count+1))
	if err := c.entries(index, first); err != nil {
		return fmt.Errorf("the index: %w", err)
	}
	entry := func(i int64) uint32 { return binary.LittleEndian.Uint32(index[4*i:]) }
	from, to := c.start(entry(0)), c.start(entry(count))
	if to < from || to-from > 2*c.block*c.group+count<<c.shift {
		return fmt.Errorf("%w: byte %d: blocks %d to %d take %d bytes", ErrDamaged, csoHeader+4*first, first, first+count-1, to-from)
	}
	packed := scratch(int(to - from))
	defer scratches.Put(packed)
	// The last slot's padding may be missing: what the block needs must be there.
	have, err := c.ReadAt(*packed, from)
	if have < len(*packed) && err == nil {
		err = fmt.Errorf("a read ended early")
	}
	for i := range count {
		start, end := c.start(entry(i))-from, c.start(entry(i+1))-from
		if start < 0 || end < start || end > int64(len(*packed)) {
			return fmt.Errorf("%w: byte %d: block %d ends before it starts", ErrDamaged, csoHeader+4*(first+i), first+i)
		}
		slot := (*packed)[min(start, int64(have)):min(end, int64(have))]
		out := p[i*c.block : min(int64(len(p)), (i+1)*c.block)]
		if bad := c.unpack(out, slot, entry(i)&csoFlag != 0, end-start); bad != nil {
			if have < int(end) {
				bad = noEOF(err)
			}
			return fmt.Errorf("block %d: byte %d: %w", first+i, from+start, bad)
		}
	}
	return nil
}

// unpack fills p with the block that is in slot; size is what the index says of
// the slot's length.
func (c *cso) unpack(p, slot []byte, flag bool, size int64) error {
	switch {
	case c.version < 2 && flag, c.version == 2 && size >= c.block:
		if copy(p, slot) < len(p) {
			return fmt.Errorf("%w: a stored block has %d of %d bytes", ErrDamaged, len(slot), len(p))
		}
		return nil
	case c.zso || flag:
		return unpackLZ4(p, slot)
	}
	return inflate(p, slot)
}

// unpackLZ4 fills p with a LZ4 block; what follows it in b is left alone.
func unpackLZ4(p, b []byte) error {
	n, err := lz4.UncompressBlock(b, p)
	if err != nil { // mostly because something follows
		n, err = lz4.UncompressBlock(b[:lz4Length(b, len(p))], p)
	}
	if err == nil && n < len(p) {
		err = fmt.Errorf("%d of %d bytes", n, len(p))
	}
	if err != nil {
		return fmt.Errorf("%w: LZ4: %w", ErrDamaged, err)
	}
	return nil
}

// lz4Length returns how much of b is a LZ4 block that unpacks to size bytes: its
// last sequence is of literals, with no match. It is len(b) when b is none.
//
// A sequence: token with length of literals 7-4 and of match 3-0, less 4; more
// of the first; literals; u16 offset; more of the second. 15 in the token has
// more: bytes that are added up, until one is not 255.
func lz4Length(b []byte, size int) int {
	at := 0
	more := func(n int) int {
		for more := n == 15; more && at < len(b); at++ {
			n += int(b[at])
			more = b[at] == 255
		}
		return n
	}
	for at < len(b) && size > 0 {
		token := b[at]
		at++
		n := more(int(token >> 4))
		at, size = at+n, size-n
		if size <= 0 {
			break
		}
		at += 2
		size -= more(int(token&15)) + 4
	}
	return min(at, len(b))
}
