package sector

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"spindle/isostore/disc"
)

// count fills b with 0, 1, 2 … 255, 0 …
func count(b []byte) {
	for i := range b {
		b[i] = byte(i)
	}
}

// TestVectors has sectors at 00:02:00 and 00:02:16 that were computed elsewhere.
func TestVectors(t *testing.T) {
	tests := []struct {
		name         string
		lba          disc.LBA
		fill         func(s []byte)
		encode       func(s []byte, lba disc.LBA)
		edcAt        int
		edc, p, q    string
		hash, header string
	}{
		{
			"Mode 1, zero", 0, func([]byte) {}, EncodeMode1, 2064, "c513682b", "00f700f50000", "0041",
			"d9ee3c3ce5f425e5adb786706f65f363fd785695", "00020001",
		},
		{
			"Mode 1", 16, func(s []byte) { count(s[16:2064]) }, EncodeMode1, 2064, "5e935192", "421328942172d586", "46e94486f12ae20b",
			"aadccaada56bb68493eb1319a30e4605f79f5e9f", "00021601",
		},
		{
			"Form 1", 16, func(s []byte) { s[18], s[22] = 8, 8; count(s[24:2072]) }, EncodeForm1, 2072, "e90cd059", "59ff7fd9a80e3f62", "",
			"e96dea65aa9455fc1a349adc382c2f00c0e56ac5", "00021602",
		},
		{
			"Form 2", 16, func(s []byte) { s[18], s[22] = 0x20, 0x20; count(s[24:2348]) }, EncodeForm2, 2348, "bc8dd995", "", "",
			"e6ee0e5e88d87c843671904f3446c51cbabfd996", "00021602",
		},
	}
	for _, tt := range tests {
		s := make([]byte, disc.SectorSize)
		tt.fill(s)
		tt.encode(s, tt.lba)
		for _, part := range []struct {
			name, want string
			at         int
		}{{"header", tt.header, 12}, {"EDC", tt.edc, tt.edcAt}, {"P", tt.p, 2076}, {"Q", tt.q, 2248}} {
			if got := hex.EncodeToString(s[part.at:][:len(part.want)/2]); got != part.want {
				t.Errorf("%s: %s = %s, want %s", tt.name, part.name, got, part.want)
			}
		}
		if hash := sha1.Sum(s); hex.EncodeToString(hash[:]) != tt.hash {
			t.Errorf("%s: SHA-1 = %x, want %s", tt.name, hash, tt.hash)
		}
		if err := Check(s); err != nil {
			t.Errorf("%s: Check: %v", tt.name, err)
		}
	}
}

// slowEDC divides bit by bit, as the standard says it.
func slowEDC(b []byte) (x uint32) {
	for _, c := range b {
		x ^= uint32(c)
		for range 8 {
			if x&1 != 0 {
				x = x>>1 ^ 0xD8018001
			} else {
				x >>= 1
			}
		}
	}
	return x
}

func TestEDCLengths(t *testing.T) {
	b := make([]byte, 64)
	count(b)
	for i := range b {
		if got, want := EDC(b[i:]), slowEDC(b[i:]); got != want {
			t.Errorf("EDC of %d bytes = %08X, want %08X", len(b)-i, got, want)
		}
	}
	if got := EDC(nil); got != 0 {
		t.Errorf("EDC of nothing = %08X", got)
	}
}

// product multiplies in GF(2^8) modulo x^8+x^4+x^3+x^2+1.
func product(a, b byte) (p byte) {
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			p ^= a
		}
		a = double(a)
	}
	return p
}

