package image

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"spindle/isostore/chd"
	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// CHD's metadata of tracks has no place for sessions, lead-outs, MCN, ISRCs,
// control flags, indexes and CD-TEXT. An entry of our own with the tag SPDL has
// them, as a text of lines of fields that other readers do not look at:
//
//	DISC:1 MCN:4988123456787                    1 is the version of the text
//	SESSION:1 TYPE:00 LEADOUT:1600              TYPE is that of point A0h, in hex
//	TRACK:2 MODE:AUDIO CONTROL:2 PREGAP:700 START:800 AT:700 ISRC:DEA123456789 INDEX:950,1050
//	CDTEXT:8000…                                the packs in hex
//
// Tracks stand below their session. Addresses are LBAs; AT is that of the
// track's first frame in the CHD. MCN, ISRC, INDEX and CDTEXT are left out where
// there is none.
const chdTextVersion = "1"

// chdModes are the names of modes in our text.
var chdModes = []string{
	disc.Audio:   "AUDIO",
	disc.Mode1:   "MODE1",
	disc.Mode2:   "MODE2",
	disc.Mode2XA: "MODE2_XA",
}

// chdText describes a layout; starts are the AT of each track.
func chdText(l *disc.Layout, starts []disc.LBA) string {
	var b strings.Builder
	fmt.Fprintf(&b, "DISC:%s", chdTextVersion)
	if isMCN(l.MCN) {
		fmt.Fprintf(&b, " MCN:%s", l.MCN)
	}
	for i := range l.Sessions {
		s := &l.Sessions[i]
		fmt.Fprintf(&b, "\nSESSION:%d TYPE:%02X LEADOUT:%d", i+1, s.Type, s.LeadOut)
		for j := range s.Tracks {
			t := &s.Tracks[j]
			fmt.Fprintf(&b, "\nTRACK:%d MODE:%s CONTROL:%X PREGAP:%d START:%d AT:%d", t.Number, chdModes[t.Mode], t.Control, t.Pregap, t.Start, starts[0])
			starts = starts[1:]
			if isISRC(t.ISRC) {
				fmt.Fprintf(&b, " ISRC:%s", t.ISRC)
			}
			for k, lba := range t.Indexes {
				b.WriteString([]string{" INDEX:", ","}[min(k, 1)] + strconv.Itoa(int(lba)))
			}
		}
	}
	if len(l.CDText) > 0 {
		fmt.Fprintf(&b, "\nCDTEXT:%X", l.CDText)
	}
	return b.String() + "\n"
}

// chdOurs returns the layout that our own metadata gives, and where the tracks'
// frames begin, or nil when there is none.
func chdOurs(s *source, c *chd.Reader, tracks []chd.Track) (*disc.Layout, []disc.LBA, error) {
	list := c.Find(chd.TagSpindle)
	if len(list) == 0 {
		return nil, nil, nil
	}
	p := chdParser{layout: &disc.Layout{Kind: disc.CD}}
	for i, line := range strings.Split(strings.TrimRight(list[0].Text(), "\n"), "\n") {
		if err := p.line(line); err != nil {
			return nil, nil, fmt.Errorf("%w: metadata SPDL: line %d: %w", ErrDamaged, i+1, err)
		}
		if p.version != chdTextVersion {
			s.warn("metadata SPDL is of version %s, not %s: sessions, indexes and codes are left out", p.version, chdTextVersion)
			return nil, nil, nil
		}
	}
	if len(p.starts) != len(tracks) {
		return nil, nil, fmt.Errorf("%w: metadata SPDL has %d tracks, CHT2 has %d", ErrDamaged, len(p.starts), len(tracks))
	}
	return p.layout, p.starts, nil
}

// A chdParser reads our text line by line.
type chdParser struct {
	layout  *disc.Layout
	starts  []disc.LBA
	version string
}

func (p *chdParser) line(text string) error {
	f := chdFields{}
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, ":")
		f[name] = value
	}
	var err error
	switch kind, _, _ := strings.Cut(text, ":"); {
	case kind == "DISC":
		p.version, p.layout.MCN = f["DISC"], f["MCN"]
	case kind == "SESSION":
		s := disc.Session{Type: byte(f.number("TYPE", 16, 0, 0xFF, &err)), LeadOut: f.lba("LEADOUT", &err)}
		p.layout.Sessions = append(p.layout.Sessions, s)
	case kind == "TRACK" && len(p.layout.Sessions) > 0:
		err = p.track(f)
	case kind == "CDTEXT":
		p.layout.CDText, err = hex.DecodeString(f["CDTEXT"])
		if err == nil && (len(p.layout.CDText)%sector.PackSize != 0 || len(p.layout.CDText) > maxCDText) {
			err = fmt.Errorf("%d bytes of CD-TEXT, not a multiple of %d or more than %d", len(p.layout.CDText), sector.PackSize, maxCDText)
		}
	default:
		err = fmt.Errorf("%.20q is no field that is known here", text)
	}
	return err
}

func (p *chdParser) track(f chdFields) (err error) {
	t := disc.Track{
		Number:  byte(f.number("TRACK", 10, 1, 99, &err)),
		Control: byte(f.number("CONTROL", 16, 0, 15, &err)),
		Pregap:  f.lba("PREGAP", &err),
		Start:   f.lba("START", &err),
		ISRC:    f["ISRC"],
	}
	mode := slices.Index(chdModes, f["MODE"])
	if mode < 0 && err == nil {
		err = fmt.Errorf("MODE is %q", f["MODE"])
	}
	t.Mode = disc.Mode(max(0, mode))
	if list := f["INDEX"]; list != "" {
		for text := range strings.SplitSeq(list, ",") {
			t.Indexes = append(t.Indexes, chdFields{"INDEX": text}.lba("INDEX", &err))
		}
	}
	s := &p.layout.Sessions[len(p.layout.Sessions)-1]
	s.Tracks = append(s.Tracks, t)
	p.starts = append(p.starts, f.lba("AT", &err))
	return err
}

// chdFields are the fields of a line by name.
type chdFields map[string]string

// number is a field's number from low to high; err keeps the first error.
func (f chdFields) number(name string, base int, low, high int64, err *error) int64 {
	v, bad := strconv.ParseInt(f[name], base, 64)
	if (bad != nil || v < low || v > high) && *err == nil {
		*err = fmt.Errorf("%s is %q, want a number from %d to %d", name, f[name], low, high)
	}
	return v
}

func (f chdFields) lba(name string, err *error) disc.LBA {
	return disc.LBA(f.number(name, 10, -leadInPregap, disc.MaxCDBlocks, err))
}
