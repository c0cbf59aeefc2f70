package disctest

import "spindle/isostore/disc"

// layout checks what a Layout promises.
func (c *checker) layout() {
	l := c.l
	if l == nil || len(l.Sessions) == 0 {
		c.errorf("layout has no session")
		return
	}
	if l.Kind != disc.CD && l.Kind != disc.DVD && l.Kind != disc.BD {
		c.errorf("layout is of %v", l.Kind)
	}
	number, end := byte(0), disc.LBA(-150)
	for i := range l.Sessions {
		s := &l.Sessions[i]
		if int(s.Number) != i+1 {
			c.errorf("session %d has number %d", i+1, s.Number)
		}
		if s.Type != 0 && s.Type != 0x10 && s.Type != 0x20 {
			c.errorf("session %d has type %02Xh", s.Number, s.Type)
		}
		if len(s.Tracks) == 0 {
			c.errorf("session %d has no track", s.Number)
			return
		}
		for j := range s.Tracks {
			t := &s.Tracks[j]
			if number == 0 {
				number = t.Number - 1
			}
			if number++; t.Number != number || number < 1 || number > 99 {
				c.errorf("track %d comes where %d should", t.Number, number)
			}
			c.track(s, t, end)
			end = c.l.End(t)
		}
		if end != s.LeadOut {
			c.errorf("session %d ends at %d, its lead-out starts at %d", s.Number, end, s.LeadOut)
		}
	}
	if limit := l.Kind.MaxBlocks(); limit > 0 && int64(l.LeadOut()) > limit {
		c.errorf("lead-out at %d, beyond the %d blocks of a %v", l.LeadOut(), limit, l.Kind)
	}
	if len(l.MCN) != 0 && len(l.MCN) != 13 || len(l.CDText)%18 != 0 {
		c.errorf("MCN %q, CD-TEXT of %d bytes", l.MCN, len(l.CDText))
	}
}

// track checks track t, which must not begin before floor.
func (c *checker) track(s *disc.Session, t *disc.Track, floor disc.LBA) {
	end := c.l.End(t)
	if t.Pregap < floor || t.Start < t.Pregap || t.Start < 0 || end <= t.Start {
		c.errorf("track %d: pregap %d, start %d, end %d, after %d", t.Number, t.Pregap, t.Start, end, floor)
	}
	at := t.Start
	for _, i := range t.Indexes {
		if i <= at || i >= end {
			c.errorf("track %d: index at %d, after %d and before %d", t.Number, i, at, end)
		}
		at = i
	}
	if t.IsData() == (t.Mode == disc.Audio) {
		c.errorf("track %d: control %Xh and mode %d", t.Number, t.Control, t.Mode)
	}
	if (c.l.Kind == disc.CD) == (t.Mode == disc.UserData) {
		c.errorf("track %d: mode %d on a %v", t.Number, t.Mode, c.l.Kind)
	}
	if len(t.ISRC) != 0 && len(t.ISRC) != 12 {
		c.errorf("track %d: ISRC %q", t.Number, t.ISRC)
	}
	for _, lba := range []disc.LBA{t.Pregap, t.Start, end - 1} {
		if gs, gt := c.l.TrackAt(lba); gs != s || gt != t {
			c.errorf("TrackAt(%d) is not track %d", lba, t.Number)
		}
	}
}
