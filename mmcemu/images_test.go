package mmcemu

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"spindle/isostore/image"
	"spindle/isostore/sector"
	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/testdata/fixture"
)

// imageDiscs are images of one mixed disc, and what they hold of it.
var imageDiscs = []struct {
	name, file string
	write      func(dir string, src *fixture.Source) error
	sub        bool // all sub-channels, as they were
	text       bool // CD-TEXT
	codes      bool // MCN, ISRC and indexes
}{
	{"CCD", "d.ccd", func(dir string, s *fixture.Source) error {
		return fixture.WriteCCD(dir, "d", s, fixture.CCDOptions{})
	}, true, true, true},
	{"MDS", "d.mds", func(dir string, s *fixture.Source) error {
		return fixture.WriteMDS(dir, "d", s, fixture.MDSOptions{SubChannel: true})
	}, true, false, true},
	{"MDS without sub-channels", "d.mds", func(dir string, s *fixture.Source) error {
		return fixture.WriteMDS(dir, "d", s, fixture.MDSOptions{})
	}, false, false, false},
	{"NRG", "d.nrg", func(dir string, s *fixture.Source) error {
		return fixture.WriteNRG(dir, "d", s, fixture.NRGOptions{SubChannel: true})
	}, true, true, true},
	{"CDI", "d.cdi", func(dir string, s *fixture.Source) error {
		return fixture.WriteCDI(dir, "d", s, fixture.CDIOptions{SubChannel: 96})
	}, true, false, true},
	{"CUE", "d.cue", func(dir string, s *fixture.Source) error {
		return fixture.WriteCUE(dir, "d", s, fixture.CUEOptions{CDText: true})
	}, false, true, true},
}

// smallMixed is [fixture.MixedMode] with shorter tracks: audio with a hidden track,
// pregap, indexes and codes, then XA data of both forms in a second session.
func smallMixed() *fixture.Source {
	src := fixture.MixedMode(nil)
	audio, data := src.Sessions[0].Tracks, src.Sessions[1].Tracks
	audio[0].Start, audio[0].End = 60, 150
	audio[1].Pregap, audio[1].Start, audio[1].End, audio[1].Indexes = 150, 180, 300, []int{200, 240}
	audio[2].Pregap, audio[2].Start, audio[2].End = 300, 300, 400
	src.Sessions[0].LeadOut = 400
	data[0].Pregap, data[0].Start, data[0].End, data[0].Form2 = 400+11250, 400+11400, 400+11500, 400+11490
	src.Sessions[1].LeadOut = data[0].End
	return src
}

// TestReadCDOfImages reads mixed discs of two sessions from end to end, as readom
// -clone and cdrdao do, and their CD-TEXT and codes.
func TestReadCDOfImages(t *testing.T) {
	for _, tt := range imageDiscs {
		t.Run(tt.name, func(t *testing.T) {
			dir, src := t.TempDir(), smallMixed()
			if err := tt.write(dir, src); err != nil {
				t.Fatal(err)
			}
			d, _, err := image.OpenFile(filepath.Join(dir, tt.file), image.Options{})
			if err != nil {
				t.Fatal(err)
			}
			drive := newDrive(t, d)
			c := cloner{drive, src, tt.codes}
			for i := range src.Sessions {
				s := &src.Sessions[i]
				c.read(t, s.First(), s.LeadOut, tt.sub)
				c.read(t, s.Tracks[0].Pregap, s.First(), false)
			}
			text, err := scsitest.DoNexus(t, drive, usb(), "43 00 05 00 00 00 00 ff ff", nil)
			if tt.text && (err != nil || !bytes.Equal(text[4:], src.CDText())) || !tt.text && senseText(err) != "5/24/00 byte 2 bit 3" {
				t.Errorf("CD-TEXT = % x, %v", text, err)
			}
			checkCodes(t, drive, src, tt.codes)
		})
	}
}

// A cloner reads a disc and compares it with what it was made of.
type cloner struct {
	drive   *Drive
	src     *fixture.Source
	indexes bool // the image has indexes above 1
}

