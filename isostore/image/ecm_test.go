package image

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/testdata/fixture"
)

// ecmBin is the sectors of a source's data track as a .bin has them.
func ecmBin(src *fixture.Source) (bin []byte) {
	t := src.Tracks()[0]
	for lba := t.Start; lba < t.End; lba++ {
		bin = append(bin, src.Raw(lba)...)
	}
	return bin
}

func TestECM(t *testing.T) {
	mixed := fixture.DataDisc(fixture.Mode2Form1, nil)
	mixed.Sessions[0].Tracks[0].Form2 = 200
	tests := []struct {
		name string
		src  *fixture.Source
	}{
		{"mode 1", fixture.DataDisc(fixture.Mode1, nil)},
		{"form 1", fixture.DataDisc(fixture.Mode2Form1, nil)},
		{"forms 1 and 2", mixed},
		{"formless", fixture.DataDisc(fixture.Mode2Formless, nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteECM(dir, "a", ecmBin(tt.src)); err != nil {
				t.Fatal(err)
			}
			equalFixture(t, filepath.Join(dir, "a.ecm"), tt.src, lacks{text: true, sub: true, kind: tt.name == "formless"})
		})
	}
}

// TestECMReads reads at random, across hunks and records.
func TestECMReads(t *testing.T) {
	dir, src := t.TempDir(), fixture.DataFirst(nil)
	var bin []byte
	for lba := range src.LeadOut() {
		bin = append(bin, src.Raw(lba)...)
	}
	if err := fixture.WriteECM(dir, "a", bin); err != nil {
		t.Fatal(err)
	}
	d, _, err := OpenFile(filepath.Join(dir, "a.ecm"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	unpacked := d.(*cd).runs[0].data
	if unpacked.Size() != int64(len(bin)) {
		t.Fatalf("it unpacks to %d bytes of %d", unpacked.Size(), len(bin))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		off := random.IntN(len(bin))
		p := make([]byte, random.IntN(3*ecmHunk))
		n, _ := unpacked.ReadAt(p, int64(off))
		if want := bin[off:min(len(bin), off+len(p))]; n != len(want) || !bytes.Equal(p[:n], want) {
			t.Fatalf("%d bytes at %d: %d, or other bytes", len(p), off, n)
		}
	}
}

// TestECMOfISO opens blocks in an ECM file, which are literal there.
func TestECMOfISO(t *testing.T) {
	dir, iso := t.TempDir(), isoImage(100, 100)
	b := append([]byte("ECM\x00"), ecmRecord(0, uint32(len(iso)))...)
	b = append(append(b, iso...), 0xFC, 0xFF, 0xFF, 0xFF, 0x3F)
	write(t, dir, "a.ecm", b)
	d, info, err := OpenFile(filepath.Join(dir, "a.ecm"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	disctest.TestDisc(t, d)
	p := make([]byte, len(iso))
	if n, err := d.ReadBlocks(p, 0); n != 100 || err != nil || !bytes.Equal(p, iso) || info.Format != "ecm" || info.Label != "A LABEL" {
		t.Errorf("ReadBlocks = %d, %v; %+v", n, err, info)
	}
}

// ecmRecord is the head of a record.
func ecmRecord(kind byte, count uint32) []byte {
	value := uint64(count - 1)
	b := []byte{kind | byte(value&0x1F)<<2}
	for value >>= 5; value > 0; value >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(value&0x7F))
	}
	return b
}

// TestECMVector unpacks the example of the reference, section 10.
func TestECMVector(t *testing.T) {
	b := append([]byte("ECM\x00\x3C"), make([]byte, 16)...)
	b = append(append(b, 0x02), make([]byte, 2052)...)
	b = append(b, 0xFC, 0xFF, 0xFF, 0xFF, 0x3F)
	if head := ecmRecord(0, 16); head[0] != 0x3C {
		t.Errorf("a record of 16 literal bytes is % x", head)
	}
	dir := t.TempDir()
	f, err := openBelow(write(t, dir, "a.ecm", b), "a.ecm")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := &ecm{source: &source{file: f}}
	if err := e.scan(); err != nil || e.size != disc.SectorSize {
		t.Errorf("it unpacks to %d bytes, %v", e.size, err)
	}
}

func TestECMDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.ecm")
	if err := fixture.WriteECM(dir, "a", ecmBin(fixture.DataDisc(fixture.Mode1, nil))); err != nil {
		t.Fatal(err)
	}
	file := func(parts ...[]byte) func([]byte) []byte {
		return func([]byte) []byte { return append([]byte("ECM\x00"), bytes.Join(parts, nil)...) }
	}
	end := []byte{0xFC, 0xFF, 0xFF, 0xFF, 0x3F}
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte
		kind error
		text string
	}{
		{"no magic", func(b []byte) []byte { b[3] = 1; return b }, ErrFormat, "no ECM"},
		{"only a magic", file(), ErrDamaged, "byte 4: it ends"},
		{"half", func(b []byte) []byte { return b[:len(b)/2] }, ErrDamaged, "is the download complete?"},
		{"no end", func(b []byte) []byte { return b[:len(b)-9] }, ErrDamaged, "it ends within a record"},
		{"nothing", file(end), ErrDamaged, "byte 4: it ends without data"},
		{"huge", file(ecmRecord(1, 0xFFFFFFFF), end), ErrDamaged, "byte 4: a record up to byte"},
		{"count of 33 bits", file([]byte{0xFC, 0xFF, 0xFF, 0xFF, 0x7F}), ErrDamaged, "a record of 8589934591"},
		{"endless count", file([]byte{0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0x3F}), ErrDamaged, "too long"},
		{"a few bytes", file(ecmRecord(0, 3), []byte{1, 2, 3}, end), ErrFormat, "what it unpacks to"},
		{"no volume", file(ecmRecord(0, 100), make([]byte, 100), end), ErrFormat, "what it unpacks to"},
	} {
		t.Run(tt.name, func(t *testing.T) { damage(t, path, tt.edit, tt.kind, tt.text) })
	}
}