// TestCodeWords checks each word of the code against its definition: the sum of
// its bytes is zero, and so is that of the bytes times powers of two (ECMA-130,
// annex A: the parity matrix).
func TestCodeWords(t *testing.T) {
	rnd := rand.NewChaCha8([32]byte{1})
	s := make([]byte, disc.SectorSize)
	for range 20 {
		_, _ = rnd.Read(s)
		EncodeMode1(s, 1000)
		table := s[12:]
		word := func(name string, n int, at func(k int) int) {
			var sum, weighed byte
			for k := range n {
				sum ^= table[at(k)]
				weighed = double(weighed) ^ table[at(k)]
			}
			if sum != 0 || weighed != 0 {
				t.Errorf("%s: sum %02X, weighed sum %02X; want 0", name, sum, weighed)
			}
		}
		for side := range 2 {
			for column := range 43 {
				word("P", 26, func(k int) int { return 2*(43*k+column) + side })
			}
			for diagonal := range 26 {
				word("Q", 45, func(k int) int {
					if k >= 43 {
						return 2*(43*26+(k-43)*26+diagonal) + side
					}
					return 2*((44*k+43*diagonal)%1118) + side
				})
			}
		}
	}
	for b := range 256 {
		if got := product(third[b], 3); got != byte(b) {
			t.Errorf("%02X / 3 * 3 = %02X", b, got)
		}
	}
}

func TestCheckSays(t *testing.T) {
	sectors := map[string]func(s []byte){
		"mode 0":   func(s []byte) { EncodeMode0(s, 5) },
		"mode 1":   func(s []byte) { EncodeMode1(s, 5) },
		"formless": func(s []byte) { count(s[16:]); EncodeMode2(s, 5) },
		"form 1":   func(s []byte) { EncodeForm1(s, 5) },
		"form 2":   func(s []byte) { s[18], s[22], s[100] = 0x20, 0x20, 1; EncodeForm2(s, 5) },
	}
	tests := []struct {
		sector string
		at     int
		with   byte
		want   string
	}{
		{"mode 0", 13, 0xFF, ""}, // the address is the caller's to check
		{"mode 0", 0, 1, "sync"},
		{"mode 0", 2351, 1, "byte 2351"},
		{"mode 1", 2000, 1, "EDC"},
		{"mode 1", 13, 1, "EDC"},
		{"mode 1", 2064, 1, "EDC"},
		{"mode 1", 2070, 1, "P parity"},
		{"mode 1", 2076, 1, "P parity"},
		{"mode 1", 2248, 1, "Q parity"},
		{"mode 1", 15, 1 ^ 3, "mode 03"},
		{"formless", 2000, 1, ""},
		{"form 1", 2000, 1, "EDC"},
		{"form 1", 2200, 1, "P parity"},
		{"form 1", 2351, 1, "Q parity"},
		{"form 2", 2000, 1, "EDC"},
		{"form 2", 2348, 1, "EDC"},
	}
	for _, tt := range tests {
		s := make([]byte, disc.SectorSize)
		sectors[tt.sector](s)
		if err := Check(s); err != nil {
			t.Errorf("%s: %v", tt.sector, err)
		}
		s[tt.at] ^= tt.with
		err := Check(s)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with byte %d wrong: Check = %v, want %q", tt.sector, tt.at, err, tt.want)
		}
	}
	s := make([]byte, disc.SectorSize)
	sectors["form 2"](s)
	clear(s[2348:])
	if err := Check(s); err != nil {
		t.Errorf("Form 2 without EDC: %v", err)
	}
	if err := Check(s[:2351]); err == nil {
		t.Error("Check takes a short sector")
	}
}

func TestEncodeMode0(t *testing.T) {
	s := bytes.Repeat([]byte{0xEE}, disc.SectorSize)
	EncodeMode0(s, -150)
	want := make([]byte, disc.SectorSize)
	copy(want, "\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x00")
	if !bytes.Equal(s, want) {
		t.Errorf("Mode 0 at -150 begins % X", s[:20])
	}
	if !IsRaw(s) || IsRaw(s[1:]) || IsRaw(s[:11]) || IsRaw(nil) {
		t.Error("IsRaw")
	}
}

