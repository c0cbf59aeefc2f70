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
	l := j.want
	if made.Kind != l.Kind || made.MCN != l.MCN || len(made.Sessions) != len(l.Sessions) {
		return fmt.Errorf("it is a %v of %d sessions with MCN %q, not a %v of %d with %q",
			made.Kind, len(made.Sessions), made.MCN, l.Kind, len(l.Sessions), l.MCN)
	}
	for i := range l.Sessions {
		want, got := &l.Sessions[i], &made.Sessions[i]
		if got.Type != want.Type {
			return fmt.Errorf("session %d is of type %02Xh, not %02Xh", want.Number, got.Type, want.Type)
		}
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
