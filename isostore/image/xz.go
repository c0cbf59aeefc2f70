package image

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"math"
	"slices"

	"github.com/ulikunitz/xz/lzma"
)

// xzMaxDict bounds the dictionaries that are accepted, in bytes: that of xz -9.
const xzMaxDict = 64 << 20

// A block's dictionary is memory that is cleared before it is used, and a block
// may hold a byte. So the dictionaries of all together may take xzFree of the
// largest, and xzShare bytes for each that was unpacked.
const (
	xzFree  = 16
	xzShare = 256
)

const xzMagic = "\xfd7zXZ\x00"

// An xzReader unpacks xz streams, one after another, by the xz file format
// 1.2.0. The package xz that its LZMA decoder comes from takes as much memory
// for the dictionary as a block asks for, 4 GiB; this one has a bound, and takes
// no more than the data needs.
//
//	stream header  FD '7zXZ' 00, u16 flags, u32 CRC
//	blocks         u8 size/4-1, u8 flags, [sizes], filters, padding, u32 CRC;
//	               LZMA2 data; padding to 4; check
//	index          00, number of records, records, padding to 4, u32 CRC
//	footer         u32 CRC, u32 size of the index, u16 flags, 'YZ'
type xzReader struct {
	r      *xzInput
	dict   int64     // bound of the dictionary
	begun  bool      // a stream
	check  byte      // kind of checks in it
	block  io.Reader // LZMA2 data of the current block, or nil
	began  int64     // where the current block's data starts
	sum    hash.Hash // of the current block, or nil
	blocks int64     // of this stream
	size   int64     // of this stream's blocks
	total  int64     // of all streams' blocks
	dicts  int64     // bytes of all dictionaries so far
	err    error
}

// An xzInput counts what is read.
type xzInput struct {
	r *bufio.Reader
	n int64
}

// Read implements io.Reader.
func (r *xzInput) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	return n, err
}

// ReadByte implements io.ByteReader, which the LZMA decoder uses.
func (r *xzInput) ReadByte() (byte, error) {
	b, err := r.r.ReadByte()
	if err == nil {
		r.n++
	}
	return b, err
}

// newXZ returns a reader of what is packed in r. It takes dict bytes for the
// dictionary at most; a size that is known bounds what is needed.
func newXZ(r io.Reader, dict int64) *xzReader {
	return &xzReader{r: &xzInput{r: bufio.NewReaderSize(r, 64<<10)}, dict: dict}
}

// Read implements io.Reader.
func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			end, err := x.next()
			if x.err = err; end {
				x.err = io.EOF
			} else if err == io.EOF {
				x.err = io.ErrUnexpectedEOF
			}
			continue
		}
		n, err := x.block.Read(p)
		x.size, x.total = x.size+int64(n), x.total+int64(n)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		if err == io.EOF {
			err = x.endBlock()
		}
		x.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, x.err
}

// next reads up to the data of the next block, or to the end of all.
func (x *xzReader) next() (end bool, err error) {
	if !x.begun {
		return false, x.header(nil)
	}
	size, err := x.r.ReadByte()
	if err != nil {
		return false, err
	}
	if size != 0 {
		return false, x.blockHeader(size)
	}
	if err := x.index(); err != nil {
		return false, err
	}
	return x.padding()
}

// header reads the header of a stream, of which b is read already.
func (x *xzReader) header(b []byte) error {
	b, rest := append(make([]byte, 0, 12), b...)[:12], len(b)
	if _, err := io.ReadFull(x.r, b[rest:]); err != nil {
		return noEOF(err)
	}
	if string(b[:6]) != xzMagic || b[6] != 0 || b[7] > 15 || crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return fmt.Errorf("no header of an xz stream")
	}
	x.begun, x.check, x.blocks, x.size = true, b[7], 0, 0
	return nil
}

// padding reads zeros behind a stream, and the header of the next.
func (x *xzReader) padding() (end bool, err error) {
	var b [4]byte
	for b == [4]byte{} {
		if _, err := io.ReadFull(x.r, b[:]); err != nil {
			return err == io.EOF, err
		}
	}
	return false, x.header(b[:])
}

