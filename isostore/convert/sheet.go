package convert

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// cueNames are a sheet, a file of CD-TEXT where there is some, and a BIN for each
// session.
func cueNames(l *disc.Layout, base string) []string {
	names := []string{base + ".cue"}
	if len(l.CDText) > 0 {
		names = append(names, base+".cdt")
	}
	if len(l.Sessions) == 1 {
		return append(names, base+".bin")
	}
	for i := range l.Sessions {
		names = append(names, fmt.Sprintf("%s (Session %d).bin", base, l.Sessions[i].Number))
	}
	return names
}

// writeCUE writes a CUE sheet and a BIN of raw sectors for each session.
// CD-TEXT goes into a file beside them, packs as they are, and what of it a
// person wants to read into the sheet as well.
func writeCUE(ctx context.Context, j *job, dir string, names []string) error {
	var sheet bytes.Buffer
	if err := checkNames(names); err != nil {
		return err
	}
	j.cueHead(&sheet, names)
	if len(j.layout.CDText) > 0 {
		if err := create(dir, names[1], func(w io.Writer) error {
			_, err := w.Write(append(bytes.Clone(j.layout.CDText), 0))
			return err
		}); err != nil {
			return err
		}
	}
	bins := names[len(names)-len(j.layout.Sessions):]
	for i, bin := range bins {
		s := &j.layout.Sessions[i]
		if len(j.layout.Sessions) > 1 {
			remarks, _ := gapOf(j.layout, i)
			fmt.Fprintf(&sheet, "REM SESSION %02d\r\n%s", s.Number, remarks)
		}
		fmt.Fprintf(&sheet, "FILE \"%s\" BINARY\r\n", bin)
		stored := stored(s, i)
		for k := range s.Tracks {
			j.cueTrack(&sheet, &s.Tracks[k], stored.start, s.Type)
		}
		if err := create(dir, bin, func(w io.Writer) error { return j.writeSectors(ctx, w, stored, false) }); err != nil {
			return err
		}
	}
	return create(dir, names[0], func(w io.Writer) error {
		_, err := w.Write(sheet.Bytes())
		return err
	})
}

// Lengths between sessions, in sectors: lead-outs after the first session and
// after others, lead-ins, and pregaps. They are what a reader takes without a
// remark; in a remark they are the longest.
const (
	leadOut1, leadOut2 = 6750, 2250
	leadIn             = 4500
	pregap, maxPregap  = 150, 375
)

func pregapOf(l *disc.Layout, i int) disc.LBA {
	t := &l.Sessions[i].Tracks[0]
	return t.Start - t.Pregap
}

// gapOf returns the remarks of a sheet that say where session i begins, none
// where that is as usual, and whether remarks can say it.
func gapOf(l *disc.Layout, i int) (remarks string, ok bool) {
	if i == 0 {
		return "", true
	}
	gap, before, usual := l.Sessions[i].Tracks[0].Pregap-l.Sessions[i-1].LeadOut, pregapOf(l, i), disc.LBA(leadOut2)
	if i == 1 {
		usual = leadOut1
	}
	if gap < 2 || gap > leadOut1+leadIn || before < 1 || before > maxPregap {
		return "", false
	}
	if gap != usual+leadIn {
		in := min(leadIn, gap-1)
		remarks += fmt.Sprintf("REM LEAD-OUT %v\r\nREM LEAD-IN %v\r\n", fileTime(gap-in), fileTime(in))
	}
	if before != pregap {
		remarks += fmt.Sprintf("REM PREGAP %v\r\n", fileTime(before))
	}
	return remarks, true
}

// checkNames refuses names that sheets cannot say.
func checkNames(names []string) error {
	for _, name := range names {
		if strings.ContainsFunc(name, func(r rune) bool { return r == '"' || r == '\\' || unicode.IsControl(r) }) || !utf8.ValidString(name) {
			return fmt.Errorf("a sheet cannot say the name %q (hint: name the result without quotes, backslashes and control characters, in UTF-8)", name)
		}
	}
	return nil
}

