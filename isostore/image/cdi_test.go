package image

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/sector"
	"spindle/testdata/fixture"
)

func TestCDI(t *testing.T) {
	plain := lacks{text: true, sub: true}
	mixed, data := func() *fixture.Source { return noisy(fixture.MixedMode(nil)) }, noisy(fixture.DataFirst(nil))
	tests := []struct {
		name  string
		src   *fixture.Source
		o     fixture.CDIOptions
		lacks lacks
	}{
		{"mixed, 3.5", mixed(), fixture.CDIOptions{}, plain},
		{"mixed, 3, CD-TEXT", mixed(), fixture.CDIOptions{Version: 3, CDText: true}, lacks{sub: true}},
		{"mixed, 2", mixed(), fixture.CDIOptions{Version: 2}, plain},
		{"mixed, sub-channel", mixed(), fixture.CDIOptions{SubChannel: 96}, lacks{text: true}},
		{"mixed, P and Q", mixed(), fixture.CDIOptions{SubChannel: 16}, plain},
		{"mixed, cooked", mixed(), fixture.CDIOptions{Cooked: true}, plain},
		{"data first", data, fixture.CDIOptions{}, plain},
		{"data first, cooked, 2", data, fixture.CDIOptions{Version: 2, Cooked: true}, plain},
		{"form 1", fixture.DataDisc(fixture.Mode2Form1, nil), fixture.CDIOptions{}, plain},
		{"formless", fixture.DataDisc(fixture.Mode2Formless, nil), fixture.CDIOptions{}, lacks{text: true, sub: true, kind: true}},
		{"audio", noisy(fixture.AudioDisc()), fixture.CDIOptions{SubChannel: 96, CDText: true}, lacks{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteCDI(dir, "a", tt.src, tt.o); err != nil {
				t.Fatal(err)
			}
			equalFixture(t, filepath.Join(dir, "a.cdi"), tt.src, tt.lacks)
		})
	}
}

