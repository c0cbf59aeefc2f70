package convert

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/sector"
	"spindle/testdata/fixture"
)

// bin writes a CUE sheet with one BIN of raw sectors, changed by change.
func bin(t *testing.T, dir, sheet string, src *fixture.Source, change func(b []byte)) string {
	t.Helper()
	b := sessionBIN(src, 0)
	if change != nil {
		change(b)
	}
	for name, text := range map[string][]byte{"a.cue": []byte("FILE a.bin BINARY\n" + sheet), "a.bin": b} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "a.cue")
}

// subs writes an MDS whose sub-channel Q of sector 20 is changed.
func subs(t *testing.T, dir string, src *fixture.Source, change func(q []byte)) string {
	t.Helper()
	if err := fixture.WriteMDS(dir, "a", src, fixture.MDSOptions{SubChannel: true}); err != nil {
		t.Fatal(err)
	}
	mdf := filepath.Join(dir, "a.mdf")
	b, err := os.ReadFile(mdf)
	if err != nil {
		t.Fatal(err)
	}
	sub := b[20*(disc.SectorSize+disc.SubSize)+disc.SectorSize:][:disc.SubSize]
	planar := make([]byte, disc.SubSize)
	sector.Deinterleave(planar, sub)
	change(planar[12:24])
	sector.Interleave(sub, planar)
	if err := os.WriteFile(mdf, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "a.mds")
}

const oneTrack = "TRACK 01 MODE2/2352\nINDEX 01 00:00:00\n"

// TestNoLossIsSilent has everything that a format cannot hold refused, and
// named when it is left out all the same.
func TestNoLossIsSilent(t *testing.T) {
	noisy := func(s *fixture.Source) *fixture.Source { s.LeadNoise = true; return s }
	formOne := fixture.DataDisc(fixture.Mode2Form1, nil)
	data, audio := fixture.DataDisc(fixture.Mode1, nil), fixture.AudioDisc()
	nrg := func(src *fixture.Source) func(t *testing.T, dir string) string {
		return func(t *testing.T, dir string) string {
			if err := fixture.WriteNRG(dir, "a", src, fixture.NRGOptions{}); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "a.nrg")
		}
	}
	dvd := func(t *testing.T, dir string) string {
		if err := fixture.WriteMDS(dir, "a", fixture.DualLayerDVD(700, 400, nil), fixture.MDSOptions{}); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "a.mds")
	}
	sheet := func(text string, src *fixture.Source, change func(b []byte)) func(t *testing.T, dir string) string {
		return func(t *testing.T, dir string) string { return bin(t, dir, text, src, change) }
	}
	q := func(src *fixture.Source, change func(q []byte)) func(t *testing.T, dir string) string {
		return func(t *testing.T, dir string) string { return subs(t, dir, src, change) }
	}
	subHeader := func(b []byte) {
		s := b[30*disc.SectorSize:][:disc.SectorSize]
		s[16], s[20] = 1, 1
		sector.EncodeForm1(s, 30)
	}
	address := func(b []byte) {
		s := b[30*disc.SectorSize:][:disc.SectorSize]
		sector.EncodeMode1(s, 31)
	}
	tests := []struct {
		name string
		make func(t *testing.T, dir string) string
		to   []string
		lost string
	}{
		{"pregap of track 1", nrg(noisy(fixture.DataDisc(fixture.Mode1, nil))), []string{".iso.zst", ".cue", ".chd"}, "pregap of session 1"},
		{"pregap of session 2", nrg(noisy(fixture.MixedMode(nil))), []string{".cue"}, "pregap of session 2"},
		{"structures", dvd, []string{".chd"}, "where layer 1 begins; manufacturing information of the DVD"},
		{"DVD by size", dvd, []string{".iso.zst"}, "where layer 1 begins; manufacturing information of the DVD; that it is a DVD"},
		{"sub-headers", sheet(oneTrack, formOne, subHeader), []string{".iso.zst"}, "sub-headers of Mode 2"},
		{"addresses", sheet("TRACK 01 MODE1/2352\nINDEX 01 00:00:00\n", data, address), []string{".iso.zst"}, "addresses in sectors"},
		{"flags of data", sheet("TRACK 01 MODE1/2352\nFLAGS PRE\nINDEX 01 00:00:00\n", data, nil), []string{".iso.zst", ".toc"}, "flags of data tracks"},
		{"ISRC of data", sheet("TRACK 01 MODE1/2352\nISRC DEA123456789\nINDEX 01 00:00:00\n", data, nil), []string{".iso.zst", ".toc"}, "recording codes of data"},
		{"indexes of data", sheet("TRACK 01 MODE1/2352\nINDEX 01 00:00:00\nINDEX 02 00:00:20\n", data, nil), []string{".iso.zst"}, "indexes of data"},
		{"CD-TEXT that a TOC cannot say", sheet("GENRE Jazz\nTITLE a\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n", audio, nil), []string{".toc"}, "some of CD-TEXT"},
		{"Q without CRC", q(data, func(q []byte) { q[11] ^= 1 }), []string{".iso.zst", ".cue", ".toc"}, "sub-channels, from sector 20 on"},
		{"Q of another place", q(data, func(q []byte) { other := sector.PositionQ(&disc.Track{Number: 1, Control: 4}, 40); copy(q, other[:]) }), []string{".iso.zst", ".cue", ".toc"}, "sub-channels, from sector 20 on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			from := tt.make(t, dir)
			before := names(t, dir)
			for _, ext := range tt.to {
				dst := filepath.Join(dir, "b"+ext)
				if _, err := Convert(t.Context(), open(t, from), dst, Options{}); !errors.Is(err, ErrLossy) || !strings.Contains(err.Error(), tt.lost) {
					t.Errorf("to %s: %v; want a refusal for %q", ext, err, tt.lost)
				}
				if after := names(t, dir); !slices.Equal(before, after) {
					t.Errorf("%s left %q", ext, after)
				}
				r := convertTo(t, from, dst, Options{Lossy: true})
				if !strings.Contains(strings.Join(r.Lost, "; "), tt.lost) {
					t.Errorf("to %s: lost %q, want %q", ext, r.Lost, tt.lost)
				}
				for _, f := range r.Files {
					os.Remove(f)
				}
			}
		})
	}
}

