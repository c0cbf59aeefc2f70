package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/sector"
	"spindle/testdata/fixture"
)

// sheetLayout is a layout as text: a line a track.
func sheetLayout(l *disc.Layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "MCN %q\n", l.MCN)
	for _, s := range l.Sessions {
		fmt.Fprintf(&b, "session %d type %02X leadout %d\n", s.Number, s.Type, s.LeadOut)
		for _, t := range s.Tracks {
			fmt.Fprintf(&b, "track %d control %X mode %d pregap %d start %d indexes %v isrc %q\n", t.Number, t.Control, t.Mode, t.Pregap, t.Start, t.Indexes, t.ISRC)
		}
	}
	return b.String()
}

// sheetRecipe is the layout of a fixture's source.
func sheetRecipe(src *fixture.Source) *disc.Layout {
	l := &disc.Layout{Kind: disc.CD, MCN: src.MCN}
	modes := []disc.Mode{disc.Audio, disc.Mode1, disc.Mode2XA, disc.Mode2XA, disc.Mode2}
	for i := range src.Sessions {
		from := &src.Sessions[i]
		s := disc.Session{Number: byte(i + 1), Type: from.DiscType, LeadOut: disc.LBA(from.LeadOut)}
		for _, t := range from.Tracks {
			track := disc.Track{
				Number: byte(t.Number), Control: t.Control, Mode: modes[t.Kind], ISRC: t.ISRC,
				Pregap: disc.LBA(t.Pregap), Start: disc.LBA(t.Start),
			}
			for _, x := range t.Indexes {
				track.Indexes = append(track.Indexes, disc.LBA(x))
			}
			s.Tracks = append(s.Tracks, track)
		}
		l.Sessions = append(l.Sessions, s)
	}
	return l
}

// sheetSame compares a disc with its source, sector by sector.
func sheetSame(t *testing.T, d disc.Disc, src *fixture.Source) {
	t.Helper()
	if got, want := sheetLayout(d.Layout()), sheetLayout(sheetRecipe(src)); got != want {
		t.Fatalf("layout:\n%swant\n%s", got, want)
	}
	raw, block := make([]byte, disc.SectorSize), make([]byte, disc.BlockSize)
	for lba := -150; lba < src.LeadOut(); lba++ {
		if src.At(lba) == nil {
			continue
		}
		if n, err := d.(disc.RawReader).ReadSectors(raw, disc.LBA(lba)); n != 1 || !bytes.Equal(raw, src.Raw(lba)) {
			t.Fatalf("sector %d = %d, %v: % X..., want % X...", lba, n, err, raw[:32], src.Raw(lba)[:32])
		}
		if k := src.Kind(lba); lba >= 0 && (k == fixture.Mode1 || k == fixture.Mode2Form1) {
			if n, err := d.ReadBlocks(block, disc.LBA(lba)); n != 1 || !bytes.Equal(block, src.User(lba)) {
				t.Fatalf("block %d = %d, %v, or other data", lba, n, err)
			}
		}
	}
	disctest.TestDisc(t, d)
}

// sheetTitles is the CD-TEXT of a disc: TITLE and PERFORMER by track.
func sheetTitles(t *testing.T, d disc.Disc) (titles []string) {
	t.Helper()
	texts, err := sector.ParseText(d.Layout().CDText)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range texts {
		for n := 0; n <= int(d.Layout().Last().Number); n++ {
			titles = append(titles, x.Get(sector.PackTitle, n)+"/"+x.Get(sector.PackPerformer, n))
		}
	}
	return titles
}

// sheetSourceTitles is the same of a source.
func sheetSourceTitles(src *fixture.Source) []string {
	titles := []string{fromUTF8([]byte(src.Title + "/" + src.Artist))}
	for _, t := range src.Tracks() {
		titles = append(titles, fromUTF8([]byte(t.Title+"/"+t.Artist)))
	}
	return titles
}

