package image

import (
	"encoding/binary"
	"errors"
	"fmt"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// rawFormat is a file of sectors of one track with nothing that describes it.
var rawFormat = format{
	name: "raw",
	exts: []string{".iso", ".img", ".bin", ".raw", ".cdda", ".pcm"},
	open: openRaw,
}

// rawStrides are the distances of raw sectors in files: alone, with 16 bytes of
// sub-channels P and Q, and with all 96 bytes.
var rawStrides = []int64{disc.SectorSize, disc.SectorSize + 16, disc.SectorSize + disc.SubSize}

// openRaw opens a flat file of raw sectors, one data track or one audio track
// from LBA 0 on: sectors of 2352 bytes, of as many with sub-channels, told by
// their sync pattern, or of 2336 bytes, told by where the volume descriptor is.
// Audio has nothing that tells it: see [rawAudio].
func openRaw(s *source) (disc.Disc, error) {
	d, err := openSectors(s, s.file)
	if !errors.Is(err, ErrFormat) {
		return d, err
	}
	if form, ok := rawAudio(s); ok {
		return newRaw(s, disc.Track{Mode: disc.Audio}, run{form: form, data: s.file, stride: disc.SectorSize})
	}
	return nil, err
}

// openSectors is openRaw for data that may be packed, without audio.
func openSectors(s *source, d data) (disc.Disc, error) {
	var head [16]byte
	if n, _ := d.ReadAt(head[:], 0); n == len(head) && sector.IsRaw(head[:]) {
		return openRawData(s, d, head[15])
	}
	if hasVolume(d, mode2Offset, forms[mode2Form].size) {
		return newRaw(s, disc.Track{Mode: disc.Mode2XA}, run{form: mode2Form, data: d, stride: int64(forms[mode2Form].size)})
	}
	return nil, fmt.Errorf("%w: byte 0: no sync pattern of raw sectors", ErrFormat)
}

// mode2Offset is where the user data of a sector of 2336 bytes stands, behind
// the sub-headers.
const mode2Offset = 8

// hasVolume reports whether sectors of size bytes, with user data at offset at,
// hold a volume descriptor of ISO 9660 in sector 16.
func hasVolume(d data, at, size int) bool {
	var id [6]byte
	n, _ := d.ReadAt(id[:], int64(vrsBlock*size+at))
	return n == len(id) && string(id[1:]) == "CD001"
}

// openRawData opens raw sectors of a data track, whose first one has that mode.
func openRawData(s *source, d data, mode byte) (disc.Disc, error) {
	stride := int64(0)
	for _, n := range rawStrides {
		var sync [12]byte
		if got, _ := d.ReadAt(sync[:], n); d.Size() == n || got == len(sync) && sector.IsRaw(sync[:]) {
			stride = n
			break
		}
	}
	if stride == 0 {
		return nil, fmt.Errorf("%w: byte %d: no second sync pattern behind the first raw sector", ErrDamaged, disc.SectorSize)
	}
	r := run{form: rawForm, data: d, stride: stride}
	if lba, ok := headerLBA(d, 0); ok && lba < 0 {
		r.start = lba
	} else if ok && lba > 0 {
		s.warn("its first sector says that it is sector %d of its disc, not the first: what is before is missing", lba)
	}
	t := disc.Track{Mode: disc.Mode1}
	if mode == 2 {
		t.Mode = disc.Mode2
	}
	return newRaw(s, t, r)
}

// newRaw returns a disc with one track, from r's start on to the file's end.
func newRaw(s *source, t disc.Track, r run) (disc.Disc, error) {
	if odd := r.data.Size() % r.stride; odd != 0 {
		s.info.Truncated = s.info.Truncated || t.Mode != disc.Audio
		s.warn("the last sector has %d of %d bytes and is left out: is the copy complete?", odd, r.stride)
	}
	n := r.data.Size() / r.stride
	if n > disc.MaxCDBlocks {
		return nil, fmt.Errorf("%w: %d sectors, and a CD has at most %d", ErrDamaged, n, disc.MaxCDBlocks)
	}
	r.n = disc.LBA(n)
	if r.stride == int64(forms[r.form].size) {
		r.stride = 0
	} else if r.stride == disc.SectorSize+disc.SubSize {
		r.sub = sniffSub(&r)
	}
	t.Number = 1
	return newCD(s, &disc.Layout{Kind: disc.CD, Sessions: []disc.Session{{Tracks: []disc.Track{t}, LeadOut: r.end()}}}, []run{r})
}

// minAudio is the shortest track of audio, 4 s (IEC 60908), in bytes.
const minAudio = 4 * 75 * disc.SectorSize

// rawAudio tells audio from other files without a header. A name that says
// audio is believed when the size is of whole sectors. One that says nothing
// must also be at least as long as a track, and its content must be as sound is:
// samples of a channel that follow each other differ far less than samples at
// random do. Programs and compressed data, read as samples, are near to random;
// text and tables are not, but lie on one side of zero.
func rawAudio(s *source) (form, bool) {
	if s.size%disc.SectorSize != 0 || !s.hasExt(".bin", ".raw", ".cdda", ".pcm") {
		return 0, false
	}
	little, big := smooth(s, binary.LittleEndian), smooth(s, binary.BigEndian)
	form := audioForm
	if big < little {
		form = audioBEForm
	}
	if s.hasExt(".cdda", ".pcm") {
		return form, true
	}
	return form, s.size >= minAudio && min(little, big) < maxRough
}

// maxRough is how rough audio is at most, as smooth measures it: noise is at
// 1.3 whatever its volume, loud music at 0.2 to 0.6.
const maxRough = 0.8

// smooth compares how much samples differ from those before them with how far
// they are from their mean, over windows in the whole file. Windows of silence
// do not count; a file that has nothing else is as rough as can be.
func smooth(d data, order binary.ByteOrder) float64 {
	const windows, size = 16, 4096
	var p [size]byte
	steps, spread := 0.0, 0.0
	for w := range int64(windows) {
		n, _ := d.ReadAt(p[:], d.Size()/windows*w&^3)
		for c := 0; c < 4; c += 2 {
			a, b := measure(p[:n&^3], c, order)
			steps, spread = steps+a, spread+b
		}
	}
	if spread == 0 {
		return 2
	}
	return steps / spread
}

// measure takes the measure of the samples of one channel: the sum of their differences, and
// that of their distances from zero, which is where sound has its mean. What has
// it elsewhere counts as rough.
func measure(p []byte, channel int, order binary.ByteOrder) (steps, spread float64) {
	sum, n, last := 0.0, 0.0, 0.0
	for i := channel; i+2 <= len(p); i += 4 {
		v := float64(int16(order.Uint16(p[i:])))
		if n > 0 {
			steps += abs(v - last)
		}
		sum, n, last = sum+v, n+1, v
		spread += abs(v)
	}
	if n > 0 && spread > 0 && abs(sum) > 0.9*spread {
		return 2 * spread, spread // one side of zero
	}
	return steps, spread
}

func abs(v float64) float64 { return max(v, -v) }
