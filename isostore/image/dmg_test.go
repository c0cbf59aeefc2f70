package image

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/testdata/fixture"
)

func TestDMG(t *testing.T) {
	tests := []struct {
		blocks int
		o      fixture.DMGOptions
	}{
		{150, fixture.DMGOptions{}},
		{151, fixture.DMGOptions{Codecs: []string{"zlib", "bzip2", "xz", "adc", "raw"}, Tables: 3, RunSectors: 61, Comments: true}},
		{150, fixture.DMGOptions{Codecs: []string{"adc"}, RunSectors: 1024, ForkOffset: 100}},
		{150, fixture.DMGOptions{Codecs: []string{"xz"}, MishOffset: 4096, Tables: 2}},
		{150, fixture.DMGOptions{Codecs: []string{"raw"}}},
		{150, fixture.DMGOptions{Codecs: []string{"bzip2"}, RunSectors: 3}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%+v", tt.o), func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteDMG(dir, "a", packedSource(tt.blocks), tt.o); err != nil {
				t.Fatal(err)
			}
			packedOpen(t, dir, "a.dmg", "dmg", packedImage(tt.blocks))
		})
	}
}

// TestDMGByDmg2img unpacks an image with another program: that and what we read
// are the same.
func TestDMGByDmg2img(t *testing.T) {
	lab.Need(t, "dmg2img")
	dir := t.TempDir()
	if err := fixture.WriteDMG(dir, "a", packedSource(150), fixture.DMGOptions{Codecs: []string{"zlib", "bzip2", "adc", "raw"}, Tables: 2}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "a.img")
	if text, err := lab.ToolCmd(t.Context(), "dmg2img", "-s", "-i", filepath.Join(dir, "a.dmg"), "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("dmg2img: %v\n%s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	packedOpen(t, dir, "a.dmg", "dmg", b)
}

// dmgBytes is a DMG as it is in its file.
func dmgBytes(t testing.TB, src *fixture.Source, o fixture.DMGOptions) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := fixture.WriteDMG(dir, "a", src, o); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "a.dmg"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dmgList puts another property list into an image.
func dmgList(b []byte, change func(list string) string) []byte {
	koly := bytes.Clone(b[len(b)-dmgTrailer:])
	at, n := binary.BigEndian.Uint64(koly[216:]), binary.BigEndian.Uint64(koly[224:])
	list := change(string(b[at : at+n]))
	binary.BigEndian.PutUint64(koly[224:], uint64(len(list)))
	return append(append(bytes.Clone(b[:at]), list...), koly...)
}

// dmgMish changes the first table of runs.
func dmgMish(b []byte, change func(mish []byte) []byte) []byte {
	return dmgList(b, func(list string) string {
		before, rest, _ := strings.Cut(list, "<data>")
		data, after, _ := strings.Cut(rest, "</data>")
		mish, _ := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(data), ""))
		return before + "<data>" + base64.StdEncoding.EncodeToString(change(mish)) + "</data>" + after
	})
}

func TestDMGDamaged(t *testing.T) {
	data := dmgBytes(t, packedSource(100), fixture.DMGOptions{})
	koly := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint64(b[len(b)-512+at:], v); return b }
	}
	run := func(n, at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte {
			return dmgMish(b, func(m []byte) []byte {
				if at == 0 {
					binary.BigEndian.PutUint32(m[204+40*n:], uint32(v))
				} else {
					binary.BigEndian.PutUint64(m[204+40*n+at:], v)
				}
				return m
			})
		}
	}
	list := func(change func(string) string) func([]byte) []byte {
		return func(b []byte) []byte { return dmgList(b, change) }
	}
	packedDamages(t, t.TempDir(), "x.dmg", data, []packedDamage{
		{"none", packedSame, nil, nil, ""},
		{"no trailer", func(b []byte) []byte { return b[:len(b)-1] }, ErrFormat, nil, ""},
		{"trailer alone", func(b []byte) []byte { return b[len(b)-512:] }, ErrDamaged, nil, "property list"},
		{"version 5", koly(4, 5<<32|512), errAny, nil, "version 5"},
		{"segments", koly(56, 1<<32|3), errAny, nil, "segment 1 of 3"},
		{"list beyond the end", koly(216, 1<<40), ErrDamaged, nil, "property list"},
		{"list before the start", koly(216, 1<<64-1), ErrDamaged, nil, "property list"},
		{"no list", koly(224, 0), ErrDamaged, nil, "property list of 0 bytes"},
		{"huge list", koly(224, 1<<63), ErrDamaged, nil, "property list"},
		{"half a list", func(b []byte) []byte {
			return koly(224, binary.BigEndian.Uint64(b[len(b)-512+224:])/2)(b)
		}, ErrDamaged, nil, "byte "},
		{"fork beyond the end", koly(24, 1<<63), ErrDamaged, nil, "data fork"},
		{"fork a bit late", koly(24, 1<<15), ErrDamaged, nil, "the data ends"},
		{"more sectors than a disc", koly(492, 1<<60), ErrDamaged, nil, "sectors"},
		{"no table", list(func(string) string { return "<plist><dict></dict></plist>" }), ErrDamaged, nil, "no resource-fork"},
		{"nested without end", list(func(string) string { return "<plist>" + strings.Repeat("<array>", 1<<20) }), ErrDamaged, nil, "deeper"},
		{"not XML", list(func(string) string { return "bplist00" }), ErrDamaged, nil, "resource-fork"},
		{"no base64", list(func(s string) string { return strings.Replace(s, "<data>", "<data>*", 1) }), ErrDamaged, nil, "byte"},
		{"element in the data", list(func(s string) string { return strings.Replace(s, "<data>", "<data><b/>", 1) }), ErrDamaged, nil, "<b>"},
		{"no mish", func(b []byte) []byte {
			return dmgMish(b, func(m []byte) []byte { m[0] = 'M'; return m })
		}, ErrDamaged, nil, "mish"},
		{"short mish", func(b []byte) []byte { return dmgMish(b, func(m []byte) []byte { return m[:203] }) }, ErrDamaged, nil, "mish"},
		{"more runs than bytes", func(b []byte) []byte {
			return dmgMish(b, func(m []byte) []byte { binary.BigEndian.PutUint32(m[200:], 1<<31); return m })
		}, ErrDamaged, nil, "2147483648 runs"},
		{"run of too much", run(0, 16, 1<<50), ErrDamaged, nil, "run 0"},
		{"run of 32 MiB", run(1, 16, 1<<16), errAny, nil, "in one piece"},
		{"run far away", run(0, 8, 1<<62), ErrDamaged, nil, "run 0"},
		{"run over another", run(0, 16, 96), ErrDamaged, nil, "in another run"},
		{"run beyond the end", run(1, 24, 1<<62), ErrDamaged, nil, "run 1"},
		{"run of more than the data", run(1, 32, 1<<30), ErrDamaged, nil, "run 1"},
		{"raw run too short", run(3, 0, 1), ErrDamaged, nil, "raw"},
		{"lzfse", run(3, 0, 0x80000007), errAny, nil, "LZFSE"},
		{"unknown compression", run(3, 0, 0x80000003), errAny, nil, "0x80000003"},
		{"another compression", run(5, 0, 0x80000006), nil, ErrDamaged, "run 5"},
		{"xz it is not", run(5, 0, 0x80000008), nil, ErrDamaged, "run 5"},
		{"adc it is not", run(5, 0, 0x80000004), nil, ErrDamaged, "run 5"},
		{"run elsewhere", run(5, 24, 3), nil, ErrDamaged, "run 5"},
		{"no sectors said", koly(492, 0), nil, nil, ""},
		{"encrypted", func(b []byte) []byte { return append([]byte("encrcdsa"), b...) }, errAny, nil, "encrypted"},
		{"encrypted of old", func(b []byte) []byte { return append(b, "cdsaencr"...) }, errAny, nil, "encrypted"},
		{"sparse", func(b []byte) []byte { return append([]byte("sprs"), b...) }, errAny, nil, "sparse"},
	})
}

