package image

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/testdata/fixture"
)

func TestMDS(t *testing.T) {
	plain := lacks{names: true, indexes: true, sub: true}
	stored := lacks{text: true, leadSub: true}
	gaps := lacks{names: true, indexes: true, sub: true, gaps: true}
	tests := []struct {
		name  string
		src   *fixture.Source
		o     fixture.MDSOptions
		lacks lacks
	}{
		{"mixed", fixture.MixedMode(nil), fixture.MDSOptions{}, plain},
		{"mixed, sub-channel", fixture.MixedMode(nil), fixture.MDSOptions{SubChannel: true}, stored},
		{"mixed, no gaps", fixture.MixedMode(nil), fixture.MDSOptions{DropGaps: true, Recordable: true}, gaps},
		{"mixed, split", fixture.MixedMode(nil), fixture.MDSOptions{Split: true}, plain},
		{"mixed, split, sub-channel", fixture.MixedMode(nil), fixture.MDSOptions{Split: true, Wide: true, SubChannel: true}, stored},
		{"data first", fixture.DataFirst(nil), fixture.MDSOptions{Wide: true}, plain},
		{"data first, no gaps", fixture.DataFirst(nil), fixture.MDSOptions{DropGaps: true}, gaps},
		{"form 1", fixture.DataDisc(fixture.Mode2Form1, nil), fixture.MDSOptions{}, plain},
		{"formless", fixture.DataDisc(fixture.Mode2Formless, nil), fixture.MDSOptions{}, plain},
		{"audio", fixture.AudioDisc(), fixture.MDSOptions{SubChannel: true}, stored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteMDS(dir, "a", tt.src, tt.o); err != nil {
				t.Fatal(err)
			}
			equalFixture(t, filepath.Join(dir, "a.mds"), tt.src, tt.lacks)
		})
	}
}

func TestMDSDVD(t *testing.T) {
	tests := []struct {
		name       string
		src        *fixture.Source
		o          fixture.MDSOptions
		layers     int
		layerBreak disc.LBA
	}{
		{"one layer", fixture.DVD(500, nil), fixture.MDSOptions{}, 1, 0},
		{"two layers", fixture.DualLayerDVD(500, 272, nil), fixture.MDSOptions{Recordable: true}, 2, 272},
		{"split", fixture.DualLayerDVD(501, 272, nil), fixture.MDSOptions{Split: true}, 2, 272},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteMDS(dir, "a", tt.src, tt.o); err != nil {
				t.Fatal(err)
			}
			d, info, err := OpenFile(filepath.Join(dir, "a.mds"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			disctest.TestDisc(t, d)
			l := d.Layout()
			if info.Medium != "DVD" || info.Layers != tt.layers || l.LayerBreak != tt.layerBreak || len(info.Warnings) > 0 || info.Blocks != int64(tt.src.Blocks) {
				t.Errorf("%+v, layer break %d", info, l.LayerBreak)
			}
			p := make([]byte, disc.BlockSize)
			for lba := range tt.src.Blocks {
				if n, err := d.ReadBlocks(p, disc.LBA(lba)); n != 1 || err != nil || !bytes.Equal(p, tt.src.User(lba)) {
					t.Fatalf("block %d: %v, or other data", lba, err)
				}
			}
			copyright, physical := tt.src.DVDStructures()
			s := d.(disc.StructureReader)
			for layer := range byte(tt.layers) {
				for format, want := range map[byte][]byte{0: physical, 1: copyright} {
					if got, ok := s.ReadStructure(format, layer); !ok || !bytes.Equal(got, want) {
						t.Errorf("structure %d of layer %d is % x, %v; want % x", format, layer, got, ok, want)
					}
				}
				if got, ok := s.ReadStructure(4, layer); !ok || len(got) != 2048 || !bytes.HasPrefix(got, []byte("fixture manufacturing")) {
					t.Errorf("manufacturing structure of layer %d is % x, %v", layer, got, ok)
				}
			}
			for _, bad := range [][2]byte{{0, byte(tt.layers)}, {2, 0}, {0xFF, 0}} {
				if got, ok := s.ReadStructure(bad[0], bad[1]); ok {
					t.Errorf("structure %d of layer %d is % x", bad[0], bad[1], got)
				}
			}
		})
	}
}

