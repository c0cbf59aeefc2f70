package image

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/mewkiz/flac/frame"

	"spindle/isostore/disc"
)

// Sizes of what is decoded at once, in bytes and in samples of both channels.
const (
	flacHunk        = 64 * disc.SectorSize
	flacHunkSamples = flacHunk / 4
)

// maxFlacFrame bounds a frame: two channels of 65535 samples that are not
// compressed are smaller.
const maxFlacFrame = 512 << 10

// A flacFile is a FLAC stream that is decoded from any sample on.
type flacFile struct {
	data    *file
	start   int64 // byte of the first frame
	samples int64
	block   int64 // samples of a frame, where all have the same

	// places has, by hunk, one more than the byte of the frame with its first
	// sample, 0 where that is not known.
	places []atomic.Int64
}

// openFLAC opens the FLAC stream that starts at byte at of f (RFC 9639). Frames
// are found when they are needed: opening reads the header only.
func openFLAC(s *source, f *file, at int64) (cueData, error) {
	d := &flacFile{data: f}
	if err := d.header(at + 4); err != nil {
		return cueData{}, err
	}
	n := (d.samples + flacHunkSamples - 1) / flacHunkSamples
	d.places = make([]atomic.Int64, n)
	d.places[0].Store(d.start + 1)
	return cueData{data: newHunks(s, d.samples*4, flacHunk, d.decode), audio: audioForm}, nil
}

// header reads the metadata blocks at at.
func (d *flacFile) header(at int64) error {
	for i := range maxChunks {
		var h [4 + 18]byte
		if err := readFull(d.data, h[:4], at); err != nil {
			return err
		}
		size := int64(binary.BigEndian.Uint32(h[:4]) & 0xFFFFFF)
		if i == 0 {
			if err := readFull(d.data, h[4:], at+4); err != nil {
				return err
			}
			if h[0]&0x7F != 0 || size < 34 {
				return fmt.Errorf("%w: byte %d: no stream information", ErrDamaged, at)
			}
			if err := d.streamInfo(h[4:]); err != nil {
				return err
			}
		}
		at += 4 + size
		if h[0]&0x80 != 0 {
			d.start = at
			return nil
		}
	}
	return fmt.Errorf("%w: byte %d: more than %d blocks of metadata", ErrDamaged, at, maxChunks)
}

// streamInfo reads what all frames have in common.
func (d *flacFile) streamInfo(b []byte) error {
	v := binary.BigEndian.Uint64(b[10:])
	kind := sampleKind{rate: float64(v >> 44), channels: int(v>>41&7) + 1, bits: int(v>>36&31) + 1}
	if err := kind.check(); err != nil {
		return err
	}
	d.block = int64(binary.BigEndian.Uint16(b[2:]))
	d.samples = int64(v & (1<<36 - 1))
	switch {
	case d.samples == 0:
		return fmt.Errorf("it does not say how long it is: not supported (hint: encode it again, not through a pipe)")
	case d.samples > disc.MaxCDBlocks*disc.SectorSize/4:
		return fmt.Errorf("%w: %d samples are more than a CD holds", ErrDamaged, d.samples)
	case d.block < 16:
		return fmt.Errorf("%w: frames of %d samples", ErrDamaged, d.block)
	}
	return nil
}

// A flacReader reads frames one behind the other.
type flacReader struct {
	d   *flacFile
	r   *bufio.Reader
	lim io.LimitedReader

	from, at int64 // bytes of the last frame and of the next one
}

func (d *flacFile) reader(at int64) *flacReader {
	rest := io.NewSectionReader(d.data, at, d.data.Size()-at)
	return &flacReader{d: d, at: at, r: bufio.NewReaderSize(rest, 32<<10)}
}

// next decodes the next frame, and returns it with the number of its first
// sample. Its CRCs are right.
func (f *flacReader) next() (fr *frame.Frame, first int64, err error) {
	f.lim = io.LimitedReader{R: f.r, N: maxFlacFrame}
	f.from = f.at
	if fr, err = frame.New(&f.lim); err != nil {
		return nil, 0, f.error(err)
	}
	if fr.BitsPerSample == 0 {
		fr.BitsPerSample = 16
	}
	if first = int64(min(fr.Num, 1<<36)); fr.HasFixedBlockSize {
		first *= f.d.block
	}
	if fr.BitsPerSample != 16 || fr.Channels.Count() != 2 || fr.BlockSize == 0 || first >= f.d.samples {
		return nil, 0, f.error(fmt.Errorf("sample %d of %d, %d channels of %d bits", first, f.d.samples, fr.Channels.Count(), fr.BitsPerSample))
	}
	if err = fr.Parse(); err != nil {
		return nil, 0, f.error(err)
	}
	for _, sub := range fr.Subframes {
		if len(sub.Samples) != int(fr.BlockSize) {
			return nil, 0, f.error(fmt.Errorf("%d of %d samples", len(sub.Samples), fr.BlockSize))
		}
	}
	f.at += maxFlacFrame - f.lim.N
	return fr, first, nil
}

