package image_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/image"
	"spindle/testdata/fixture"
)

// chdTool runs a program in dir.
func chdTool(t testing.TB, dir string, args ...string) string {
	t.Helper()
	lab.Need(t, args[0])
	cmd := lab.ToolCmd(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, text)
	}
	return string(text)
}

func chdOpen(t testing.TB, path string) (disc.Disc, image.Info) {
	t.Helper()
	d, info, err := image.OpenFile(path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, info
}

// chdSectors reads sectors from first to before end.
func chdSectors(t testing.TB, d disc.Disc, first, end disc.LBA) []byte {
	t.Helper()
	p := make([]byte, int(end-first)*disc.SectorSize)
	if n, err := d.(disc.RawReader).ReadSectors(p, first); err != nil {
		t.Fatalf("sector %d: %v", first+disc.LBA(n), err)
	}
	return p
}

// chdCompare compares each sector from LBA 0 on, raw and its user data, with the
// source's.
func chdCompare(t testing.TB, d disc.Disc, src *fixture.Source) {
	t.Helper()
	if end := d.Layout().LeadOut(); end != disc.LBA(src.LeadOut()) {
		t.Fatalf("the lead-out is at %d, want %d", end, src.LeadOut())
	}
	bad := 0
	for _, track := range src.Tracks() {
		first := max(0, track.Pregap)
		got := chdSectors(t, d, disc.LBA(first), disc.LBA(track.End))
		blocks := make([]byte, (track.End-first)*disc.BlockSize)
		n, _ := d.ReadBlocks(blocks, disc.LBA(first))
		for lba := first; lba < track.End && bad < 4; lba++ {
			want := src.Raw(lba)
			if p := got[(lba-first)*disc.SectorSize:][:disc.SectorSize]; !bytes.Equal(p, want) {
				bad++
				t.Errorf("sector %d is % X…, want % X…", lba, p[:24], want[:24])
			}
			user := 16
			switch src.Kind(lba) {
			case fixture.Mode2Form1:
				user = 24
			case fixture.Mode1:
			default:
				continue
			}
			if lba-first >= n || !bytes.Equal(blocks[(lba-first)*disc.BlockSize:][:disc.BlockSize], want[user:][:disc.BlockSize]) {
				bad++
				t.Errorf("block %d of %d that are read has other data than the source's", lba, n)
			}
		}
	}
}

// chdTracks is what of a layout CHD's own metadata has.
func chdTracks(l *disc.Layout) string {
	var b strings.Builder
	for t := range l.Tracks() {
		fmt.Fprintf(&b, "%d mode %d %d %d %d\n", t.Number, t.Mode, t.Pregap, t.Start, l.End(t))
	}
	return b.String()
}

// chdSourceTracks is the same of a source.
func chdSourceTracks(src *fixture.Source) string {
	var b strings.Builder
	modes := map[fixture.Kind]disc.Mode{fixture.Mode1: disc.Mode1, fixture.Mode2Form1: disc.Mode2XA, fixture.Mode2Form2: disc.Mode2XA, fixture.Mode2Formless: disc.Mode2}
	for _, t := range src.Tracks() {
		fmt.Fprintf(&b, "%d mode %d %d %d %d\n", t.Number, modes[t.Kind], t.Pregap, t.Start, t.End)
	}
	return b.String()
}

// TestCHDOfChdman opens what chdman makes of CUE sheets by all of its codecs.
func TestCHDOfChdman(t *testing.T) {
	single, perTrack := fixture.CUEOptions{NoSession: true}, fixture.CUEOptions{NoSession: true, Layout: fixture.FilePerTrack}
	cooked := perTrack
	cooked.Cooked = true
	hidden := fixture.MixedMode(nil)
	hidden.Sessions = hidden.Sessions[:1]
	tests := []struct {
		name  string
		src   *fixture.Source
		cue   fixture.CUEOptions
		codec string
	}{
		{"data and audio", fixture.DataFirst(nil), single, "cdlz,cdzl,cdfl"},
		{"deflate", fixture.DataDisc(fixture.Mode1, nil), perTrack, "cdzl"},
		{"lzma", fixture.DataDisc(fixture.Mode1, nil), single, "cdlz"},
		{"flac", fixture.AudioDisc(), single, "cdfl"},
		{"none", fixture.DataFirst(nil), perTrack, "none"},
		{"hidden track", hidden, single, "cdlz,cdfl"},
		{"2048", fixture.DataDisc(fixture.Mode1, nil), cooked, "cdlz"},
		{"2048 and audio", fixture.TrackAtOnce(nil), cooked, "cdzl"},
		{"mode 2 form 1", fixture.DataDisc(fixture.Mode2Form1, nil), single, "cdzl"},
		{"mode 2 form 2", fixture.DataDisc(fixture.Mode2Form2, nil), single, "cdlz"},
		{"formless", fixture.DataDisc(fixture.Mode2Formless, nil), single, "cdzl"},
		{"2336", fixture.DataDisc(fixture.Mode2Form1, nil), cooked, "cdlz"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := fixture.WriteCUE(dir, "a", tt.src, tt.cue); err != nil {
				t.Fatal(err)
			}
			chdTool(t, dir, "chdman", "createcd", "-i", "a.cue", "-o", "a.chd", "-c", tt.codec, "-np", "1")
			d, info := chdOpen(t, filepath.Join(dir, "a.chd"))
			if info.Format != "chd" || info.Medium != "CD" || info.Truncated || len(info.Warnings) > 0 {
				t.Errorf("info = %+v", info)
			}
			if got, want := chdTracks(d.Layout()), chdSourceTracks(tt.src); got != want {
				t.Errorf("tracks are\n%swant\n%s", got, want)
			}
			chdCompare(t, d, tt.src)
			disctest.TestDisc(t, d)
		})
	}
}

