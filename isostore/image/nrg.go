package image

import (
	"encoding/binary"
	"fmt"
	"io"

	"spindle/isostore/disc"
)

// nrgFormat is Nero's image: sectors, then chunks that say where they belong,
// then where the chunks begin.
var nrgFormat = format{
	name: "nrg",
	exts: []string{".nrg"},
	open: openNRG,
}

// maxNRGChunks bounds the chunks of an image, in bytes. The largest that are
// known, of 99 tracks with CD-TEXT, have 30 KiB.
const maxNRGChunks = 1 << 20

// An nrg is an image of Nero's while its chunks are read. All integers are
// big-endian (reference 8.4).
type nrg struct {
	source   *source
	data     int64 // where the chunks begin, and the sectors end, in bytes
	cues     []byte
	wideCues bool // cues of version 2, with LBAs
	pending  nrgSession
	sessions []nrgSession
	mcn      string
	cdText   []byte
	medium   uint32 // bits of MTYP
}

// An nrgSession is what the chunks say about a session.
type nrgSession struct {
	kind   byte // disc type, as PSEC of point A0h has it
	atOnce bool // written track at once: there are no cues
	cues   []nrgCue
	tracks []nrgTrack
}

// An nrgTrack is a track as DAOI, DAOX, ETNF, ETN2 or TINF has it. Offsets are
// those of sectors in the file.
type nrgTrack struct {
	mode      nrgMode
	isrc      string
	pregap    int64    // offset of what is stored of index 0; start where nothing is
	start     int64    // offset of index 1
	end       int64    // offset behind the last sector
	lba       disc.LBA // of a track written at once, where located
	isLocated bool
}

// An nrgMode is how the sectors of a track are stored.
type nrgMode struct {
	mode disc.Mode
	form form
	sub  bool // followed by the sub-channel, interleaved
}

// nrgModes are the codes of DAOI, DAOX, ETNF, ETN2 and TINF. Whether Mode 2 is XA
// its sectors say.
var nrgModes = map[byte]nrgMode{
	0x00: {disc.Mode1, mode1Form, false},
	0x02: {disc.Mode2XA, xa1Form, false},
	0x03: {disc.Mode2, mode2Form, false},
	0x05: {disc.Mode1, rawForm, false},
	0x06: {disc.Mode2, rawForm, false},
	0x07: {disc.Audio, audioForm, false},
	0x08: {disc.Audio, audioForm, false},
	0x0F: {disc.Mode1, rawForm, true},
	0x10: {disc.Audio, audioForm, true},
	0x11: {disc.Mode2, rawForm, true},
}

// size is the bytes of a sector in the file.
func (m nrgMode) size() int64 {
	if m.sub {
		return disc.SectorSize + disc.SubSize
	}
	return int64(forms[m.form].size)
}

// nrgChunks are the chunks that say something about the disc. Others are names
// of files and what Nero wants to know.
var nrgChunks = map[string]func(*nrg, []byte) error{
	"CUES": func(n *nrg, b []byte) error { return n.cueChunk(b, false) },
	"CUEX": func(n *nrg, b []byte) error { return n.cueChunk(b, true) },
	"DAOI": func(n *nrg, b []byte) error { return n.daoChunk(b, 30) },
	"DAOX": func(n *nrg, b []byte) error { return n.daoChunk(b, 42) },
	"ETNF": (*nrg).etnfChunk,
	"ETN2": (*nrg).etn2Chunk,
	"TINF": (*nrg).tinfChunk,
	"SINF": (*nrg).sinfChunk,
	"CDTX": (*nrg).textChunk,
	"MTYP": (*nrg).mediumChunk,
}