// TestCUE opens what the fixture writes in every dialect.
func TestCUE(t *testing.T) {
	sources := map[string]func() *fixture.Source{
		"mixed":      func() *fixture.Source { return fixture.MixedMode(nil) },
		"data first": func() *fixture.Source { return fixture.DataFirst(nil) },
		"tao":        func() *fixture.Source { return fixture.TrackAtOnce(nil) },
		"audio":      fixture.AudioDisc,
		"mode 1":     func() *fixture.Source { return fixture.DataDisc(fixture.Mode1, nil) },
		"form 1":     func() *fixture.Source { return fixture.DataDisc(fixture.Mode2Form1, nil) },
		"formless": func() *fixture.Source {
			src := fixture.DataDisc(fixture.Mode2Formless, nil)
			src.Sessions[0].DiscType = 0 // a sheet does not say XA, and no sub-header does
			return src
		},
	}
	dialects := map[string]fixture.CUEOptions{
		"single":      {},
		"per track":   {Layout: fixture.FilePerTrack, CRLF: true},
		"per session": {Layout: fixture.FilePerSession, LeadOut: true},
		"appended":    {Layout: fixture.GapsAppended, BOM: true, CRLF: true},
		"cooked":      {Cooked: true, CDText: true},
		"wave":        {Layout: fixture.FilePerTrack, Audio: "WAVE", Prefix: `C:\Rips\My Disc\`},
		"motorola":    {Layout: fixture.FilePerTrack, Audio: "MOTOROLA"},
		"bare":        {Bare: true},
	}
	for sname, source := range sources {
		for dname, o := range dialects {
			if sname != "mixed" && dname != "single" && dname != "cooked" {
				continue
			}
			t.Run(sname+"/"+dname, func(t *testing.T) {
				t.Parallel()
				src, dir := source(), t.TempDir()
				if err := fixture.WriteCUE(dir, "a disc", src, o); err != nil {
					t.Fatal(err)
				}
				d, info, err := OpenFile(filepath.Join(dir, "a disc.cue"), Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if info.Format != "cue" || len(info.Warnings) != 0 || info.Truncated || len(info.Files) == 0 {
					t.Errorf("info = %+v", info)
				}
				sheetSame(t, d, src)
				if got, want := sheetTitles(t, d), sheetSourceTitles(src); src.Title != "" && !slices.Equal(got, want) {
					t.Errorf("CD-TEXT = %q, want %q", got, want)
				}
			})
		}
	}
}

// cueSectors is n sectors of audio, each full of its number.
func cueSectors(n, size, first int) []byte {
	b := make([]byte, n*size)
	for i := range n {
		for j := 0; j+4 <= size; j += 4 {
			binary.LittleEndian.PutUint32(b[i*size+j:], uint32(first+i)<<8|uint32(1+j/4%2))
		}
	}
	return b
}

// cueOpen opens a sheet beside files.
func cueOpen(t *testing.T, sheet string, files map[string][]byte) (disc.Disc, Info, error) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root := write(t, dir, "x.cue", []byte(sheet))
	d, info, err := Open(root, "x.cue", Options{})
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, info, err
}

// TestCUESheets opens sheets written by hand: what becomes of gaps and modes.
func TestCUESheets(t *testing.T) {
	audio := map[string][]byte{"a.bin": cueSectors(1500, 2352, 0), "b.bin": cueSectors(800, 2352, 1500)}
	tests := []struct {
		name, sheet string
		files       map[string][]byte
		want        string // sheetLayout without its first line
		lba         disc.LBA
		sector      uint32 // number in the sector at lba
		warn        string
	}{
		{
			"PREGAP and POSTGAP", `
FILE "a.bin" BINARY
  TRACK 01 AUDIO
    PREGAP 00:03:00
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    FLAGS DCP 4CH PRE SCMS
    INDEX 00 00:08:00
    INDEX 01 00:10:00
    INDEX 02 00:11:00
    POSTGAP 00:01:00
FILE "b.bin" BINARY
  TRACK 03 AUDIO
    PREGAP 00:02:00
    INDEX 01 00:00:00`, audio,
			`session 1 type 00 leadout 2600
track 1 control 0 mode 0 pregap -150 start 75 indexes [] isrc ""
track 2 control B mode 0 pregap 675 start 825 indexes [900] isrc ""
track 3 control 0 mode 0 pregap 1650 start 1800 indexes [] isrc ""
`, 1800, 1500, "",
		},
		{
			"pregap of 2 s mentioned", `
FILE "a.bin" BINARY
  TRACK 01 AUDIO
    PREGAP 00:02:00
    INDEX 01 00:00:00`, audio,
			`session 1 type 00 leadout 1500
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
`, 7, 7, "",
		},
		{
			"hidden track", `
FILE "a.bin" BINARY
  TRACK 01 AUDIO
    INDEX 00 00:00:00
    INDEX 01 00:05:00
  TRACK 02 AUDIO
    INDEX 01 00:10:00`, audio,
			`session 1 type 00 leadout 1500
track 1 control 0 mode 0 pregap -150 start 375 indexes [] isrc ""
track 2 control 0 mode 0 pregap 750 start 750 indexes [] isrc ""
`, 3, 3, "",
		},
		{
			"index 0 in the file before", `
FILE "a.bin" BINARY
  TRACK 01 AUDIO
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 00 00:10:00
FILE "b.bin" BINARY
    INDEX 01 00:00:00
`, audio,
			`session 1 type 00 leadout 2300
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
track 2 control 0 mode 0 pregap 750 start 1500 indexes [] isrc ""
`, 1500, 1500, "",
		},
		{
			"pregap stored before a cooked data track", "FILE a.bin BINARY\nTRACK 1 MODE1/2048\nINDEX 0 0:0:0\nINDEX 1 0:2:0",
			map[string][]byte{"A.BIN": cueSectors(400, 2048, 0)},
			`session 1 type 00 leadout 250
track 1 control 4 mode 1 pregap -150 start 0 indexes [] isrc ""
`, 0, 150, "",
		},
		{
			"sector sizes in one file", `
REM GENRE Rock
PERFORMER Nobody
FILE A.BIN BINARY
TRACK 01 MODE1/2048
INDEX 01 00:00:00
TRACK 02 AUDIO
ISRC de-abc-26-00001
INDEX 00 00:02:00
INDEX 01 00:04:00
TRACK 03 MODE2/2336
INDEX 01 00:06:00`,
			map[string][]byte{"a.bin": slices.Concat(cueSectors(150, 2048, 0), cueSectors(300, 2352, 150), cueSectors(10, 2336, 450))},
			`session 1 type 00 leadout 460
track 1 control 4 mode 1 pregap -150 start 0 indexes [] isrc ""
track 2 control 0 mode 0 pregap 150 start 300 indexes [] isrc "DEABC2600001"
track 3 control 4 mode 2 pregap 450 start 450 indexes [] isrc ""
`, 300, 300, "",
		},
		{
			"three sessions", `
FILE "a.bin" BINARY
REM SESSION 01
  TRACK 01 AUDIO
    INDEX 01 00:00:00
REM SESSION 02
  TRACK 02 AUDIO
    INDEX 01 00:10:00
REM SESSION 03
FILE "b.bin" BINARY
  TRACK 03 AUDIO
    INDEX 00 00:00:00
    INDEX 01 00:01:00`, audio,
			`session 1 type 00 leadout 750
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
session 2 type 00 leadout 12900
track 2 control 0 mode 0 pregap 12000 start 12150 indexes [] isrc ""
session 3 type 00 leadout 20450
track 3 control 0 mode 0 pregap 19650 start 19725 indexes [] isrc ""
`, 19650, 1500, "",
		},
		{
			"gap before index 1 in a file without index 0", `
FILE "a.bin" BINARY
  TRACK 01 AUDIO
    INDEX 01 00:00:00
FILE "b.bin" BINARY
  TRACK 02 AUDIO
    INDEX 01 00:02:00`, audio,
			`session 1 type 00 leadout 2300
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
track 2 control 0 mode 0 pregap 1500 start 1650 indexes [] isrc ""
`, 1500, 1500, "",
		},
		{
			"CD-i", "FILE a.bin BINARY\nTRACK 01 CDI/2336\nINDEX 01 00:00:00",
			map[string][]byte{"a.bin": cueSectors(10, 2336, 0)},
			`session 1 type 10 leadout 10
track 1 control 4 mode 2 pregap -150 start 0 indexes [] isrc ""
`, 4, 4, "",
		},
		{
			"other keywords, odd bytes", "FILE a.bin BINARY\nFOO bar\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n",
			map[string][]byte{"a.bin": append(cueSectors(5, 2352, 0), 1, 2, 3)},
			`session 1 type 00 leadout 5
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
`, 4, 4, "line 2: FOO",
		},
		{
			"another extension", "FILE a.wav WAVE\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n",
			map[string][]byte{"a.aiff": cueAIFF(cueSectors(5, 2352, 0))},
			`session 1 type 00 leadout 5
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
`, 4, 4, `"a.aiff" is taken`,
		},
		{
			"another name, UTF-16, old Macintosh lines", cueUTF16("FILE Björk.bin BINARY\rTRACK 01 AUDIO\rINDEX 01 00:00:00\r"),
			map[string][]byte{"x.img": cueSectors(5, 2352, 0)},
			`session 1 type 00 leadout 5
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
`, 4, 4, `"Björk.bin" is missing: "x.img" is taken`,
		},
		{
			"ISO 8859-1", "FILE Bj\xF6rk.bin BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n",
			map[string][]byte{"Björk.bin": cueSectors(5, 2352, 0)},
			`session 1 type 00 leadout 5
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
`, 4, 4, "",
		},
		{
			"samples that do not fill a sector", "FILE a.wav WAVE\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n",
			map[string][]byte{"a.wav": cueWave(cueSectors(5, 2352, 0)[:4*2352+4], 44100, 2, 16)},
			`session 1 type 00 leadout 5
track 1 control 0 mode 0 pregap -150 start 0 indexes [] isrc ""
`, 4, 4, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, info, err := cueOpen(t, tt.sheet, tt.files)
			if err != nil {
				t.Fatal(err)
			}
			_, got, _ := strings.Cut(sheetLayout(d.Layout()), "\n")
			if got != tt.want {
				t.Errorf("layout:\n%swant\n%s", got, tt.want)
			}
			if text := strings.Join(info.Warnings, "\n"); (tt.warn == "") != (text == "") || !strings.Contains(text, tt.warn) {
				t.Errorf("warnings %q, want %q", text, tt.warn)
			}
			p := make([]byte, disc.SectorSize)
			n, err := d.(disc.RawReader).ReadSectors(p, tt.lba)
			_, track := d.Layout().TrackAt(tt.lba)
			if at := map[disc.Mode]int{disc.Audio: 0, disc.Mode1: 16, disc.Mode2: 16}[track.Mode]; n != 1 || binary.LittleEndian.Uint32(p[at:]) != tt.sector<<8|1 {
				t.Errorf("sector %d = %d, %v: % X; want number %d", tt.lba, n, err, p[:24], tt.sector)
			}
			disctest.TestDisc(t, d)
		})
	}
}
