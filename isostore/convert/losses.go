package convert

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// losses collects what a format cannot hold of a disc, before a byte is written.
// What only shows when all sectors are read is noted by job.lose.
type losses struct {
	ctx    context.Context
	d      disc.Disc
	layout *disc.Layout // a copy: checks take out of it what the result will lack
	f      *format
	list   []string
}

// A check looks for one kind of loss. It fails when the format cannot hold the
// disc at all.
type check func(l *losses) error

// lossesOf asks all checks of a format.
func lossesOf(ctx context.Context, f *format, d disc.Disc) (*losses, error) {
	l := &losses{ctx: ctx, d: d, layout: clone(d.Layout()), f: f}
	for _, c := range f.checks {
		if err := c(l); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// clone is a copy of a layout whose tracks can be changed.
func clone(l *disc.Layout) *disc.Layout {
	c := *l
	c.Sessions = slices.Clone(c.Sessions)
	for i := range c.Sessions {
		c.Sessions[i].Tracks = slices.Clone(c.Sessions[i].Tracks)
	}
	return &c
}

// when notes a loss if it is one. The same is noted once.
func (l *losses) when(lost bool, text string, args ...any) {
	if text = fmt.Sprintf(text, args...); lost && !slices.Contains(l.list, text) {
		l.list = append(l.list, text)
	}
}

// isoOnly: an ISO image is one data track, and nothing around it.
func isoOnly(l *losses) error {
	audio, data := 0, 0
	flags, codes, indexes := false, false, false
	for t := range l.layout.Tracks() {
		if !t.IsData() {
			audio++
			continue
		}
		data++
		flags = flags || t.Control&^4 != 0
		codes = codes || t.ISRC != ""
		indexes = indexes || len(t.Indexes) > 0
	}
	if data == 0 {
		return fmt.Errorf("an ISO image holds data, and the disc is audio alone (hint: take .cue, .toc or .chd)")
	}
	sessions := len(l.layout.Sessions)
	l.when(audio == 1, "1 audio track")
	l.when(audio > 1, "%d audio tracks", audio)
	l.when(data > 1, "where %d data tracks begin", data)
	l.when(sessions > 1, "where %d sessions begin", sessions)
	l.when(l.layout.MCN != "", "the catalogue number")
	l.when(len(l.layout.CDText) > 0, "CD-TEXT")
	l.when(flags, "flags of data tracks")
	l.when(codes, "recording codes of data tracks")
	l.when(indexes, "indexes of data tracks")
	return nil
}

// cdOnly: sheets describe CDs.
func cdOnly(l *losses) error {
	if k := l.layout.Kind; k != disc.CD {
		return fmt.Errorf("a sheet describes a CD, and this is a %v (hint: take .iso, .iso.zst or .chd)", k)
	}
	return nil
}

// oneSession: a TOC of cdrdao has one.
func oneSession(l *losses) error {
	if n := len(l.layout.Sessions); n > 1 {
		return fmt.Errorf("a cdrdao TOC describes one session, and the disc has %d (hint: take .cue or .chd)", n)
	}
	return nil
}

// fromOne: tracks have no numbers in the format, but count from 1.
func fromOne(l *losses) error {
	if n := l.layout.First().Number; n != 1 {
		return fmt.Errorf("the first track of the disc is number %d, and %s counts from 1 (hint: take .cue)", n, l.f.name)
	}
	return nil
}

// leadIns looks at what the image has of sectors before those that the format
// stores: the pregaps of 2 seconds of which most formats say nothing.
func leadIns(l *losses) error {
	r, ok := l.d.(disc.RawReader)
	if !ok || l.layout.Kind != disc.CD {
		return nil
	}
	p := make([]byte, disc.SectorSize)
	for i := range l.layout.Sessions {
		s := &l.layout.Sessions[i]
		for lba := s.Tracks[0].Pregap; lba < l.f.stored(s, i).start; lba++ {
			if _, err := r.ReadSectors(p, lba); err != nil {
				return err
			}
			if !isEmpty(p, &s.Tracks[0]) {
				l.when(true, "what the pregap of session %d holds, from sector %d on", s.Number, lba)
				break
			}
		}
	}
	return nil
}

// isEmpty reports whether a sector has no data but what an empty one is given.
func isEmpty(p []byte, t *disc.Track) bool {
	switch {
	case !t.IsData() || !sector.IsRaw(p):
	case p[15]&3 == 1:
		p = p[16:2064]
	case p[15]&3 == 2 && bytes.Equal(p[16:20], p[20:24]) && p[18]&0x20 != 0:
		p = p[24:2348]
	case p[15]&3 == 2 && bytes.Equal(p[16:20], p[20:24]):
		p = p[24:2072]
	default:
		p = p[16:]
	}
	return !slices.ContainsFunc(p, func(b byte) bool { return b != 0 })
}

// subChannels looks for sub-channels that no reader could make anew: graphics,
// and positions and codes that are other than the layout says, as on purpose.
func subChannels(l *losses) error {
	r, ok := heldSub(l.d)
	if !ok {
		return nil
	}
	const many = 64
	p := make([]byte, many*disc.SubSize)
	for t := range l.layout.Tracks() {
		end := l.layout.End(t)
		for lba := max(0, t.Pregap); lba < end; lba += many {
			if l.ctx.Err() != nil {
				return context.Cause(l.ctx)
			}
			n := min(many, int(end-lba))
			if _, err := r.ReadSub(p[:n*disc.SubSize], lba); err != nil {
				return err
			}
			for i := range n {
				if at := lba + disc.LBA(i); isOddSub(p[i*disc.SubSize:][:disc.SubSize], l.layout, t, at) {
					l.when(true, "sub-channels, from sector %d on", at)
					return nil
				}
			}
		}
	}
	return nil
}

// heldSub returns the reader of sub-channels that the image holds, if any.
func heldSub(d disc.Disc) (disc.SubReader, bool) {
	h, ok := d.(disc.SubHolder)
	r, isReader := d.(disc.SubReader)
	return r, ok && isReader && h.HoldsSub()
}

// isOddSub reports whether a sub-channel says something that the layout does not.
func isOddSub(sub []byte, l *disc.Layout, t *disc.Track, lba disc.LBA) bool {
	if slices.ContainsFunc(sub, func(b byte) bool { return b&0x3F != 0 }) {
		return true
	}
	q := sector.QOf(sub)
	if !q.Valid() {
		return true
	}
	switch q[0] & 0xF {
	case 1: // relative addresses are rounded in other ways before index 1
		want := sector.PositionQ(t, lba)
		return q[0] != want[0] || q[1] != want[1] || q[2] != want[2] || !bytes.Equal(q[7:10], want[7:10])
	case 2:
		code, ok := sector.ParseMCN(q)
		return !ok || code != l.MCN && code != "0000000000000"
	case 3:
		code, ok := sector.ParseISRC(q)
		return !ok || code != t.ISRC && code != "000000000000"
	}
	return true
}

// structures looks for what only an image of the whole DVD has: where layer 1
// begins, and structures that say other than a drive makes up.
func structures(l *losses) error {
	l.when(l.layout.LayerBreak > 0, "where layer 1 begins")
	l.layout.LayerBreak = 0
	r, ok := l.d.(disc.StructureReader)
	if !ok {
		return nil
	}
	for layer := range byte(2) {
		for _, s := range []struct {
			format byte
			name   string
		}{{0x00, "physical"}, {0x01, "copyright"}, {0x04, "manufacturing"}} {
			b, ok := r.ReadStructure(s.format, layer)
			if ok && s.format == 0x00 {
				b = oddPhysical(b)
			}
			l.when(ok && slices.ContainsFunc(b, func(c byte) bool { return c != 0 }), "%s information of the DVD", s.name)
		}
	}
	return nil
}

// oddPhysical is physical format information without what each DVD-ROM has: its
// kind and size, layers and addresses (ECMA-267, 16).
func oddPhysical(b []byte) []byte {
	b = bytes.Clone(b)
	for i, usual := range []byte{0x01, 0x02} {
		if i < len(b) && b[i] == usual {
			b[i] = 0
		}
	}
	clear(b[min(2, len(b)):min(3, len(b))])
	clear(b[min(4, len(b)):min(16, len(b))])
	return b
}

// kindBySize: the format says nothing of the medium, which is then by size.
func kindBySize(l *losses) error {
	k := l.layout.Kind
	l.when(disc.KindFor(int64(l.layout.LeadOut())) != k, "that it is a %v, which its size does not say", k)
	return nil
}

// kindInCHD: a CHD says CD or DVD, and BD by size alone.
func kindInCHD(l *losses) error {
	if l.layout.Kind == disc.BD {
		return kindBySize(l)
	}
	return nil
}

// sheetTypes: a CUE sheet says the type of a session by those of its tracks.
func sheetTypes(l *losses) error {
	for i := range l.layout.Sessions {
		s := &l.layout.Sessions[i]
		kept := byte(0)
		for k := range s.Tracks {
			switch m := s.Tracks[k].Mode; {
			case s.Type == typeCDI && (m == disc.Mode2 || m == disc.Mode2XA):
				kept = typeCDI
			case m == disc.Mode2XA && kept == 0:
				kept = typeXA
			}
		}
		l.when(kept != s.Type, "the type %02Xh of session %d", s.Type, s.Number)
		s.Type = kept
	}
	return nil
}

// Types of sessions that are not of CD-DA or CD-ROM.
const (
	typeCDI = 0x10
	typeXA  = 0x20
)

// gaps: a CUE sheet can say only so much of what lies between sessions.
func gaps(l *losses) error {
	for i := 1; i < len(l.layout.Sessions); i++ {
		if _, ok := gapOf(l.layout, i); !ok {
			return fmt.Errorf("a sheet cannot say that session %d begins %d sectors after the one before, with a pregap of %d (hint: take .chd)",
				i+1, l.layout.Sessions[i].Tracks[0].Pregap-l.layout.Sessions[i-1].LeadOut, pregapOf(l.layout, i))
		}
	}
	return nil
}

// tocNames: what a TOC has no words for.
func tocNames(l *losses) error {
	for t := range l.layout.Tracks() {
		if !t.IsData() {
			continue
		}
		l.when(t.Control&^6 != 0, "flags of data tracks")
		l.when(t.ISRC != "", "recording codes of data tracks")
		t.Control, t.ISRC = t.Control&6, ""
	}
	s := &l.layout.Sessions[0]
	if s.Type != typeCDI && s.Type != typeXA && s.Type != 0 {
		l.when(true, "the type %02Xh of session %d", s.Type, s.Number)
		s.Type = 0
	}
	packs, whole := tocTexts(l.layout)
	l.when(!whole, "some of CD-TEXT")
	l.layout.CDText = packs
	return nil
}

// refusal is the refusal of what would be lost.
func (l *losses) refusal() error {
	return fmt.Errorf("%w in %s: %s (hint: %s--lossy leaves it out)", ErrLossy, l.f.name, strings.Join(l.list, "; "), l.f.better)
}