// TestKept has what is rare and can be held come through.
func TestKept(t *testing.T) {
	data := fixture.DataDisc(fixture.Mode1, nil)
	tests := []struct {
		name string
		make func(t *testing.T, dir string) string
		to   []string
	}{
		{"sub-channels of data", func(t *testing.T, dir string) string {
			return subs(t, dir, data, func(q []byte) { q[11] ^= 1 })
		}, []string{".chd"}},
		{"CD-I", func(t *testing.T, dir string) string {
			return bin(t, dir, strings.ReplaceAll(oneTrack, "MODE2", "CDI"), fixture.DataDisc(fixture.Mode2Form1, nil), nil)
		}, []string{".cue", ".toc", ".chd"}},
		{"gaps between sessions", func(t *testing.T, dir string) string {
			if err := fixture.WriteCUE(dir, "a", fixture.MixedMode(nil), fixture.CUEOptions{LeadOut: true}); err != nil {
				t.Fatal(err)
			}
			cue := filepath.Join(dir, "a.cue")
			b, err := os.ReadFile(cue)
			if err != nil {
				t.Fatal(err)
			}
			b = bytes.ReplaceAll(b, []byte("REM LEAD-IN 01:00:00"), []byte("REM LEAD-IN 00:50:00"))
			b = bytes.ReplaceAll(b, []byte("REM PREGAP 00:02:00"), []byte("REM PREGAP 00:03:00"))
			if err := os.WriteFile(cue, b, 0o644); err != nil {
				t.Fatal(err)
			}
			return cue
		}, []string{".cue"}},
		{"tracks from 5", func(t *testing.T, dir string) string {
			return bin(t, dir, strings.ReplaceAll(oneTrack, "01 MODE2", "05 MODE2"), fixture.DataDisc(fixture.Mode2Form1, nil), nil)
		}, []string{".cue"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			from := tt.make(t, dir)
			for _, ext := range tt.to {
				if r := convertTo(t, from, filepath.Join(t.TempDir(), "b"+ext), Options{}); len(r.Lost) > 0 {
					t.Errorf("to %s: lost %q", ext, r.Lost)
				}
			}
		})
	}
}

// TestSubChannelsAreCompared has a result with other sub-channels refused.
func TestSubChannelsAreCompared(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	data := fixture.DataDisc(fixture.Mode1, nil)
	d := open(t, subs(t, dir, data, func([]byte) {}))
	made := open(t, subs(t, other, data, func(q []byte) { q[11] ^= 1 }))
	f := format{stored: fromZero, sub: true}
	if err := sameDisc(t.Context(), newJob(d, &f, d.Layout(), Options{}), made); err == nil || !strings.Contains(err.Error(), "sector 20 differs") {
		t.Errorf("one sub-channel that differs: %v", err)
	}
}

