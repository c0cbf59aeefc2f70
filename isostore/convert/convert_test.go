package convert

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/image"
	"spindle/testdata/fixture"
)

// open opens an image until the test ends.
func open(t *testing.T, path string) disc.Disc {
	t.Helper()
	d, info, err := image.OpenFile(path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if info.Truncated {
		t.Errorf("%s is truncated: %q", path, info.Warnings)
	}
	return d
}

// convertTo converts the image at src to dst.
func convertTo(t *testing.T, src, dst string, o Options) Result {
	t.Helper()
	last, total := int64(0), int64(0)
	o.Progress = func(done, of int64) {
		if done < last || done > of {
			t.Errorf("progress is %d of %d after %d", done, of, last)
		}
		last, total = done, of
	}
	r, err := Convert(t.Context(), open(t, src), dst, o)
	if err != nil {
		t.Fatalf("%s to %s: %v", filepath.Base(src), filepath.Base(dst), err)
	}
	if last != total {
		t.Errorf("%s to %s: progress ended at %d of %d", filepath.Base(src), filepath.Base(dst), last, total)
	}
	return r
}

// sessionBIN is what a BIN of session i of a source holds.
func sessionBIN(src *fixture.Source, i int) (b []byte) {
	s := &src.Sessions[i]
	first := s.First()
	if i == 0 {
		first = 0
	}
	for lba := first; lba < s.LeadOut; lba++ {
		b = append(b, src.Raw(lba)...)
	}
	return b
}

// TestThereAndBack has discs in every format with sessions and raw sectors go to
// CHD and back to a BIN/CUE, which has to be the source's: each sector, and all
// of the layout that the first format can hold.
func TestThereAndBack(t *testing.T) {
	sources := map[string]*fixture.Source{"mixed": fixture.MixedMode(nil), "data first": fixture.DataFirst(nil)}
	tests := []struct {
		name  string
		write func(dir string, src *fixture.Source) error
		image string
		names bool // MCN, ISRC, CD-TEXT and indexes from 2 on are kept
		sub   bool // sub-channels are kept, which a CUE sheet then loses
	}{
		{"cue", func(dir string, src *fixture.Source) error {
			return fixture.WriteCUE(dir, "a", src, fixture.CUEOptions{CDText: true})
		}, "a.cue", true, false},
		{"nrg 1", func(dir string, src *fixture.Source) error {
			return fixture.WriteNRG(dir, "a", src, fixture.NRGOptions{V1: true})
		}, "a.nrg", true, false},
		{"nrg 2", func(dir string, src *fixture.Source) error {
			return fixture.WriteNRG(dir, "a", src, fixture.NRGOptions{})
		}, "a.nrg", true, false},
		{"mds", func(dir string, src *fixture.Source) error {
			return fixture.WriteMDS(dir, "a", src, fixture.MDSOptions{})
		}, "a.mds", false, false},
		{"ccd", func(dir string, src *fixture.Source) error {
			return fixture.WriteCCD(dir, "a", src, fixture.CCDOptions{})
		}, "a.ccd", true, true},
	}
	for source, src := range sources {
		theirs := t.TempDir()
		if err := fixture.WriteCUE(theirs, "a", src, fixture.CUEOptions{CDText: true}); err != nil {
			t.Fatal(err)
		}
		var bins [][]byte
		for i := range src.Sessions {
			bins = append(bins, sessionBIN(src, i))
		}
		for _, tt := range tests {
			if source == "data first" && tt.image != "a.nrg" {
				continue // one family is enough for the layout alone: time
			}
			t.Run(tt.name+" "+source, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				if err := tt.write(dir, src); err != nil {
					t.Fatal(err)
				}
				chd, cue := filepath.Join(dir, "b.chd"), filepath.Join(dir, "back.cue")
				convertTo(t, filepath.Join(dir, tt.image), chd, Options{})
				if _, err := Convert(t.Context(), open(t, chd), cue, Options{}); tt.sub != errors.Is(err, ErrLossy) {
					t.Errorf("to a CUE sheet: %v; want that sub-channels would be lost: %v", err, tt.sub)
				}
				r := convertTo(t, chd, cue, Options{Lossy: tt.sub, Force: true})
				for i, want := range bins {
					bin := r.Files[len(r.Files)-len(bins)+i]
					if got, err := os.ReadFile(bin); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: %d bytes, %v; want the %d of session %d", bin, len(got), err, len(want), i+1)
					}
				}
				want := open(t, filepath.Join(theirs, "a.cue")).Layout()
				if !tt.names {
					want = withoutNames(want)
				}
				j := &job{want: want}
				if err := sameLayout(j, open(t, cue).Layout()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// withoutNames is a copy of a layout without what an MDS has no place for: MCN,
// ISRCs, CD-TEXT and indexes from 2 on.
func withoutNames(l *disc.Layout) *disc.Layout {
	c := *l
	c.MCN, c.CDText = "", nil
	c.Sessions = slices.Clone(c.Sessions)
	for i := range c.Sessions {
		s := &c.Sessions[i]
		s.Tracks = slices.Clone(s.Tracks)
		for k := range s.Tracks {
			s.Tracks[k].ISRC, s.Tracks[k].Indexes = "", nil
		}
	}
	return &c
}

// TestTOC writes TOCs that cdrdao reads as the disc that they are.
func TestTOC(t *testing.T) {
	lab.Need(t, "cdrdao")
	for name, src := range map[string]*fixture.Source{"audio": fixture.AudioDisc(), "data first": fixture.DataFirst(nil), "data": fixture.DataDisc(fixture.Mode1, nil)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteCUE(dir, "a", src, fixture.CUEOptions{CDText: true}); err != nil {
				t.Fatal(err)
			}
			toc := filepath.Join(dir, "b.toc")
			convertTo(t, filepath.Join(dir, "a.cue"), toc, Options{})
			cmd := lab.ToolCmd(t.Context(), "cdrdao", "show-toc", "-v", "1", toc)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("cdrdao: %v\n%s", err, out)
			}
			for _, track := range src.Tracks() {
				if want := fileTime(disc.LBA(track.Start)); !strings.Contains(string(out), want) {
					t.Errorf("cdrdao shows no track at %s:\n%s", want, out)
				}
			}
		})
	}
	dir := t.TempDir()
	if err := fixture.WriteCUE(dir, "a", fixture.MixedMode(nil), fixture.CUEOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := Convert(t.Context(), open(t, filepath.Join(dir, "a.cue")), filepath.Join(dir, "b.toc"), Options{Lossy: true})
	if err == nil || !strings.Contains(err.Error(), "one session") {
		t.Errorf("two sessions in a TOC: %v", err)
	}
}

// TestISO writes data discs as flat images, and what is left of others.
func TestISO(t *testing.T) {
	lab.Need(t, "xorriso", "zstd")
	iso := lab.ISO(t, lab.Image{Size: 300_000, Seed: 7})
	blocks, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		src   *fixture.Source
		lossy string // what would be lost
	}{
		{"data", fixture.DataDisc(fixture.Mode1, blocks), ""},
		{"XA", fixture.DataDisc(fixture.Mode2Form1, blocks), ""},
		{"data first", fixture.DataFirst(blocks), "2 audio tracks"},
		{"two sessions", fixture.MixedMode(blocks), "where 2 sessions begin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := fixture.WriteCUE(dir, "a", tt.src, fixture.CUEOptions{}); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(dir, "b.iso")
			_, err := Convert(t.Context(), open(t, filepath.Join(dir, "a.cue")), out, Options{})
			if (tt.lossy != "") != errors.Is(err, ErrLossy) || err != nil && !strings.Contains(err.Error(), tt.lossy) {
				t.Fatalf("to ISO: %v; want a refusal with %q", err, tt.lossy)
			}
			r := convertTo(t, filepath.Join(dir, "a.cue"), out, Options{Lossy: tt.lossy != "", Force: true})
			if (tt.lossy == "") != (len(r.Lost) == 0) {
				t.Errorf("lost %q", r.Lost)
			}
			_, info, err := image.OpenFile(out, image.Options{})
			if err != nil || info.Label != "LAB" {
				t.Errorf("the image is %+v, %v; want label LAB", info, err)
			}
			if tt.lossy == "" {
				if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got[:len(blocks)], blocks) {
					t.Errorf("the image is not the file system: %v", err)
				}
			}
			// Another program finds the files, in the last session too.
			list := lab.ToolCmd(t.Context(), "xorriso", "-indev", out, "-find", "/")
			if text, err := list.CombinedOutput(); tt.name != "two sessions" && (err != nil || !strings.Contains(string(text), "'/DATA.BIN'")) {
				t.Errorf("xorriso: %v\n%s", err, text)
			}
			zst := filepath.Join(dir, "b.iso.zst")
			convertTo(t, out, zst, Options{})
			plain, err := lab.ToolCmd(t.Context(), "zstd", "-dc", zst).Output()
			if want, _ := os.ReadFile(out); err != nil || !bytes.Equal(plain, want) {
				t.Errorf("zstd -d: %d bytes, %v; want %d", len(plain), err, len(want))
			}
		})
	}
}

