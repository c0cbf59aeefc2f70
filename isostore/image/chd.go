package image

import (
	"errors"
	"fmt"

	"spindle/isostore/chd"
	"spindle/isostore/disc"
)

// chdFormat is MAME's compressed image of a CD or DVD.
var chdFormat = format{
	name: "chd",
	exts: []string{".chd"},
	open: openCHD,
}

// notDiscs are CHDs of other things, by the tag of their metadata.
var notDiscs = []struct{ tag, what string }{
	{chd.TagGDROM, "a GD-ROM, which is not supported (hint: no computer's drive reads one)"},
	{chd.TagGDOld, "a GD-ROM, which is not supported (hint: no computer's drive reads one)"},
	{chd.TagDisk, "a hard disk, not a disc (hint: chdman extracthd gives its blocks)"},
	{chd.TagLaser, "a laser disc, which is not supported"},
	{chd.TagCDOld, "a CD whose tracks are described as by old programs, which is not supported (hint: make it anew by chdman extractcd and createcd)"},
}

// openCHD opens a CHD of version 5 without parent: of a CD, by metadata of its
// tracks, or of a DVD, whose units are 2048 bytes.
func openCHD(s *source) (disc.Disc, error) {
	c, err := chd.Open(s, s.size)
	switch {
	case errors.Is(err, chd.ErrFormat):
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case err != nil:
		return nil, chdError(err)
	}
	for _, n := range notDiscs {
		if len(c.Find(n.tag)) > 0 {
			return nil, fmt.Errorf("a CHD of %s", n.what)
		}
	}
	tracks, err := c.Tracks()
	if err != nil {
		return nil, chdError(err)
	}
	h := newHunks(s, c.Logical, int64(c.HunkBytes), func(p []byte, n int64) error { return chdError(c.ReadHunk(p, n)) })
	switch {
	case len(tracks) > 0 && c.UnitBytes == chd.FrameSize:
		return openCHDTracks(s, c, h, tracks)
	case len(tracks) > 0:
		return nil, fmt.Errorf("%w: byte 60: a CD in units of %d bytes, want %d", ErrDamaged, c.UnitBytes, chd.FrameSize)
	case c.UnitBytes == disc.BlockSize && c.Logical > 0:
		if len(c.Find(chd.TagDVD)) > 0 && s.options.Kind == 0 {
			s.options.Kind = max(disc.DVD, disc.KindFor(c.Logical/disc.BlockSize))
		}
		return newFlat(s, h)
	}
	return nil, fmt.Errorf("a CHD of %d bytes in units of %d without metadata of a disc (hint: chdman createcd makes one of a CD)", c.Logical, c.UnitBytes)
}

// chdError is err of package chd as one of this package.
func chdError(err error) error {
	if errors.Is(err, chd.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// A chdType is a type of tracks, with the mode that its sectors have until the
// first is looked at.
type chdType struct {
	form form
	mode disc.Mode
}

var chdTypes = map[string]chdType{
	"MODE1":          {mode1Form, disc.Mode1},
	"MODE1_RAW":      {rawForm, disc.Mode1},
	"MODE2":          {mode2Form, disc.Mode2},
	"MODE2_FORM1":    {xa1Form, disc.Mode2XA},
	"MODE2_FORM2":    {xa2Form, disc.Mode2XA},
	"MODE2_FORM_MIX": {mode2Form, disc.Mode2XA},
	"MODE2_RAW":      {rawForm, disc.Mode2XA},
	"AUDIO":          {audioBEForm, disc.Audio},
}

// openCHDTracks puts a CD together.
func openCHDTracks(s *source, c *chd.Reader, h data, tracks []chd.Track) (disc.Disc, error) {
	for i, t := range tracks {
		if _, ok := chdTypes[t.Type]; !ok || t.Number != i+1 {
			return nil, fmt.Errorf("%w: track %d of type %s comes as number %d", ErrDamaged, t.Number, t.Type, i+1)
		}
	}
	layout, starts, err := chdOurs(s, c, tracks)
	if err != nil {
		return nil, err
	}
	if layout == nil {
		layout, starts = chdLayout(h, tracks)
	}
	var runs []run
	at := int64(0)
	for i := range tracks {
		runs = append(runs, chdRuns(s, &tracks[i], h, at, starts[i])...)
		at += int64(tracks[i].Padded())
	}
	return newCD(s, layout, runs)
}

// chdLayout is the layout that the usual metadata gives, one session, and the
// LBA of the first frame of each track in the CHD. LBA 0 is the first frame of
// all; where that is of a stored pregap, a hidden track, as in CUE sheets.
//
// A pregap that is not stored is not in the CHD. chdman says so of cdrdao's,
// too, which are: where sectors carry their address, that decides.
func chdLayout(h data, tracks []chd.Track) (*disc.Layout, []disc.LBA) {
	session := disc.Session{Number: 1}
	starts := make([]disc.LBA, len(tracks))
	lba, at := disc.LBA(0), int64(0)
	for i := range tracks {
		t := &tracks[i]
		gap := disc.LBA(t.Pregap)
		first, addressed := chdAddress(t, h, at)
		if addressed && gap > 0 && !t.Stored && first == lba && i > 0 {
			t.Stored = true
		}
		if i == 0 {
			switch {
			case !t.Stored:
				gap = 0 // index 1 is at LBA 0
			case addressed && first == -gap:
				lba = first // the pregap that each disc has
			}
		}
		starts[i] = lba
		if !t.Stored {
			starts[i] += gap
		}
		session.Tracks = append(session.Tracks, disc.Track{
			Number: byte(t.Number), Mode: chdTypes[t.Type].mode, Pregap: lba, Start: lba + gap,
		})
		lba = starts[i] + disc.LBA(t.Frames+t.Postgap)
		at += int64(t.Padded())
	}
	session.LeadOut = lba
	return &disc.Layout{Kind: disc.CD, Sessions: []disc.Session{session}}, starts
}

// chdAddress is the address in the first sector of a track, of frame at of the
// CHD, and whether it has one.
func chdAddress(t *chd.Track, h data, at int64) (disc.LBA, bool) {
	if chdTypes[t.Type].form != rawForm {
		return 0, false
	}
	return headerLBA(h, at*chd.FrameSize)
}

// chdRuns are the sectors of a track, from frame at of the CHD and from start
// on: one run, or two where only the pregap or only the rest has sub-channels.
func chdRuns(s *source, t *chd.Track, h data, at int64, start disc.LBA) []run {
	kind := chdTypes[t.Type]
	if t.Subtype == "RW" {
		s.warn("track %d has its sub-channels R to W in packed form, which is not supported: they are left out", t.Number)
	}
	pregap := 0
	if t.Stored && (t.PregapQ == "RW_RAW") != (t.Subtype == "RW_RAW") {
		pregap = t.Pregap
	}
	var runs []run
	for _, part := range []struct {
		n   int
		sub string
	}{{pregap, t.PregapQ}, {t.Frames - pregap, t.Subtype}} {
		r := run{start: start, n: disc.LBA(part.n), form: kind.form, data: h, off: at * chd.FrameSize, stride: chd.FrameSize}
		if part.sub == "RW_RAW" {
			r.sub = &subs{data: h, off: r.off + int64(forms[kind.form].size), stride: chd.FrameSize}
		}
		if part.n > 0 {
			runs = append(runs, r)
		}
		start, at = start+disc.LBA(part.n), at+int64(part.n)
	}
	return runs
}
