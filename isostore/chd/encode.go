package chd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"

	"spindle/isostore/disc"
)

// An encoder appends to b what a hunk packs to, or returns nil where it is no
// use to try. It is called concurrently and does not change the hunk.
type encoder func(b, hunk []byte) ([]byte, error)

// encoders are the codecs that are written, for data of any kind.
var encoders = map[Codec]encoder{Zlib: deflate, Zstd: packZstd}

// cdEncoders are those for units of 2448 bytes.
var cdEncoders = map[Codec]func(f cdFrames) encoder{
	CDZlib: func(f cdFrames) encoder { return f.encoder(deflate, deflate) },
	CDZstd: func(f cdFrames) encoder { return f.encoder(packZstd, packZstd) },
	CDFLAC: func(f cdFrames) encoder { return f.packFLAC },
}

func encoderOf(c Codec, hunk int) (encoder, error) {
	if e := encoders[c]; e != nil {
		return e, nil
	}
	if make := cdEncoders[c]; make != nil && hunk%FrameSize == 0 {
		return make(cdFrames(hunk / FrameSize)), nil
	}
	return nil, fmt.Errorf("codec %s cannot be written for hunks of %d bytes", c, hunk)
}

// A deflater is an encoder of raw deflate data that is used again and again.
type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	d.w, _ = flate.NewWriter(&d.out, flate.DefaultCompression)
	return d
}}

func deflate(b, data []byte) ([]byte, error) {
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	d.out.Reset()
	d.w.Reset(&d.out)
	if _, err := d.w.Write(data); err != nil {
		return nil, err
	}
	if err := d.w.Close(); err != nil {
		return nil, err
	}
	return append(b, d.out.Bytes()...), nil
}

var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

func packZstd(b, data []byte) ([]byte, error) { return zstdEncoder().EncodeAll(data, b), nil }

// encoder is the encoder that packs sectors and sub-channels so; see cdFrames.
func (f cdFrames) encoder(sectors, subs encoder) encoder {
	return func(b, hunk []byte) ([]byte, error) {
		base, sub, done := f.buffers()
		defer done()
		f.split(base, sub, hunk)
		start := len(b)
		nb, nl := f.header()
		b = append(b, make([]byte, nb+nl)...)
		for i := range int(f) {
			if strip(base[i*disc.SectorSize:][:disc.SectorSize]) {
				b[start+i/8] |= 1 << (i % 8)
			}
		}
		at := len(b)
		b, err := sectors(b, base)
		if err != nil {
			return nil, err
		}
		for i, n := 0, len(b)-at; i < nl; i++ {
			b[at-1-i] = byte(n >> (8 * i))
		}
		if (len(b)-at)>>(8*nl) != 0 {
			return nil, nil // larger than the hunk itself
		}
		return subs(b, sub)
	}
}

// flacBlock is the most samples of a FLAC frame that chdman writes.
const flacBlock = 2352

// packFLAC is the encoder for audio. It does not try hunks with data.
func (f cdFrames) packFLAC(b, hunk []byte) ([]byte, error) {
	base, sub, done := f.buffers()
	defer done()
	f.split(base, sub, hunk)
	for i := range int(f) {
		if [syncSize]byte(base[i*disc.SectorSize:]) == syncField {
			return nil, nil
		}
	}
	block := int(f) * disc.SectorSize / 4
	for block > flacBlock {
		block /= 2
	}
	var out bytes.Buffer
	e, err := flac.NewEncoder(&out, &meta.StreamInfo{BlockSizeMin: uint16(block), BlockSizeMax: uint16(block), SampleRate: 44100, NChannels: 2, BitsPerSample: 16})
	if err != nil {
		return nil, err
	}
	header := out.Len()
	for len(base) > 0 {
		n := min(block, len(base)/4)
		if err := e.WriteFrame(flacFrame(base[:4*n])); err != nil {
			return nil, err
		}
		base = base[4*n:]
	}
	return deflate(append(b, out.Bytes()[header:]...), sub)
}

// flacFrame is a frame of big-endian samples, to be encoded as left and right,
// or as middle and side where the two change less against each other.
func flacFrame(p []byte) *frame.Frame {
	n := len(p) / 4
	left, right := make([]int32, n), make([]int32, n)
	var moves, apart int64
	for i := range n {
		left[i] = int32(int16(binary.BigEndian.Uint16(p[4*i:])))
		right[i] = int32(int16(binary.BigEndian.Uint16(p[4*i+2:])))
		if i > 0 {
			l, r := int64(left[i]-left[i-1]), int64(right[i]-right[i-1])
			moves += max(l, -l) + max(r, -r)
			apart += 2 * max(l-r, r-l)
		}
	}
	channels := frame.ChannelsLR
	if apart < moves {
		channels = frame.ChannelsMidSide
	}
	sub := func(s []int32) *frame.Subframe {
		return &frame.Subframe{SubHeader: frame.SubHeader{Pred: frame.PredVerbatim}, Samples: s, NSamples: n}
	}
	return &frame.Frame{
		Header:    frame.Header{HasFixedBlockSize: true, BlockSize: uint16(n), SampleRate: 44100, Channels: channels, BitsPerSample: 16},
		Subframes: []*frame.Subframe{sub(left), sub(right)},
	}
}