// read reads sectors from first to before end whole with P to W, and Q alone:
// verbatim what the source has, or made to the same position.
func (c *cloner) read(t *testing.T, first, end int, verbatim bool) {
	t.Helper()
	src := c.src
	const batch = 50
	for lba := first; lba < end; lba += batch {
		n := min(batch, end-lba)
		read := func(byte9, byte10 byte, size int) []byte {
			cdb := scsi.CDB{0xBE, 0, byte(lba >> 24), byte(lba >> 16), byte(lba >> 8), byte(lba), 0, 0, byte(n), byte9, byte10}
			in, err := scsitest.Execute(t.Context(), c.drive, usb(), cdb, 1<<20, nil)
			if err != nil || len(in.Data) != n*size || in.Misuse != nil {
				t.Fatalf("% x = %d bytes, %v, %v; want %d", cdb[:12], len(in.Data), err, in.Misuse, n*size)
			}
			return in.Data
		}
		whole, q := read(0xF8, 1, 2448), read(0x00, 2, 16)
		for i := range n {
			at := lba + i
			s, sub, q := whole[i*2448:][:2352], whole[i*2448+2352:][:96], q[i*16:][:16]
			if verbatim && (!bytes.Equal(s, src.Raw(at)) || !bytes.Equal(sub, src.Sub(at))) {
				t.Fatalf("sector %d is not as it was", at)
			}
			made := sector.QOf(sub)
			if !made.Valid() || !bytes.Equal(q[:12], made[:]) || q[15] != sub[0]&0x80 {
				t.Fatalf("sector %d: P to W % x, Q % x", at, sub, q)
			}
			want := src.Q(at)
			if !c.indexes && want[2] > 1 {
				want[2] = 1
			}
			if made[0]&0xF == 1 && want[0]&0xF == 1 && !bytes.Equal(made[1:10], want[1:10]) {
				t.Fatalf("sector %d: Q % x; want % x", at, made, want)
			}
		}
	}
}

// checkCodes reads MCN and ISRCs by READ SUB-CHANNEL.
func checkCodes(t *testing.T, drive *Drive, src *fixture.Source, held bool) {
	t.Helper()
	code := func(cdb scsi.CDB, n int) string {
		cdb[0], cdb[2], cdb[8] = 0x42, subQBit, 0xFF
		in, err := scsitest.Execute(t.Context(), drive, usb(), cdb, 1<<20, nil)
		if err != nil || len(in.Data) != 24 {
			t.Fatalf("% x = % x, %v", cdb[:10], in.Data, err)
		}
		if in.Data[8]&0x80 == 0 {
			return ""
		}
		return string(in.Data[9 : 9+n])
	}
	if got := code(scsi.CDB{3: mediaCatalog}, 13); held && got != src.MCN || !held && got != "" {
		t.Errorf("MCN %q; want %q: %v", got, src.MCN, held)
	}
	for _, track := range src.Tracks() {
		if got := code(scsi.CDB{3: trackISRC, 6: byte(track.Number)}, 12); held && got != track.ISRC || !held && got != "" {
			t.Errorf("ISRC of track %d %q; want %q: %v", track.Number, got, track.ISRC, held)
		}
	}
}

// TestReadCDOfPacks gives the packs of R to W that cdrdao stored back to it, by
// way of symbols as they lie on a disc.
func TestReadCDOfPacks(t *testing.T) {
	const sectors = 310
	dir := t.TempDir()
	var bin, packs []byte
	for i := range sectors {
		sub := make([]byte, 96)
		for j := range sub {
			sub[j] = byte(i*31+j*7) & 0x3F
		}
		bin = append(append(bin, make([]byte, 2352)...), sub...)
		packs = append(packs, sub...)
	}
	for name, b := range map[string][]byte{"d.bin": bin, "d.toc": []byte("CD_DA\nTRACK AUDIO RW\nFILE \"d.bin\" 0\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, _, err := image.OpenFile(filepath.Join(dir, "d.toc"), image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	drive := newDrive(t, d)
	// The symbols of the last packs would lie in the lead-out.
	const whole = sectors - sector.RWAhead
	want := packs[:whole*96]
	if got := run(t, drive, usb(), "be 04 00 00 00 00 00 01 34 00 04", nil); !bytes.Equal(got, want) {
		t.Errorf("packs: %d bytes; want the %d of the image", len(got), len(want))
	}
	for i := range whole {
		if got := run(t, drive, usb(), fmt.Sprintf("be 04 %08x 000001 00 04", i), nil); !bytes.Equal(got, packs[i*96:][:96]) {
			t.Fatalf("packs of sector %d = % x; want % x", i, got, packs[i*96:][:96])
		}
	}
}
