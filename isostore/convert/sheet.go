package convert

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// writeCUE writes a CUE sheet and a BIN of raw sectors for each session.
// CD-TEXT goes into a file beside them, packs as they are, and what of it a
// person wants to read into the sheet as well.
func writeCUE(ctx context.Context, j *job, dir, base string) ([]string, error) {
	names := []string{base + ".cue"}
	var sheet bytes.Buffer
	if err := j.cueHead(&sheet, base); err != nil {
		return nil, err
	}
	if len(j.layout.CDText) > 0 {
		names = append(names, base+".cdt")
		if err := create(dir, base+".cdt", func(w io.Writer) error {
			_, err := w.Write(append(bytes.Clone(j.layout.CDText), 0))
			return err
		}); err != nil {
			return nil, err
		}
	}
	for i := range j.layout.Sessions {
		s := &j.layout.Sessions[i]
		bin := base + ".bin"
		if len(j.layout.Sessions) > 1 {
			bin = fmt.Sprintf("%s (Session %d).bin", base, s.Number)
			fmt.Fprintf(&sheet, "REM SESSION %02d\r\n", s.Number)
		}
		fmt.Fprintf(&sheet, "FILE \"%s\" BINARY\r\n", bin)
		stored := stored(s, i)
		for k := range s.Tracks {
			j.cueTrack(&sheet, &s.Tracks[k], stored.start)
		}
		names = append(names, bin)
		if err := create(dir, bin, func(w io.Writer) error { return j.writeSectors(ctx, w, stored, false) }); err != nil {
			return nil, err
		}
	}
	return names, create(dir, names[0], func(w io.Writer) error {
		_, err := w.Write(sheet.Bytes())
		return err
	})
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

func (j *job) cueHead(w *bytes.Buffer, base string) error {
	if strings.ContainsAny(base, "\"\r\n") {
		return fmt.Errorf("a sheet cannot say the name %q (hint: name the result without quotes)", base)
	}
	if j.layout.MCN != "" {
		fmt.Fprintf(w, "CATALOG %s\r\n", j.layout.MCN)
	}
	if len(j.layout.CDText) > 0 {
		fmt.Fprintf(w, "CDTEXTFILE \"%s.cdt\"\r\n", base)
	}
	j.cueText(w, "", 0)
	return nil
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

// cueTrack describes a track whose file starts with sector first.
func (j *job) cueTrack(w *bytes.Buffer, t *disc.Track, first disc.LBA) {
	fmt.Fprintf(w, "  TRACK %02d %s\r\n", t.Number, cueModes[t.Mode].cue)
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