// TestPlaces has files that are there neither written over nor mixed with those
// of the result.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	src := fixture.AudioDisc()
	if err := fixture.WriteCUE(dir, "a", src, fixture.CUEOptions{}); err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(dir, "a.cue")
	source := []string{from, filepath.Join(dir, "a.bin")}
	for name, text := range map[string]string{"b.bin": "mine", "c.cdt": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "d.chd"), 0o755), os.Symlink("a.bin", filepath.Join(dir, "e.chd"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, dir)
	for _, tt := range []struct {
		dst   string
		force bool
		text  string
	}{
		{"b.cue", false, "b.bin: file already exists (hint: --force"},
		{"b.toc", false, "b.bin: file already exists (hint: --force"},
		{"a.toc", true, "a.bin: it is read from"},
		{"a.cue", true, "a.cue: it is read from"},
		{"d.chd", true, "d.chd: neither a file nor a link"},
		{"e.chd", true, "e.chd: it is read from"},
		{"b\\c.cue", false, "backslashes"},
		{"b\nc.toc", false, "control characters"},
		{"b\xff.cue", false, "in UTF-8"},
	} {
		_, err := Convert(t.Context(), open(t, from), filepath.Join(dir, tt.dst), Options{Force: tt.force, Source: source})
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q: %v; want %q", tt.dst, err, tt.text)
		}
		if err != nil && strings.Contains(err.Error(), ".spindle-convert") {
			t.Errorf("%q: %v names a temporary directory", tt.dst, err)
		}
	}
	if after := names(t, dir); !slices.Equal(before, after) {
		t.Errorf("files are %q, before %q", after, before)
	}
}

// TestTwoAtOnce has of two conversions to one name one refused, with none of its
// files left.
func TestTwoAtOnce(t *testing.T) {
	dir := t.TempDir()
	if err := fixture.WriteCUE(dir, "a", fixture.AudioDisc(), fixture.CUEOptions{}); err != nil {
		t.Fatal(err)
	}
	from, dst := filepath.Join(dir, "a.cue"), filepath.Join(dir, "b.cue")
	d := open(t, from)
	// The other one puts its BIN there while this one is at work.
	other := func(done, total int64) {
		if done > total/2 {
			_ = os.WriteFile(filepath.Join(dir, "b.bin"), []byte("the other's"), 0o644)
		}
	}
	_, err := Convert(t.Context(), d, dst, Options{Progress: other})
	if err == nil || !strings.Contains(err.Error(), "b.bin: file already exists (hint: --force") {
		t.Errorf("%v; want that b.bin exists", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "b.bin")); string(b) != "the other's" {
		t.Errorf("the other's file is %q, %v", b, err)
	}
	if list := names(t, dir); !slices.Equal(list, []string{"a.bin", "a.cue", "b.bin"}) {
		t.Errorf("files are %q", list)
	}
}

// TestMultisession makes an ISO image of a disc to which a session was added:
// xorriso finds the files of both in it, whole.
func TestMultisession(t *testing.T) {
	lab.Need(t, "genisoimage", "xorriso")
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1.iso"), filepath.Join(dir, "2.iso")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := lab.ToolCmd(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	for _, name := range []string{"one", "two"} {
		b := bytes.Repeat([]byte(name+" "), 200_000)
		if err := os.MkdirAll(filepath.Join(dir, "d", name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "d", name, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run("genisoimage", "-quiet", "-R", "-J", "-o", first, filepath.Join(dir, "d", "one"))
	fi, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	start := fi.Size()/disc.BlockSize + leadOut1 + leadIn + pregap
	run("genisoimage", "-quiet", "-R", "-J", "-C", fmt.Sprintf("0,%d", start), "-M", first, "-o", second, filepath.Join(dir, "d", "two"))
	sheet := "REM SESSION 01\nFILE 1.iso BINARY\nTRACK 01 MODE1/2048\nINDEX 01 00:00:00\nREM SESSION 02\nFILE 2.iso BINARY\nTRACK 02 MODE1/2048\nINDEX 01 00:00:00\n"
	cue := filepath.Join(dir, "a.cue")
	if err := os.WriteFile(cue, []byte(sheet), 0o644); err != nil {
		t.Fatal(err)
	}
	r := convertTo(t, cue, filepath.Join(dir, "b.iso"), Options{Lossy: true})
	if slices.ContainsFunc(r.Lost, func(s string) bool { return strings.Contains(s, "behind its volume") }) {
		t.Errorf("lost %q", r.Lost)
	}
	for _, name := range []string{"one", "two"} {
		to := filepath.Join(dir, name+".out")
		run("xorriso", "-osirrox", "on", "-indev", r.Files[0], "-extract", "/"+name, to)
		got, err := os.ReadFile(to)
		if want, _ := os.ReadFile(filepath.Join(dir, "d", name, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("file %s has %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
}

// TestCoveredBlocks names what of the first session has to give way.
func TestCoveredBlocks(t *testing.T) {
	j := &job{o: Options{Lossy: true}}
	descriptor := append([]byte("\x01CD001"), make([]byte, disc.BlockSize-6)...)
	chunk := append(make([]byte, 16*disc.BlockSize), descriptor...)
	chunk = append(chunk, bytes.Repeat([]byte{1}, disc.BlockSize)...)
	if err := j.loseCovered(chunk, 0, descriptor); err != nil || len(j.lost) > 0 {
		t.Errorf("one over one: %v, lost %q", err, j.lost)
	}
	if err := j.loseCovered(chunk, 0, append(descriptor, descriptor...)); err != nil || len(j.lost) != 1 {
		t.Errorf("two over one: %v, lost %q", err, j.lost)
	}
}
