package image

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"spindle/isostore/disc"
)

// zstdFormat is a flat image in the seekable format of zstd. Without a seek
// table it is a packed image.
var zstdFormat = format{name: "zst", exts: packedExts(".zst"), open: openZstd}

// Of the seekable format, from zstd's contrib/seekable_format. All numbers are
// little-endian:
//
//	frames, then a skippable frame:
//	0 u32 184D2A5E   4 u32 size of what follows
//	8 a frame: u32 compressed size, u32 size of its data [, u32 checksum]
//	last 9 bytes: u32 frames, u8 descriptor (bit 7: checksums), u32 8F92EAB1
const (
	zstdMagic       = 0xFD2FB528
	zstdSkippable   = 0x184D2A50 // and 15 more
	zstdTableMagic  = 0x184D2A5E
	zstdFooterMagic = 0x8F92EAB1
	zstdFooter      = 9
	zstdChecksums   = 1 << 7
	zstdMaxFrames   = 1 << 21 // 32 MB of positions
	zstdMaxWindow   = 128 << 20
)

// A zstdImage is frames, each of which is decoded on its own.
type zstdImage struct {
	*file
	starts []int64 // of each frame's data, and the end
	packed []int64 // where each frame lies, and the end
}

// zstdDecoder decodes frames in memory, on as many processors as there are. A
// frame that holds more than what it is to fill fails before it takes memory.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(zstdMaxWindow))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// isZstd reports whether b begins as zstd data does.
func isZstd(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	m := binary.LittleEndian.Uint32(b)
	return m == zstdMagic || m&^15 == zstdSkippable
}

// openZstd opens an image that has a seek table, and frames that are small
// enough to be decoded for one read.
func openZstd(s *source) (disc.Disc, error) {
	b := make([]byte, zstdFooter)
	if n, _ := s.ReadAt(b, 0); n < len(b) || !isZstd(b) {
		return nil, fmt.Errorf("%w: byte 0: no zstd data", ErrFormat)
	}
	if err := readFull(s, b, s.size-zstdFooter); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(b[5:]) != zstdFooterMagic {
		return nil, fmt.Errorf("%w: byte %d: zstd data without a seek table", ErrFormat, s.size-zstdFooter)
	}
	z, err := readSeekTable(s, int64(binary.LittleEndian.Uint32(b)), b[4]&zstdChecksums != 0)
	if err != nil {
		return nil, err
	}
	inner, err := innerExt(s.name)
	if err != nil {
		return nil, err
	}
	s.info.Format = inner + ".zst"
	return openInner(s, newPieces(s, z.starts, z.decode))
}

// readSeekTable reads a table of that many frames.
func readSeekTable(s *source, frames int64, checksums bool) (*zstdImage, error) {
	width := int64(8)
	if checksums {
		width += 4
	}
	at := s.size - zstdFooter - frames*width
	if frames == 0 || frames > zstdMaxFrames || at < 8 {
		return nil, fmt.Errorf("%w: byte %d: a seek table of %d frames", ErrDamaged, s.size-zstdFooter, frames)
	}
	head := make([]byte, 8)
	if err := readFull(s, head, at-8); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(head) != zstdTableMagic || int64(binary.LittleEndian.Uint32(head[4:])) != s.size-at {
		return nil, fmt.Errorf("%w: byte %d: no frame with a seek table, which the footer says to be there", ErrDamaged, at-8)
	}
	z := &zstdImage{file: s.file, starts: make([]int64, 1, frames+1), packed: make([]int64, 1, frames+1)}
	b := make([]byte, min(frames*width, 8184*width))
	for i := int64(0); i < frames; {
		b := b[:min(int64(len(b)), (frames-i)*width)]
		if err := readFull(s, b, at+i*width); err != nil {
			return nil, err
		}
		for ; len(b) > 0; b, i = b[width:], i+1 {
			if err := z.add(int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:]))); err != nil {
				return nil, fmt.Errorf("byte %d: frame %d: %w", at+i*width, i, err)
			}
		}
	}
	switch size := z.starts[len(z.starts)-1]; {
	case z.packed[len(z.packed)-1] != at-8:
		return nil, fmt.Errorf("%w: byte %d: the seek table has frames up to byte %d", ErrDamaged, at-8, z.packed[len(z.packed)-1])
	case size == 0 || size > math.MaxInt32*disc.BlockSize:
		return nil, fmt.Errorf("%w: it says that it holds %d bytes", ErrDamaged, size)
	}
	return z, nil
}

// add takes a frame into the tables. One without data, which the format allows,
// goes with the one before.
func (z *zstdImage) add(packed, size int64) error {
	if size > maxHunk {
		return fmt.Errorf("%w: it holds %d bytes, and at most %d can be decoded for a read", ErrFormat, size, int64(maxHunk)) // all can still be unpacked
	}
	n := len(z.packed) - 1
	end := z.packed[n] + packed
	if size == 0 {
		z.packed[n] = end
		return nil
	}
	z.packed, z.starts = append(z.packed, end), append(z.starts, z.starts[n]+size)
	return nil
}

// decode implements hunks.
func (z *zstdImage) decode(p []byte, n int64) error {
	from, size := z.packed[n], z.packed[n+1]-z.packed[n]
	if size > 2*int64(len(p))+64<<10 {
		return fmt.Errorf("%w: byte %d: %d bytes in %d", ErrDamaged, from, len(p), size)
	}
	b := scratch(int(size))
	defer scratches.Put(b)
	if err := readFull(z.file, *b, from); err != nil {
		return err
	}
	got, err := zstdDecoder().DecodeAll(*b, p[:0:len(p)])
	if err == nil && len(got) != len(p) {
		err = fmt.Errorf("%d of %d bytes", len(got), len(p))
	}
	if err != nil {
		return fmt.Errorf("%w: byte %d: zstd: %w", ErrDamaged, from, err)
	}
	return nil
}
