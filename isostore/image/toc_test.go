package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/sector"
	"spindle/testdata/fixture"
)

// tocBig is sectors of audio as raw files have them: big-endian.
func tocBig(b []byte) []byte {
	b = bytes.Clone(b)
	swapSamples(b)
	return b
}

const tocMusic = `CD_DA
// a comment
CATALOG "1234567890123"
CD_TEXT { // of the disc
  LANGUAGE_MAP { 0 : EN 1:15 }
  LANGUAGE 0 { TITLE "A \"t\\itle\" \344" PERFORMER "P" GENRE { 0, 2, 74, 97, 122, 122, 0 } SIZE_INFO { 1, 1, 2 } }
  LANGUAGE 1 { TITLE "Titre" }
  LANGUAGE 2 { TITLE "no language has number 2" }
}
TRACK AUDIO
  COPY
  NO PRE_EMPHASIS
  TWO_CHANNEL_AUDIO
  ISRC "DEABC2600001"
  CD_TEXT { LANGUAGE 0 { TITLE "one" PERFORMER "" } LANGUAGE 1 { TITLE "un" } }
  PREGAP 0:2:0
  FILE "a.bin" 0 0:10:0
  FILE "a.bin" #2352 0 0:2:0
  SILENCE 0:1:0
  SILENCE 588
  INDEX 0:4:0 INDEX 0:5:0
TRACK AUDIO
  PRE_EMPHASIS FOUR_CHANNEL_AUDIO /* more
  lines */ AUDIOFILE "l.bin" SWAP 1000
  START 0:1:0
TRACK AUDIO
  FILE "m.wav" 0:0:1 0:0:5
`

// tocMusicLayout is what it says.
const tocMusicLayout = `MCN "1234567890123"
session 1 type 00 leadout 1930
track 1 control 2 mode 0 pregap -150 start 150 indexes [450 525] isrc "DEABC2600001"
track 2 control 9 mode 0 pregap 1126 start 1201 indexes [] isrc ""
track 3 control 0 mode 0 pregap 1925 start 1925 indexes [] isrc ""
`

// tocFiles are the files of it.
func tocFiles() map[string][]byte {
	return map[string][]byte{
		"a.bin": tocBig(cueSectors(1500, 2352, 0)),
		"l.bin": cueSectors(800, 2352, 1500),
		"m.wav": cueWave(cueSectors(20, 2352, 3000), 44100, 2, 16),
	}
}

func tocOpen(t *testing.T, text string, files map[string][]byte) (string, disc.Disc, Info, error) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		write(t, dir, name, b)
	}
	root := write(t, dir, "x.toc", []byte(text))
	d, info, err := Open(root, "x.toc", Options{})
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return dir, d, info, err
}

// TestTOCMusic opens a disc of audio made of parts, and asks cdrdao where they
// lie.
func TestTOCMusic(t *testing.T) {
	dir, d, info, err := tocOpen(t, tocMusic, tocFiles())
	if err != nil {
		t.Fatal(err)
	}
	if got := sheetLayout(d.Layout()); got != tocMusicLayout || len(info.Warnings) != 0 || info.Format != "toc" {
		t.Errorf("layout:\n%swant\n%sinfo %+v", got, tocMusicLayout, info)
	}
	all := cueSectors(1500, 2352, 0)
	want := slices.Concat(make([]byte, 150*2352), all[:750*2352], all[2352:151*2352], make([]byte, 76*2352),
		cueSectors(800, 2352, 1500)[4000:], make([]byte, 4000-2352), cueSectors(20, 2352, 3000)[2352:6*2352])
	got := make([]byte, 1930*2352)
	if n, err := d.(disc.RawReader).ReadSectors(got, 0); n != 1930 || err != nil || !bytes.Equal(got, want) {
		t.Errorf("ReadSectors = %d, %v, or other samples", n, err)
	}
	disctest.TestDisc(t, d)
	texts, err := sector.ParseText(d.Layout().CDText)
	if err != nil || len(texts) != 2 {
		t.Fatalf("CD-TEXT = %+v, %v", texts, err)
	}
	if en, fr := texts[0], texts[1]; en.Language != 9 || fr.Language != 15 || en.Genre != 2 || en.Get(sector.PackGenre, 0) != "Jazz" ||
		en.Get(sector.PackTitle, 0) != "A \"t\\itle\" ä" || en.Get(sector.PackTitle, 1) != "one" || fr.Get(sector.PackTitle, 1) != "un" {
		t.Errorf("CD-TEXT = %+v", texts)
	}
	write(t, dir, "x.toc", []byte(strings.Replace(tocMusic, "/* more\n  lines */", "", 1))) // which cdrdao does not know
	print := sheetTool(t, dir, "cdrdao", "show-toc", "x.toc")
	if got, want := sheetCdrdao(strings.ReplaceAll(print, "END*", "END ")), sheetAddresses(d.Layout()); !tocEnds(got, want) {
		t.Errorf("cdrdao says %v, the layout %v\n%s", got, want, print)
	}
}