// TestDVD writes a DVD in all formats that hold one.
func TestDVD(t *testing.T) {
	dir := t.TempDir()
	src := fixture.DVD(1000, nil)
	if err := fixture.WriteMDS(dir, "a", src, fixture.MDSOptions{}); err != nil {
		t.Fatal(err)
	}
	want, err := src.Image()
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(dir, "a.mds")
	for _, name := range []string{"b.chd", "c.iso.zst"} {
		to := filepath.Join(dir, name)
		if _, err := Convert(t.Context(), open(t, from), to, Options{}); !errors.Is(err, ErrLossy) || !strings.Contains(err.Error(), "manufacturing") {
			t.Errorf("%s: %v; want that structures would be lost", name, err)
		}
		convertTo(t, from, to, Options{Lossy: true})
		got := make([]byte, len(want))
		if n, err := open(t, to).ReadBlocks(got, 0); n != src.Blocks || !bytes.Equal(got, want) {
			t.Errorf("%s: %d blocks, %v", name, n, err)
		}
	}
	if _, err := Convert(t.Context(), open(t, from), filepath.Join(dir, "d.cue"), Options{Lossy: true}); err == nil || !strings.Contains(err.Error(), "a DVD") {
		t.Errorf("a DVD as a CUE sheet: %v", err)
	}
}

