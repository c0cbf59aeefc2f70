package convert

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

func tocFiles(_ *disc.Layout, base string) []string { return []string{base + ".toc", base + ".bin"} }

// writeTOC writes a TOC of cdrdao and a BIN of raw sectors, with samples
// big-endian, as cdrdao has them.
func writeTOC(ctx context.Context, j *job, dir string, names []string) error {
	if err := checkNames(names); err != nil {
		return err
	}
	s := &j.want.Sessions[0]
	var toc bytes.Buffer
	toc.WriteString(tocType(s) + "\n")
	if j.want.MCN != "" {
		fmt.Fprintf(&toc, "CATALOG %q\n", j.want.MCN)
	}
	texts, _ := sector.ParseText(j.want.CDText)
	tocText(&toc, texts, 0)
	for i := range s.Tracks {
		j.tocTrack(&toc, &s.Tracks[i], texts, names[1])
	}
	if err := create(dir, names[1], func(w io.Writer) error { return j.writeSectors(ctx, w, stored(s, 0), true) }); err != nil {
		return err
	}
	return create(dir, names[0], func(w io.Writer) error {
		_, err := w.Write(toc.Bytes())
		return err
	})
}

func tocType(s *disc.Session) string {
	audio := true
	for i := range s.Tracks {
		audio = audio && !s.Tracks[i].IsData()
	}
	switch {
	case s.Type == typeCDI:
		return "CD_I"
	case s.Type == typeXA:
		return "CD_ROM_XA"
	case audio:
		return "CD_DA"
	}
	return "CD_ROM"
}

// tocTrack describes a track: what lies in the BIN from its pregap on.
func (j *job) tocTrack(w *bytes.Buffer, t *disc.Track, texts []sector.Text, bin string) {
	fmt.Fprintf(w, "\nTRACK %s\n", cueModes[t.Mode].toc)
	for _, f := range []struct {
		bit     byte
		on, off string
	}{{2, "COPY", "NO COPY"}, {1, "PRE_EMPHASIS", "NO PRE_EMPHASIS"}, {8, "FOUR_CHANNEL_AUDIO", "TWO_CHANNEL_AUDIO"}} {
		switch {
		case f.bit != 2 && t.IsData(): // of audio tracks alone
		case t.Control&f.bit != 0:
			fmt.Fprintln(w, f.on)
		default:
			fmt.Fprintln(w, f.off)
		}
	}
	if t.ISRC != "" {
		fmt.Fprintf(w, "ISRC %q\n", t.ISRC)
	}
	tocText(w, texts, int(t.Number))
	first := max(t.Pregap, 0)
	length := j.want.End(t) - first
	if t.IsData() {
		fmt.Fprintf(w, "DATAFILE \"%s\" #%d %s\n", bin, int64(first)*disc.SectorSize, fileTime(length))
	} else {
		fmt.Fprintf(w, "FILE \"%s\" #%d 0 %s\n", bin, int64(first)*disc.SectorSize, fileTime(length))
	}
	if t.Start > first {
		fmt.Fprintf(w, "START %s\n", fileTime(t.Start-first))
	}
	for _, at := range t.Indexes {
		fmt.Fprintf(w, "INDEX %s\n", fileTime(at-t.Start))
	}
}

// tocText writes the CD_TEXT block of a track, or of the disc when it is 0.
func tocText(w *bytes.Buffer, texts []sector.Text, track int) {
	if len(texts) == 0 {
		return
	}
	w.WriteString("CD_TEXT {\n")
	if track == 0 {
		w.WriteString("  LANGUAGE_MAP {\n")
		for i, t := range texts {
			fmt.Fprintf(w, "    %d : %d\n", i, t.Language)
		}
		w.WriteString("  }\n")
	}
	for i := range texts {
		fmt.Fprintf(w, "  LANGUAGE %d {\n", i)
		for _, typ := range slices.Sorted(maps.Keys(texts[i].Values)) {
			if v := texts[i].Get(typ, track); v != "" && typ < sector.PackGenre {
				fmt.Fprintf(w, "    %s \"%s\"\n", sector.PackName(typ), tocString(v))
			}
		}
		if v := texts[i].Get(sector.PackCode, track); v != "" {
			name := "UPC_EAN"
			if track > 0 {
				name = "ISRC"
			}
			fmt.Fprintf(w, "    %s \"%s\"\n", name, tocString(v))
		}
		w.WriteString("  }\n")
	}
	w.WriteString("}\n")
}

// tocString is text between the quotes of a TOC: octal for what is not ASCII,
// in ISO-8859-1.
func tocString(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r < 0x7F:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "\\%03o", r&0xFF)
		}
	}
	return b.String()
}

// tocTexts is CD-TEXT as far as a TOC says it, in packs, and whether that is all.
func tocTexts(l *disc.Layout) (packs []byte, whole bool) {
	if len(l.CDText) == 0 {
		return nil, true
	}
	texts, err := sector.ParseText(l.CDText)
	var kept []sector.Text
	for i := range texts {
		t := &texts[i]
		k := sector.Text{Language: t.Language, First: 1, Last: l.Last().Number}
		for typ, values := range t.Values {
			for track, v := range values {
				if typ < sector.PackGenre || typ == sector.PackCode {
					k.Set(typ, track, latin1(v))
				}
			}
		}
		if t.Charset == sector.CharsetASCII { // a part of the other
			t.Charset = sector.CharsetLatin1
		}
		kept = append(kept, k)
	}
	packs, aerr := sector.AppendText(nil, kept)
	if aerr != nil || !slices.ContainsFunc(kept, func(t sector.Text) bool { return len(t.Values) > 0 }) {
		return nil, false
	}
	back, _ := sector.ParseText(packs)
	return packs, err == nil && reflect.DeepEqual(texts, back)
}

// latin1 puts question marks in the place of characters that ISO-8859-1 lacks.
func latin1(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0xFF {
			return '?'
		}
		return r
	}, s)
}