// openNRG opens an image of version 1 or 2, which ends in NERO or NER5 and the
// offset of its chunks.
func openNRG(s *source) (disc.Disc, error) {
	at, end, err := nrgTrailer(s)
	if err != nil {
		return nil, err
	}
	if at < 0 || at > end || end-at > maxNRGChunks {
		return nil, fmt.Errorf("%w: byte %d: the list of chunks should begin at byte %d", ErrDamaged, end, at)
	}
	b := make([]byte, end-at)
	if err := readFull(s, b, at); err != nil {
		return nil, err
	}
	n := &nrg{source: s, data: at}
	if err := n.walk(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return n.disc()
}

// nrgTrailer returns where the list of chunks begins and where it ends.
func nrgTrailer(s *source) (at, end int64, err error) {
	if s.size < 12 {
		return 0, 0, s.notOf(fmt.Sprintf("%d bytes have no trailer of Nero", s.size), ".nrg")
	}
	var b [12]byte
	if err := readFull(s, b[:], s.size-12); err != nil {
		return 0, 0, err
	}
	switch {
	case string(b[:4]) == "NER5":
		return int64(binary.BigEndian.Uint64(b[4:])), s.size - 12, nil
	case string(b[4:8]) == "NERO":
		return int64(binary.BigEndian.Uint32(b[8:])), s.size - 8, nil
	}
	return 0, 0, s.notOf(fmt.Sprintf("byte %d: no NERO and no NER5 of Nero", s.size-12), ".nrg")
}

// walk reads the chunks: an identifier, the length of its data, the data.
func (n *nrg) walk(b []byte) error {
	at := n.data
	for len(b) >= 8 {
		id, size := string(b[:4]), binary.BigEndian.Uint32(b[4:])
		if id == "END!" {
			break
		}
		if int64(size) > int64(len(b)-8) {
			return fmt.Errorf("byte %d: chunk %s of %d bytes, where %d are left", at, printable(id), size, len(b)-8)
		}
		if read := nrgChunks[id]; read != nil {
			if err := read(n, b[8:8+size]); err != nil {
				return fmt.Errorf("byte %d: chunk %s: %w", at, id, err)
			}
		}
		b, at = b[8+size:], at+8+int64(size)
	}
	return n.endSession(len(n.pending.tracks))
}

// endSession makes a session of the first count tracks that wait for one, if
// any do.
func (n *nrg) endSession(count int) error {
	p := n.pending
	if len(p.tracks) == 0 {
		return nil
	}
	if len(n.sessions) == 99 {
		return fmt.Errorf("a session after the 99th")
	}
	if p.atOnce && count < len(p.tracks) {
		n.pending.tracks, p.tracks = p.tracks[count:], p.tracks[:count]
	} else {
		n.pending = nrgSession{}
	}
	p.cues = readNRGCues(n.cues, n.wideCues, p.tracks)
	n.cues = nil
	n.sessions = append(n.sessions, p)
	return nil
}

func (n *nrg) sinfChunk(b []byte) error {
	if len(b) < 4 {
		return fmt.Errorf("%d bytes", len(b))
	}
	count := binary.BigEndian.Uint32(b)
	if count == 0 || int64(count) > int64(len(n.pending.tracks)) {
		return fmt.Errorf("a session of %d tracks, where %d wait for one", count, len(n.pending.tracks))
	}
	return n.endSession(int(count))
}

func (n *nrg) cueChunk(b []byte, wide bool) error {
	err := n.endSession(len(n.pending.tracks))
	n.cues, n.wideCues = b, wide
	return err
}

// daoChunk reads DAOI or DAOX, whose tracks have size bytes each: a session
// that was written at once.
func (n *nrg) daoChunk(b []byte, size int) error {
	if len(b) < 22 {
		return fmt.Errorf("%d bytes", len(b))
	}
	cues, wide := n.cues, n.wideCues
	if err := n.endSession(len(n.pending.tracks)); err != nil {
		return err
	}
	n.cues, n.wideCues = cues, wide
	if mcn := string(b[4:17]); n.mcn == "" && isMCN(mcn) {
		n.mcn = mcn
	}
	n.pending.kind = b[18] & 0x30
	for b = b[22:]; len(b) >= size; b = b[size:] {
		t := nrgTrack{isrc: string(b[:12])}
		if err := t.setMode(b[14]); err != nil {
			return fmt.Errorf("track %d of the session: %w", len(n.pending.tracks)+1, err)
		}
		if stored := int64(binary.BigEndian.Uint16(b[12:])); stored != t.mode.size() {
			return fmt.Errorf("track %d of the session: sectors of %d bytes, where its mode %02Xh has %d", len(n.pending.tracks)+1, stored, b[14], t.mode.size())
		}
		for i, into := range []*int64{&t.pregap, &t.start, &t.end} {
			if size == 30 {
				*into = int64(binary.BigEndian.Uint32(b[18+4*i:]))
			} else {
				*into = int64(binary.BigEndian.Uint64(b[18+8*i:]))
			}
		}
		if err := n.add(t); err != nil {
			return err
		}
	}
	return nil
}

func (n *nrg) etnfChunk(b []byte) error {
	return n.atOnce(b, 20, func(b []byte) (int64, int64, byte, int32) {
		return int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:])), b[11], int32(binary.BigEndian.Uint32(b[12:]))
	})
}

