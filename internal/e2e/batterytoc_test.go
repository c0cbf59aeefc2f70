//go:build linux

package e2e

import (
	"fmt"
	"strings"

	"spindle/testdata/fixture"
)

// cdrdao is the TOC that cdrdao has to find in a session, as words.
func (c *content) cdrdao(session int) string {
	s := &c.Sessions[session]
	t := &tocWords{content: c}
	kind := "CD_DA"
	for i := range s.Tracks {
		switch s.Tracks[i].Kind {
		case fixture.Mode1:
			kind = "CD_ROM"
		case fixture.Mode2Form1:
			kind = "CD_ROM_XA"
		}
	}
	t.add("%s", kind)
	if c.MCN != "" {
		t.add("CATALOG %q", c.MCN)
	}
	if c.Title != "" {
		t.add("CD_TEXT { LANGUAGE_MAP { 0: 9 } LANGUAGE 0 { TITLE %s PERFORMER %s UPC_EAN %q", octal(c.Title), octal(c.Artist), c.MCN)
		t.add("SIZE_INFO { %s} } }", sizeInfo(c.CDText()))
	}
	for i := range s.Tracks {
		track := &s.Tracks[i]
		if track.Data() {
			t.data(track, i+1)
		} else {
			t.audio(track, i > 0 && !s.Tracks[i-1].Data())
		}
	}
	return strings.Join(strings.Fields(t.b.String()), " ")
}

// A tocWords is a TOC while it is written.
type tocWords struct {
	*content
	b  strings.Builder
	at int // frames of the audio file so far
}

func (t *tocWords) add(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

func (t *tocWords) data(track *fixture.Track, number int) {
	mode := "MODE1"
	if track.Form2 > 0 {
		mode = "MODE2_FORM_MIX"
	}
	t.add(`TRACK %s NO COPY DATAFILE "data_%d" %s`, mode, number, minutes(track.End-track.Start))
}

// audio writes an audio track. Its pregap is in the file when the track before is
// audio too, and silence else.
func (t *tocWords) audio(track *fixture.Track, behindAudio bool) {
	flag := func(set bool, name string) {
		if !set {
			name = "NO " + name
		}
		t.add("%s", name)
	}
	t.add("TRACK AUDIO")
	flag(track.Control&2 != 0, "COPY")
	flag(track.Control&1 != 0, "PRE_EMPHASIS")
	t.add("TWO_CHANNEL_AUDIO")
	if track.ISRC != "" {
		t.add("ISRC %q", track.ISRC)
	}
	if track.Title != "" {
		t.add("CD_TEXT { LANGUAGE 0 { TITLE %s PERFORMER %s ISRC %q } }", octal(track.Title), octal(track.Artist), track.ISRC)
	}
	gap := track.Start - max(track.Pregap, 0)
	length := track.End - track.Start
	switch {
	case gap > 0 && behindAudio:
		length += gap
	case gap > 0:
		t.add("SILENCE %s", minutes(gap))
	}
	from := minutes(t.at)
	if t.at == 0 {
		from = "0"
	}
	t.add(`FILE "data.wav" %s %s`, from, minutes(length))
	t.at += length
	if gap > 0 {
		t.add("START %s", minutes(gap))
	}
	for _, lba := range track.Indexes {
		for t.Q(lba)[0]&0xF != 1 {
			lba++ // this sector's Q tells of MCN or ISRC: the index is found in the next
		}
		t.add("INDEX %s", minutes(lba-track.Start))
	}
}

// minutes is frames as minutes, seconds and frames.
func minutes(frames int) string {
	return fmt.Sprintf("%02d:%02d:%02d", frames/75/60, frames/75%60, frames%75)
}

// octal quotes a text of ISO-8859-1 as cdrdao does.
func octal(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c > 0x7E {
			fmt.Fprintf(&b, "\\%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	return `"` + b.String() + `"`
}

// sizeInfo is the payload of the last three packs.
func sizeInfo(packs []byte) string {
	var list []string
	for at := len(packs) - 3*18; at < len(packs); at += 18 {
		for _, n := range packs[at+4 : at+16] {
			list = append(list, fmt.Sprint(n))
		}
	}
	return strings.Join(list, ", ")
}

// isTOC is a check for a file that cdrdao wrote, behind a line of its own.
func isTOC(want string) func(out string) error {
	return func(out string) error {
		_, text, _ := strings.Cut(out, "\nTOC\n")
		var words []string
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "//")
			words = append(words, strings.Fields(line)...)
		}
		if got := strings.Join(words, " "); got != want {
			return fmt.Errorf("the TOC is\n%s\nwant\n%s", got, want)
		}
		return nil
	}
}
