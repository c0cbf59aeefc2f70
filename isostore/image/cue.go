package image

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// cueFormat is a CUE sheet with the files that it names.
var cueFormat = format{
	name: "cue",
	exts: []string{".cue"},
	open: openCUE,
}

// openCUE opens a CUE sheet, as CDRWIN made them and others extended them: a
// text, and files with the sectors of its tracks.
func openCUE(s *source) (disc.Disc, error) {
	sheet, err := readCUE(s)
	if err != nil {
		return nil, err
	}
	s.info.Warnings = append(s.info.Warnings, sheet.warnings...)
	b := &cueBuilder{source: s, sheet: sheet, layout: &disc.Layout{Kind: disc.CD, MCN: sheet.mcn}}
	if err := b.openFiles(); err != nil {
		return nil, err
	}
	if d := b.flat(); d != nil {
		return newFlat(s, d)
	}
	if err := b.tracks(); err != nil {
		return nil, err
	}
	if err := b.text(); err != nil {
		return nil, err
	}
	return newCD(s, b.layout, b.runs)
}

// readCUE reads the sheet itself.
func readCUE(s *source) (*cueSheet, error) {
	if !s.hasExt(".cue") {
		return nil, fmt.Errorf("%w: not named as a CUE sheet", ErrFormat)
	}
	text, err := s.sheet("a CUE sheet")
	if err != nil {
		return nil, err
	}
	return parseCUE(text)
}

// A cueBuilder puts a disc together as a CUE sheet says.
type cueBuilder struct {
	*source
	sheet  *cueSheet
	files  []cueData // as sheet.files
	layout *disc.Layout
	runs   []run

	at    disc.LBA  // on the disc
	file  int       // where the next sector lies,
	pos   disc.LBA  // in sectors
	off   int64     // and bytes
	owner *cueTrack // of that sector, nil at a file's start
}

// A cueData is what a FILE line names.
type cueData struct {
	data  data
	audio form // of audio in it
	sound bool // it holds nothing but audio
}

// openFiles opens what the tracks need.
func (b *cueBuilder) openFiles() error {
	b.files = make([]cueData, len(b.sheet.files))
	for i := range b.sheet.tracks {
		t := &b.sheet.tracks[i]
		if _, ok := t.mark(1); !ok {
			return fmt.Errorf("%w: line %d: track %d has no INDEX 01", ErrDamaged, t.line, t.number)
		}
		for _, m := range t.marks {
			f := &b.sheet.files[m.file]
			d := &b.files[m.file]
			if d.data == nil {
				var err error
				if *d, err = b.openFile(f); err != nil {
					return fmt.Errorf("line %d: %w", f.line, err)
				}
			}
			if d.sound && t.kind.mode != disc.Audio {
				return fmt.Errorf("%w: line %d: track %d is of data, and its file %q is of audio", ErrDamaged, t.line, t.number, f.name)
			}
		}
	}
	return nil
}

// soundExts are how names of files with audio end, in the order in which they
// are looked for where a sheet names another.
var soundExts = []string{".wav", ".flac", ".aiff", ".aif", ".aifc"}

// sectorExts are the same for files of sectors.
var sectorExts = []string{".bin", ".img", ".iso", ".raw"}

// openFile opens what a FILE line names.
func (b *cueBuilder) openFile(f *cueFile) (cueData, error) {
	kinds := map[string]bool{"BINARY": false, "MOTOROLA": false, "WAVE": true, "AIFF": true, "AIFC": true, "FLAC": true, "MP3": true}
	sound, ok := kinds[f.kind]
	switch {
	case !ok:
		return cueData{}, fmt.Errorf("%w: %q is no known kind of a file", ErrDamaged, f.kind)
	case f.kind == "MP3":
		return cueData{}, errMP3(f.name)
	}
	file, err := b.find(f.name, sound)
	if err != nil {
		return cueData{}, err
	}
	if sound || slices.Contains(soundExts, strings.ToLower(path.Ext(file.path))) {
		d, err := openSound(b.source, file)
		if err != nil {
			return cueData{}, fmt.Errorf("%q: %w", f.name, err)
		}
		return d, nil
	}
	if f.kind == "MOTOROLA" {
		return cueData{data: file, audio: audioBEForm}, nil
	}
	return cueData{data: file, audio: audioForm}, nil
}