// TestCDIPQ checks that stored P and Q are given out, and R to W are zero.
func TestCDIPQ(t *testing.T) {
	dir, src := t.TempDir(), noisy(fixture.MixedMode(nil))
	if err := fixture.WriteCDI(dir, "a", src, fixture.CDIOptions{SubChannel: 16}); err != nil {
		t.Fatal(err)
	}
	d, _, err := OpenFile(filepath.Join(dir, "a.cdi"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	sub, plain := make([]byte, disc.SubSize), make([]byte, disc.SubSize)
	for _, lba := range []int{-150, 0, 299, 300, 837, 838, 950, 1599, 13000} {
		if n, err := d.(disc.SubReader).ReadSub(sub, disc.LBA(lba)); n != 1 || err != nil {
			t.Fatal(err)
		}
		sector.Deinterleave(plain, sub)
		want := append(bytes.Clone(src.SubPlain(lba)[:24]), make([]byte, 72)...)
		if !bytes.Equal(plain, want) {
			t.Errorf("sub-channel of %d is % x, want % x", lba, plain, want)
		}
	}
}

// TestCDIByTool compares the sectors with what iat makes of the image.
func TestCDIByTool(t *testing.T) {
	lab.Need(t, "iat")
	dir := t.TempDir()
	src := fixture.DataDisc(fixture.Mode1, isoImage(320, 320))
	if err := fixture.WriteCDI(dir, "a", src, fixture.CDIOptions{}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.iso")
	if text, err := lab.ToolCmd(t.Context(), "iat", "--iso", "-i", filepath.Join(dir, "a.cdi"), "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("iat: %v\n%s", err, text)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	d, info, err := OpenFile(filepath.Join(dir, "a.cdi"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := make([]byte, info.Blocks*disc.BlockSize)
	if _, err := d.ReadBlocks(got, 0); err != nil || len(got) > len(want) || !bytes.Equal(got, want[:len(got)]) {
		t.Errorf("iat gives other blocks: %d of ours, %d of its bytes, %v", info.Blocks, len(want), err)
	}
}

// cdiDescriptor is where the descriptor of an image of version 2 begins.
func cdiDescriptor(b []byte) int { return int(binary.LittleEndian.Uint32(b[len(b)-4:])) }

// cdiHeader is where the header of track n, from 0, begins.
func cdiHeader(b []byte, n int) int {
	at := cdiDescriptor(b)
	for ; ; n-- {
		at += bytes.Index(b[at:], cdiMarker)
		if n == 0 {
			return at
		}
		at++
	}
}

// TestCDIVariants opens what other versions write: nothing for the medium, more
// between tracks, a DVD, and sessions at other places.
func TestCDIVariants(t *testing.T) {
	write := func(t *testing.T, src *fixture.Source) (string, []byte) {
		dir := t.TempDir()
		if err := fixture.WriteCDI(dir, "a", src, fixture.CDIOptions{Version: 2, Cooked: true}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "a.cdi"))
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "a.cdi"), b
	}
	name := func(b []byte, at int) int { return at + 17 + int(b[at+16]) } // behind the file name
	t.Run("no medium", func(t *testing.T) {
		src := fixture.DataDisc(fixture.Mode1, nil)
		path, b := write(t, src)
		at := name(b, cdiHeader(b, 0)) + 19
		b = append(append(bytes.Clone(b[:at]), 0, 0, 0, 0), b[at+12:]...)
		os.WriteFile(path, b, 0o644)
		equalFixture(t, path, src, lacks{sub: true, text: true})
	})
	t.Run("more marks", func(t *testing.T) {
		src := fixture.DataFirst(nil)
		path, b := write(t, src)
		at := cdiHeader(b, 1)
		b = append(append(bytes.Clone(b[:at]), cdiMarker[:10]...), b[at:]...)
		os.WriteFile(path, b, 0o644)
		equalFixture(t, path, src, lacks{sub: true, text: true, gaps: false})
	})
	t.Run("DVD", func(t *testing.T) {
		src := fixture.DataDisc(fixture.Mode1, nil)
		path, b := write(t, src)
		b[name(b, cdiHeader(b, 0))+29] = cdiDVD
		os.WriteFile(path, b, 0o644)
		d, info, err := OpenFile(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		p := make([]byte, disc.BlockSize)
		if n, err := d.ReadBlocks(p, 7); n != 1 || err != nil || !bytes.Equal(p, src.User(7)) || info.Medium != "DVD" || info.Blocks != 300 {
			t.Errorf("%+v, %v", info, err)
		}
	})
	for _, tt := range []struct {
		name string
		lba  uint32
		want disc.LBA
	}{{"index 1", 20000, 20000}, {"too early", 100, 13000}, {"index 0 as is usual", 12850, 13000}, {"huge", 1 << 31, 13000}} {
		t.Run(tt.name, func(t *testing.T) {
			path, b := write(t, fixture.MixedMode(nil))
			at := name(b, cdiHeader(b, 3)) + 31 + 2 + 8 + 6 + 16
			if got := binary.LittleEndian.Uint32(b[at:]); got != 13000 && got != 12850 {
				t.Fatalf("the LBA of track 4 is not at %d: %d", at, got)
			}
			binary.LittleEndian.PutUint32(b[at:], tt.lba)
			first := name(b, cdiHeader(b, 0)) + 31 + 2 + 8 + 6 + 16
			binary.LittleEndian.PutUint32(b[first:], 0)
			os.WriteFile(path, b, 0o644)
			d, _, err := OpenFile(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if got := d.Layout().Last().Start; got != tt.want {
				t.Errorf("session 2 begins at %d, want %d", got, tt.want)
			}
		})
	}
}

func TestCDIDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.cdi")
	if err := fixture.WriteCDI(dir, "a", fixture.MixedMode(nil), fixture.CDIOptions{Version: 2}); err != nil {
		t.Fatal(err)
	}
	end := func(value ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[len(b)-len(value):], value); return b }
	}
	// field is a field of track 1, behind the file name.
	field := func(at int, value ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			header := cdiHeader(b, 0)
			copy(b[header+17+int(b[header+16])+at:], value)
			return b
		}
	}
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte
		kind error
		text string
	}{
		{"no version", end(7, 0, 0, 0x80, 0, 0, 0, 0), ErrDamaged, "no version of DiscJuggler"},
		{"descriptor beyond", end(4, 0, 0, 0x80, 0xFF, 0xFF, 0xFF, 0xFF), ErrDamaged, "4294967295"},
		{"descriptor at 0", end(4, 0, 0, 0x80, 0, 0, 0, 0), ErrDamaged, "byte 0"},
		{"descriptor before 0", end(6, 0, 0, 0x80, 0xFF, 0xFF, 0xFF, 0xFF), ErrDamaged, "descriptor"},
		{"start cut off", func(b []byte) []byte { return b[1<<20:] }, ErrDamaged, "descriptor"},
		{"no sessions", func(b []byte) []byte { b[cdiDescriptor(b)] = 0; return b }, ErrDamaged, "0 sessions"},
		{"many sessions", func(b []byte) []byte { b[cdiDescriptor(b)] = 99; return b }, ErrDamaged, "session"},
		{"no tracks", func(b []byte) []byte { b[cdiDescriptor(b)+2] = 0; return b }, ErrDamaged, "session 1 should be here"},
		{"many tracks", func(b []byte) []byte { b[cdiDescriptor(b)+2] = 255; return b }, ErrDamaged, "byte"},
		{"no marker", func(b []byte) []byte { return bytes.ReplaceAll(b, cdiMarker, make([]byte, 12)) }, ErrDamaged, "no header"},
		{"long name", func(b []byte) []byte { b[cdiHeader(b, 0)+16] = 0xFF; return b }, ErrDamaged, "track 1"},
		{"no indexes", field(31, 0, 0), ErrDamaged, "track 1: 0 indexes"},
		{"many indexes", field(31, 0xFF, 0xFF), ErrDamaged, "track 1: 65535 indexes"},
		{"huge index", field(33, 0xFF, 0xFF, 0xFF, 0xFF), ErrDamaged, "track 1: "},
		{"much CD-TEXT", field(41, 0xFF, 0xFF, 0xFF, 0xFF), ErrDamaged, "blocks of CD-TEXT"},
		{"unknown mode", field(47, 9), ErrDamaged, "track 1: mode 9"},
		{"huge length", field(67, 0xFF, 0xFF, 0xFF, 0x7F), ErrDamaged, "track 1 ends at"},
		{"no length", field(67, 0, 0, 0, 0), ErrDamaged, "track 1: 0 sectors"},
		{"unknown read mode", field(87, 9), ErrDamaged, "read mode 9"},
		{"audio of 2048", field(87, 0), ErrDamaged, "sectors of mode 0 and 2048 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) { damage(t, path, tt.edit, tt.kind, tt.text) })
	}
}