// stored is what is in the BIN of session i: all but the pregap of 2 seconds
// before the first track, which every session has.
func stored(s *disc.Session, i int) span {
	start := s.Tracks[0].Start
	if i == 0 {
		start = 0 // what lies between that and index 1 is a hidden track
	}
	return span{start, s.LeadOut}
}

// writeSectors writes raw sectors; in cdrdao's files samples are big-endian.
func (j *job) writeSectors(ctx context.Context, w io.Writer, s span, bigEndian bool) error {
	return j.sectors(ctx, s, func(p []byte, lba disc.LBA) error {
		if bigEndian {
			for i := range len(p) / disc.SectorSize {
				if _, t := j.layout.TrackAt(lba + disc.LBA(i)); !t.IsData() {
					swap(p[i*disc.SectorSize:][:disc.SectorSize])
				}
			}
		}
		_, err := w.Write(p)
		return err
	})
}

// swap turns 16-bit samples around.
func swap(p []byte) {
	for i := 0; i+1 < len(p); i += 2 {
		p[i], p[i+1] = p[i+1], p[i]
	}
}

func (j *job) cueHead(w *bytes.Buffer, names []string) {
	if j.layout.MCN != "" {
		fmt.Fprintf(w, "CATALOG %s\r\n", j.layout.MCN)
	}
	if len(j.layout.CDText) > 0 {
		fmt.Fprintf(w, "CDTEXTFILE \"%s\"\r\n", names[1])
	}
	j.cueText(w, "", 0)
}

// cueText writes title and performer of a track, or of the disc when it is 0.
func (j *job) cueText(w *bytes.Buffer, indent string, track int) {
	texts, _ := sector.ParseText(j.layout.CDText)
	if len(texts) == 0 {
		return
	}
	for _, typ := range []byte{sector.PackTitle, sector.PackPerformer} {
		if v := texts[0].Get(typ, track); v != "" && !strings.ContainsAny(v, "\"\r\n") {
			fmt.Fprintf(w, "%s%s \"%s\"\r\n", indent, sector.PackName(typ), v)
		}
	}
}

// cueModes are the types of tracks in CUE sheets and in TOCs of cdrdao.
var cueModes = map[disc.Mode]struct{ cue, toc string }{
	disc.Audio:   {"AUDIO", "AUDIO"},
	disc.Mode1:   {"MODE1/2352", "MODE1_RAW"},
	disc.Mode2:   {"MODE2/2352", "MODE2_RAW"},
	disc.Mode2XA: {"MODE2/2352", "MODE2_RAW"},
}

// cueTrack describes a track whose file starts with sector first, in a session
// of the given type.
func (j *job) cueTrack(w *bytes.Buffer, t *disc.Track, first disc.LBA, session byte) {
	mode := cueModes[t.Mode].cue
	if session == typeCDI && t.Mode != disc.Audio && t.Mode != disc.Mode1 {
		mode = "CDI/2352"
	}
	fmt.Fprintf(w, "  TRACK %02d %s\r\n", t.Number, mode)
	j.cueText(w, "    ", int(t.Number))
	if flags := cueFlags(t.Control); flags != "" {
		fmt.Fprintf(w, "    FLAGS%s\r\n", flags)
	}
	if t.ISRC != "" {
		fmt.Fprintf(w, "    ISRC %s\r\n", t.ISRC)
	}
	if pregap := max(t.Pregap, first); pregap < t.Start {
		fmt.Fprintf(w, "    INDEX 00 %v\r\n", fileTime(pregap-first))
	}
	fmt.Fprintf(w, "    INDEX 01 %v\r\n", fileTime(t.Start-first))
	for i, at := range t.Indexes {
		fmt.Fprintf(w, "    INDEX %02d %v\r\n", i+2, fileTime(at-first))
	}
}

// cueFlags are the control bits that a track type does not say.
func cueFlags(control byte) (flags string) {
	for _, f := range []struct {
		bit  byte
		name string
	}{{2, "DCP"}, {8, "4CH"}, {1, "PRE"}} {
		if control&f.bit != 0 {
			flags += " " + f.name
		}
	}
	return flags
}

// fileTime is a count of sectors as minutes, seconds and frames.
func fileTime(n disc.LBA) string {
	return fmt.Sprintf("%02d:%02d:%02d", n/75/60, n/75%60, n%75)
}
