package chd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// A decoder fills p, a whole hunk, with what packed unpacks to. It is called
// concurrently, and may panic when packed is damaged.
type decoder func(p, packed []byte) error

// decoders are the codecs for data of any kind.
var decoders = map[Codec]decoder{
	Zlib: inflate,
	LZMA: unLZMA,
	Huff: unHuff,
	FLAC: unFLAC,
	Zstd: unZstd,
}

// cdDecoders are the codecs for units of 2448 bytes.
var cdDecoders = map[Codec]func(f cdFrames) decoder{
	CDZlib: func(f cdFrames) decoder { return f.decoder(inflate, inflate) },
	CDLZMA: func(f cdFrames) decoder { return f.decoder(unLZMA, inflate) },
	CDZstd: func(f cdFrames) decoder { return f.decoder(unZstd, unZstd) },
	CDFLAC: func(f cdFrames) decoder { return f.unFLAC },
}

// decoderOf returns the decoder of a codec for the hunks of a CHD.
func decoderOf(c Codec, h *Header) (decoder, error) {
	if c == 0 {
		return nil, nil
	}
	if d := decoders[c]; d != nil {
		return d, nil
	}
	make := cdDecoders[c]
	if make == nil {
		return nil, fmt.Errorf("codec %s is not supported (hint: compress it anew by chdman copy)", c)
	}
	if h.HunkBytes%FrameSize != 0 {
		return nil, fmt.Errorf("%w: codec %s for hunks of %d bytes, not a multiple of %d", ErrDamaged, c, h.HunkBytes, FrameSize)
	}
	return make(cdFrames(h.HunkBytes / FrameSize)), nil
}

// An inflater is a decoder of raw deflate data that is used again and again.
type inflater struct {
	io.ReadCloser
	src bytes.Reader
}

var inflaters = sync.Pool{New: func() any {
	i := new(inflater)
	i.ReadCloser = flate.NewReader(&i.src)
	return i
}}

// inflate unpacks raw deflate data.
func inflate(p, packed []byte) error {
	i := inflaters.Get().(*inflater)
	defer inflaters.Put(i)
	i.src.Reset(packed)
	if err := i.ReadCloser.(flate.Resetter).Reset(&i.src, nil); err != nil {
		return err
	}
	n, err := io.ReadFull(i, p)
	return short(n, len(p), err)
}

// short is err of a decoder that gave n of want bytes.
func short(n, want int, err error) error {
	switch {
	case n == want:
		return nil
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it unpacks to %d bytes, want %d", n, want)
	}
	return err
}

// zstdMemory bounds windows and content of zstd frames, in bytes; those of
// hunks are small.
const zstdMemory = 8 << 20

// zstdDecoder is one decoder for all, which works for several at a time.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(zstdMemory))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// unZstd unpacks a zstd frame.
func unZstd(p, packed []byte) error {
	out, err := zstdDecoder().DecodeAll(packed, p[:0:len(p)])
	if err == nil && len(out) != len(p) {
		err = short(len(out), len(p), nil)
	}
	if err == nil && &out[0] != &p[0] {
		copy(p, out)
	}
	return err
}

// unHuff unpacks bytes by a Huffman code of at most 16 bits, which stands before
// them.
func unHuff(p, packed []byte) error {
	b := bitReader{r: bytes.NewReader(packed)}
	tree, err := readTreeHuffman(&b, 256, 16)
	if err != nil {
		return err
	}
	for i := range p {
		p[i] = byte(tree.decode(&b))
	}
	return b.over()
}
