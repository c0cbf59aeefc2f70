package image

import (
	"encoding/binary"
	"fmt"
	"strings"

	"spindle/isostore/disc"
)

// c2dFormat is the image of WinOnCD and Easy CD Creator: a header that describes
// the disc, and its sectors.
var c2dFormat = format{
	name: "c2d",
	exts: []string{".c2d"},
	open: openC2D,
}

// c2dMagics begin the header, padded with zeros to 32 bytes.
var c2dMagics = []string{"Adaptec CeQuadrat VirtualCD File", "Roxio Image File Format 3.0"}

// Sizes of what a C2D file consists of, in bytes.
const (
	c2dHeaderSize = 64
	c2dBlockSize  = 44
)

// A c2dBlock is an index of a track. Its sectors lie in the file behind those of
// the track's index before.
type c2dBlock struct {
	first, last           disc.LBA
	offset                int64
	size                  int64 // of a sector
	isrc                  string
	flags                 byte // Q's control
	session, track, index byte
	mode                  byte
	compressed            bool
}

// c2dForms are how sectors are stored, by mode and by size but for the
// sub-channel. Mode FFh is audio too.
var c2dForms = map[byte]struct {
	mode  disc.Mode
	forms map[int64]form
}{
	0x00: {disc.Audio, map[int64]form{disc.SectorSize: audioForm}},
	0x01: {disc.Mode1, map[int64]form{disc.BlockSize: mode1Form, disc.SectorSize: rawForm}},
	0x02: {disc.Mode2, map[int64]form{disc.BlockSize: xa1Form, 2324: xa2Form, 2336: mode2Form, disc.SectorSize: rawForm}},
	0xFF: {disc.Audio, map[int64]form{disc.SectorSize: audioForm}},
}

// openC2D opens an image that is not compressed. All integers are little-endian
// (reference 8.9; the header's fields as libmirage found them):
//
//	0 magic (32), 32 u16 header's size, 34 u16 MCN is valid, 36 MCN (13),
//	50 u16 blocks, 52 u32 bytes of CD-TEXT, which follows the header,
//	56 u32 offset of the blocks
func openC2D(s *source) (disc.Disc, error) {
	var h [c2dHeaderSize]byte
	n, err := s.ReadAt(h[:], 0)
	magic := strings.TrimRight(string(h[:32]), "\x00")
	if magic != c2dMagics[0] && !strings.HasPrefix(magic, c2dMagics[1]) {
		return nil, fmt.Errorf("%w: byte 0: no header of WinOnCD", ErrFormat)
	}
	if n < len(h) {
		return nil, fmt.Errorf("%w: byte %d: %w", ErrDamaged, n, noEOF(err))
	}
	count := binary.LittleEndian.Uint16(h[50:])
	if count == 0 || count > 99*100 {
		return nil, fmt.Errorf("%w: byte 50: %d blocks of tracks", ErrDamaged, count)
	}
	b := make([]byte, int(count)*c2dBlockSize)
	if err := readFull(s, b, int64(binary.LittleEndian.Uint32(h[56:]))); err != nil {
		return nil, err
	}
	l := &disc.Layout{Kind: disc.CD}
	if binary.LittleEndian.Uint16(h[34:]) != 0 {
		l.MCN = string(h[36:49])
	}
	if size := binary.LittleEndian.Uint32(h[52:]); size > 0 && size <= maxCDText+4 {
		text := make([]byte, size)
		if err := readFull(s, text, int64(binary.LittleEndian.Uint16(h[32:]))); err != nil {
			return nil, err
		}
		addPacks(s, l, text)
	}
	runs, err := c2dTracks(s, l, readC2DBlocks(b))
	if err != nil {
		return nil, err
	}
	d, err := newCD(s, l, runs)
	if err != nil {
		return nil, err
	}
	d.readSubNames()
	return d, nil
}