// blockHeader reads a block's header, whose first byte is its size.
func (x *xzReader) blockHeader(first byte) error {
	b := make([]byte, (int(first)+1)*4)
	b[0] = first
	if _, err := io.ReadFull(x.r, b[1:]); err != nil {
		return err
	}
	end := len(b) - 4
	if crc32.ChecksumIEEE(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return fmt.Errorf("the CRC of a block's header is wrong")
	}
	flags, rest, size := b[1], b[2:end], uint64(math.MaxInt64)
	for _, has := range []byte{0x40, 0x80} { // packed and unpacked size
		if flags&has != 0 {
			v, n := binary.Uvarint(rest)
			if rest = rest[max(0, n):]; has == 0x80 {
				size = v
			}
		}
	}
	if flags&0x3F != 0 || len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 || rest[2] > 40 {
		return fmt.Errorf("a block has filters other than LZMA2, which are not supported (hint: unpack it with xz -d)")
	}
	dict := int64(2|rest[2]&1) << (rest[2]/2 + 11)
	if dict > xzMaxDict {
		return fmt.Errorf("a block wants a dictionary of %d bytes, and may have %d (hint: unpack it with xz -d)", dict, int64(xzMaxDict))
	}
	dict = max(lzma.MinDictCap, int64(min(uint64(dict), uint64(x.dict), size)))
	if x.dicts += dict; x.dicts > xzFree*x.dict+xzShare*x.total {
		return fmt.Errorf("its blocks are too small for their dictionaries of %d bytes (hint: unpack it with xz -d)", dict)
	}
	x.began = x.r.n
	x.sum = xzSum(x.check)
	block, err := lzma.Reader2Config{DictCap: int(dict)}.NewReader2(x.r)
	x.block = block
	return err
}

// xzSums are the sizes of the checks.
var xzSums = [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

// xzSum returns what computes a check of that kind, or nil where none is known.
func xzSum(kind byte) hash.Hash {
	switch kind {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		return sha256.New()
	}
	return nil
}

// endBlock reads what follows a block's data, and compares the check.
func (x *xzReader) endBlock() error {
	b := make([]byte, 3+64)
	pad, check := int(-(x.r.n-x.began)&3), xzSums[x.check]
	if _, err := io.ReadFull(x.r, b[:pad+check]); err != nil {
		return noEOF(err)
	}
	x.block = nil
	x.blocks++
	if x.sum != nil {
		got := b[pad : pad+check]
		if check < sha256.Size { // CRCs are little-endian
			slices.Reverse(got)
		}
		if !bytes.Equal(got, x.sum.Sum(nil)) {
			return fmt.Errorf("the check of a block is wrong")
		}
	}
	return nil
}

// index reads the index, whose first byte is read already, and the footer. The
// blocks must be as many and hold as much as it says.
func (x *xzReader) index() error {
	began := x.r.n - 1
	sum := crc32.NewIEEE()
	sum.Write([]byte{0})
	number := func() (v uint64, err error) {
		for shift := 0; shift < 63; shift += 7 {
			b, err := x.r.ReadByte()
			if err != nil {
				return 0, err
			}
			sum.Write([]byte{b})
			if v |= uint64(b&0x7F) << shift; b < 0x80 {
				return v, nil
			}
		}
		return 0, fmt.Errorf("a number in the index is too large")
	}
	blocks, err := number()
	if err == nil && blocks != uint64(x.blocks) {
		err = fmt.Errorf("the index has %d blocks, and the stream %d", blocks, x.blocks)
	}
	var size uint64
	for range x.blocks {
		if err == nil {
			_, err = number()
		}
		if err == nil {
			var n uint64
			n, err = number()
			size += n
		}
	}
	if err != nil {
		return err
	}
	if size != uint64(x.size) {
		return fmt.Errorf("the index has %d bytes, and the stream %d", size, x.size)
	}
	b := make([]byte, 3+4+12)
	pad := int(-(x.r.n - began) & 3)
	if _, err := io.ReadFull(x.r, b[:pad+16]); err != nil {
		return err
	}
	sum.Write(b[:pad])
	if b = b[pad:]; sum.Sum32() != binary.LittleEndian.Uint32(b) {
		return fmt.Errorf("the CRC of the index is wrong")
	}
	if string(b[14:16]) != "YZ" || crc32.ChecksumIEEE(b[8:14]) != binary.LittleEndian.Uint32(b[4:]) {
		return fmt.Errorf("no footer of an xz stream")
	}
	return nil
}

// unpackXZ fills p with xz data, whose check it compares.
func unpackXZ(p, b []byte) error {
	r := newXZ(bytes.NewReader(b), int64(len(p)))
	if err := unpackAll(r, p, "xz"); err != nil {
		return err
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("%w: xz: more than %d bytes: %w", ErrDamaged, len(p), noEOF(err))
	}
	return nil
}
