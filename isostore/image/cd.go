package image

import (
	"fmt"
	"slices"
	"sort"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// A cd is a disc put together from runs. What no run holds, such as a pregap
// that the image leaves out, is made: silence, or sectors of zeros of the
// track's mode. So are fields of sectors and sub-channels that runs lack.
type cd struct {
	source *source
	layout *disc.Layout
	runs   []run // by start
}

var (
	_ disc.Disc      = (*cd)(nil)
	_ disc.RawReader = (*cd)(nil)
	_ disc.SubReader = (*cd)(nil)
	_ disc.SubHolder = (*cd)(nil)
)

// newCD returns a disc of the given layout. It settles what every CD has, the
// pregap of the first track, and the modes of Mode 2 tracks, and checks the
// rest: its error wraps ErrDamaged. Where files are shorter than the runs say,
// it notes that the image is truncated.
func newCD(s *source, l *disc.Layout, runs []run) (*cd, error) {
	if err := settleLayout(l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	d := &cd{source: s, layout: l, runs: slices.DeleteFunc(runs, func(r run) bool { return r.n <= 0 })}
	slices.SortStableFunc(d.runs, func(a, b run) int { return int(a.start) - int(b.start) })
	for i := range d.runs {
		r := &d.runs[i]
		switch {
		case i > 0 && r.start < d.runs[i-1].end():
			return nil, fmt.Errorf("%w: sector %d lies in two places", ErrDamaged, r.start)
		case r.start < -leadInPregap || r.end() < r.start || r.end() > l.LeadOut() || r.off < 0:
			return nil, fmt.Errorf("%w: sectors %d to %d at byte %d are outside the disc", ErrDamaged, r.start, r.end(), r.off)
		}
		if held := r.held(); held < r.n && !s.info.Truncated {
			s.info.Truncated = true
			s.warn("the files end before sector %d, and the disc has %d: is the copy complete?", r.start+held, l.LeadOut())
		}
	}
	d.sniffModes()
	return d, nil
}

// leadInPregap is how many sectors of pregap lie before LBA 0.
const leadInPregap = 150

// settleLayout gives the first track its pregap, leaves out codes that are none,
// and checks the layout.
func settleLayout(l *disc.Layout) error {
	if len(l.Sessions) == 0 || len(l.Sessions[0].Tracks) == 0 {
		return fmt.Errorf("it has no track")
	}
	if !isMCN(l.MCN) {
		l.MCN = ""
	}
	l.First().Pregap = -leadInPregap
	number, end := l.First().Number, disc.LBA(-leadInPregap)
	for i := range l.Sessions {
		s := &l.Sessions[i]
		s.Number = byte(i + 1)
		if len(s.Tracks) == 0 {
			return fmt.Errorf("session %d has no track", i+1)
		}
		for j := range s.Tracks {
			t := &s.Tracks[j]
			next := s.LeadOut
			if j+1 < len(s.Tracks) {
				next = s.Tracks[j+1].Pregap
			}
			if t.Number != number || number < 1 || number > 99 {
				return fmt.Errorf("track %d comes where %d should", t.Number, number)
			}
			if t.Pregap < end || t.Start < t.Pregap || t.Start < 0 || next <= t.Start || next > disc.MaxCDBlocks {
				return fmt.Errorf("track %d has its pregap at %d, its start at %d and its end at %d; the one before ends at %d", t.Number, t.Pregap, t.Start, next, end)
			}
			if err := settleTrack(t, next); err != nil {
				return fmt.Errorf("track %d: %w", t.Number, err)
			}
			number, end = number+1, next
		}
	}
	return nil
}

// settleTrack checks what a track says of itself, and makes its control agree
// with its mode.
func settleTrack(t *disc.Track, end disc.LBA) error {
	at := t.Start
	for _, i := range t.Indexes {
		if i <= at || i >= end {
			return fmt.Errorf("an index at %d, after %d and before %d", i, at, end)
		}
		at = i
	}
	if len(t.Indexes) > 98 {
		return fmt.Errorf("%d indexes", len(t.Indexes)+2)
	}
	if t.Control &^= 4; t.Mode != disc.Audio {
		t.Control |= 4
	}
	if !isISRC(t.ISRC) {
		t.ISRC = ""
	}
	return nil
}

// sniffModes looks at the first sector of each data track, because images name
// Mode 2 loosely: one with sub-headers is XA. A session with one is of type 20h.
func (d *cd) sniffModes() {
	p := make([]byte, disc.SectorSize)
	for i := range d.layout.Sessions {
		s := &d.layout.Sessions[i]
		for j := range s.Tracks {
			t := &s.Tracks[j]
			if t.Mode == disc.Audio || t.Mode == disc.Mode2XA && s.Type != 0 {
				continue
			}
			if n, _ := d.ReadSectors(p, t.Start); n == 1 && sector.IsRaw(p) {
				switch {
				case p[15] == 1:
					t.Mode = disc.Mode1
				case p[15] == 2 && [4]byte(p[16:20]) == [4]byte(p[20:24]):
					t.Mode = disc.Mode2XA
				case p[15] == 2:
					t.Mode = disc.Mode2
				}
			}
			if t.Mode == disc.Mode2XA && s.Type == 0 {
				s.Type = 0x20
			}
		}
	}
}

// Layout implements disc.Disc.
func (d *cd) Layout() *disc.Layout { return d.layout }

// Close implements disc.Disc.
func (d *cd) Close() error { return d.source.Close() }

// runAt returns the run that holds lba, or nil, and up to where that is so.
func (d *cd) runAt(lba disc.LBA) (*run, disc.LBA) {
	i := sort.Search(len(d.runs), func(i int) bool { return d.runs[i].end() > lba })
	switch {
	case i == len(d.runs):
		return nil, d.layout.LeadOut()
	case d.runs[i].start > lba:
		return nil, d.runs[i].start
	}
	return &d.runs[i], d.runs[i].end()
}

// A span is sectors of one track in one run, or in none.
type span struct {
	lba   disc.LBA
	n     int
	track *disc.Track
	run   *run
}

// each calls read for span after span of n sectors from lba on, which is not
// below floor, until one fails. read returns how many were good.
func (d *cd) each(n int, lba, floor disc.LBA, read func(s span) (int, error)) (done int, err error) {
	for done < n {
		at := lba + disc.LBA(done)
		_, t := d.layout.TrackAt(at)
		if t == nil || at < floor {
			return done, fmt.Errorf("%s: sector %d: %w", d.source.path, at, disc.ErrRange)
		}
		r, end := d.runAt(at)
		end = min(end, d.layout.End(t))
		good, err := read(span{at, min(n-done, int(end-at)), t, r})
		if done += good; err != nil {
			return done, fmt.Errorf("%s: %w", d.source.path, err)
		}
	}
	return done, nil
}

// ReadSectors implements disc.RawReader.
func (d *cd) ReadSectors(p []byte, lba disc.LBA) (int, error) {
	rest := p
	return d.each(len(p)/disc.SectorSize, lba, -leadInPregap, func(s span) (n int, err error) {
		q := rest[:s.n*disc.SectorSize]
		if n = s.n; s.run != nil {
			n, err = s.run.sectors(q, s.lba)
		} else {
			s.empty(q)
		}
		rest = rest[n*disc.SectorSize:]
		return n, err
	})
}

// empty makes the sectors of a span that no run holds.
func (s *span) empty(p []byte) {
	clear(p)
	for i := range s.n {
		q := p[i*disc.SectorSize:][:disc.SectorSize]
		switch lba := s.lba + disc.LBA(i); s.track.Mode {
		case disc.Mode1:
			sector.EncodeMode1(q, lba)
		case disc.Mode2:
			sector.EncodeMode2(q, lba)
		case disc.Mode2XA:
			subHeader(q, 0x08)
			sector.EncodeForm1(q, lba)
		}
	}
}

// ReadSub implements disc.SubReader.
func (d *cd) ReadSub(p []byte, lba disc.LBA) (int, error) {
	rest := p
	return d.each(len(p)/disc.SubSize, lba, -leadInPregap, func(s span) (n int, err error) {
		if n = s.n; s.run != nil && s.run.sub != nil {
			read := s.run.subchannel
			if s.run.sub.packed {
				read = s.run.packs
			}
			n, err = read(rest[:s.n*disc.SubSize], s.lba)
			if s.run.sub.rw {
				d.addPQ(rest[:n*disc.SubSize], s.lba)
			}
		} else {
			for i := range s.n {
				sector.Sub(rest[i*disc.SubSize:][:disc.SubSize], d.layout, s.lba+disc.LBA(i))
			}
		}
		rest = rest[n*disc.SubSize:]
		return n, err
	})
}

// HoldsSub implements disc.SubHolder.
func (d *cd) HoldsSub() bool {
	return slices.ContainsFunc(d.runs, func(r run) bool { return r.sub != nil })
}

// addPQ puts made channels P and Q above the stored R to W of p.
func (d *cd) addPQ(p []byte, lba disc.LBA) {
	var made [disc.SubSize]byte
	for ; len(p) >= disc.SubSize; p, lba = p[disc.SubSize:], lba+1 {
		sector.Sub(made[:], d.layout, lba)
		for i, b := range made {
			p[i] = p[i]&0x3F | b&0xC0
		}
	}
}

// ReadBlocks implements disc.Disc. User data that lies in a file as blocks is
// read into p by one call.
func (d *cd) ReadBlocks(p []byte, lba disc.LBA) (done int, err error) {
	want := len(p) / disc.BlockSize
	if r, end := d.runAt(lba); r != nil && lba >= 0 && r.form.cooked() && r.stride == 0 && lba+disc.LBA(want) <= end && want > 0 {
		return d.cooked(r, p[:want*disc.BlockSize], lba)
	}
	rest := p
	return d.each(want, lba, 0, func(s span) (n int, err error) {
		q := rest[:s.n*disc.BlockSize]
		switch {
		case s.track.Mode == disc.Audio || s.track.Mode == disc.Mode2:
			return 0, fmt.Errorf("sector %d: %w", s.lba, disc.ErrMode)
		case s.run == nil:
			clear(q)
			n = s.n
		default:
			n, err = s.run.blocks(q, s.lba)
		}
		rest = rest[n*disc.BlockSize:]
		return n, err
	})
}

// cooked reads blocks that all lie in one run of blocks, without allocating.
func (d *cd) cooked(r *run, p []byte, lba disc.LBA) (int, error) {
	got, err := r.data.ReadAt(p, r.off+int64(lba-r.start)*disc.BlockSize)
	n := got / disc.BlockSize
	if err = r.readError(n, len(p)/disc.BlockSize, lba, err); err != nil {
		return n, fmt.Errorf("%s: %w", d.source.path, err)
	}
	return n, nil
}

// blocks reads the user data of sectors of the run from lba on.
func (r *run) blocks(p []byte, lba disc.LBA) (done int, err error) {
	want := len(p) / disc.BlockSize
	for done < want && err == nil {
		var bad error
		var n int
		k := min(want-done, r.perBatch())
		n, err = r.gather(k, lba+disc.LBA(done), func(i int, b []byte) {
			if bad == nil {
				bad = r.userData(p[(done+i)*disc.BlockSize:][:disc.BlockSize], b, lba+disc.LBA(done+i))
				if bad != nil {
					k = i
				}
			}
		})
		if bad != nil {
			return done + k, bad
		}
		done += n
	}
	return done, err
}

// userData takes the user data of one sector out of what the run holds of it.
func (r *run) userData(p, b []byte, lba disc.LBA) error {
	at := 0
	switch r.form {
	case rawForm, scrambled:
		var s [disc.SectorSize]byte
		if r.form == scrambled {
			copy(s[:], b)
			sector.Scramble(s[:])
			b = s[:]
		}
		switch {
		case b[15]&3 == 1:
			at = 16
		case b[15]&3 == 2 && b[18]&0x20 == 0:
			at = 24
		default:
			at = -1
		}
	case mode1Form, xa1Form:
	case mode2Form:
		if at = 8; b[2]&0x20 != 0 {
			at = -1
		}
	default:
		at = -1
	}
	if at < 0 {
		return fmt.Errorf("sector %d: %w", lba, disc.ErrMode)
	}
	copy(p, b[at:at+disc.BlockSize])
	return nil
}
