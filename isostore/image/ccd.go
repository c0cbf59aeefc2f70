package image

import (
	"errors"
	"fmt"
	"io/fs"

	"spindle/isostore/disc"
)

// ccdFormat is CloneCD's: a description, a file of raw sectors beside it and
// mostly one of sub-channels.
var ccdFormat = format{
	name: "ccd",
	exts: []string{".ccd"},
	open: openCCD,
}

// openCCD opens a description of CloneCD with NAME.img and NAME.sub. The former
// has the sectors of all sessions from LBA 0 on without what lies between
// sessions; the latter 96 bytes for each of these, channel by channel.
func openCCD(s *source) (disc.Disc, error) {
	if !s.hasExt(".ccd") {
		return nil, fmt.Errorf("%w: not named as a description of CloneCD", ErrFormat)
	}
	text, err := s.sheet("a description of CloneCD")
	if err != nil {
		return nil, err
	}
	sheet, err := parseCCD(text)
	if err != nil {
		return nil, err
	}
	img, err := s.companion(s.stem() + ".img")
	if err != nil {
		return nil, err
	}
	c := &ccdBuilder{source: s, sheet: sheet, img: img, layout: &disc.Layout{Kind: disc.CD, MCN: sheet.mcn}}
	if err := c.sessions(); err != nil {
		return nil, err
	}
	if err := c.place(); err != nil {
		return nil, err
	}
	if len(sheet.packs) > 0 {
		addPacks(s, c.layout, sheet.packs)
	}
	d, err := newCD(s, c.layout, c.runs)
	if err != nil {
		return nil, err
	}
	d.readSubNames()
	return d, nil
}

// A ccdBuilder puts a disc together as a description of CloneCD says.
type ccdBuilder struct {
	*source
	sheet  *ccdSheet
	img    *file
	sub    *file // nil where there is none
	layout *disc.Layout
	runs   []run
	base   []disc.LBA // by session: the LBA of its first sector in img,
	first  []disc.LBA // and which sector of img that is
}

// sessions makes the layout from the entries of the full TOC.
func (c *ccdBuilder) sessions() error {
	var last int64
	for i := range c.sheet.entries {
		e := &c.sheet.entries[i]
		if e.adr != 1 && e.adr != 0 {
			continue // pointers of mode 5
		}
		if e.session < 1 || e.session < last || e.session > last+1 {
			return fmt.Errorf("%w: line %d: an entry of session %d after one of session %d", ErrDamaged, e.line, e.session, last)
		}
		if e.lba < -leadInPregap || e.lba > disc.MaxCDBlocks {
			if e.point != 0xA0 && e.point != 0xA1 {
				return fmt.Errorf("%w: line %d: an address of %d, and a CD has at most %d sectors", ErrDamaged, e.line, e.lba, disc.MaxCDBlocks)
			}
		}
		if e.session > last {
			last = e.session
			c.layout.Sessions = append(c.layout.Sessions, disc.Session{})
		}
		switch s := c.layout.LastSession(); {
		case e.point == 0xA0:
			s.Type = byte(e.psec) & 0x30
		case e.point == 0xA2:
			s.LeadOut = disc.LBA(e.lba)
		case e.point >= 1 && e.point <= 99:
			s.Tracks = append(s.Tracks, c.track(e))
		}
	}
	if len(c.layout.Sessions) == 0 {
		return fmt.Errorf("%w: no [Entry] section with a track", ErrDamaged)
	}
	return nil
}

// track is the track of an entry. What CloneCD calls its mode is used only as
// far as sectors do not tell.
func (c *ccdBuilder) track(e *ccdEntry) disc.Track {
	t := disc.Track{Number: byte(e.point), Control: byte(e.control) & 0xF, Start: disc.LBA(e.lba), Pregap: disc.LBA(e.lba)}
	more := c.sheet.tracks[t.Number]
	if e.control&4 != 0 {
		if t.Mode = disc.Mode1; more != nil && more.mode == 2 {
			t.Mode = disc.Mode2
		}
	}
	if more == nil {
		return t
	}
	t.ISRC = more.isrc
	if one, ok := more.index[1]; ok {
		delta := t.Start - one // some count from the session's start
		if zero, ok := more.index[0]; ok && zero < one {
			t.Pregap = zero + delta
		}
		for n := 2; n < 100; n++ {
			at, ok := more.index[n]
			if !ok {
				break
			}
			t.Indexes = append(t.Indexes, at+delta)
		}
	}
	return t
}