// tocEnds compares addresses. cdrdao prints no START for a track without a
// pregap.
func tocEnds(cdrdao, ours []string) bool {
	i := 0
	for _, a := range ours {
		if i < len(cdrdao) && cdrdao[i] == a {
			i++
		}
	}
	return i == len(cdrdao) && i >= len(ours)-2
}

const tocData = `CD_ROM_XA
TRACK MODE1
  ZERO 0:2:0
  DATAFILE "cooked" 614400
  START 0:2:0
TRACK MODE2_FORM_MIX
  PREGAP 0:2:0
  ZERO MODE2_FORM1 0:0:10
  DATAFILE "mix" #23360 0:0:20
  ZERO 2336
TRACK MODE1_RAW RW_RAW
  ZERO MODE1_RAW RW_RAW 0:2:0
  DATAFILE "raw" #7
  START 0:2:0
TRACK AUDIO RW
  ZERO AUDIO RW 0:2:0
  START
  DATAFILE "audio" 0:4:0
  INDEX 0:1:0
TRACK MODE2_FORM1
  DATAFILE "cooked" 20480
TRACK MODE2_FORM2
  DATAFILE "form2"
TRACK MODE2
  DATAFILE "formless"
`

const tocDataLayout = `MCN ""
session 1 type 20 leadout 1681
track 1 control 4 mode 1 pregap -150 start 150 indexes [] isrc ""
track 2 control 4 mode 3 pregap 450 start 600 indexes [] isrc ""
track 3 control 4 mode 1 pregap 631 start 781 indexes [] isrc ""
track 4 control 0 mode 0 pregap 1081 start 1231 indexes [1306] isrc ""
track 5 control 4 mode 3 pregap 1531 start 1531 indexes [] isrc ""
track 6 control 4 mode 3 pregap 1541 start 1541 indexes [] isrc ""
track 7 control 4 mode 2 pregap 1611 start 1611 indexes [] isrc ""
`

