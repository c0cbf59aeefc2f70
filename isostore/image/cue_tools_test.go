package image

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/testdata/fixture"
)

// sheetTool runs a tool in dir and returns what it prints.
func sheetTool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	lab.Need(t, name)
	cmd := lab.ToolCmd(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// cueMusic is n sectors of two tones with noise, which FLAC makes smaller.
func cueMusic(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n*disc.SectorSize)
	for i := 0; i+4 <= len(b); i += 4 {
		for c, f := range []float64{0.031, 0.0457} {
			v := int16(9000*math.Sin(f*float64(i/4)) + float64(r.IntN(200)))
			b[i+2*c], b[i+2*c+1] = byte(v), byte(v>>8)
		}
	}
	return b
}

// TestCUEFlac encodes audio by flac in several ways and reads it from any place.
func TestCUEFlac(t *testing.T) {
	const n = 1500
	want := cueMusic(n)
	sheet := "FILE a.wav WAVE\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nINDEX 00 00:10:00\nINDEX 01 00:12:00\n"
	for name, args := range map[string][]string{
		"usual":               {"-5"},
		"best, no seek table": {"-8", "--no-seektable"},
		"small frames":        {"-0", "--blocksize=192"},
		"big frames":          {"-3", "--lax", "--blocksize=65535"},
		"noise as it is":      {"-0", "--disable-constant-subframes", "--disable-fixed-subframes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root := write(t, dir, "x.cue", []byte(sheet))
			write(t, dir, "b.wav", cueWave(want, 44100, 2, 16))
			sheetTool(t, dir, "flac", append(args, "-s", "-o", "a.flac", "b.wav")...)
			d, info, err := Open(root, "x.cue", Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if info.Blocks != n || !slices.Contains(info.Files, "a.flac") {
				t.Errorf("info = %+v", info)
			}
			r := rand.New(rand.NewPCG(3, 4))
			p := make([]byte, 100*disc.SectorSize)
			for _, lba := range append(r.Perm(n - 100)[:12], 0, 63, 64, n-100) {
				got, err := d.(disc.RawReader).ReadSectors(p, disc.LBA(lba))
				if got != 100 || err != nil || !bytes.Equal(p, want[lba*disc.SectorSize:][:len(p)]) {
					t.Fatalf("100 sectors at %d = %d, %v, or other samples", lba, got, err)
				}
			}
			disctest.TestDisc(t, d)
		})
	}
}

