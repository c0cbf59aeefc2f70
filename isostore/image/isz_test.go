package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/testdata/fixture"
)

func TestISZ(t *testing.T) {
	tests := []struct {
		blocks int
		o      fixture.ISZOptions
	}{
		{131, fixture.ISZOptions{}},
		{131, fixture.ISZOptions{ChunkSize: 10000, Long: true}},
		{131, fixture.ISZOptions{Plain: true}},
		{131, fixture.ISZOptions{Stored: true}},
		{131, fixture.ISZOptions{PartSize: 70000}},
		{131, fixture.ISZOptions{PartSize: 5000, Plain: true}}, // chunks go through several parts
		{131, fixture.ISZOptions{PartSize: 100000, ChunkSize: 2048}},
		{131, fixture.ISZOptions{PartSize: 100000, Stored: true}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%+v", tt.o), func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteISZ(dir, "a", packedSource(tt.blocks), tt.o); err != nil {
				t.Fatal(err)
			}
			packedOpen(t, dir, "a.isz", "isz", packedImage(tt.blocks))
		})
	}
}

// TestISZParts opens images whose parts are called otherwise, are missing or
// are wrong.
func TestISZParts(t *testing.T) {
	dir := t.TempDir()
	if err := fixture.WriteISZ(dir, "a", packedSource(100), fixture.ISZOptions{PartSize: 30000}); err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(name, text string, want error) {
		t.Helper()
		d, _, err := OpenFile(filepath.Join(dir, name), Options{})
		if err == nil {
			d.Close()
		}
		if err == nil || want != errAny && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", name, err, text)
		}
	}
	move("a.i01", "A.I01")
	info := packedOpen(t, dir, "a.isz", "isz", packedImage(100))
	if len(info.Files) < 1 || info.Files[0] != "A.I01" {
		t.Errorf("Files = %q", info.Files)
	}
	refused("A.I01", "first part", errAny)
	move("A.I01", "b")
	refused("a.isz", `"a.i01" is missing`, fs.ErrNotExist)
	os.WriteFile(filepath.Join(dir, "a.i01"), make([]byte, 40000), 0o644)
	refused("a.isz", "a.i01 is no part", ErrDamaged)
	move("b", "a.i01")
	for i := 0; ; i++ {
		from := []string{"a.isz", "a.i01", "a.i02", "a.i03", "a.i04", "a.i05"}[i]
		if _, err := os.Stat(filepath.Join(dir, from)); err != nil {
			break
		}
		move(from, fmt.Sprintf("c d.part%02d.isz", i+1))
	}
	packedOpen(t, dir, "c d.part01.isz", "isz", packedImage(100))
	os.Truncate(filepath.Join(dir, "c d.part02.isz"), 20000)
	d, info, err := OpenFile(filepath.Join(dir, "c d.part01.isz"), Options{})
	if err != nil || !info.Truncated || len(info.Warnings) != 1 || !strings.Contains(info.Warnings[0], "part02") {
		t.Fatalf("a truncated part: %+v, %v", info, err)
	}
	d.Close()
}

// iszBytes is an ISZ image as it is in its file.
func iszBytes(t testing.TB, src *fixture.Source, o fixture.ISZOptions) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := fixture.WriteISZ(dir, "a", src, o); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "a.isz"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestISZDamaged(t *testing.T) {
	data := iszBytes(t, packedSource(200), fixture.ISZOptions{ChunkSize: 32768})
	le32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
	}
	set := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = v; return b }
	}
	table := int(binary.LittleEndian.Uint32(data[35:]))
	begin := int(binary.LittleEndian.Uint32(data[43:]))
	entry := func(n int, kind, length uint32) func([]byte) []byte {
		return func(b []byte) []byte {
			word := binary.LittleEndian.AppendUint32(nil, kind<<22|length)
			for i := range 3 {
				b[table+3*n+i] = word[i] ^ ^"IsZ!"[(3*n+i)%4]
			}
			return b
		}
	}
	packedDamages(t, t.TempDir(), "x.isz", data, []packedDamage{
		{"none", packedSame, nil, nil, ""},
		{"header alone", func(b []byte) []byte { return b[:48] }, ErrDamaged, nil, "byte 35"},
		{"half a header", func(b []byte) []byte { return b[:40] }, ErrFormat, nil, ""},
		{"cut short", func(b []byte) []byte { return b[:len(b)-1000] }, nil, io.ErrUnexpectedEOF, "compressed byte"},
		{"password", set(16, 1), errAny, nil, "password"},
		{"AES", set(16, 4), errAny, nil, "AES-256"},
		{"another cipher", set(16, 99), errAny, nil, "way 99"},
		{"third part", set(34, 3), errAny, nil, "part 3"},
		{"no sectors", le32(12, 0), ErrDamaged, nil, "0 sectors"},
		{"huge sectors", le32(12, 1<<32-1), ErrDamaged, nil, ""},
		{"chunks of nothing", le32(29, 0), ErrDamaged, nil, "byte 29"},
		{"chunks of 2 GiB", le32(29, 1<<31), ErrDamaged, nil, "byte 29"},
		{"no chunks", le32(25, 0), ErrDamaged, nil, "byte 25"},
		{"chunks without end", le32(25, 1<<32-1), ErrDamaged, nil, "byte 25"},
		{"entries of 9 bytes", set(33, 9), ErrDamaged, nil, "byte 33"},
		{"entries of 0 bytes", set(33, 0), ErrDamaged, nil, "byte 33"},
		{"table beyond the end", le32(35, 1<<30), ErrDamaged, nil, "byte 35"},
		{"table elsewhere", le32(35, uint32(begin)), ErrDamaged, nil, "chunk table"},
		{"parts beyond the end", le32(39, 1<<30), ErrDamaged, nil, "part table"},
		{"parts elsewhere", le32(39, uint32(begin)), ErrDamaged, nil, "part table"},
		{"data beyond the end", le32(43, 1<<30), io.ErrUnexpectedEOF, nil, "compressed byte 0"},
		{"chunk too long", entry(9, iszZlib, 40000), ErrDamaged, nil, "chunk 9"},
		{"raw chunk too short", entry(9, iszRaw, 100), ErrDamaged, nil, "chunk 9"},
		{"chunk of another kind", entry(7, iszBzip2, 300), nil, ErrDamaged, "chunk 7"},
		{"chunk of nothing", entry(7, iszZlib, 0), nil, ErrDamaged, "chunk 7"},
	})
}

func FuzzOpenISZ(f *testing.F) {
	for _, o := range []fixture.ISZOptions{{}, {ChunkSize: 8192, Plain: true}, {Stored: true}, {PartSize: 100, ChunkSize: 16384}} {
		f.Add(iszBytes(f, packedSmall(), o))
	}
	dir := f.TempDir()
	if err := fixture.WriteISZ(dir, "x", packedSmall(), fixture.ISZOptions{PartSize: 100, ChunkSize: 16384}); err != nil {
		f.Fatal(err)
	}
	packedFuzz(f, dir, "x.isz", packedSame)
}
