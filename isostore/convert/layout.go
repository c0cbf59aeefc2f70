package convert

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// sameLayout compares the layout of a result with that of its source.
func sameLayout(j *job, made *disc.Layout) error {
	l := j.layout
	if made.Kind != l.Kind || made.MCN != l.MCN || len(made.Sessions) != len(l.Sessions) {
		return fmt.Errorf("it is a %v of %d sessions with MCN %q, not a %v of %d with %q",
			made.Kind, len(made.Sessions), made.MCN, l.Kind, len(l.Sessions), l.MCN)
	}
	for i := range l.Sessions {
		want, got := &l.Sessions[i], &made.Sessions[i]
		if got.LeadOut != want.LeadOut || len(got.Tracks) != len(want.Tracks) {
			return fmt.Errorf("session %d has %d tracks and its lead-out at %d, not %d and %d",
				want.Number, len(got.Tracks), got.LeadOut, len(want.Tracks), want.LeadOut)
		}
		for k := range want.Tracks {
			if err := sameTrack(&want.Tracks[k], &got.Tracks[k]); err != nil {
				return err
			}
		}
	}
	return sameText(l.CDText, made.CDText)
}

func sameTrack(want, got *disc.Track) error {
	if got.Number != want.Number || got.Control != want.Control || got.Mode != want.Mode || got.Pregap != want.Pregap ||
		got.Start != want.Start || got.ISRC != want.ISRC || !slices.Equal(got.Indexes, want.Indexes) {
		return fmt.Errorf("track %d is %+v, not %+v", want.Number, *got, *want)
	}
	return nil
}

// sameText compares what CD-TEXT says: packs may be cut in other ways.
func sameText(want, got []byte) error {
	if bytes.Equal(want, got) {
		return nil
	}
	w, _ := sector.ParseText(want)
	g, _ := sector.ParseText(got)
	if !reflect.DeepEqual(w, g) {
		return fmt.Errorf("CD-TEXT of %d bytes says something else than that of %d", len(got), len(want))
	}
	return nil
}

// lacksNothing is of formats that hold every disc that there is.
func lacksNothing(disc.Disc) ([]string, error) { return nil, nil }

// lacksISO says what an ISO image cannot hold: it is one data track.
func lacksISO(d disc.Disc) (lost []string, err error) {
	l := d.Layout()
	audio, data := 0, 0
	for t := range l.Tracks() {
		if t.IsData() {
			data++
		} else {
			audio++
		}
	}
	if data == 0 {
		return nil, fmt.Errorf("an ISO image holds data, and the disc is audio alone (hint: take .cue, .toc or .chd)")
	}
	for _, c := range []struct {
		lost bool
		what string
	}{
		{audio > 0, fmt.Sprintf("%d audio tracks", audio)},
		{data > 1, fmt.Sprintf("where %d data tracks begin", data)},
		{len(l.Sessions) > 1, fmt.Sprintf("where %d sessions begin", len(l.Sessions))},
		{l.MCN != "", "the catalogue number"},
		{len(l.CDText) > 0, "CD-TEXT"},
	} {
		if c.lost {
			lost = append(lost, c.what)
		}
	}
	return lost, nil
}

// lacksCUE says what a BIN/CUE cannot hold.
func lacksCUE(d disc.Disc) ([]string, error) {
	if k := d.Layout().Kind; k != disc.CD {
		return nil, fmt.Errorf("a sheet describes a CD, and this is a %v (hint: take .iso, .iso.zst or .chd)", k)
	}
	return lacksSub(d), nil
}

// lacksTOC says what a cdrdao TOC cannot hold.
func lacksTOC(d disc.Disc) ([]string, error) {
	if n := len(d.Layout().Sessions); n > 1 {
		return nil, fmt.Errorf("a cdrdao TOC describes one session, and the disc has %d (hint: take .cue or .chd)", n)
	}
	return lacksCUE(d)
}

// lacksSub looks for sub-channels that no reader could make anew: graphics, and
// positions that are wrong on purpose.
func lacksSub(d disc.Disc) []string {
	h, ok := d.(disc.SubHolder)
	r, isReader := d.(disc.SubReader)
	if !ok || !isReader || !h.HoldsSub() {
		return nil
	}
	const many = 64
	p := make([]byte, many*disc.SubSize)
	for lba := disc.LBA(0); lba < d.Layout().LeadOut(); lba += many {
		n, _ := r.ReadSub(p, lba)
		for i := range n {
			sub := p[i*disc.SubSize:][:disc.SubSize]
			if !sector.QOf(sub).Valid() || hasGraphics(sub) {
				return []string{fmt.Sprintf("sub-channels, from sector %d on", lba+disc.LBA(i))}
			}
		}
	}
	return nil
}

func hasGraphics(sub []byte) bool {
	return slices.ContainsFunc(sub, func(b byte) bool { return b&0x3F != 0 })
}
