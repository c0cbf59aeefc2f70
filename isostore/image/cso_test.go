package image

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"spindle/isostore/disc"
	"spindle/testdata/fixture"
)

func TestCSO(t *testing.T) {
	tests := []struct {
		blocks int
		name   string
		o      fixture.CSOOptions
	}{
		{130, "a.cso", fixture.CSOOptions{}},
		{131, "a.cso", fixture.CSOOptions{Size0: true, Shift: 2}},
		{133, "a.cso", fixture.CSOOptions{BlockSize: 16384, Shift: 3}},
		{133, "a.cso", fixture.CSOOptions{BlockSize: 1 << 20}},
		{60, "a.cso", fixture.CSOOptions{BlockSize: 512}},
		{130, "a.cso", fixture.CSOOptions{Version: 2}},
		{130, "a.cso", fixture.CSOOptions{Version: 2, Shift: 4, BlockSize: 8192}},
		{130, "a.zso", fixture.CSOOptions{ZSO: true}},
		{130, "a.zso", fixture.CSOOptions{ZSO: true, Shift: 6}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%+v", tt.o), func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteCSO(dir, "a", packedSource(tt.blocks), tt.o); err != nil {
				t.Fatal(err)
			}
			packedOpen(t, dir, tt.name, "cso", packedImage(tt.blocks))
		})
	}
}

// csoBytes is a CSO image as it is in its file.
func csoBytes(t testing.TB, src *fixture.Source, o fixture.CSOOptions) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := fixture.WriteCSO(dir, "a", src, o); err != nil {
		t.Fatal(err)
	}
	name := "a.cso"
	if o.ZSO {
		name = "a.zso"
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCSODamaged(t *testing.T) {
	le32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
	}
	entry := func(i int, f func(uint32) uint32) func([]byte) []byte {
		return func(b []byte) []byte {
			return le32(24+4*i, f(binary.LittleEndian.Uint32(b[24+4*i:])))(b)
		}
	}
	packedDamages(t, t.TempDir(), "x.cso", csoBytes(t, packedSource(100), fixture.CSOOptions{}), []packedDamage{
		{"none", packedSame, nil, nil, ""},
		{"header alone", func(b []byte) []byte { return b[:24] }, ErrDamaged, nil, "byte 24"},
		{"half an index", func(b []byte) []byte { return b[:224] }, ErrDamaged, nil, "byte 224"},
		{"cut short", func(b []byte) []byte { return b[:len(b)-100] }, nil, io.ErrUnexpectedEOF, "the file ends"},
		{"no block size", le32(16, 0), ErrDamaged, nil, "blocks of 0 bytes"},
		{"odd block size", le32(16, 3000), ErrDamaged, nil, "blocks of 3000 bytes"},
		{"huge block size", le32(16, 1<<31), ErrDamaged, nil, "byte 16"},
		{"no data", le32(8, 0), ErrDamaged, nil, "byte 8"},
		{"more data than a disc", le32(12, 1<<31), ErrDamaged, nil, "byte 8"},
		{"more data than the index", le32(8, 1<<31), ErrDamaged, nil, "index"},
		{"more data than an index of the file's size", le32(12, 1<<8), ErrDamaged, nil, "index"},
		{"version 3", func(b []byte) []byte { b[20] = 3; return b }, errAny, nil, "not supported"},
		{"shift of 40", func(b []byte) []byte { b[21] = 40; return b }, ErrDamaged, nil, "byte 21"},
		{"entry before the last", entry(50, func(uint32) uint32 { return 1000 }), ErrDamaged, nil, "block 50"},
		{"entry in the header", entry(0, func(uint32) uint32 { return 8 }), ErrDamaged, nil, "byte 24"},
		{"stored block too small", entry(74, func(v uint32) uint32 { return v | 1<<31 }), nil, ErrDamaged, "block 74"},
		{"slot off by one", entry(74, func(v uint32) uint32 { return v + 1 }), nil, ErrDamaged, "block 7"},
		{"slot far away", func(b []byte) []byte {
			for i := 60; i <= 100; i++ {
				entry(i, func(v uint32) uint32 { return v + 1<<24 })(b)
			}
			return b
		}, nil, ErrDamaged, "take"},
	})
}

// TestCSOXbox refuses the Xbox's own kind: an LZ4 block with its length.
func TestCSOXbox(t *testing.T) {
	b := csoBytes(t, packedSource(100), fixture.CSOOptions{Version: 2, Shift: 2})
	for i := range 100 {
		entry, next := binary.LittleEndian.Uint32(b[24+4*i:]), binary.LittleEndian.Uint32(b[28+4*i:])
		at, end := entry&^(1<<31)<<2, next&^(1<<31)<<2
		if entry>>31 == 1 {
			copy(b[at+4:end], b[at:end])
			binary.LittleEndian.PutUint32(b[at:], end-at-4)
		}
	}
	packedDamages(t, t.TempDir(), "x.1.cso", b, []packedDamage{{"xbox", packedSame, errAny, nil, "Xbox"}})
}

// TestCSOInner opens images that hold something else than an ISO image.
func TestCSOInner(t *testing.T) {
	dir := t.TempDir()
	if err := fixture.WriteCSO(dir, "a", fixture.DVD(60, make([]byte, 60*disc.BlockSize)), fixture.CSOOptions{}); err != nil {
		t.Fatal(err)
	}
	d, info, err := OpenFile(filepath.Join(dir, "a.cso"), Options{})
	if err != nil || len(info.Warnings) != 1 || info.Blocks != 60 {
		t.Fatalf("OpenFile = %+v, %v; want a warning", info, err)
	}
	d.Close()
}

func FuzzOpenCSO(f *testing.F) {
	for _, o := range []fixture.CSOOptions{{}, {Version: 2, Shift: 1}, {ZSO: true}, {BlockSize: 8192}} {
		f.Add(csoBytes(f, packedSmall(), o))
	}
	packedFuzz(f, f.TempDir(), "x.cso", packedSame)
}