// FuzzOpenCDI opens images whose descriptors, behind a megabyte of zeros, are
// arbitrary.
func FuzzOpenCDI(f *testing.F) {
	dir := f.TempDir()
	for _, o := range []fixture.CDIOptions{{Version: 2, Cooked: true}, {Version: 2, SubChannel: 16, CDText: true}, {Version: 2, SubChannel: 96}} {
		if err := fixture.WriteCDI(dir, "a", fixture.MixedMode(nil), o); err != nil {
			f.Fatal(err)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "a.cdi"))
		d := b[cdiDescriptor(b) : len(b)-8]
		for i := range 4 { // so that the sectors fit
			at := cdiHeader(b, i)
			at += 17 + int(b[at+16]) - cdiDescriptor(b)
			binary.LittleEndian.PutUint32(d[at+67:], min(binary.LittleEndian.Uint32(d[at+67:]), 1))
		}
		f.Add(d)
	}
	const sectors = 1 << 20
	f.Fuzz(func(t *testing.T, descriptor []byte) {
		b := append(make([]byte, sectors), descriptor...)
		b = binary.LittleEndian.AppendUint32(b, cdiVersion3)
		fuzzOpen(t, dir, "x.cdi", map[string][]byte{"x.cdi": binary.LittleEndian.AppendUint32(b, sectors)})
	})
}