func TestScramble(t *testing.T) {
	s := make([]byte, disc.SectorSize)
	Header(s, 0, 1)
	clear(s[12:])
	Scramble(s)
	if !IsRaw(s) {
		t.Error("the sync pattern was scrambled")
	}
	if got, want := hex.EncodeToString(s[12:28]), "018000600028001e80086006a802fe81"; got != want {
		t.Errorf("scrambler begins %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(s[2348:]), "72dde599"; got != want {
		t.Errorf("scrambler ends %s, want %s", got, want)
	}
	Scramble(s)
	if !bytes.Equal(s[12:], make([]byte, disc.SectorSize-12)) {
		t.Error("Scramble is not its own inverse")
	}
}

func TestNoAllocations(t *testing.T) {
	s := make([]byte, disc.SectorSize)
	sub := make([]byte, disc.SubSize)
	l := &disc.Layout{Kind: disc.CD, MCN: "1234567890123", Sessions: []disc.Session{{Number: 1, Tracks: []disc.Track{{Number: 1}}, LeadOut: 200}}}
	n := testing.AllocsPerRun(100, func() {
		EncodeForm2(s, 0)
		EncodeForm1(s, 0)
		EncodeMode1(s, 0)
		Scramble(s)
		Scramble(s)
		_ = Check(s)
		Sub(sub, l, 37)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSector: what was encoded agrees, and no longer once a byte is other.
func FuzzSector(f *testing.F) {
	f.Add([]byte("data"), byte(1), uint16(100), byte(1))
	f.Add([]byte{}, byte(0), uint16(0), byte(0xFF))
	f.Add([]byte("sub-header"), byte(3), uint16(2075), byte(4))
	f.Add([]byte("more"), byte(4), uint16(2351), byte(4))
	f.Fuzz(func(t *testing.T, data []byte, kind byte, at uint16, with byte) {
		s := make([]byte, disc.SectorSize)
		copy(s[24:], data)
		s[24] |= 1 // so that the EDC of Form 2 is not 0 by itself
		kind %= 5
		encode := []func([]byte, disc.LBA){EncodeMode0, EncodeMode1, EncodeMode2, EncodeForm1, EncodeForm2}[kind]
		if kind == 4 {
			s[18], s[22] = form2, form2
		}
		if kind == 2 {
			s[16] = ^s[20] // formless
		}
		encode(s, 16)
		if err := Check(s); err != nil {
			t.Fatalf("kind %d: %v", kind, err)
		}
		clean := bytes.Clone(s)
		i := int(at) % len(s)
		s[i] ^= with
		err := Check(s)
		// What nothing protects: addresses but in Mode 1, modes, all of formless
		// data, and a sub-header, of which one copy makes the sector formless.
		open := with == 0 || i >= 12 && i < 16 && kind != 1 || i == 15 || i >= 16 && (kind == 2 || i < 24 && kind > 2) ||
			kind == 4 && bytes.Equal(s[2348:], make([]byte, 4))
		if err == nil && !open {
			t.Errorf("kind %d with byte %d changed by %02X: Check = nil", kind, i, with)
		}
		s[i] ^= with
		Scramble(s)
		Scramble(s)
		if !bytes.Equal(s, clean) {
			t.Error("scrambled twice it is another sector")
		}
	})
}

func benchmark(b *testing.B, size int64, f func(s []byte)) {
	s := make([]byte, disc.SectorSize)
	count(s)
	s[modeAt] = 1
	b.SetBytes(size)
	for b.Loop() {
		f(s)
	}
}

func BenchmarkEDC(b *testing.B) { benchmark(b, 2064, func(s []byte) { EDC(s[:2064]) }) }

func BenchmarkECC(b *testing.B) { benchmark(b, disc.SectorSize, ECC) }

func BenchmarkEncodeMode1(b *testing.B) {
	benchmark(b, disc.SectorSize, func(s []byte) { EncodeMode1(s, 16) })
}

func BenchmarkEncodeForm1(b *testing.B) {
	benchmark(b, disc.SectorSize, func(s []byte) { EncodeForm1(s, 16) })
}

func BenchmarkEncodeForm2(b *testing.B) {
	benchmark(b, disc.SectorSize, func(s []byte) { EncodeForm2(s, 16) })
}

func BenchmarkCheck(b *testing.B) {
	s := make([]byte, disc.SectorSize)
	EncodeMode1(s, 16)
	b.SetBytes(disc.SectorSize)
	for b.Loop() {
		if err := Check(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScramble(b *testing.B) { benchmark(b, disc.SectorSize, Scramble) }