// FuzzOpenECM opens arbitrary records, of which the data is cut short: behind
// each head is what it needs of zeros.
func FuzzOpenECM(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x10\x01\x00\x00\x05"))
	f.Add([]byte("\x01\x00\x00\x13\x00\x00\x00\x10\x02\x00\x00\x01\x00\x00\x00\x10\x03\x00\x00\x01"))
	f.Add([]byte("\x00\x00\xa0\x00"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, heads []byte) {
		b := []byte("ECM\x00")
		for ; len(heads) >= 4 && len(b) < 4<<20; heads = heads[4:] {
			head := binary.BigEndian.Uint32(heads)
			kind, count := byte(head>>24)&3, head&0xFFFFFF%1000+1
			data := make([]byte, int64(count)*ecmKinds[kind].in)
			if kind == 0 && count >= 16 {
				copy(data, "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x02\x00\x02")
			}
			b = append(append(b, ecmRecord(kind, count)...), data...)
		}
		b = append(b, heads...) // an odd end
		if len(heads) == 0 {
			b = append(b, 0xFC, 0xFF, 0xFF, 0xFF, 0x3F)
		}
		fuzzOpen(t, dir, "x.ecm", map[string][]byte{"x.ecm": b})
	})
}

// BenchmarkECM reads hunk after hunk, none of which is in the cache.
func BenchmarkECM(b *testing.B) {
	dir := b.TempDir()
	if err := fixture.WriteECM(dir, "a", ecmBin(fixture.DataDisc(fixture.Mode1, nil))); err != nil {
		b.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	f, err := openBelow(root, "a.ecm")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	e := &ecm{source: &source{file: f}}
	if err := e.scan(); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, ecmHunk)
	b.SetBytes(ecmHunk)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		if err := e.unpack(p, i%9); err != nil {
			b.Fatal(err)
		}
	}
}