// TestNothingIsLeft fails in every way: no file is left or changed.
func TestNothingIsLeft(t *testing.T) {
	lab.Need(t, "xorriso")
	dir := t.TempDir()
	iso, err := os.ReadFile(lab.ISO(t, lab.Image{Size: 300_000, Seed: 7}))
	if err != nil {
		t.Fatal(err)
	}
	src := fixture.DataFirst(iso)
	if err := fixture.WriteCUE(dir, "a", src, fixture.CUEOptions{}); err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(filepath.Join(dir, "a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	spoil(bin[100*disc.SectorSize:])
	if err := os.WriteFile(filepath.Join(dir, "bad.bin"), bin, 0o644); err != nil {
		t.Fatal(err)
	}
	sheet, err := os.ReadFile(filepath.Join(dir, "a.cue"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.cue"), bytes.ReplaceAll(sheet, []byte("a.bin"), []byte("bad.bin")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "there.chd"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	ended, end := context.WithCancelCause(t.Context())
	end(errors.New("enough"))
	tests := []struct {
		name, src, dst string
		ctx            context.Context
		o              Options
		text           string
		err            error
	}{
		{"no such format", "a.cue", "x.wav", t.Context(), Options{}, ".iso.zst", nil},
		{"there already", "a.cue", "there.chd", t.Context(), Options{}, "--force", fs.ErrExist},
		{"lossy", "a.cue", "x.iso", t.Context(), Options{}, "audio tracks", ErrLossy},
		{"bad sectors", "bad.cue", "x.iso", t.Context(), Options{}, "audio tracks", ErrLossy},
		{"interrupted", "a.cue", "x.chd", ended, Options{}, "enough", nil},
		{"interrupted by force", "a.cue", "there.chd", ended, Options{Force: true}, "enough", nil},
		{"no such directory", "a.cue", "none/x.chd", t.Context(), Options{}, "none", fs.ErrNotExist},
		{"quotes", "a.cue", `x"y.cue`, t.Context(), Options{}, "without quotes", nil},
	}
	for _, tt := range tests {
		_, err := Convert(tt.ctx, open(t, filepath.Join(dir, tt.src)), filepath.Join(dir, tt.dst), tt.o)
		if err == nil || tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v; want %v with %q", tt.name, err, tt.err, tt.text)
		}
	}
	if after := names(t, dir); !slices.Equal(after, before) {
		t.Errorf("files are %q, before %q", after, before)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "there.chd")); err != nil || string(b) != "mine" {
		t.Errorf("there.chd was written over: %q, %v", b, err)
	}
	// Sectors that are bad on purpose are a loss of their own.
	r := convertTo(t, filepath.Join(dir, "bad.cue"), filepath.Join(dir, "x.iso"), Options{Lossy: true})
	if !slices.Contains(r.Lost, "sectors whose EDC or ECC does not fit") {
		t.Errorf("lost %q", r.Lost)
	}
}

// spoil changes a byte of the parity of a sector.
func spoil(s []byte) { s[2200] ^= 1 }

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestProofCanFail has a result that differs refused.
func TestProofCanFail(t *testing.T) {
	dir := t.TempDir()
	for name, src := range map[string]*fixture.Source{"a": fixture.DataFirst(nil), "b": fixture.DataDisc(fixture.Mode1, nil)} {
		if err := fixture.WriteCUE(dir, name, src, fixture.CUEOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, filepath.Join(dir, "a.cue"))
	other := format{stored: stored, same: sameDisc}
	if err := prove(t.Context(), newJob(d, &other, d.Layout(), Options{}), filepath.Join(dir, "b.cue")); err == nil {
		t.Error("another disc passes for the result")
	}
	bin := filepath.Join(dir, "a.bin")
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "c.bin"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	sheet, _ := os.ReadFile(filepath.Join(dir, "a.cue"))
	if err := os.WriteFile(filepath.Join(dir, "c.cue"), bytes.ReplaceAll(sheet, []byte("a.bin"), []byte("c.bin")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := prove(t.Context(), newJob(d, &other, d.Layout(), Options{}), filepath.Join(dir, "c.cue")); err == nil || !strings.Contains(err.Error(), "differs") {
		t.Errorf("one byte that differs: %v", err)
	}
}
