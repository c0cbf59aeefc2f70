package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode/utf16"

	"spindle/isostore/disc"
)

// mdsFormat is Alcohol's image: a small file that describes the disc, and its
// sectors in one or more others.
var mdsFormat = format{
	name: "mds",
	exts: []string{".mds"},
	open: openMDS,
}

// Sizes of what an MDS file consists of, in bytes.
const (
	mdsHeaderSize  = 88
	mdsSessionSize = 24
	mdsBlockSize   = 80
	mdsFooterSize  = 16
)

// An mds is an MDS file while it is read. All integers are little-endian
// (reference 8.5).
type mds struct {
	source *source
	header []byte
	files  map[mdsFiles]data
	tracks []mdsTrack
	layout disc.Layout
}

// mdsFiles are the data files of a track: how many, and where that is said.
type mdsFiles struct{ count, footers uint32 }

// An mdsTrack is a track block.
type mdsTrack struct {
	session int
	mode    byte
	hasSub  bool
	control byte
	number  byte
	size    int64 // of a sector, sub-channel included
	start   disc.LBA
	offset  int64 // of index 1 in data
	pregap  disc.LBA
	length  disc.LBA // from index 1 on; 0 where it is not said
	extra   uint32
	data    data
}

// openMDS opens an MDS file of version 1. Version 2, which MDX files have in
// front of their sectors, is encrypted.
func openMDS(s *source) (disc.Disc, error) {
	const magic = "MEDIA DESCRIPTOR"
	m := &mds{source: s, header: make([]byte, mdsHeaderSize), files: make(map[mdsFiles]data)}
	n, err := s.ReadAt(m.header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n < len(magic)+1 || string(m.header[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: byte 0: no %s of MDS", ErrFormat, magic)
	}
	if m.header[16] != 1 {
		return nil, fmt.Errorf("version %d of MDS, the encrypted one of DAEMON Tools (also .mdx): not supported (hint: convert it to MDS version 1 or ISO with the program that made it)", m.header[16])
	}
	if n < len(m.header) {
		return nil, fmt.Errorf("%w: byte %d: %w", ErrDamaged, n, noEOF(err))
	}
	if err := m.sessions(); err != nil {
		return nil, err
	}
	if len(m.tracks) == 0 {
		return nil, fmt.Errorf("%w: it has no track", ErrDamaged)
	}
	if m.header[18]&0x10 != 0 {
		return m.dvd()
	}
	return m.cd()
}

// read returns n bytes of the file from at on.
func (m *mds) read(at uint32, n int) ([]byte, error) {
	b := make([]byte, n)
	return b, readFull(m.source, b, int64(at))
}

// sessions reads the sessions and their tracks.
func (m *mds) sessions() error {
	count, at := binary.LittleEndian.Uint16(m.header[20:]), binary.LittleEndian.Uint32(m.header[80:])
	if count == 0 || count > 99 {
		return fmt.Errorf("%w: byte 20: %d sessions", ErrDamaged, count)
	}
	list, err := m.read(at, int(count)*mdsSessionSize)
	if err != nil {
		return err
	}
	for ; len(list) > 0; list = list[mdsSessionSize:] {
		blocks, err := m.read(binary.LittleEndian.Uint32(list[20:]), int(list[10])*mdsBlockSize)
		if err != nil {
			return err
		}
		m.layout.Sessions = append(m.layout.Sessions, disc.Session{LeadOut: disc.LBA(binary.LittleEndian.Uint32(list[4:]))})
		for ; len(blocks) > 0; blocks = blocks[mdsBlockSize:] {
			if err := m.block(blocks[:mdsBlockSize]); err != nil {
				return err
			}
		}
	}
	return nil
}

// block reads a track block, which is a track or another entry of the table of
// contents.
func (m *mds) block(b []byte) error {
	s := &m.layout.Sessions[len(m.layout.Sessions)-1]
	switch point := b[4]; {
	case point == 0xA0:
		s.Type = b[10] & 0x30
	case point == 0xA2:
		s.LeadOut = disc.MSF{M: b[9], S: b[10], F: b[11]}.LBA()
	case point >= 1 && point <= 99:
		t := mdsTrack{
			session: len(m.layout.Sessions), mode: b[0] & 7, hasSub: b[1] != 0, control: b[2] & 0xF, number: point,
			size:   int64(binary.LittleEndian.Uint16(b[16:])),
			start:  disc.LBA(binary.LittleEndian.Uint32(b[36:])),
			offset: int64(binary.LittleEndian.Uint64(b[40:])),
			extra:  binary.LittleEndian.Uint32(b[12:]),
		}
		if len(m.tracks) == 99 {
			return fmt.Errorf("%w: a track after the 99th", ErrDamaged)
		}
		err := m.open(&t, mdsFiles{binary.LittleEndian.Uint32(b[48:]), binary.LittleEndian.Uint32(b[52:])})
		if err != nil {
			return fmt.Errorf("track %d: %w", t.number, err)
		}
		if t.offset < 0 {
			return fmt.Errorf("%w: track %d: its sectors begin at byte %d", ErrDamaged, t.number, uint64(t.offset))
		}
		m.tracks = append(m.tracks, t)
	}
	return nil
}

// open opens the data files of a track.
func (m *mds) open(t *mdsTrack, f mdsFiles) error {
	if d := m.files[f]; d != nil {
		t.data = d
		return nil
	}
	names, err := m.names(f)
	if err != nil {
		return err
	}
	var parts []data
	for _, name := range names {
		part, err := m.companion(name)
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	t.data = joinFiles(parts)
	m.files[f] = t.data
	return nil
}

// names returns the names of data files. Where a track has none it is that of
// the MDS file.
func (m *mds) names(f mdsFiles) ([]string, error) {
	if f.count == 0 || f.footers == 0 {
		return []string{"*.mdf"}, nil
	}
	if f.count > maxCompanions {
		return nil, fmt.Errorf("%w: its sectors lie in %d files", ErrDamaged, f.count)
	}
	footers, err := m.read(f.footers, int(f.count)*mdsFooterSize)
	if err != nil {
		return nil, err
	}
	var names []string
	for ; len(footers) > 0; footers = footers[mdsFooterSize:] {
		name, err := m.name(binary.LittleEndian.Uint32(footers), footers[4] != 0)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// maxMDSName bounds names of files, in bytes.
const maxMDSName = 1024

// name reads a name that ends in NUL.
func (m *mds) name(at uint32, wide bool) (string, error) {
	b := make([]byte, maxMDSName)
	n, err := m.source.ReadAt(b, int64(at))
	if n == 0 {
		return "", fmt.Errorf("%w: byte %d: the name of its data file: %w", ErrDamaged, at, noEOF(err))
	}
	b = b[:n]
	if !wide {
		name, _, _ := strings.Cut(string(b), "\x00")
		return name, nil
	}
	var u []uint16
	for ; len(b) >= 2 && b[0]|b[1] != 0; b = b[2:] {
		u = append(u, binary.LittleEndian.Uint16(b))
	}
	return string(utf16.Decode(u)), nil
}

// companion opens a data file. A star is for the name of the MDS file; so is a
// name of a file that is missing, because people rename both.
func (m *mds) companion(name string) (*file, error) {
	if rest, ok := strings.CutPrefix(name, "*"); ok || name == "" {
		if rest == "" {
			rest = ".mdf"
		}
		return m.source.companion(m.source.stem() + rest)
	}
	f, err := m.source.companion(name)
	if err != nil && errors.Is(err, fs.ErrNotExist) {
		if renamed, err := m.source.companion(m.source.stem() + path.Ext(name)); err == nil {
			return renamed, nil
		}
	}
	return f, err
}

// cd makes the disc of a CD.
func (m *mds) cd() (disc.Disc, error) {
	m.layout.Kind = disc.CD
	for i := range m.tracks {
		t := &m.tracks[i]
		if t.extra == 0 {
			continue
		}
		b, err := m.read(t.extra, 8)
		if err != nil {
			return nil, fmt.Errorf("track %d: %w", t.number, err)
		}
		t.pregap, t.length = disc.LBA(binary.LittleEndian.Uint32(b)), disc.LBA(binary.LittleEndian.Uint32(b[4:]))
	}
	var runs []run
	for i := range m.tracks {
		r, err := m.track(i)
		if err != nil {
			return nil, fmt.Errorf("%w: track %d: %w", ErrDamaged, m.tracks[i].number, err)
		}
		runs = append(runs, r)
	}
	d, err := newCD(m.source, &m.layout, runs)
	if err != nil {
		return nil, err
	}
	d.readSubNames()
	return d, nil
}

// track puts track i into the layout and returns where its sectors are.
func (m *mds) track(i int) (run, error) {
	t := &m.tracks[i]
	s := &m.layout.Sessions[t.session-1]
	if t.start < -leadInPregap || t.start > disc.MaxCDBlocks || t.pregap < 0 || t.pregap > disc.MaxCDBlocks || t.length < 0 || t.length > disc.MaxCDBlocks {
		return run{}, fmt.Errorf("it begins at %d, with a pregap of %d and %d sectors", t.start, t.pregap, t.length)
	}
	r, mode, err := t.run()
	if err != nil {
		return run{}, err
	}
	track := disc.Track{Number: t.number, Control: t.control, Mode: mode, Start: t.start, Pregap: t.start - t.pregap}
	s.Tracks = append(s.Tracks, track)
	end := s.LeadOut
	if i+1 < len(m.tracks) && m.tracks[i+1].session == t.session {
		end = m.tracks[i+1].start - m.tracks[i+1].pregap
	}
	if t.length == 0 {
		t.length = end - t.start
	}
	stored := m.storedPregap(i)
	r.start, r.n, r.off = t.start-stored, min(stored+t.length, s.LeadOut-t.start+stored), t.offset-int64(stored)*t.size
	if r.sub != nil {
		r.sub.off = r.off + disc.SectorSize
	}
	return r, nil
}

// storedPregap is how many sectors of the pregap of track i lie before its
// offset: as many as there is room for behind the track before. Of the first
// track the format has no place for the 150 sectors before LBA 0, but what is
// behind them can be there.
func (m *mds) storedPregap(i int) disc.LBA {
	t, behind, gap := &m.tracks[i], int64(0), m.tracks[i].pregap
	if i == 0 {
		gap = t.start + leadInPregap
	} else if before := &m.tracks[i-1]; before.data == t.data {
		behind = before.offset + int64(before.length)*before.size
	}
	room := t.offset - behind
	if room <= 0 || room%t.size != 0 || room/t.size > int64(gap) {
		return 0
	}
	return disc.LBA(room / t.size)
}

// mdsModes are the modes of track blocks, by the size of a sector: how the
// sectors are stored. Those of 2352 bytes are whole.
var mdsModes = map[byte]struct {
	mode  disc.Mode
	forms map[int64]form
}{
	0: {disc.Mode2, map[int64]form{2336: mode2Form}},
	1: {disc.Audio, nil},
	2: {disc.Mode1, map[int64]form{2048: mode1Form}},
	3: {disc.Mode2, map[int64]form{2336: mode2Form, 2048: xa1Form}},
	4: {disc.Mode2XA, map[int64]form{2336: mode2Form, 2048: xa1Form}},
	5: {disc.Mode2XA, map[int64]form{2336: mode2Form, 2324: xa2Form}},
	7: {disc.Mode2, map[int64]form{2336: mode2Form}},
}

// run returns a run without its place, and the track's mode.
func (t *mdsTrack) run() (run, disc.Mode, error) {
	m, ok := mdsModes[t.mode]
	size := t.size
	if t.hasSub {
		size -= disc.SubSize
	}
	f, known := m.forms[size]
	if size == disc.SectorSize {
		if f, known = rawForm, true; m.mode == disc.Audio {
			f = audioForm
		}
	}
	if !ok || !known {
		return run{}, 0, fmt.Errorf("sectors of mode %d and %d bytes, which no writer makes", t.mode, t.size)
	}
	r := run{form: f, data: t.data, stride: t.size}
	if t.hasSub && size == disc.SectorSize {
		r.sub = &subs{data: t.data, stride: t.size}
	} else if !t.hasSub {
		r.stride = 0
	}
	return r, m.mode, nil
}