// TestDMGFlat opens a .dmg that is a flat image.
func TestDMGFlat(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.dmg", packedImage(100))
	packedOpen(t, dir, "a.dmg", "iso", packedImage(100))
}

// TestDMGGaps reads sectors that no run has, and a last block that is not whole.
func TestDMGGaps(t *testing.T) {
	image := packedImage(100)
	b := dmgMish(dmgBytes(t, packedSource(100), fixture.DMGOptions{}), func(m []byte) []byte {
		binary.BigEndian.PutUint64(m[204+40*5+16:], 0) // run 5 has no sectors
		return m
	})
	clear(image[5*32768 : 6*32768])
	binary.BigEndian.PutUint64(b[len(b)-20:], 402)
	dir := t.TempDir()
	write(t, dir, "a.dmg", b)
	d, info, err := OpenFile(filepath.Join(dir, "a.dmg"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if info.Blocks != 101 {
		t.Errorf("%d blocks, want 101", info.Blocks)
	}
	packedRead(t, d, append(image, make([]byte, disc.BlockSize)...))
}

func TestADC(t *testing.T) {
	tests := []struct {
		in   string
		size int
		want string // "" fails
	}{
		{"\x82abc", 3, "abc"},
		{"\x82abcxyz", 3, "abc"},
		{"\x80a\x00\x00", 4, "aaaa"},
		{"\x80a\x3c\x00", 19, strings.Repeat("a", 19)},
		{"\x81ab\x43\x00\x01", 9, "ababababa"},
		{"\x81ab\x00\x01\x80c", 6, "ababac"},
		{"\x80a\x00\x00", 3, "aaa"},
		{"\x82ab", 3, ""},
		{"", 1, ""},
		{"\x00", 3, ""},
		{"\x40\x00", 3, ""},
		{"\x00\x00", 3, ""},
		{"\x80a\x00\x01", 4, ""},
		{"\x80a", 2, ""},
	}
	for _, tt := range tests {
		p := make([]byte, tt.size)
		err := unpackADC(p, []byte(tt.in))
		if (err == nil) != (tt.want != "") || err == nil && string(p) != tt.want {
			t.Errorf("%q = %q, %v; want %q", tt.in, p, err, tt.want)
		}
	}
}

// FuzzOpenDMG changes the property list, the trailer and the data of an image.
func FuzzOpenDMG(f *testing.F) {
	b := dmgBytes(f, packedSmall(), fixture.DMGOptions{Codecs: []string{"zlib", "bzip2", "xz", "adc", "raw"}, RunSectors: 32})
	f.Add(b)
	f.Add(b[len(b)-dmgTrailer:])
	packedFuzz(f, f.TempDir(), "x.dmg", packedSame)
}

// FuzzDMGRuns changes the run table alone, which base64 hides from the fuzzer.
func FuzzDMGRuns(f *testing.F) {
	b := dmgBytes(f, packedSmall(), fixture.DMGOptions{Codecs: []string{"zlib", "bzip2", "xz", "adc", "raw"}, RunSectors: 32})
	dmgMish(b, func(m []byte) []byte { f.Add(bytes.Clone(m)); return m })
	packedFuzz(f, f.TempDir(), "x.dmg", func(fuzzed []byte) []byte {
		return dmgMish(b, func([]byte) []byte { return fuzzed })
	})
}