// TestTOCData opens a disc with tracks of every mode and sub-channel.
func TestTOCData(t *testing.T) {
	src := &fixture.Source{Sessions: []fixture.Session{{LeadOut: 2000, Tracks: []fixture.Track{{Number: 3, Control: 4, Kind: fixture.Mode1, Pregap: 631, Start: 781, End: 2000}}}}}
	raw := []byte("7 bytes")
	for lba := 781; lba < 1081; lba++ {
		raw = append(append(raw, src.Raw(lba)...), src.Sub(lba)...)
	}
	rw := func(i int) []byte { return bytes.Repeat([]byte{byte(i%63 + 1)}, disc.SubSize) }
	var audio []byte
	for i := range 300 {
		audio = append(append(audio, tocBig(cueSectors(1, 2352, i))...), rw(i)...)
	}
	mixed := fixture.DataDisc(fixture.Mode2Form1, nil)
	mix := rawDisc(mixed, 0, 16, 2336, nil)
	dir, d, info, err := tocOpen(t, tocData, map[string][]byte{
		"cooked": cueSectors(300, 2048, 0), "mix": mix, "raw": raw, "audio": audio,
		"form2": cueSectors(70, 2324, 0), "formless": cueSectors(70, 2336, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := sheetLayout(d.Layout()); got != tocDataLayout || len(info.Warnings) != 0 {
		t.Fatalf("layout:\n%swant\n%sinfo %+v", got, tocDataLayout, info)
	}
	p, sub := make([]byte, disc.SectorSize), make([]byte, disc.SubSize)
	at := func(lba disc.LBA) []byte {
		clear(p)
		if n, err := d.(disc.RawReader).ReadSectors(p, lba); n != 1 {
			t.Errorf("sector %d: %v", lba, err)
		}
		if n, err := d.(disc.SubReader).ReadSub(sub, lba); n != 1 {
			t.Errorf("sub-channel %d: %v", lba, err)
		}
		return p
	}
	for name, ok := range map[string]bool{
		"Mode 1":      binary.LittleEndian.Uint32(at(150 + 33)[16:]) == 33<<8|1,
		"mixed forms": bytes.Equal(at(610 + 3)[16:], mix[13*2336:14*2336]),
		"zeros of XA": at(605)[18] == 8 && sector.Check(p) == nil,
		"raw":         bytes.Equal(at(800), src.Raw(800)) && bytes.Equal(sub, src.Sub(800)),
		"audio":       bytes.Equal(at(1231+9), cueSectors(1, 2352, 9)) && sub[0]&0x3F == rw(9)[0]&0x3F && sub[5]&0x3F == rw(7)[5]&0x3F && sector.QOf(sub).Valid(),
		"Form 1":      binary.LittleEndian.Uint32(at(1531 + 5)[24:]) == 5<<8|1,
		"Form 2":      binary.LittleEndian.Uint32(at(1541 + 5)[24:]) == 5<<8|1 && p[18] == 0x20,
		"formless":    binary.LittleEndian.Uint32(at(1611 + 5)[16:]) == 5<<8|1,
	} {
		if !ok {
			t.Errorf("%s: other sector: % X; sub-channel % X", name, p[:32], sub[:16])
		}
	}
	disctest.TestDisc(t, d)
	print := sheetTool(t, dir, "cdrdao", "show-toc", "x.toc")
	if got, want := sheetCdrdao(print), sheetAddresses(d.Layout()); !tocEnds(got, want) {
		t.Errorf("cdrdao says %v, the layout %v\n%s", got, want, print)
	}
}

// TestTOCChdman lets chdman make a CHD of a table of contents and write a CUE
// sheet and another table from it: all three are the same disc.
func TestTOCChdman(t *testing.T) {
	const text = `CD_ROM
TRACK MODE1_RAW
  DATAFILE "raw" 0:4:0
TRACK AUDIO
  FILE "music" 0 0:8:0
`
	src := fixture.DataDisc(fixture.Mode1, nil)
	dir, d, _, err := tocOpen(t, text, map[string][]byte{"raw": rawDisc(src, 0, 0, 2352, nil), "music": tocBig(cueMusic(600))})
	if err != nil {
		t.Fatal(err)
	}
	sheetTool(t, dir, "chdman", "createcd", "-i", "x.toc", "-o", "x.chd")
	sheetTool(t, dir, "chdman", "extractcd", "-i", "x.chd", "-o", "y.toc")
	sheetTool(t, dir, "chdman", "extractcd", "-i", "x.chd", "-o", "z.cue")
	want := make([]byte, d.Layout().LeadOut()*disc.SectorSize)
	if n, err := d.(disc.RawReader).ReadSectors(want, 0); n != 900 {
		t.Fatalf("ReadSectors = %d, %v", n, err)
	}
	for _, name := range []string{"y.toc", "z.cue"} {
		got, _, err := OpenFile(filepath.Join(dir, name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		if a, b := sheetLayout(got.Layout()), sheetLayout(d.Layout()); a != b {
			t.Errorf("%s: layout:\n%swant\n%s", name, a, b)
		}
		p := make([]byte, len(want))
		if n, err := got.(disc.RawReader).ReadSectors(p, 0); n != 900 || err != nil || !bytes.Equal(p, want) {
			t.Errorf("%s: ReadSectors = %d, %v, or other sectors", name, n, err)
		}
	}
}

// TestTOCErrors opens tables that are no good.
func TestTOCErrors(t *testing.T) {
	const track = "CD_DA\nTRACK AUDIO\n"
	tests := []struct {
		name, text string
		err        error
		want       string
	}{
		{"another text", "Chapter 1\n", ErrFormat, "no statement"},
		{"binary", "CD_DA\n\x01", ErrFormat, "no text"},
		{"no track", "CD_DA\n", ErrDamaged, "line 1: no TRACK"},
		{"empty track", track, ErrDamaged, "track 1"},
		{"mode", "CD_DA\nTRACK MODE7", ErrDamaged, `line 2: "MODE7"`},
		{"statement", track + "FILE \"a.bin\" 0\nFOO", ErrDamaged, `line 4: "FOO"`},
		{"before a track", "CD_DA\nSILENCE 1", ErrDamaged, "line 2: it stands before any TRACK"},
		{"missing", track + "FILE \"b.bin\" 0", fs.ErrNotExist, `line 3: its file "b.bin" is missing`},
		{"outside", track + "FILE \"../../b.bin\" 0", fs.ErrNotExist, "is missing"},
		{"no string", track + "FILE a.bin 0", ErrDamaged, `"a.bin" stands where a string`},
		{"end in a statement", track + "FILE", ErrDamaged, "line 3"},
		{"open string", track + "FILE \"a.bin", ErrDamaged, "line 3"},
		{"open block", "CD_DA CD_TEXT { LANGUAGE 0 {", ErrDamaged, "line 1"},
		{"behind the file", track + "FILE \"a.bin\" 9:0:0", ErrDamaged, `line 3: damaged image: it begins at byte 95256000 of "a.bin", which has 23520`},
		{"huge", track + "SILENCE 999999999999", ErrDamaged, "longer than the 99:59:74"},
		{"more than huge", track + "SILENCE 99999999999999999999", ErrDamaged, "line 3"},
		{"FIFO", track + "FIFO \"a\" 100", ErrDamaged, "hint: write it to a file"},
		{"PREGAP behind", track + "FILE \"a.bin\" 0\nPREGAP 0:2:0", ErrDamaged, "line 4: PREGAP"},
		{"START behind the end", track + "FILE \"a.bin\" 0\nSTART 1:0:0", ErrDamaged, "track 1"},
		{"INDEX behind the end", track + "FILE \"a.bin\" 0\nINDEX 1:0:0", ErrDamaged, "index at"},
		{"catalogue", "CATALOG \"123\"", ErrDamaged, "13 digits"},
		{"language", "CD_DA CD_TEXT { LANGUAGE_MAP { 0 : XX } }", ErrDamaged, "hint: write the number"},
		{"language number", "CD_DA CD_TEXT { LANGUAGE 9 { } }", ErrDamaged, "number from 0 to 7"},
		{"MP3", track + "FILE \"m.wav\" 0", nil, "MP3"},
		{"WAVE as data", "CD_ROM\nTRACK MODE1\nDATAFILE \"m.wav\"", ErrDamaged, "line 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := tocOpen(t, tt.text, map[string][]byte{"a.bin": make([]byte, 10*2352), "m.wav": []byte("ID3 and what follows")})
			if err == nil || tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v; want %v and %q", err, tt.err, tt.want)
			}
		})
	}
	_, _, info, err := tocOpen(t, track+"FILE \"a.bin\" 0 0:1:0\n", map[string][]byte{"a.bin": make([]byte, 10*2352)})
	if err != nil || !info.Truncated || len(info.Warnings) == 0 {
		t.Errorf("a short file: %v, %+v", err, info)
	}
}

// TestTOCLong opens tables that are as long as texts may be.
func TestTOCLong(t *testing.T) {
	for _, text := range []string{strings.Repeat("CD_DA ", 170000), "CD_DA\n" + strings.Repeat("\n", 1<<20-10), "CD_DA CD_TEXT " + strings.Repeat("{", 1<<20-20)} {
		dir := t.TempDir()
		fuzzOpen(t, dir, "x.toc", map[string][]byte{"x.toc": []byte(text)})
		fuzzOpen(t, dir, "x.cue", map[string][]byte{"x.cue": []byte(text)})
		fuzzOpen(t, dir, "x.ccd", map[string][]byte{"x.ccd": []byte("[CloneCD]\n" + strings.ReplaceAll(text[:len(text)-20], " ", "=\n"))})
		fuzzOpen(t, dir, "x.ccd", map[string][]byte{"x.ccd": []byte("[CloneCD]\n" + strings.Repeat("[A]\n", 250000))})
	}
}

// FuzzOpenTOC opens an arbitrary table beside arbitrary files.
func FuzzOpenTOC(f *testing.F) {
	f.Add([]byte(tocMusic), []byte("abc"), uint16(60000))
	f.Add([]byte(strings.NewReplacer("cooked", "a.bin", "mix", "a.bin", "raw", "a.bin").Replace(tocData)), []byte("abc"), uint16(60000))
	f.Add([]byte("CD_DA TRACK AUDIO RW FILE \"m.wav\" 0 ZERO 1"), cueWave(make([]byte, 8), 44100, 2, 16), uint16(9))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, sheet, content []byte, more uint16) {
		b := fuzzFiller(content, more)
		fuzzOpen(t, dir, "x.toc", map[string][]byte{"x.toc": sheet, "a.bin": b, "l.bin": b, "m.wav": b})
	})
}
