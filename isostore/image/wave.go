package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"spindle/isostore/disc"
)

// errMP3 is for audio whose samples a decoder makes up.
func errMP3(name string) error {
	return fmt.Errorf("%q is MP3, whose samples differ from decoder to decoder: not supported (hint: decode it to WAV and name that in the sheet)", name)
}

// otherSounds are kinds of files with audio that are told by how they begin and
// not read.
var otherSounds = []struct{ magic, what string }{
	{"ID3", "MP3"},
	{"\xFF\xFB", "MP3"},
	{"\xFF\xFA", "MP3"},
	{"\xFF\xF3", "MP3"},
	{"OggS", "Ogg"},
	{"MAC ", "Monkey's Audio"},
	{"wvpk", "WavPack"},
	{"RF64", "RF64, which is for files above 4 GiB"},
	{"TTA1", "True Audio"},
	{"\x00\x00\x00\x20ftyp", "MPEG-4"},
	{"\x00\x00\x00\x1Cftyp", "MPEG-4"},
}

// openSound opens a file of audio by its content: RIFF WAVE, AIFF or FLAC of
// 44.1 kHz, 16 bits and two channels, as a CD has it. What does not fill the
// last sector is filled up with silence. A file that is opened already is not
// opened again: sheets may name one a thousand times.
func openSound(s *source, f *file) (cueData, error) {
	if d, ok := s.sounds[f]; ok {
		return d, nil
	}
	d, err := newSound(s, f)
	if err == nil {
		if s.sounds == nil {
			s.sounds = make(map[*file]cueData)
		}
		s.sounds[f] = d
	}
	return d, err
}

// newSound is openSound for a file that is not opened yet.
func newSound(s *source, f *file) (cueData, error) {
	head := make([]byte, 12)
	if n, err := f.ReadAt(head, 0); n < len(head) {
		return cueData{}, fmt.Errorf("byte 0: %w: no header of audio: %w", ErrDamaged, noEOF(err))
	}
	var d cueData
	var err error
	switch {
	case string(head[:4]) == "RIFF" && string(head[8:]) == "WAVE":
		d, err = openChunks(s, f, wave{})
	case string(head[:4]) == "FORM" && (string(head[8:]) == "AIFF" || string(head[8:]) == "AIFC"):
		d, err = openChunks(s, f, aiff{})
	case string(head[:4]) == "fLaC":
		d, err = openFLAC(s, f, 0)
	default:
		return cueData{}, otherSound(s, f, head)
	}
	if err != nil {
		return cueData{}, err
	}
	d.sound = true
	if odd := d.data.Size() % disc.SectorSize; odd != 0 {
		d.data = padded{d.data, d.data.Size() - odd + disc.SectorSize}
	}
	return d, nil
}

// otherSound says what a file is that is not read.
func otherSound(s *source, f *file, head []byte) error {
	const hint = "convert it to WAV or FLAC"
	for _, k := range otherSounds {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return fmt.Errorf("it is %s: not supported (hint: %s)", k.what, hint)
		}
	}
	return fmt.Errorf("%w: byte 0: neither WAVE nor AIFF nor FLAC (hint: %s)", ErrDamaged, hint)
}

// A sampleKind is how a file says what its samples are.
type sampleKind struct {
	rate           float64
	channels, bits int
	form           form
}

// check fails unless samples are as on a CD.
func (k sampleKind) check() error {
	if k.rate == 44100 && k.channels == 2 && k.bits == 16 {
		return nil
	}
	return fmt.Errorf("its audio is of %g Hz, %d bits and %d channels, that of a CD of 44100 Hz, 16 bits and 2 channels: not supported (hint: resample it)",
		k.rate, k.bits, k.channels)
}

// A chunked is a kind of file made of chunks: four letters, a size, content.
type chunked interface {
	order() binary.ByteOrder
	format() string                           // name of the chunk that says what samples are
	parse(content []byte) (sampleKind, error) // reads it
	samples() string                          // name of the chunk of samples
	skip(start [8]byte, size int64) int64     // bytes before the first sample
}

// maxChunks bounds the chunks that are looked at.
const maxChunks = 256