// place says where in the files sectors are.
func (c *ccdBuilder) place() error {
	if err := c.bases(); err != nil {
		return err
	}
	total := c.first[len(c.first)-1] + c.layout.LeadOut() - c.base[len(c.base)-1]
	if odd := c.img.Size() % disc.SectorSize; odd != 0 || c.img.Size()/disc.SectorSize > int64(total) {
		c.warn("%q has %d bytes, and the %d sectors of the disc are %d", printable(c.stem()+".img"), c.img.Size(), total, int64(total)*disc.SectorSize)
	}
	if err := c.openSub(total); err != nil {
		return err
	}
	for i := range c.layout.Sessions {
		s := &c.layout.Sessions[i]
		for j := range s.Tracks {
			t := &s.Tracks[j]
			start, end := t.Pregap, s.LeadOut
			if j == 0 {
				start = c.base[i]
			}
			if j+1 < len(s.Tracks) {
				end = s.Tracks[j+1].Pregap
			}
			c.runs = append(c.runs, c.run(i, start, end, t))
		}
	}
	return nil
}

// run is the sectors from start to end of track t, in session i.
func (c *ccdBuilder) run(i int, start, end disc.LBA, t *disc.Track) run {
	at := int64(start - c.base[i] + c.first[i])
	r := run{start: start, n: end - start, form: rawForm, data: c.img, off: at * disc.SectorSize}
	switch {
	case t.Mode == disc.Audio:
		r.form = audioForm
	case c.sheet.scrambled:
		r.form = scrambled
	}
	if c.sub != nil {
		r.sub = &subs{data: c.sub, off: at * disc.SubSize, planar: true}
	}
	return r
}

// bases finds where in the file sessions begin: the first at LBA 0, others at
// index 1 of their first track or at the pregap before it. The header of a data
// sector tells which, else the file's size.
func (c *ccdBuilder) bases() error {
	var short, next disc.LBA // sectors without pregaps of later sessions
	sessions := c.layout.Sessions
	for i := range sessions {
		s := &sessions[i]
		if len(s.Tracks) == 0 || s.LeadOut <= s.Tracks[0].Start || i > 0 && s.Tracks[0].Start < sessions[i-1].LeadOut {
			return fmt.Errorf("%w: session %d has no track, or no lead-out behind it", ErrDamaged, i+1)
		}
		if short += s.LeadOut; i > 0 {
			short -= s.Tracks[0].Start
		}
	}
	extra := disc.LBA(c.img.Size()/disc.SectorSize) - short
	for i := range sessions {
		t, base := &sessions[i].Tracks[0], disc.LBA(0)
		if i > 0 {
			t.Pregap = max(min(t.Pregap, t.Start-leadInPregap), sessions[i-1].LeadOut)
			base = t.Start
			lba, ok := headerLBA(c.img, int64(next)*disc.SectorSize)
			ok = ok && t.Mode != disc.Audio && !c.sheet.scrambled
			if ok && lba == t.Pregap || !ok && extra > 0 && extra == disc.LBA(len(sessions)-1)*(t.Start-t.Pregap) {
				base = t.Pregap
			}
		}
		c.base, c.first = append(c.base, base), append(c.first, next)
		next += sessions[i].LeadOut - base
	}
	return nil
}

// openSub opens the file of sub-channels, where it is there and whole, and takes
// from Q the pregaps that the description leaves out.
func (c *ccdBuilder) openSub(total disc.LBA) error {
	f, err := c.companion(c.stem() + ".sub")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.warn("%q is missing: its sub-channels are made", printable(c.stem()+".sub"))
		return nil
	case err != nil:
		return err
	case f.Size() == 0:
		return nil
	case f.Size() < int64(total)*disc.SubSize:
		c.warn("%q has %d of %d bytes: its sub-channels are made", printable(c.stem()+".sub"), f.Size(), int64(total)*disc.SubSize)
		return nil
	}
	c.sub = f
	c.pregaps()
	return nil
}