// TestCUEFlacDamaged breaks a FLAC file in the middle: what lies behind is read
// all the same, what is broken is an error.
func TestCUEFlacDamaged(t *testing.T) {
	const n = 2000
	want, dir := cueMusic(n), t.TempDir()
	root := write(t, dir, "x.cue", []byte("FILE a.flac FLAC\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"))
	write(t, dir, "b.wav", cueWave(want, 44100, 2, 16))
	sheetTool(t, dir, "flac", "-s", "-o", "a.flac", "b.wav")
	b, err := os.ReadFile(filepath.Join(dir, "a.flac"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		b[len(b)/2+i] ^= 0x5A
	}
	write(t, dir, "a.flac", b)
	d, _, err := Open(root, "x.cue", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	bad, p := 0, make([]byte, disc.SectorSize)
	for lba := range n {
		got, err := d.(disc.RawReader).ReadSectors(p, disc.LBA(lba))
		switch {
		case err != nil && !strings.Contains(err.Error(), "a.flac: "):
			t.Fatalf("sector %d: %v names no file", lba, err)
		case err != nil:
			bad++
		case got != 1 || !bytes.Equal(p, want[lba*disc.SectorSize:][:len(p)]):
			t.Fatalf("sector %d has other samples and no error", lba)
		}
	}
	if bad == 0 || bad > 3*64 {
		t.Errorf("%d sectors are bad, want from one hunk to three", bad)
	}
}

// TestCUECdrdao compares the layout with what cdrdao makes of the same sheet.
func TestCUECdrdao(t *testing.T) {
	for name, source := range map[string]func() *fixture.Source{
		"data first": func() *fixture.Source { return fixture.DataFirst(nil) },
		"audio":      fixture.AudioDisc,
	} {
		t.Run(name, func(t *testing.T) {
			src, dir := source(), t.TempDir()
			if err := fixture.WriteCUE(dir, "a", src, fixture.CUEOptions{Layout: fixture.FilePerTrack}); err != nil {
				t.Fatal(err)
			}
			text := sheetTool(t, dir, "cdrdao", "show-toc", "a.cue")
			d, _, err := OpenFile(filepath.Join(dir, "a.cue"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if got, want := sheetCdrdao(text), sheetAddresses(d.Layout()); !slices.Equal(got, want) {
				t.Errorf("cdrdao says %v, the layout %v\n%s", got, want, text)
			}
		})
	}
}

// sheetCdrdao is where tracks start and end as cdrdao's show-toc prints it.
func sheetCdrdao(text string) (list []string) {
	for _, m := range regexp.MustCompile(`(?:START|END) +\S+\( *(\d+)\)`).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// sheetAddresses is the same of a layout.
func sheetAddresses(l *disc.Layout) (list []string) {
	for t := range l.Tracks() {
		list = append(list, fmt.Sprint(t.Start), fmt.Sprint(l.End(t)))
	}
	return list
}

// TestCUEChdman lets chdman read a sheet and write another from its CHD: both
// sheets are the same disc.
func TestCUEChdman(t *testing.T) {
	for name, source := range map[string]func() *fixture.Source{
		"data first": func() *fixture.Source { return fixture.DataFirst(nil) },
		"form 1":     func() *fixture.Source { return fixture.DataDisc(fixture.Mode2Form1, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			src, dir := source(), t.TempDir()
			if err := fixture.WriteCUE(dir, "a", src, fixture.CUEOptions{}); err != nil {
				t.Fatal(err)
			}
			sheetTool(t, dir, "chdman", "createcd", "-i", "a.cue", "-o", "a.chd")
			sheetTool(t, dir, "chdman", "extractcd", "-i", "a.chd", "-o", "b.cue")
			src.MCN = ""
			for _, track := range src.Tracks() {
				track.ISRC, track.Control = "", track.Control&4
			}
			d, _, err := OpenFile(filepath.Join(dir, "b.cue"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			sheetSame(t, d, src)
		})
	}
}

// TestCUEVideoCD opens what vcdimager makes: Mode 2 sectors of both forms in two
// tracks. Each raw sector is the file's, and bchunk takes the same blocks out.
func TestCUEVideoCD(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "film.mpg", fixture.Film(60))
	sheetTool(t, dir, "vcdimager", "-c", "film.cue", "-b", "film.bin", "film.mpg")
	d, _, err := OpenFile(filepath.Join(dir, "film.cue"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l := d.Layout()
	if l.Sessions[0].Type != 0x20 || l.Last().Number != 2 || l.First().Mode != disc.Mode2XA || l.Last().Mode != disc.Mode2XA {
		t.Errorf("layout:\n%s", sheetLayout(l))
	}
	disctest.TestDisc(t, d)
	bin, err := os.ReadFile(filepath.Join(dir, "film.bin"))
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, len(bin))
	if n, err := d.(disc.RawReader).ReadSectors(raw, 0); n != int(l.LeadOut()) || err != nil || !bytes.Equal(raw, bin) {
		t.Errorf("the disc has %d sectors, %d were read, %v, or they are not the file's", l.LeadOut(), n, err)
	}
	sheetTool(t, dir, "bchunk", "film.bin", "film.cue", "out")
	iso, err := os.ReadFile(filepath.Join(dir, "out01.iso"))
	if err != nil {
		t.Fatal(err)
	}
	p, same := make([]byte, disc.BlockSize), 0
	for lba := range len(iso) / len(p) {
		n, err := d.ReadBlocks(p, disc.LBA(lba))
		switch {
		case errors.Is(err, disc.ErrMode): // Form 2
		case n != 1 || !bytes.Equal(p, iso[lba*len(p):][:len(p)]):
			t.Fatalf("block %d = %d, %v, or not what bchunk says", lba, n, err)
		default:
			same++
		}
	}
	if same < 100 {
		t.Errorf("only %d blocks of Form 1", same)
	}
}
