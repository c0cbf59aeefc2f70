package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/image"
	"spindle/testdata/fixture"
)

// A sourceDisc is a fixture's source as a disc, so that what is written to a CHD
// has not been through another of our openers.
type sourceDisc struct {
	src    *fixture.Source
	layout *disc.Layout
}

func newSourceDisc(src *fixture.Source) *sourceDisc {
	modes := map[fixture.Kind]disc.Mode{fixture.Mode1: disc.Mode1, fixture.Mode2Form1: disc.Mode2XA, fixture.Mode2Form2: disc.Mode2XA, fixture.Mode2Formless: disc.Mode2}
	l := &disc.Layout{Kind: disc.CD, MCN: src.MCN, CDText: src.CDText()}
	for i, s := range src.Sessions {
		session := disc.Session{Number: byte(i + 1), Type: s.DiscType, LeadOut: disc.LBA(s.LeadOut)}
		for _, t := range s.Tracks {
			track := disc.Track{Number: byte(t.Number), Control: t.Control, Mode: modes[t.Kind], Pregap: disc.LBA(t.Pregap), Start: disc.LBA(t.Start), ISRC: t.ISRC}
			for _, lba := range t.Indexes {
				track.Indexes = append(track.Indexes, disc.LBA(lba))
			}
			session.Tracks = append(session.Tracks, track)
		}
		l.Sessions = append(l.Sessions, session)
	}
	return &sourceDisc{src, l}
}

func (d *sourceDisc) Layout() *disc.Layout { return d.layout }

func (d *sourceDisc) Close() error { return nil }

func (d *sourceDisc) ReadBlocks(p []byte, lba disc.LBA) (n int, err error) {
	for ; len(p) > 0; n, p = n+1, p[disc.BlockSize:] {
		copy(p, d.src.User(int(lba)+n))
	}
	return n, nil
}

func (d *sourceDisc) ReadSectors(p []byte, lba disc.LBA) (n int, err error) {
	for ; len(p) > 0; n, p = n+1, p[disc.SectorSize:] {
		copy(p, d.src.Raw(int(lba)+n))
	}
	return n, nil
}

// chdWrite writes a CHD of d into dir.
func chdWrite(t testing.TB, dir string, d disc.Disc) string {
	t.Helper()
	path := filepath.Join(dir, "ours.chd")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last, all := int64(0), int64(0)
	err = image.WriteCHD(t.Context(), f, d, func(done, total int64) {
		if done <= last || done > total {
			t.Errorf("progress of %d after %d, of %d", done, last, total)
		}
		last, all = done, total
	})
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 || all != int64(d.Layout().LeadOut()) {
		t.Errorf("progress ended at %d of %d", last, all)
	}
	return path
}

// TestWriteCHD writes CDs, has chdman verify them, and opens them: layout and
// sectors are as before. What chdman extracts has all sectors too.
func TestWriteCHD(t *testing.T) {
	tests := []struct {
		name string
		src  *fixture.Source
	}{
		{"two sessions", fixture.MixedMode(nil)},
		{"data first", fixture.DataFirst(nil)},
		{"audio", fixture.AudioDisc()},
		{"form 2", fixture.DataDisc(fixture.Mode2Form2, nil)},
		{"formless", fixture.DataDisc(fixture.Mode2Formless, nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			src := newSourceDisc(tt.src)
			d, info := chdOpen(t, chdWrite(t, dir, src))
			if len(info.Warnings) > 0 || info.Truncated {
				t.Errorf("info = %+v", info)
			}
			if got, want := d.Layout(), src.layout; !reflect.DeepEqual(got, want) {
				t.Errorf("layout = %+v\nwant %+v", got, want)
			}
			chdCompare(t, d, tt.src)
			disctest.TestDisc(t, d)

			chdTool(t, dir, "chdman", "verify", "-i", "ours.chd")
			if text := chdTool(t, dir, "chdman", "info", "-v", "-i", "ours.chd"); !strings.Contains(text, "CD Deflate") {
				t.Errorf("chdman info says %s", text)
			}
			chdTool(t, dir, "chdman", "extractcd", "-i", "ours.chd", "-o", "out.cue", "-ob", "out.bin")
			got, err := os.ReadFile(filepath.Join(dir, "out.bin"))
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			for track := range d.Layout().Tracks() {
				want = append(want, chdSectors(t, d, max(0, track.Pregap), d.Layout().End(track))...)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("chdman extracts %d bytes, want the %d of the source", len(got), len(want))
			}
		})
	}
}