func (n *nrg) etn2Chunk(b []byte) error {
	return n.atOnce(b, 32, func(b []byte) (int64, int64, byte, int32) {
		return int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:])), b[19], int32(binary.BigEndian.Uint32(b[20:]))
	})
}

func (n *nrg) tinfChunk(b []byte) error {
	return n.atOnce(b, 12, func(b []byte) (int64, int64, byte, int32) {
		return int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:])), b[11], -1
	})
}

// atOnce reads a list of tracks that were written one by one, of size bytes
// each: offset, length in bytes, mode, and an LBA that is -1 when there is none.
func (n *nrg) atOnce(b []byte, size int, read func(b []byte) (int64, int64, byte, int32)) error {
	if !n.pending.atOnce {
		if err := n.endSession(len(n.pending.tracks)); err != nil {
			return err
		}
	}
	n.pending.atOnce = true
	for ; len(b) >= size; b = b[size:] {
		start, length, mode, lba := read(b)
		t := nrgTrack{pregap: start, start: start, end: start + length, lba: disc.LBA(lba), isLocated: lba != -1}
		if err := t.setMode(mode); err != nil {
			return fmt.Errorf("track %d of the session: %w", len(n.pending.tracks)+1, err)
		}
		if err := n.add(t); err != nil {
			return err
		}
	}
	return nil
}

func (t *nrgTrack) setMode(code byte) error {
	m, ok := nrgModes[code]
	if !ok {
		return fmt.Errorf("mode %02Xh, which is not known", code)
	}
	t.mode = m
	return nil
}

// add takes a track whose sectors lie in the file.
func (n *nrg) add(t nrgTrack) error {
	number := len(n.pending.tracks) + 1
	if number > 99 {
		return fmt.Errorf("a track after the 99th")
	}
	if t.pregap < 0 || t.start < t.pregap || t.end < t.start || t.end > n.data {
		return fmt.Errorf("track %d of the session lies from byte %d, index 1 at %d, to %d; the sectors end at byte %d", number, t.pregap, t.start, t.end, n.data)
	}
	n.pending.tracks = append(n.pending.tracks, t)
	return nil
}

func (n *nrg) textChunk(b []byte) error {
	if n.cdText == nil {
		n.cdText = b
	}
	return nil
}

func (n *nrg) mediumChunk(b []byte) error {
	if len(b) >= 4 {
		n.medium = binary.BigEndian.Uint32(b)
	}
	return nil
}

// Bits of MTYP: kinds of DVDs, and of CDs.
const (
	nrgDVD = 0x0000_021C
	nrgCD  = 0x0000_0403
)

// flat returns the one track of an image of a DVD: one of 2048-byte blocks on a
// medium that is one, or that no CD holds. It is nil else.
func (n *nrg) flat() *nrgTrack {
	if len(n.sessions) != 1 || len(n.sessions[0].tracks) != 1 {
		return nil
	}
	t := &n.sessions[0].tracks[0]
	isDVD := n.medium&nrgDVD != 0 && n.medium&nrgCD == 0
	if t.mode.form != mode1Form || !isDVD && (t.end-t.start)/disc.BlockSize <= disc.MaxCDBlocks {
		return nil
	}
	if isDVD && n.source.options.Kind == 0 && (t.end-t.start)/disc.BlockSize <= disc.MaxDVDBlocks {
		n.source.options.Kind = disc.DVD
	}
	return t
}

// disc makes the disc that the chunks describe.
func (n *nrg) disc() (disc.Disc, error) {
	if t := n.flat(); t != nil {
		return newFlat(n.source, io.NewSectionReader(n.source, t.start, t.end-t.start))
	}
	l := &disc.Layout{Kind: disc.CD, MCN: n.mcn}
	addPacks(n.source, l, n.cdText)
	var runs []run
	for i := range n.sessions {
		session, list, err := n.session(l, &n.sessions[i])
		if err != nil {
			return nil, fmt.Errorf("%w: session %d: %w", ErrDamaged, i+1, err)
		}
		l.Sessions = append(l.Sessions, session)
		runs = append(runs, list...)
	}
	d, err := newCD(n.source, l, runs)
	if err != nil {
		return nil, err
	}
	d.readSubNames()
	return d, nil
}

// run is where n sectors from lba on, which begin at byte off, lie.
func (m nrgMode) run(d data, lba, n disc.LBA, off int64) run {
	r := run{start: lba, n: n, form: m.form, data: d, off: off}
	if m.sub {
		r.stride = m.size()
		r.sub = &subs{data: d, off: off + disc.SectorSize, stride: m.size()}
	}
	return r
}
