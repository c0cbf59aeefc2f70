package image

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"spindle/testdata/fixture"
)

func TestC2D(t *testing.T) {
	dir, src := t.TempDir(), fixture.MixedMode(nil)
	write(t, dir, "a.c2d", fixture.C2D(src))
	equalFixture(t, filepath.Join(dir, "a.c2d"), src, lacks{leadSub: true})
}

func TestC2DDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.c2d")
	write(t, dir, "a.c2d", fixture.C2D(fixture.AudioDisc()))
	set := func(at int, value ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], value); return b }
	}
	block := func(n, at int, value ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			copy(b[int(binary.LittleEndian.Uint32(b[56:]))+n*c2dBlockSize+at:], value)
			return b
		}
	}
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte
		kind error
		text string
	}{
		{"no magic", set(0, 'X'), ErrFormat, "WinOnCD"},
		{"only a magic", func(b []byte) []byte { return b[:40] }, ErrDamaged, "byte 40"},
		{"no blocks", set(50, 0, 0), ErrDamaged, "0 blocks"},
		{"many blocks", set(50, 0xFF, 0xFF), ErrDamaged, "65535 blocks"},
		{"blocks beyond", set(56, 0, 0, 0, 0x7F), ErrDamaged, "byte"},
		{"compressed", block(0, 41, 1), errAny, "track 1 is compressed"},
		{"sectors beyond", block(0, 8, 0, 0, 0, 0x7F), ErrDamaged, "track 1: index 1 from sector 0"},
		{"last before first", block(1, 8, 0, 0, 0, 0), ErrDamaged, "track 2"},
		{"unknown mode", block(0, 40, 7), ErrDamaged, "mode 07h"},
		{"odd size", block(0, 20, 1, 1), ErrDamaged, "257 bytes"},
		{"offset beyond", block(0, 12, 0, 0, 0, 0, 0, 0, 0, 0x80), ErrDamaged, "track 1"},
		{"hole", block(2, 4, 0x21, 3), ErrDamaged, "track 2: index 1 at 801, and the one before ends at 800"},
		{"index 0 again", block(2, 39, 0), ErrDamaged, "index 0 after another"},
		{"huge CD-TEXT", set(52, 0xFF, 0xFF, 0xFF, 0xFF), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) { damage(t, path, tt.edit, tt.kind, tt.text) })
	}
}

// FuzzOpenC2D opens arbitrary headers before sectors of zeros.
func FuzzOpenC2D(f *testing.F) {
	dir := f.TempDir()
	f.Add(fixture.C2D(fixture.AudioDisc())[:1024])
	b := fixture.C2D(fixture.MixedMode(nil))
	f.Add(b[:2048])
	f.Fuzz(func(t *testing.T, head []byte) {
		fuzzOpen(t, dir, "x.c2d", map[string][]byte{"x.c2d": append(head, make([]byte, 1<<18)...)})
		os.Remove(filepath.Join(dir, "x.c2d"))
	})
}
