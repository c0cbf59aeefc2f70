package chd

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/mewkiz/flac/frame"
)

// unFLAC unpacks FLAC frames behind a byte that says the order of the samples'
// bytes.
func unFLAC(p, packed []byte) error {
	if len(packed) == 0 {
		return fmt.Errorf("it is empty")
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch packed[0] {
	case 'L':
	case 'B':
		order = binary.BigEndian
	default:
		return fmt.Errorf("byte order %02Xh, want L or B", packed[0])
	}
	_, err := flacFrames(p, packed[1:], order)
	return err
}

// flacFrames fills p with 16-bit stereo samples of FLAC frames without a stream
// header, and returns how much of packed they take.
func flacFrames(p, packed []byte, order binary.ByteOrder) (int, error) {
	src := bytes.NewReader(packed)
	for len(p) > 0 {
		at := len(packed) - src.Len()
		if src.Len() < 4 || packed[at+2]&0xF != 0 && packed[at+2]&0xF != 9 {
			return 0, fmt.Errorf("byte %d of it is no FLAC frame at 44.1 kHz", at)
		}
		f, err := frame.New(src)
		if err != nil {
			return 0, fmt.Errorf("FLAC frame at byte %d: %w", at, err)
		}
		if f.BitsPerSample == 0 {
			f.BitsPerSample = 16
		}
		if f.BitsPerSample != 16 || f.Channels.Count() != 2 {
			return 0, fmt.Errorf("FLAC frame at byte %d: %d channels of %d bits", at, f.Channels.Count(), f.BitsPerSample)
		}
		if f.BlockSize == 0 || int(f.BlockSize)*4 > len(p) {
			return 0, fmt.Errorf("FLAC frame at byte %d: %d samples where %d are left", at, f.BlockSize, len(p)/4)
		}
		if err := f.Parse(); err != nil {
			return 0, fmt.Errorf("FLAC frame at byte %d: %w", at, err)
		}
		left, right := f.Subframes[0].Samples, f.Subframes[1].Samples
		for i := range int(f.BlockSize) {
			order.PutUint16(p[4*i:], uint16(left[i]))
			order.PutUint16(p[4*i+2:], uint16(right[i]))
		}
		p = p[4*int(f.BlockSize):]
	}
	return len(packed) - src.Len(), nil
}