// openChunks walks the chunks of a file up to its samples.
func openChunks(s *source, f *file, c chunked) (cueData, error) {
	var kind *sampleKind
	at := int64(12)
	for range maxChunks {
		var h [16]byte
		if err := readFull(f, h[:8], at); err != nil {
			return cueData{}, fmt.Errorf("%w: no %q of audio before it", err, c.samples())
		}
		id, size := string(h[:4]), int64(c.order().Uint32(h[4:]))
		at += 8
		switch id {
		case c.format():
			content := make([]byte, min(size, 64))
			if err := readFull(f, content, at); err != nil {
				return cueData{}, err
			}
			k, err := c.parse(content)
			if err == nil {
				err = k.check()
			}
			if err != nil {
				return cueData{}, err
			}
			kind = &k
		case c.samples():
			if kind == nil {
				return cueData{}, fmt.Errorf("%w: byte %d: samples before it is said what they are", ErrDamaged, at-8)
			}
			return soundData(s, f, c, at, size, kind.form)
		}
		at += size + size%2
	}
	return cueData{}, fmt.Errorf("%w: byte %d: more than %d chunks and no %q of audio", ErrDamaged, at, maxChunks, c.samples())
}

// soundData is the audio in the chunk of size bytes at at.
func soundData(s *source, f *file, c chunked, at, size int64, form form) (cueData, error) {
	var start [8]byte
	f.ReadAt(start[:], at) // what it cannot read is found missing below
	skip := c.skip(start, size)
	at, size = at+skip, size-skip
	left := f.Size() - at
	switch {
	case size < 0 || left < 0:
		return cueData{}, fmt.Errorf("%w: byte %d: no samples", ErrDamaged, at)
	case size == 0 || size >= 0xFFFFFFF0-64: // a program that wrote into a pipe did not know
		size = left
	case size > left:
		s.info.Truncated = true
		s.warn("%q has %d of %d bytes of samples: is the copy complete?", printable(f.path), left, size)
		size = left
	}
	return cueData{data: io.NewSectionReader(f, at, size&^3), audio: form}, nil
}

// wave is RIFF WAVE.
type wave struct{}

func (wave) order() binary.ByteOrder   { return binary.LittleEndian }
func (wave) format() string            { return "fmt " }
func (wave) samples() string           { return "data" }
func (wave) skip([8]byte, int64) int64 { return 0 }

func (wave) parse(b []byte) (sampleKind, error) {
	if len(b) < 16 {
		return sampleKind{}, fmt.Errorf("%w: its format is %d bytes long", ErrDamaged, len(b))
	}
	tag := binary.LittleEndian.Uint16(b)
	if tag == 0xFFFE && len(b) >= 26 { // extensible: what it is stands further behind
		tag = binary.LittleEndian.Uint16(b[24:])
	}
	if tag != 1 {
		return sampleKind{}, fmt.Errorf("its audio is compressed, format %04Xh: not supported (hint: convert it to PCM)", tag)
	}
	return sampleKind{
		rate:     float64(binary.LittleEndian.Uint32(b[4:])),
		channels: int(binary.LittleEndian.Uint16(b[2:])),
		bits:     int(binary.LittleEndian.Uint16(b[14:])),
		form:     audioForm,
	}, nil
}

// aiff is AIFF, and AIFF-C where it is not compressed.
type aiff struct{}

func (aiff) order() binary.ByteOrder { return binary.BigEndian }
func (aiff) format() string          { return "COMM" }
func (aiff) samples() string         { return "SSND" }

// skip passes the offset of the first sample, which stands first, and the size
// of blocks.
func (aiff) skip(start [8]byte, size int64) int64 {
	return 8 + int64(binary.BigEndian.Uint32(start[:]))
}

func (aiff) parse(b []byte) (sampleKind, error) {
	if len(b) < 18 {
		return sampleKind{}, fmt.Errorf("%w: its format is %d bytes long", ErrDamaged, len(b))
	}
	k := sampleKind{
		rate:     extended([10]byte(b[8:18])),
		channels: int(binary.BigEndian.Uint16(b)),
		bits:     int(binary.BigEndian.Uint16(b[6:])),
		form:     audioBEForm,
	}
	if len(b) >= 22 {
		switch kind := string(b[18:22]); strings.ToLower(kind) {
		case "none", "twos":
		case "sowt":
			k.form = audioForm
		default:
			return k, fmt.Errorf("its audio is compressed, format %q: not supported (hint: convert it to PCM)", kind)
		}
	}
	return k, nil
}

// extended is the value of a number of 80 bits (IEEE 754) that is a rate: 0 for
// one above 32 bits.
func extended(b [10]byte) float64 {
	exponent := int(binary.BigEndian.Uint16(b[:])) - 16383
	if exponent < 0 || exponent > 31 {
		return 0
	}
	return float64(binary.BigEndian.Uint64(b[2:]) >> (63 - exponent))
}
