package chd

import (
	"fmt"
	"strconv"
	"strings"
)

// A Track is what metadata of a CD says of a track. Its frames lie in the CHD
// behind those of the tracks before it, each of which is filled up to a multiple
// of [TrackPadding] frames.
type Track struct {
	Number   int
	Type     string // MODE1, MODE1_RAW, AUDIO, …
	Subtype  string // RW: packed, RW_RAW: P to W interleaved, NONE: zeros
	Frames   int    // in the CHD
	Pregap   int    // frames before index 1
	Stored   bool   // the pregap is in the CHD, and counts in Frames
	PregapOf string // the type of the pregap's frames
	PregapQ  string // the subtype of the pregap
	Postgap  int    // frames behind it that are not in the CHD
}

// TrackPadding is the multiple to which the frames of each track are filled up.
const TrackPadding = 4

// Padded is the count of frames that the track takes in the CHD.
func (t *Track) Padded() int {
	return (t.Frames + TrackPadding - 1) / TrackPadding * TrackPadding
}

// A TrackType is how the sectors of a track lie at the start of their frames.
// Their sub-channels follow at once.
type TrackType struct {
	Name string
	Size int // bytes of a sector
}

// TrackTypes are those that chdman writes.
var TrackTypes = []TrackType{
	{"MODE1", 2048},
	{"MODE1_RAW", 2352},
	{"MODE2", 2336},
	{"MODE2_FORM1", 2048},
	{"MODE2_FORM2", 2324},
	{"MODE2_FORM_MIX", 2336},
	{"MODE2_RAW", 2352},
	{"AUDIO", 2352}, // samples big-endian
}

// maxFrames bounds the frames of a track: more than any CD has.
const maxFrames = 1 << 20

// ParseTrack reads the text of metadata CHT2 or CHTR: fields NAME:VALUE,
// separated by blanks, in any order.
func ParseTrack(text string) (t Track, err error) {
	seen := map[string]bool{}
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, ":")
		if seen[name] {
			return t, fmt.Errorf("%w: track %q: %s stands there twice", ErrDamaged, text, name)
		}
		seen[name] = true
		if into := t.number(name); into != nil {
			if *into, err = strconv.Atoi(value); err != nil || *into < 0 || *into > maxFrames {
				return t, fmt.Errorf("%w: track %q: %s is %q, want a count of frames", ErrDamaged, text, name, value)
			}
		}
		switch name {
		case "TYPE":
			t.Type = value
		case "SUBTYPE":
			t.Subtype = value
		case "PGTYPE":
			t.PregapOf, t.Stored = strings.CutPrefix(value, "V")
		case "PGSUB":
			t.PregapQ = value
		}
	}
	if !seen["TRACK"] || t.Type == "" || !seen["FRAMES"] {
		return t, fmt.Errorf("%w: track %q lacks TRACK, TYPE or FRAMES", ErrDamaged, text)
	}
	if t.Stored && t.Pregap > t.Frames {
		return t, fmt.Errorf("%w: track %q: the pregap has more frames than the track", ErrDamaged, text)
	}
	return t, nil
}

// number is where a number of that name goes, or nil.
func (t *Track) number(name string) *int {
	switch name {
	case "TRACK":
		return &t.Number
	case "FRAMES":
		return &t.Frames
	case "PREGAP":
		return &t.Pregap
	case "POSTGAP":
		return &t.Postgap
	}
	return nil
}

// Metadata is the track as CHT2.
func (t *Track) Metadata() Metadata {
	v := ""
	if t.Stored {
		v = "V"
	}
	text := fmt.Sprintf("TRACK:%d TYPE:%s SUBTYPE:%s FRAMES:%d PREGAP:%d PGTYPE:%s%s PGSUB:%s POSTGAP:%d",
		t.Number, t.Type, t.Subtype, t.Frames, t.Pregap, v, t.PregapOf, t.PregapQ, t.Postgap)
	return Metadata{Tag: TagTrack, Data: []byte(text + "\x00"), Hashed: true}
}

// Tracks returns the tracks of a CD as the metadata has them.
func (c *Reader) Tracks() (tracks []Track, err error) {
	list := c.Find(TagTrack)
	if len(list) == 0 {
		list = c.Find(TagTrackOld)
	}
	for _, m := range list {
		t, err := ParseTrack(m.Text())
		if err != nil {
			return nil, err
		}
		tracks = append(tracks, t)
	}
	return tracks, nil
}
