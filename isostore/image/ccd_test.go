package image

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/testdata/fixture"
)

// TestCCD opens what the fixture writes in every version.
func TestCCD(t *testing.T) {
	sources := map[string]func() *fixture.Source{
		"mixed":      func() *fixture.Source { return fixture.MixedMode(nil) },
		"data first": func() *fixture.Source { return fixture.DataFirst(nil) },
		"form 1":     func() *fixture.Source { return fixture.DataDisc(fixture.Mode2Form1, nil) },
	}
	dialects := map[string]fixture.CCDOptions{
		"version 3":  {},
		"version 2":  {Version2: true, Decimal: true},
		"no index 0": {NoIndex0: true},
		"scrambled":  {Scrambled: true},
		"no sub":     {NoSub: true},
		"empty sub":  {EmptySub: true, Decimal: true},
	}
	for sname, source := range sources {
		for dname, o := range dialects {
			t.Run(sname+"/"+dname, func(t *testing.T) {
				t.Parallel()
				src, dir := source(), t.TempDir()
				if err := fixture.WriteCCD(dir, "a disc", src, o); err != nil {
					t.Fatal(err)
				}
				d, info, err := OpenFile(filepath.Join(dir, "a disc.ccd"), Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if warned := len(info.Warnings) > 0; info.Format != "ccd" || warned != o.NoSub || info.Truncated {
					t.Errorf("info = %+v", info)
				}
				sheetSame(t, d, src)
				if got, want := sheetTitles(t, d), sheetSourceTitles(src); src.Title != "" && !slices.Equal(got, want) {
					t.Errorf("CD-TEXT = %q, want %q", got, want)
				}
				if !o.NoSub && !o.EmptySub {
					ccdSub(t, d, src)
				}
			})
		}
	}
}

// ccdSub checks that each sub-channel that the files hold is given as it is.
func ccdSub(t *testing.T, d disc.Disc, src *fixture.Source) {
	t.Helper()
	p := make([]byte, disc.SubSize)
	for i := range src.Sessions {
		s := &src.Sessions[i]
		for lba := s.First(); lba < s.LeadOut; lba++ {
			if n, err := d.(disc.SubReader).ReadSub(p, disc.LBA(lba)); n != 1 || err != nil || !bytes.Equal(p, src.Sub(lba)) {
				t.Fatalf("sub-channel %d = %d, %v: % X; want % X", lba, n, err, p[:16], src.Sub(lba)[:16])
			}
		}
	}
}

// TestCCDPregapStored opens files that hold the pregap of the second session.
func TestCCDPregapStored(t *testing.T) {
	src, dir := fixture.MixedMode(nil), t.TempDir()
	if err := fixture.WriteCCD(dir, "x", src, fixture.CCDOptions{NoSub: true}); err != nil {
		t.Fatal(err)
	}
	img, err := os.ReadFile(filepath.Join(dir, "x.img"))
	if err != nil {
		t.Fatal(err)
	}
	at := src.Sessions[0].LeadOut * disc.SectorSize
	var pregap []byte
	for lba := fixture.MixedModeStart - 150; lba < fixture.MixedModeStart; lba++ {
		pregap = append(pregap, src.Raw(lba)...)
	}
	write(t, dir, "x.img", slices.Insert(img, at, pregap...))
	d, _, err := OpenFile(filepath.Join(dir, "x.ccd"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	sheetSame(t, d, src)
}

// TestCCDTools compares blocks with what ccd2iso takes out of the same files.
func TestCCDTools(t *testing.T) {
	src, dir := fixture.DataDisc(fixture.Mode1, nil), t.TempDir()
	if err := fixture.WriteCCD(dir, "x", src, fixture.CCDOptions{}); err != nil {
		t.Fatal(err)
	}
	sheetTool(t, dir, "ccd2iso", "x.img", "x.iso")
	iso, err := os.ReadFile(filepath.Join(dir, "x.iso"))
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := OpenFile(filepath.Join(dir, "x.ccd"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p := make([]byte, len(iso))
	if n, err := d.ReadBlocks(p, 0); n != src.LeadOut() || err != nil || !bytes.Equal(p, iso) {
		t.Errorf("ReadBlocks = %d, %v, or not what ccd2iso says", n, err)
	}
}

// ccdText is a description of one audio track of 10 sectors.
const ccdText = `[CloneCD]
Version=3
[Disc]
TocEntries=4
Sessions=1
[Session 1]
PreGapMode=0
[Entry 0]
Session=1
Point=0xa0
ADR=0x01
PSec=0
PLBA=4350
[Entry 1]
Session=1
Point=0xa1
PLBA=4350
[Entry 2]
Session=1
Point=0xa2
PLBA=10
[Entry 3]
Session=1
Point=0x01
PSec=2
[TRACK 1]
MODE=0
INDEX 1=0
`

// TestCCDErrors opens descriptions that are no good.
func TestCCDErrors(t *testing.T) {
	img := cueSectors(10, disc.SectorSize, 0)
	edit := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(ccdText) }
	tests := []struct {
		name, text string
		files      map[string][]byte
		err        error
		want       string
	}{
		{"good", ccdText, map[string][]byte{"X.IMG": img}, nil, ""},
		{"truncated", ccdText, map[string][]byte{"x.img": img[:100]}, nil, ""},
		{"short sub", ccdText, map[string][]byte{"x.img": img, "x.sub": img[:100]}, nil, ""},
		{"another text", "Hello\n", nil, ErrFormat, "no [CloneCD]"},
		{"binary", "[CloneCD]\n\x01", nil, ErrFormat, "no text"},
		{"no value", "[CloneCD]\nVersion\n", nil, ErrDamaged, "line 2: neither a section nor a value"},
		{"section without a name", "[CloneCD]\n[]\n", nil, ErrDamaged, "line 2: a section without a name"},
		{"no image", ccdText, nil, fs.ErrNotExist, `"x.img" is missing`},
		{"no entries", "[CloneCD]\nVersion=3\n", map[string][]byte{"x.img": img}, ErrDamaged, "no [Entry]"},
		{"no lead-out", edit("0xa2", "0xa1"), map[string][]byte{"x.img": img}, ErrDamaged, "session 1"},
		{"no number", edit("PSec=2", "PSec=two"), map[string][]byte{"x.img": img}, ErrDamaged, `section at line 22: PSEC: "two"`},
		{"session 7", edit("Session=1\nPoint=0x01", "Session=7\nPoint=0x01"), map[string][]byte{"x.img": img}, ErrDamaged, "session 7"},
		{"huge", edit("PLBA=10", "PLBA=2147483647"), map[string][]byte{"x.img": img}, ErrDamaged, "2147483647"},
		{"track 100", edit("[TRACK 1]", "[TRACK 100]"), map[string][]byte{"x.img": img}, ErrDamaged, "track 100"},
		{"index", edit("INDEX 1=0", "INDEX 1=0\nINDEX 2=50"), map[string][]byte{"x.img": img}, ErrDamaged, "index at 50"},
		{"CD-TEXT", ccdText + "[CDText]\nEntries=1\nEntry 0=80 zz\n", map[string][]byte{"x.img": img}, ErrDamaged, "entry 0 of CD-TEXT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			root := write(t, dir, "x.ccd", []byte(tt.text))
			for name, b := range tt.files {
				write(t, dir, name, b)
			}
			d, info, err := Open(root, "x.ccd", Options{})
			if err == nil {
				defer d.Close()
			}
			if !errors.Is(err, tt.err) || tt.err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v; want %v and %q", err, tt.err, tt.want)
			}
			if tt.err == nil && (info.Truncated != (tt.name == "truncated") || len(info.Warnings) == 0) {
				t.Errorf("info = %+v", info)
			}
		})
	}
}

// TestGDI refuses a GD-ROM by name.
func TestGDI(t *testing.T) {
	root := write(t, t.TempDir(), "x.gdi", []byte("3\n1 0 4 2352 track01.bin 0\n"))
	if _, _, err := Open(root, "x.gdi", Options{}); err == nil || !strings.Contains(err.Error(), "GD-ROM") {
		t.Errorf("Open = %v", err)
	}
}

// FuzzOpenCCD opens an arbitrary description beside arbitrary files.
func FuzzOpenCCD(f *testing.F) {
	dir := f.TempDir()
	src := fixture.AudioDisc()
	if err := fixture.WriteCCD(dir, "y", src, fixture.CCDOptions{Version2: true}); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "y.ccd"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(ccdText), src.Raw(0)[:20], src.SubPlain(0), uint16(23520))
	f.Add(text, src.Raw(0)[:20], src.SubPlain(0), uint16(60000))
	f.Fuzz(func(t *testing.T, sheet, img, sub []byte, more uint16) {
		fuzzOpen(t, dir, "x.ccd", map[string][]byte{"x.ccd": sheet, "x.img": fuzzFiller(img, more), "x.sub": fuzzFiller(sub, more)})
	})
}