// TestMDSLayerBreak checks where the physical structure says that layer 1
// begins.
func TestMDSLayerBreak(t *testing.T) {
	for _, tt := range []struct {
		name     string
		physical []byte
		want     disc.LBA
	}{
		{"one layer", []byte{1, 2, 0x01, 0, 0, 3, 0, 0, 0, 3, 1, 0xFF}, 0},
		{"opposite", []byte{1, 2, 0x31, 0, 0, 3, 0, 0, 0, 0xFC, 0xFE, 0x80, 0, 3, 0, 0xFF}, 256},
		{"parallel", []byte{1, 2, 0x21, 0, 0, 3, 0, 0, 0, 3, 1, 0xFF, 0, 0, 0, 0}, 512},
	} {
		d := make(dvdStructures, dvdLayerSize)
		copy(d[dvdCopyrightSize+dvdManufacturingSize:], tt.physical)
		if got := d.layerBreak(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestMDSByTool compares blocks with what mdf2iso makes of the MDF.
func TestMDSByTool(t *testing.T) {
	lab.Need(t, "mdf2iso")
	for _, sub := range []bool{false, true} {
		dir := t.TempDir()
		src := fixture.DataDisc(fixture.Mode1, isoImage(320, 320))
		if err := fixture.WriteMDS(dir, "a", src, fixture.MDSOptions{SubChannel: sub}); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "out.iso")
		if text, err := lab.ToolCmd(t.Context(), "mdf2iso", filepath.Join(dir, "a.mdf"), out).CombinedOutput(); err != nil {
			t.Fatalf("mdf2iso: %v\n%s", err, text)
		}
		want, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		d, info, err := OpenFile(filepath.Join(dir, "a.mds"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		got := make([]byte, info.Blocks*disc.BlockSize)
		if _, err := d.ReadBlocks(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("sub-channel %v: mdf2iso gives other blocks: %d of ours, %d of its bytes, %v", sub, info.Blocks, len(want), err)
		}
	}
}

// TestMDSCompanions opens images whose data files are missing, renamed, short,
// or named outside the library.
func TestMDSCompanions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "library")
	os.Mkdir(dir, 0o755)
	path := filepath.Join(dir, "a.mds")
	src := fixture.DataDisc(fixture.Mode1, nil)
	if err := fixture.WriteMDS(dir, "a", src, fixture.MDSOptions{}); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "..", "b.mdf"), make([]byte, 300*2352), 0o644)
	os.Symlink("../b.mdf", filepath.Join(dir, "link.mdf"))
	named := func(name string) func([]byte) []byte {
		return func(b []byte) []byte {
			block := binary.LittleEndian.Uint32(b[binary.LittleEndian.Uint32(b[80:])+20:])
			for ; b[block+4] != 1; block += mdsBlockSize {
			}
			footer := binary.LittleEndian.Uint32(b[block+52:])
			binary.LittleEndian.PutUint32(b[footer:], uint32(len(b)))
			return append(append(b, name...), 0)
		}
	}
	for _, tt := range []struct {
		name string
		kind error
		text string
	}{
		{"a.mdf", nil, ""},
		{"*.MDF", nil, ""},
		{"", nil, ""},
		{`C:\discs\A.mdf`, nil, ""},
		{"renamed.mdf", nil, ""},
		{"../b.mdf", nil, ""}, // a.mdf in its place, not the one outside
		{"b.md0", fs.ErrNotExist, `"b.md0" is missing`},
		{"../b.md0", fs.ErrNotExist, "is missing"},
		{"/etc/hostname", fs.ErrNotExist, "is missing"},
		{"link.mdf", errAny, "symbolic link"},
		{".", fs.ErrNotExist, "is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) { damage(t, path, named(tt.name), tt.kind, tt.text) })
	}
	os.Truncate(filepath.Join(dir, "a.mdf"), 200*2352)
	info, err := Inspect(path, Options{})
	if err != nil || !info.Truncated || !strings.Contains(strings.Join(info.Warnings, ""), "sector 200") || len(info.Files) != 1 {
		t.Errorf("a short data file: %+v, %v", info, err)
	}
}

func TestMDSDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.mds")
	if err := fixture.WriteMDS(dir, "a", fixture.MixedMode(nil), fixture.MDSOptions{}); err != nil {
		t.Fatal(err)
	}
	set := func(at int, value ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], value); return b }
	}
	// field is a field of the track block of a point in the first session.
	field := func(point byte, at int, value ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			block := int(binary.LittleEndian.Uint32(b[binary.LittleEndian.Uint32(b[80:])+20:]))
			for b[block+4] != point {
				block += mdsBlockSize
			}
			copy(b[block+at:], value)
			return b
		}
	}
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte
		kind error
		text string
	}{
		{"no magic", set(0, 'X'), ErrFormat, "no MEDIA DESCRIPTOR"},
		{"version 2", set(16, 2), errAny, "not supported"},
		{"only a magic", func(b []byte) []byte { return b[:20] }, ErrDamaged, "byte 20"},
		{"no sessions", set(20, 0, 0), ErrDamaged, "0 sessions"},
		{"many sessions", set(20, 0xFF, 0xFF), ErrDamaged, "65535 sessions"},
		{"sessions beyond", set(80, 0, 0, 0, 0x70), ErrDamaged, "byte"},
		{"blocks cut off", func(b []byte) []byte { return b[:300] }, ErrDamaged, "byte 300"},
		{"unknown mode", field(1, 0, 6), ErrDamaged, "track 1: sectors of mode 6"},
		{"odd size", field(1, 16, 1, 1), ErrDamaged, "257 bytes"},
		{"no size", field(1, 16, 0, 0), ErrDamaged, "and 0 bytes"},
		{"start beyond", field(2, 36, 0, 0, 0, 0x7F), ErrDamaged, "track 2: it begins at"},
		{"start before", field(2, 36, 0, 0, 0, 0x80), ErrDamaged, "track 2: it begins at"},
		{"overlap", field(2, 36, 0, 0, 0, 0), ErrDamaged, "track"},
		{"offset beyond", field(2, 40, 0, 0, 0, 0, 0, 0, 0, 0xFF), ErrDamaged, "track 2"},
		{"many files", field(1, 48, 0xFF, 0xFF, 0xFF, 0xFF), ErrDamaged, "4294967295 files"},
		{"footer beyond", field(1, 52, 0, 0, 0, 0x7F), ErrDamaged, "track 1"},
		{"extra beyond", field(1, 12, 0, 0, 0, 0x7F), ErrDamaged, "track 1"},
		{"track missing", field(2, 4, 0xB0), ErrDamaged, "track 3 comes where 2 should"},
		{"lead-out before", field(0xA2, 9, 0, 2, 1), ErrDamaged, "track"},
		{"DVD of four tracks", set(18, 0x10), ErrDamaged, "a DVD of 4 tracks"},
	} {
		t.Run(tt.name, func(t *testing.T) { damage(t, path, tt.edit, tt.kind, tt.text) })
	}
}

// FuzzOpenMDS opens arbitrary MDS files beside an MDF.
func FuzzOpenMDS(f *testing.F) {
	dir := f.TempDir()
	for _, src := range []*fixture.Source{fixture.MixedMode(nil), fixture.DualLayerDVD(40, 24, nil)} {
		for _, o := range []fixture.MDSOptions{{}, {SubChannel: src.Blocks == 0, Wide: true, Split: true}} {
			if err := fixture.WriteMDS(dir, "x", src, o); err != nil {
				f.Fatal(err)
			}
			b, _ := os.ReadFile(filepath.Join(dir, "x.mds"))
			f.Add(b)
		}
	}
	os.WriteFile(filepath.Join(dir, "x.mdf"), make([]byte, 100*disc.SectorSize), 0o644)
	os.WriteFile(filepath.Join(dir, "x.md1"), make([]byte, 10*disc.SectorSize), 0o644)
	f.Fuzz(func(t *testing.T, b []byte) { fuzzOpen(t, dir, "x.mds", map[string][]byte{"x.mds": b}) })
}