func readC2DBlocks(b []byte) (blocks []c2dBlock) {
	for ; len(b) >= c2dBlockSize; b = b[c2dBlockSize:] {
		blocks = append(blocks, c2dBlock{
			first:  disc.LBA(binary.LittleEndian.Uint32(b[4:])),
			last:   disc.LBA(binary.LittleEndian.Uint32(b[8:])),
			offset: int64(binary.LittleEndian.Uint64(b[12:])),
			size:   int64(binary.LittleEndian.Uint32(b[20:])),
			isrc:   string(b[24:36]),
			flags:  b[36] & 0xF, session: b[37], track: b[38], index: b[39], mode: b[40],
			compressed: b[41] != 0,
		})
	}
	return blocks
}

// c2dTracks puts blocks into the layout and returns where their sectors lie.
func c2dTracks(s *source, l *disc.Layout, blocks []c2dBlock) (runs []run, err error) {
	session, move := byte(0), disc.LBA(0)
	for i := range blocks {
		b := &blocks[i]
		if b.compressed {
			return nil, fmt.Errorf("track %d is compressed, which is not known how: not supported (hint: save it uncompressed with the program that made it)", b.track)
		}
		if b.first < 0 || b.last < b.first || b.last >= disc.MaxCDBlocks || b.offset < 0 {
			return nil, fmt.Errorf("%w: track %d: index %d from sector %d to %d, at byte %d", ErrDamaged, b.track, b.index, b.first, b.last, uint64(b.offset))
		}
		if i == 0 || b.session != session {
			session = b.session
			if start := nextSession(l); i > 0 && b.first < l.LeadOut() {
				move = start - b.first
			}
			l.Sessions = append(l.Sessions, disc.Session{})
		}
		out := &l.Sessions[len(l.Sessions)-1]
		same := i > 0 && blocks[i-1].session == b.session && blocks[i-1].track == b.track
		if err := b.addTo(out, same, move); err != nil {
			return nil, fmt.Errorf("%w: track %d: %w", ErrDamaged, b.track, err)
		}
		count := b.last - b.first + 1
		if same {
			r := &runs[len(runs)-1]
			r.n += count
			continue
		}
		runs = append(runs, b.run(s, b.first+move, count))
	}
	return runs, nil
}

// addTo puts the block into its session: a new track or, same, an index of the
// last one.
func (b *c2dBlock) addTo(s *disc.Session, same bool, move disc.LBA) error {
	kind, ok := c2dForms[b.mode]
	if _, known := kind.forms[min(b.size, disc.SectorSize)]; !ok || !known || b.size > disc.SectorSize && b.size != disc.SectorSize+disc.SubSize {
		return fmt.Errorf("sectors of mode %02Xh and %d bytes", b.mode, b.size)
	}
	at, before := b.first+move, s.LeadOut
	s.LeadOut = b.last + 1 + move
	if !same {
		t := disc.Track{Number: b.track, Control: b.flags, Mode: kind.mode, ISRC: b.isrc, Pregap: at, Start: at}
		if len(s.Tracks) == 0 && b.index == 1 {
			t.Pregap = at - leadInPregap
		}
		s.Tracks = append(s.Tracks, t)
		return nil
	}
	if at != before {
		return fmt.Errorf("index %d at %d, and the one before ends at %d", b.index, at, before)
	}
	switch t := &s.Tracks[len(s.Tracks)-1]; b.index {
	case 0:
		return fmt.Errorf("index 0 after another")
	case 1:
		t.Start = at
	default:
		t.Indexes = append(t.Indexes, at)
	}
	return nil
}

// run is where n sectors from lba on lie.
func (b *c2dBlock) run(s *source, lba, n disc.LBA) run {
	r := run{start: lba, n: n, form: c2dForms[b.mode].forms[min(b.size, disc.SectorSize)], data: s, off: b.offset}
	if b.size > disc.SectorSize {
		r.stride = b.size
		r.sub = &subs{data: s, off: b.offset + disc.SectorSize, stride: b.size}
	}
	return r
}