// find opens the file of that name or, where there is none, one that differs in
// what people change when they convert or rename: its extension or, when the
// sheet has one file, all of its name.
func (b *cueBuilder) find(name string, sound bool) (*file, error) {
	f, err := b.companion(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	exts := slices.Concat(sectorExts, soundExts)
	if sound {
		exts = soundExts
	}
	stems := []string{strings.TrimSuffix(name, path.Ext(name))}
	if len(b.sheet.files) == 1 {
		stems = append(stems, b.stem())
	}
	for _, stem := range stems {
		for _, ext := range exts {
			other, oerr := b.companion(stem + ext)
			if oerr == nil {
				b.warn("its file %q is missing: %q is taken in its place", printable(name), path.Base(other.path))
				return other, nil
			}
			if !errors.Is(oerr, fs.ErrNotExist) {
				return nil, oerr
			}
		}
	}
	return nil, err
}

// flat returns the data of a sheet for what is too big for a CD: one track of
// blocks, as some write for a DVD; else nil.
func (b *cueBuilder) flat() data {
	t := &b.sheet.tracks[0]
	m := t.marks[0]
	if d := b.files[m.file].data; len(b.sheet.tracks) == 1 && t.kind.form == mode1Form && len(t.marks) == 1 && m.at == 0 &&
		d.Size() > disc.MaxCDBlocks*disc.BlockSize {
		return d
	}
	return nil
}

// tracks puts the tracks one behind the other.
func (b *cueBuilder) tracks() error {
	b.layout.Sessions = make([]disc.Session, 1)
	for i := range b.sheet.tracks {
		t := &b.sheet.tracks[i]
		if i > 0 {
			if err := b.finish(&b.sheet.tracks[i-1], &t.marks[0]); err != nil {
				return err
			}
		}
		track, err := b.begin(t, i)
		if err != nil {
			return err
		}
		for _, m := range t.marks {
			if err := b.reach(&m, t); err != nil {
				return err
			}
			switch m.index {
			case 0:
			case 1:
				track.Start = b.at
			default:
				track.Indexes = append(track.Indexes, b.at)
			}
		}
	}
	if err := b.finish(&b.sheet.tracks[len(b.sheet.tracks)-1], nil); err != nil {
		return err
	}
	b.layout.LastSession().LeadOut = b.at
	return nil
}

// begin adds track t, with the gaps before what files hold of it.
func (b *cueBuilder) begin(t *cueTrack, i int) (*disc.Track, error) {
	stored := t.marks[0].index == 0
	session := b.layout.LastSession()
	pregap := t.pregap
	switch {
	case i == 0:
		b.at, pregap = b.firstStart(t), 0
	case t.session != b.sheet.tracks[i-1].session:
		session.LeadOut = b.at
		b.at += sessionGap(len(b.layout.Sessions), t.gap)
		if !stored && pregap == 0 {
			if pregap = leadInPregap; t.gap[2] != 0 {
				pregap = t.gap[2]
			}
		}
		b.layout.Sessions = append(b.layout.Sessions, disc.Session{})
		session = b.layout.LastSession()
	}
	session.Type = max(session.Type, t.kind.session)
	session.Tracks = append(session.Tracks, disc.Track{
		Number: t.number, Control: t.control, Mode: t.kind.mode, ISRC: t.isrc, Pregap: b.at,
	})
	b.at += pregap
	return &session.Tracks[len(session.Tracks)-1], b.tooLong(t.line)
}

// finish gives track t what is left of it before next, or to the file's end
// where that lies in another file or is none.
func (b *cueBuilder) finish(t *cueTrack, next *cueMark) error {
	var err error
	if next != nil && next.file == b.file {
		err = b.reach(next, t)
	} else {
		err = b.rest(t)
	}
	b.at += t.postgap
	return errors.Join(err, b.tooLong(t.line))
}

// reach moves to where mark m lies; what comes before belongs to the track of
// the mark before or, at the start of a file, to t.
func (b *cueBuilder) reach(m *cueMark, t *cueTrack) error {
	if m.file != b.file {
		if b.owner != nil {
			if err := b.rest(b.owner); err != nil {
				return err
			}
		}
		b.file, b.pos, b.off, b.owner = m.file, 0, 0, nil
	}
	if m.at < b.pos {
		return fmt.Errorf("%w: line %d: index %d lies at sector %d of its file, before the index above it at %d", ErrDamaged, m.line, m.index, m.at, b.pos)
	}
	owner := b.owner
	if owner == nil {
		owner = t
	}
	n := m.at - b.pos
	if end := b.off + int64(n)*owner.kind.stride; end > b.files[b.file].data.Size() {
		return fmt.Errorf("%w: line %d: index %d lies at byte %d of %q, which has %d (hint: the copy may be incomplete)",
			ErrDamaged, m.line, m.index, end, b.sheet.files[b.file].name, b.files[b.file].data.Size())
	}
	b.take(n, owner)
	b.owner = t
	return b.tooLong(m.line)
}

// rest takes what is left of the file for track t.
func (b *cueBuilder) rest(t *cueTrack) error {
	f := &b.files[b.file]
	left := f.data.Size() - b.off
	if odd := left % t.kind.stride; odd != 0 && !f.sound {
		b.warn("the last %d bytes of %q are no whole sector of track %d and are left out", odd, printable(b.sheet.files[b.file].name), t.number)
	}
	b.take(disc.LBA(min(left/t.kind.stride, disc.MaxCDBlocks+1)), t)
	return b.tooLong(t.line)
}

// take adds a run of n sectors of track t.
func (b *cueBuilder) take(n disc.LBA, t *cueTrack) {
	f := &b.files[b.file]
	r := run{start: b.at, n: n, form: t.kind.form, data: f.data, off: b.off, stride: t.kind.stride}
	if t.kind.mode == disc.Audio {
		r.form = f.audio
	}
	if r.stride == int64(forms[r.form].size) {
		r.stride = 0
	} else if n > 0 {
		r.sub = sniffSub(&r)
	}
	if n > 0 {
		b.runs = append(b.runs, r)
	}
	b.at, b.pos, b.off = b.at+n, b.pos+n, b.off+int64(n)*t.kind.stride
}

// tooLong fails when the disc is longer than CDs are.
func (b *cueBuilder) tooLong(line int) error {
	if b.at > disc.MaxCDBlocks {
		return fmt.Errorf("%w: line %d: the disc would be longer than the 99:59:74 of a CD", ErrDamaged, line)
	}
	return nil
}

// text gives the layout its CD-TEXT: from the file of packs or else from the
// sheet's own lines.
func (b *cueBuilder) text() error {
	if b.sheet.textFile == "" {
		t := b.sheet.text
		t.Language, t.First, t.Last = english, b.layout.First().Number, b.layout.Last().Number
		addText(b.source, b.layout, []sector.Text{t})
		return nil
	}
	f, err := b.companion(b.sheet.textFile)
	if err != nil {
		return fmt.Errorf("line %d: %w", b.sheet.textLine, err)
	}
	packs, err := f.text()
	if err != nil {
		return fmt.Errorf("line %d: %w", b.sheet.textLine, err)
	}
	addPacks(b.source, b.layout, packs)
	return nil
}