func (f *flacReader) error(err error) error {
	return fmt.Errorf("%w: %s: FLAC frame at byte %d: %w", ErrDamaged, f.d.data.path, f.at, err)
}

// decode decodes hunk n.
func (d *flacFile) decode(p []byte, n int64) error {
	from := n * flacHunkSamples
	at, err := d.place(n)
	if err != nil {
		return err
	}
	r := d.reader(at)
	for want := from; len(p) > 0; {
		fr, first, err := r.next()
		if err != nil {
			return err
		}
		end := first + int64(fr.BlockSize)
		if first > want || end <= want {
			return fmt.Errorf("%w: %s: FLAC frame at byte %d: it has samples from %d on where %d should be", ErrDamaged, d.data.path, r.from, first, want)
		}
		skip := want - first
		count := min(int64(len(p)/4), int64(fr.BlockSize)-skip)
		for i := range count {
			binary.LittleEndian.PutUint16(p[4*i:], uint16(fr.Subframes[0].Samples[skip+i]))
			binary.LittleEndian.PutUint16(p[4*i+2:], uint16(fr.Subframes[1].Samples[skip+i]))
		}
		p, want = p[4*count:], want+count
		if len(p) == 0 && n+1 < int64(len(d.places)) {
			at := r.from
			if end == want {
				at = r.at
			}
			d.places[n+1].Store(at + 1)
		}
	}
	return nil
}

// place returns the byte of the frame with the first sample of hunk n. It
// halves the part of the file in which that frame starts.
func (d *flacFile) place(n int64) (int64, error) {
	lo, hi, target := d.start, d.data.Size(), n*flacHunkSamples
	for k := n; k >= 0; k-- {
		at := d.places[k].Load()
		if at == 0 {
			continue
		}
		if lo = at - 1; k == n {
			return lo, nil
		}
		break
	}
	for lo < hi {
		mid := lo + (hi-lo)/2
		fr, first, r := d.find(mid, hi)
		switch {
		case fr == nil || first > target:
			hi = mid
		case first+int64(fr.BlockSize) <= target:
			lo = r.at
		default:
			at := r.from
			d.places[n].Store(at + 1)
			return at, nil
		}
	}
	return 0, fmt.Errorf("%w: %s: no FLAC frame has sample %d of %d", ErrDamaged, d.data.path, target, d.samples)
}

// Bounds of looking for a frame: bytes, and what begins as one and is none.
const (
	maxFlacScan  = 2 * maxFlacFrame
	maxFlacFalse = 64
)

// find returns the first frame that starts from at on and before end, with its
// first sample and a reader behind it, or nil.
func (d *flacFile) find(at, end int64) (*frame.Frame, int64, *flacReader) {
	end = min(end, at+maxFlacScan)
	var window [16 << 10]byte
	for wrong := 0; at < end; {
		n, _ := d.data.ReadAt(window[:], at)
		i := 0
		for ; i+4 <= n && at+int64(i) < end; i++ {
			if !maybeFrame([4]byte(window[i:])) {
				continue
			}
			r := d.reader(at + int64(i))
			if fr, first, err := r.next(); err == nil {
				return fr, first, r
			}
			if wrong++; wrong > maxFlacFalse {
				return nil, 0, nil
			}
		}
		if i == 0 {
			break
		}
		at += int64(i)
	}
	return nil, 0, nil
}

// maybeFrame reports whether b may start a frame: sync code, and sizes as such
// a file has them.
func maybeFrame(b [4]byte) bool {
	depth := b[3] >> 1 & 7
	return b[0] == 0xFF && b[1]&0xFE == 0xF8 && b[2]>>4 != 0 && b[2]&0xF != 0xF &&
		(b[3]>>4 == 1 || b[3]>>4 >= 8 && b[3]>>4 <= 10) && (depth == 0 || depth == 4) && b[3]&1 == 0
}