// TestCHDGaps: what is not in the CHD is made, and moves what comes behind it.
func TestCHDGaps(t *testing.T) {
	dir := t.TempDir()
	sheet := `FILE "d.iso" BINARY
 TRACK 01 MODE1/2048
  PREGAP 00:00:10
  INDEX 01 00:00:00
FILE "a.bin" BINARY
 TRACK 02 AUDIO
  PREGAP 00:02:00
  INDEX 01 00:00:00
  POSTGAP 00:00:07
FILE "b.bin" BINARY
 TRACK 03 AUDIO
  INDEX 00 00:00:00
  INDEX 01 00:00:03
`
	// chdman 0.251 writes maps of a few hunks that it cannot read itself.
	files := map[string][]byte{"a.cue": []byte(sheet)}
	for name, size := range map[string]int{"d.iso": 90 * 2048, "a.bin": 50 * 2352, "b.bin": 61 * 2352} {
		files[name] = make([]byte, size)
		for i := range files[name] {
			files[name][i] = byte(i / 97 * size)
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	chdTool(t, dir, "chdman", "createcd", "-i", "a.cue", "-o", "a.chd")
	d, _ := chdOpen(t, filepath.Join(dir, "a.chd"))
	want := "1 mode 1 -150 0 90\n2 mode 0 90 240 297\n3 mode 0 297 300 358\n"
	if got := chdTracks(d.Layout()); got != want {
		t.Errorf("tracks are\n%swant\n%s", got, want)
	}
	silence := func(n int) []byte { return make([]byte, n*disc.SectorSize) }
	audio := slices.Concat(silence(150), files["a.bin"], silence(7), files["b.bin"])
	if !bytes.Equal(chdSectors(t, d, 90, 358), audio) {
		t.Error("audio differs from the source")
	}
	disctest.TestDisc(t, d)
}

// TestCHDOfToc: chdman does not say that a pregap that cdrdao's sheet takes from
// the file is in the CHD; the sectors' addresses do.
func TestCHDOfToc(t *testing.T) {
	dir := t.TempDir()
	src := fixture.DataDisc(fixture.Mode1, nil)
	var bin []byte
	for lba := range 300 {
		bin = append(bin, src.Raw(lba)...)
	}
	sheet := "CD_ROM\n\nTRACK MODE1_RAW\nDATAFILE \"a.bin\" 00:01:25 // length in bytes: 235200\n\n" +
		"TRACK MODE1_RAW\nDATAFILE \"a.bin\" #235200 00:02:50 // length in bytes: 470400\nSTART 00:00:20\n\n"
	for name, b := range map[string][]byte{"a.toc": []byte(sheet), "a.bin": bin} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	chdTool(t, dir, "chdman", "createcd", "-i", "a.toc", "-o", "a.chd")
	d, _ := chdOpen(t, filepath.Join(dir, "a.chd"))
	if got, want := chdTracks(d.Layout()), "1 mode 1 -150 0 100\n2 mode 1 100 120 300\n"; got != want {
		t.Errorf("tracks are\n%swant\n%s", got, want)
	}
	chdCompare(t, d, src)
}