// TestWriteCHDSub: chdman stores sub-channels as cdrdao's sheet has them, and a
// CHD of that CHD keeps them.
func TestWriteCHDSub(t *testing.T) {
	dir := t.TempDir()
	src := fixture.DataFirst(nil)
	tracks := src.Tracks()
	sheet, bin := "CD_ROM\n\n", []byte(nil)
	for i, track := range tracks[:2] {
		first, end := max(0, track.Pregap), track.End
		kind := []string{"DATAFILE", "FILE"}[i]
		sheet += fmt.Sprintf("TRACK %s RW_RAW\n%s \"%d.bin\" %s%s\n\n", []string{"MODE1_RAW", "AUDIO"}[i], kind, i, []string{"", "0 "}[i],
			fmt.Sprintf("00:%02d:%02d", (end-first)/75, (end-first)%75))
		bin = nil
		for lba := first; lba < end; lba++ {
			raw := bytes.Clone(src.Raw(lba))
			if i == 1 {
				for k := 0; k < len(raw); k += 2 {
					raw[k], raw[k+1] = raw[k+1], raw[k]
				}
			}
			bin = append(append(bin, raw...), src.Sub(lba)...)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.bin", i)), bin, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a.toc"), []byte(sheet), 0o644); err != nil {
		t.Fatal(err)
	}
	chdTool(t, dir, "chdman", "createcd", "-i", "a.toc", "-o", "a.chd", "-c", "cdzl,cdfl")
	first, _ := chdOpen(t, filepath.Join(dir, "a.chd"))
	second, _ := chdOpen(t, chdWrite(t, dir, first))
	for i, d := range []disc.Disc{first, second} {
		end := tracks[1].End
		for lba := range disc.LBA(end) {
			p := make([]byte, disc.SubSize)
			n, err := d.(disc.SubReader).ReadSub(p, lba)
			if n != 1 || err != nil || !bytes.Equal(p, src.Sub(int(lba))) {
				t.Fatalf("CHD %d: sub-channel of sector %d is % X (%v), want % X", i, lba, p, err, src.Sub(int(lba)))
			}
			if !bytes.Equal(chdSectors(t, d, lba, lba+1), src.Raw(int(lba))) {
				t.Fatalf("CHD %d: sector %d differs", i, lba)
			}
		}
	}
	chdTool(t, dir, "chdman", "verify", "-i", "ours.chd")
}

// TestWriteCHDDVD writes a DVD.
func TestWriteCHDDVD(t *testing.T) {
	dir := t.TempDir()
	const blocks = 3003
	layout := disctest.DataDisc(disc.MaxCDBlocks + 1) // a DVD, though a small one
	layout.Sessions[0].LeadOut = blocks
	src := disctest.Synthetic(layout)
	path := chdWrite(t, dir, src)
	d, info := chdOpen(t, path)
	if info.Medium != "DVD" || !reflect.DeepEqual(d.Layout(), src.Layout()) {
		t.Errorf("info = %+v", info)
	}
	got, want := make([]byte, 99*disc.BlockSize), make([]byte, 99*disc.BlockSize)
	for _, lba := range []disc.LBA{0, 1234, blocks - 99} {
		n, err := d.ReadBlocks(got, lba)
		src.ReadBlocks(want, lba)
		if n != 99 || err != nil || !bytes.Equal(got, want) {
			t.Errorf("blocks from %d on: %d, %v, or other data", lba, n, err)
		}
	}
	disctest.TestDisc(t, d)
	chdTool(t, dir, "chdman", "verify", "-i", "ours.chd")
	chdTool(t, dir, "chdman", "extractraw", "-i", "ours.chd", "-o", "out.iso")
	out, err := os.ReadFile(filepath.Join(dir, "out.iso"))
	whole := make([]byte, blocks*disc.BlockSize)
	src.ReadBlocks(whole, 0)
	if err != nil || !bytes.Equal(out, whole) {
		t.Errorf("chdman extracts %d bytes (%v), or others than the source's", len(out), err)
	}
}

// TestWriteCHDStops: a canceled write says why and leaves nothing that opens.
func TestWriteCHDStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	path := filepath.Join(t.TempDir(), "a.chd")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = image.WriteCHD(ctx, f, newSourceDisc(fixture.DataFirst(nil)), func(done, total int64) { cancel(reason) })
	if !errors.Is(err, reason) {
		t.Errorf("WriteCHD = %v, want the cause", err)
	}
	if d, _, err := image.OpenFile(path, image.Options{}); err == nil {
		d.Close()
		t.Error("what was not finished opens")
	}
}
