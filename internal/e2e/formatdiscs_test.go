//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"spindle/internal/lab"
	"spindle/testdata/fixture"
)

// A formatDisc is one way to keep a disc. make writes it into a directory and
// returns the name to insert and what has to be on it; a tool makes it where
// there is one, the fixtures else.
type formatDisc struct {
	name  string
	tools []string
	make  func(m *maker) (string, *content)
}

// A maker is where a disc is made.
type maker struct {
	t   *testing.T
	dir string
}

func (m *maker) path(name string) string { return filepath.Join(m.dir, name) }

func (m *maker) write(name string, b []byte) {
	m.t.Helper()
	m.must(os.WriteFile(m.path(name), b, 0o644))
}

func (m *maker) read(name string) []byte {
	m.t.Helper()
	b, err := os.ReadFile(m.path(name))
	m.must(err)
	return b
}

func (m *maker) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// tool runs a tool in the directory.
func (m *maker) tool(name string, args ...string) {
	m.t.Helper()
	cmd := lab.ToolCmd(m.t.Context(), name, args...)
	cmd.Dir = m.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// iso puts an image into the directory and returns the CD that it is.
func (m *maker) iso(img lab.Image) (string, *content) {
	m.t.Helper()
	m.must(os.Rename(lab.ISO(m.t, img), m.path("disc.iso")))
	return "disc.iso", &content{Source: fixture.DataDisc(fixture.Mode1, m.read("disc.iso"))}
}

// small is a file system of about 400 blocks.
var small = lab.Image{Size: 500_000, Seed: 60, Label: "SMALL"}

// packed makes a disc of a small file system, by a tool that packs it.
func packed(name, tool string, args ...string) func(m *maker) (string, *content) {
	return func(m *maker) (string, *content) {
		_, c := m.iso(small)
		m.tool(tool, args...)
		os.Remove(m.path("disc.iso"))
		return name, c
	}
}

// source makes a disc by the fixtures.
func source(name string, src func() *fixture.Source, write func(dir string, src *fixture.Source) error) func(m *maker) (string, *content) {
	return func(m *maker) (string, *content) {
		s := src()
		m.must(write(m.dir, s))
		return name, &content{Source: s}
	}
}

func mixedMode() *fixture.Source   { return fixture.MixedMode(nil) }
func noisyLead() *fixture.Source   { s := mixedMode(); s.LeadNoise = true; return s } // also at LBA -150
func dataFirst() *fixture.Source   { return fixture.DataFirst(nil) }
func trackAtOnce() *fixture.Source { return fixture.TrackAtOnce(nil) }
func dataDisc() *fixture.Source    { return fixture.DataDisc(fixture.Mode1, nil) }
func formOne() *fixture.Source     { return fixture.DataDisc(fixture.Mode2Form1, nil) }
func smallDVD() *fixture.Source    { return fixture.DVD(500, nil) }
func twoLayers() *fixture.Source   { return fixture.DualLayerDVD(700, 400, nil) }

// formatDiscs has each format at least once, by what it has of its own.
var formatDiscs = []formatDisc{
	{"iso: ISO 9660 by xorriso", []string{"xorriso"}, func(m *maker) (string, *content) { return m.iso(small) }},
	{"iso: UDF bridge by genisoimage", []string{"genisoimage"}, func(m *maker) (string, *content) {
		return m.iso(lab.Image{Kind: lab.UDF, Size: 600_000, Seed: 61})
	}},
	{"img: UDF alone by mkudffs", []string{"mkudffs"}, func(m *maker) (string, *content) {
		name, c := m.iso(lab.Image{Kind: lab.BareUDF, Label: "BARE"})
		m.must(os.Rename(m.path(name), m.path("disc.img")))
		return "disc.img", c
	}},
	{"raw: 2352 bytes a sector", nil, func(m *maker) (string, *content) {
		c := &content{Source: dataDisc()}
		var b []byte
		for lba := range c.LeadOut() {
			b = append(b, c.raw(lba)...)
		}
		m.write("disc.bin", b)
		return "disc.bin", c
	}},

	{"cue: one file, two sessions", nil, source("disc.cue", mixedMode, func(dir string, s *fixture.Source) error {
		return fixture.WriteCUE(dir, "disc", s, fixture.CUEOptions{})
	})},
	{"cue: MODE1/2048 and audio of other byte order", nil, source("disc.cue", dataFirst, func(dir string, s *fixture.Source) error {
		return fixture.WriteCUE(dir, "disc", s, fixture.CUEOptions{Cooked: true, Layout: fixture.FilePerTrack, Audio: "MOTOROLA"})
	})},
	{"cue: WAVE by flac", []string{"flac"}, flacDisc},
	{"cue: Video CD by vcdimager", []string{"vcdimager"}, videoCD},
	{"toc: read by cdrdao too", []string{"cdrdao"}, tocDisc},
	{"nrg: DAO, version 2, two sessions", nil, source("disc.nrg", noisyLead, func(dir string, s *fixture.Source) error {
		return fixture.WriteNRG(dir, "disc", s, fixture.NRGOptions{})
	})},
	{"nrg: TAO, version 1", nil, source("disc.nrg", trackAtOnce, func(dir string, s *fixture.Source) error {
		return fixture.WriteNRG(dir, "disc", s, fixture.NRGOptions{V1: true, TAO: true, Cooked: true, GapsStored: true})
	})},
	{"mds: CD with sub-channel, two sessions", nil, source("disc.mds", mixedMode, func(dir string, s *fixture.Source) error {
		return fixture.WriteMDS(dir, "disc", s, fixture.MDSOptions{SubChannel: true})
	})},
	{"mds: DVD of two layers, in parts", nil, source("disc.mds", twoLayers, func(dir string, s *fixture.Source) error {
		return fixture.WriteMDS(dir, "disc", s, fixture.MDSOptions{Split: true, Wide: true})
	})},
	{"ccd: two sessions", nil, source("disc.ccd", mixedMode, func(dir string, s *fixture.Source) error {
		return fixture.WriteCCD(dir, "disc", s, fixture.CCDOptions{})
	})},
	{"cdi: version 3.5, two sessions", nil, source("disc.cdi", noisyLead, func(dir string, s *fixture.Source) error {
		return fixture.WriteCDI(dir, "disc", s, fixture.CDIOptions{})
	})},
	{"c2d: two sessions", nil, source("disc.c2d", mixedMode, func(dir string, s *fixture.Source) error {
		return os.WriteFile(filepath.Join(dir, "disc.c2d"), fixture.C2D(s), 0o644)
	})},

	{"chd: CD by chdman", []string{"chdman"}, func(m *maker) (string, *content) {
		s := dataFirst()
		m.must(fixture.WriteCUE(m.dir, "disc", s, fixture.CUEOptions{}))
		m.tool("chdman", "createcd", "-i", "disc.cue", "-o", "disc.chd")
		for _, t := range s.Tracks() {
			t.Control &= 4 // the others are not kept
		}
		return "disc.chd", &content{Source: s}
	}},
	{"chd: DVD", nil, source("disc.chd", smallDVD, func(dir string, s *fixture.Source) error {
		return fixture.WriteCHD(dir, "disc", s, fixture.CHDOptions{Codecs: []string{"zlib", "lzma", "zstd", "huff"}})
	})},
	{"cso: version 2", nil, source("disc.cso", dataDisc, func(dir string, s *fixture.Source) error {
		return fixture.WriteCSO(dir, "disc", s, fixture.CSOOptions{Version: 2})
	})},
	{"zso", nil, source("disc.zso", dataDisc, func(dir string, s *fixture.Source) error {
		return fixture.WriteCSO(dir, "disc", s, fixture.CSOOptions{ZSO: true, Shift: 2})
	})},
	{"isz: in parts", nil, source("disc.isz", dataDisc, func(dir string, s *fixture.Source) error {
		return fixture.WriteISZ(dir, "disc", s, fixture.ISZOptions{ChunkSize: 20_000, PartSize: 90_000})
	})},
	{"dmg: all codecs", nil, source("disc.dmg", dataDisc, func(dir string, s *fixture.Source) error {
		return fixture.WriteDMG(dir, "disc", s, fixture.DMGOptions{Codecs: []string{"zlib", "bzip2", "xz", "adc", "raw"}, Tables: 2})
	})},
	{"zst: seekable", nil, source("disc.iso.zst", dataDisc, func(dir string, s *fixture.Source) error {
		return fixture.WriteZstd(dir, "disc", s, fixture.ZstdOptions{Checksums: true})
	})},
	{"zst by zstd, in one frame", []string{"xorriso", "zstd"}, packed("disc.iso.zst", "zstd", "-q", "disc.iso")},
	{"gz by gzip", []string{"xorriso", "gzip"}, packed("disc.iso.gz", "gzip", "disc.iso")},
	{"xz by xz", []string{"xorriso", "xz"}, packed("disc.iso.xz", "xz", "-0", "disc.iso")},
	{"bz2 by bzip2", []string{"xorriso", "bzip2"}, packed("disc.iso.bz2", "bzip2", "disc.iso")},
	{"ecm: of a raw image", nil, func(m *maker) (string, *content) {
		c := &content{Source: formOne()}
		var b []byte
		for lba := range c.LeadOut() {
			b = append(b, c.raw(lba)...)
		}
		m.must(fixture.WriteECM(m.dir, "disc.bin", b))
		return "disc.bin.ecm", c
	}},
}

// flacDisc is an audio disc whose WAVE files were made smaller by flac, as
// rippers leave it: the sheet names the WAVE files.
func flacDisc(m *maker) (string, *content) {
	s := fixture.AudioDisc()
	m.must(fixture.WriteCUE(m.dir, "disc", s, fixture.CUEOptions{Layout: fixture.FilePerTrack, Audio: "WAVE"}))
	files, err := filepath.Glob(m.path("*.wav"))
	m.must(err)
	if len(files) != len(s.Tracks()) {
		m.t.Fatalf("the fixture wrote %q", files)
	}
	m.tool("flac", append([]string{"--silent", "--delete-input-file"}, files...)...)
	return "disc.cue", &content{Source: s}
}

// videoCD is what vcdimager makes of a film: Mode 2 of both forms in two tracks.
// Where they lie is in its sheet, what is in their sectors in its file.
func videoCD(m *maker) (string, *content) {
	m.write("film.mpg", fixture.Film(60))
	m.tool("vcdimager", "-c", "disc.cue", "-b", "disc.bin", "film.mpg")
	bin := m.read("disc.bin")
	var at []int // index 1 of track 1, index 0 and 1 of track 2
	for _, index := range regexp.MustCompile(`INDEX \d+ (\d+):(\d+):(\d+)`).FindAllSubmatch(m.read("disc.cue"), -1) {
		n := 0
		for i, unit := range []int{60 * 75, 75, 1} {
			v, _ := strconv.Atoi(string(index[i+1]))
			n += v * unit
		}
		at = append(at, n)
	}
	if len(at) != 3 || at[0] != 0 {
		m.t.Fatalf("vcdimager's sheet has indexes at %d:\n%s", at, m.read("disc.cue"))
	}
	end, control := len(bin)/fixture.RawSize, byte(4|2) // FLAGS DCP
	return "disc.cue", &content{bin: bin, Source: &fixture.Source{Sessions: []fixture.Session{{
		LeadOut: end, DiscType: 0x20, Tracks: []fixture.Track{
			{Number: 1, Kind: fixture.Mode2Form1, Control: control, Pregap: -150, Start: 0, End: at[1]},
			{Number: 2, Kind: fixture.Mode2Form1, Control: control, Pregap: at[1], Start: at[2], End: end},
		},
	}}}}
}

const tocText = `CD_ROM
TRACK MODE1_RAW
DATAFILE "raw (Track 01).bin"
TRACK AUDIO
FILE "raw (Track 02).bin" 0
START 0:2:0
TRACK AUDIO
COPY
AUDIOFILE "wave (Track 03).wav" 0
START 0:1:0
`

// tocDisc is a mixed disc in the words of cdrdao, which reads it too: audio from
// a raw file, which has the other byte order, and from a WAVE file.
func tocDisc(m *maker) (string, *content) {
	s := dataFirst()
	m.must(fixture.WriteCUE(m.dir, "raw", s, fixture.CUEOptions{Layout: fixture.FilePerTrack, Audio: "MOTOROLA"}))
	m.must(fixture.WriteCUE(m.dir, "wave", s, fixture.CUEOptions{Layout: fixture.FilePerTrack, Audio: "WAVE"}))
	m.write("disc.toc", []byte(tocText))
	m.tool("cdrdao", "show-toc", "disc.toc")
	return "disc.toc", &content{Source: s}
}
