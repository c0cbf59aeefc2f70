package image

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// tocFormat is a table of contents of cdrdao with the files that it names.
var tocFormat = format{
	name: "toc",
	exts: []string{".toc"},
	open: openTOC,
}

// openTOC opens a table of contents as cdrdao reads and writes them.
func openTOC(s *source) (disc.Disc, error) {
	if !s.hasExt(".toc") {
		return nil, fmt.Errorf("%w: not named as a table of contents", ErrFormat)
	}
	text, err := s.sheet("a table of contents")
	if err != nil {
		return nil, err
	}
	sheet, err := parseTOC(text)
	if err != nil {
		return nil, err
	}
	session := disc.Session{Type: sheet.session}
	t := &tocBuilder{source: s, layout: &disc.Layout{Kind: disc.CD, MCN: sheet.mcn, Sessions: []disc.Session{session}}}
	for i := range sheet.tracks {
		if err := t.track(&sheet.tracks[i], byte(i+1)); err != nil {
			return nil, err
		}
	}
	t.layout.Sessions[0].LeadOut = t.at
	t.text(sheet)
	return newCD(s, t.layout, t.runs)
}

// A tocBuilder puts a disc together as a table of contents says.
type tocBuilder struct {
	*source
	layout *disc.Layout
	runs   []run
	at     disc.LBA
}

// track adds a track: its parts one behind the other, of which as many sectors
// as START says are its pregap.
func (b *tocBuilder) track(t *tocTrack, number byte) error {
	stride := int64(forms[t.mode.form].size)
	if t.sub != "" {
		stride += disc.SubSize
	}
	var pieces []piece
	var size, before int64
	for i := range t.parts {
		p, err := b.open(&t.parts[i], t, stride)
		if err != nil {
			return fmt.Errorf("line %d: %w", t.parts[i].line, err)
		}
		if t.mode.mode != disc.Audio && p.size%stride != 0 {
			p.size += stride - p.size%stride
		}
		if pieces, size = append(pieces, p), size+p.size; i+1 == t.before {
			before = size
		}
		if size > disc.MaxCDBlocks*stride {
			return fmt.Errorf("%w: line %d: the disc would be longer than the 99:59:74 of a CD", ErrDamaged, t.parts[i].line)
		}
	}
	pregap := disc.LBA((before + stride - 1) / stride)
	if t.start != nil {
		pregap = disc.LBA(t.start.n)
	}
	track := disc.Track{Number: number, Control: t.control, Mode: t.mode.mode, ISRC: t.isrc, Pregap: b.at, Start: b.at + pregap}
	for _, i := range t.indexes {
		track.Indexes = append(track.Indexes, track.Start+i)
	}
	b.layout.Sessions[0].Tracks = append(b.layout.Sessions[0].Tracks, track)
	if t.mode.mode == disc.Audio && (len(pieces) > 1 || size%stride != 0) {
		pieces = []piece{{data: joined(pieces, size, stride), size: size, form: audioForm}}
	}
	for _, p := range pieces {
		b.place(p, t, stride)
	}
	if b.at > disc.MaxCDBlocks {
		return fmt.Errorf("%w: line %d: the disc would be longer than the 99:59:74 of a CD", ErrDamaged, t.line)
	}
	return nil
}

// place adds a run of a piece. Zeros need none: they are made.
func (b *tocBuilder) place(p piece, t *tocTrack, stride int64) {
	n := disc.LBA((p.size + stride - 1) / stride)
	r := run{start: b.at, n: n, form: t.mode.form, data: p.data, off: p.off, stride: stride}
	if b.at += n; p.data == nil || n == 0 {
		return
	}
	if t.mode.mode == disc.Audio {
		r.form = p.form
	}
	switch t.sub {
	case "":
		r.stride = 0
	case "RW":
		r.sub = &subs{data: p.data, off: p.off + int64(forms[r.form].size), stride: stride, rw: true, packed: true}
	default:
		r.sub = sniffSub(&r)
	}
	b.runs = append(b.runs, r)
}

// open finds the bytes of a part of track t, whose files have stride bytes a
// sector.
func (b *tocBuilder) open(part *tocPart, t *tocTrack, stride int64) (piece, error) {
	if part.name == "" {
		return piece{size: part.length.bytes(t, stride)}, nil
	}
	f, err := b.companion(part.name)
	if err != nil {
		return piece{}, err
	}
	p := piece{data: f, form: audioBEForm}
	if slices.Contains(soundExts, strings.ToLower(path.Ext(f.path))) {
		if t.mode.mode != disc.Audio || t.sub != "" || part.offset != 0 {
			return p, fmt.Errorf("%w: %q is of audio, and not all of a data track, of sub-channels or at a byte offset", ErrDamaged, part.name)
		}
		d, err := openSound(b.source, f)
		if err != nil {
			return p, fmt.Errorf("%q: %w", part.name, err)
		}
		p.data, p.form = d.data, d.audio
	}
	if part.swap {
		p.form = map[form]form{audioForm: audioBEForm, audioBEForm: audioForm}[p.form]
	}
	p.off = part.offset + part.start.bytes(t, stride)
	left := p.data.Size() - p.off
	if p.size = part.length.bytes(t, stride); p.size == 0 {
		p.size = left
	}
	if t.mode.mode == disc.Audio && t.sub == "" {
		p.size &^= 3 // whole samples
	}
	if left <= 0 {
		return p, fmt.Errorf("%w: it begins at byte %d of %q, which has %d", ErrDamaged, p.off, part.name, p.data.Size())
	}
	if short := p.size - left; short > 0 {
		b.info.Truncated = true
		b.warn("line %d: %q ends %d bytes too early: is the copy complete?", part.line, printable(part.name), short)
	}
	return p, nil
}

// bytes is the length in bytes, in a track whose sectors have stride bytes.
func (l tocLength) bytes(t *tocTrack, stride int64) int64 {
	switch {
	case l.sectors:
		return l.n * stride
	case t.mode.mode == disc.Audio && t.sub == "":
		return l.n * 4
	}
	return l.n
}

// text gives the layout its CD-TEXT: a block for each language that the map has.
func (b *tocBuilder) text(sheet *tocSheet) {
	var texts []sector.Text
	for n, code := range sheet.languages {
		if code < 0 {
			continue
		}
		t := sheet.texts[n]
		t.Language, t.First, t.Last = byte(code), 1, b.layout.Last().Number
		texts = append(texts, t)
	}
	addText(b.source, b.layout, texts)
}
