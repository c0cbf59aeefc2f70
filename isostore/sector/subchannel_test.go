package sector

import (
	"bytes"
	"encoding/hex"
	"testing"

	"spindle/isostore/disc"
)

// mixed has an MCN, a pregap, indexes and two sessions.
var mixed = &disc.Layout{
	Kind: disc.CD,
	MCN:  "1234567890123",
	Sessions: []disc.Session{
		{Number: 1, Tracks: []disc.Track{
			{Number: 1, Pregap: -150, Start: 0, ISRC: "DEABC2600001"},
			{Number: 2, Control: 2, Pregap: 1000, Start: 1137, Indexes: []disc.LBA{1237, 1238, 1373}},
			{Number: 3, Pregap: 2000, Start: 2000, ISRC: "USZ990012345"},
		}, LeadOut: 3000},
		{Number: 2, Type: 0x20, Tracks: []disc.Track{
			{Number: 4, Control: 4, Mode: disc.Mode2XA, Pregap: 14250, Start: 14400},
		}, LeadOut: 20000},
	},
}

func TestQVectors(t *testing.T) {
	tests := []struct {
		name, want string
		q          Q
	}{
		{"data track 1 at 0", "410101000000000002002832", PositionQ(&disc.Track{Number: 1, Control: 4}, 0)},
		{"pregap of track 1", "01010000017400000000", PositionQ(&disc.Track{Number: 1}, -150)},
		{"last of a pregap", "01010000000000000174", PositionQ(&disc.Track{Number: 1}, -1)},
		{"hidden track", "01010000152400000000", PositionQ(&disc.Track{Number: 1, Pregap: -150, Start: 1000}, -150)},
		{"index 4", "21020400034300002055", PositionQ(&mixed.Sessions[0].Tracks[1], 1137+268)},
		{"track 42", "01420100000000000200", PositionQ(&disc.Track{Number: 42}, 0)},
		{"lead-out", "01aa0100000000004200", LeadOutQ(mixed, 3000)},
		{"between sessions", "01aa0100022500004425", LeadOutQ(mixed, 3175)},
		{"last lead-out", "41aa0100000100042851", LeadOutQ(mixed, 20001)},
		{"MCN", "02123456789012300062", MCNQ(0, "1234567890123", 62)},
		{"ISRC", "035154524c2600001000", ISRCQ(0, "DEABC2600001", 0)},
	}
	for _, tt := range tests {
		got := hex.EncodeToString(tt.q[:])
		if got[:min(len(tt.want), len(got))] != tt.want || !tt.q.Valid() {
			t.Errorf("%s: Q = %s, valid %v; want %s", tt.name, got, tt.q.Valid(), tt.want)
		}
	}
}

func TestCRC16(t *testing.T) {
	pack, _ := hex.DecodeString("88002300010e003f0212000000000000")
	if got := CRC16(pack); got != 0x1200 {
		t.Errorf("CRC of a pack = %04X, want 1200", got)
	}
	if got := ^CRC16([]byte("123456789")); got != 0x31C3 { // CRC-16/XMODEM
		t.Errorf("CRC of 123456789 = %04X, want 31C3", got)
	}
}

func TestMCNAndISRC(t *testing.T) {
	for _, mcn := range []string{"1234567890123", "0000000000000", "9999999999999"} {
		q := MCNQ(4, mcn, 1000)
		if got, ok := ParseMCN(q); !ok || got != mcn {
			t.Errorf("ParseMCN of %s = %q, %v", mcn, got, ok)
		}
		if _, ok := ParseISRC(q); ok {
			t.Errorf("ParseISRC takes %x", q)
		}
	}
	for _, isrc := range []string{"DEABC2600001", "00AZ99999999", "ZZZZZ0000000"} {
		q := ISRCQ(0, isrc, 1000)
		if got, ok := ParseISRC(q); !ok || got != isrc {
			t.Errorf("ParseISRC of %s = %q, %v", isrc, got, ok)
		}
		if _, ok := ParseMCN(q); ok {
			t.Errorf("ParseMCN takes %x", q)
		}
	}
	for _, wrong := range []string{"", "1", "12345678901234567", "abcdefghijklm", "DE-ABC-26-00001"} {
		if !MCNQ(0, wrong, 0).Valid() || !ISRCQ(0, wrong, 0).Valid() {
			t.Errorf("%q makes a Q without CRC", wrong)
		}
	}
	bad := MCNQ(0, "1234567890123", 0)
	bad[11] ^= 1
	if _, ok := ParseMCN(bad); ok || bad.Valid() {
		t.Error("ParseMCN takes a bad CRC")
	}
	for at, parse := range map[int]func(Q) (string, bool){1: ParseMCN, 6: ParseMCN, 5: ParseISRC, 4: ParseISRC} {
		q := Q{adrMCN, 9: 1}
		if at == 4 || at == 5 {
			q[0] = adrISRC
		}
		q[at] = 0xFF // no digit, and as the last of the letters no letter
		q.seal()
		if name, ok := parse(q); ok {
			t.Errorf("byte %d of FF is read as %q", at, name)
		}
	}
}

func TestInterleaveVector(t *testing.T) {
	q := PositionQ(&disc.Track{Number: 1, Control: 4}, 0)
	stored := append(bytes.Repeat([]byte{0xFF}, 12), q[:]...)
	stored = append(stored, make([]byte, 72)...)
	var symbols, back [disc.SubSize]byte
	Interleave(symbols[:], stored)
	for at, want := range map[int]string{0: "80c08080808080c0", 80: "8080c080c0808080", 88: "8080c0c08080c080"} {
		if got := hex.EncodeToString(symbols[at : at+8]); got != want {
			t.Errorf("symbols from %d = %s, want %s", at, got, want)
		}
	}
	if got := QOf(symbols[:]); got != q {
		t.Errorf("QOf = %x, want %x", got, q)
	}
	Deinterleave(back[:], symbols[:])
	if !bytes.Equal(back[:], stored) {
		t.Errorf("Deinterleave = %x, want %x", back, stored)
	}
}

// TestInterleaveBits moves each bit alone.
func TestInterleaveBits(t *testing.T) {
	for bit := range 8 * disc.SubSize {
		channel, place := bit/96, bit%96
		var src, dst, back [disc.SubSize]byte
		src[bit/8] = 0x80 >> (bit % 8)
		Interleave(dst[:], src[:])
		var want [disc.SubSize]byte
		want[place] = 0x80 >> channel
		Deinterleave(back[:], dst[:])
		if dst != want || back != src {
			t.Fatalf("bit %d of channel %d: symbols %x, back %x", place, channel, dst, back)
		}
	}
}

// TestSub walks all of a layout: what is not MCN or ISRC is the position, and these
// are in each hundred once where there are any.
func TestSub(t *testing.T) {
	starts := map[disc.LBA]bool{-150: true, 0: true, 1000: true, 1137: true, 1237: true, 1238: true, 1373: true, 2000: true, 14250: true, 14400: true}
	counts := map[disc.LBA][2]int{}
	sub := make([]byte, disc.SubSize)
	for lba := disc.LBA(-150); lba < 20100; lba++ {
		Sub(sub, mixed, lba)
		q := QOf(sub)
		_, track := mixed.TrackAt(lba)
		if !q.Valid() {
			t.Fatalf("Q at %d = %x: bad CRC", lba, q)
		}
		hundred := (lba + 200) / 100
		n := counts[hundred]
		mcn, isMCN := ParseMCN(q)
		isrc, isISRC := ParseISRC(q)
		switch {
		case isMCN && mcn == mixed.MCN && track != nil && !starts[lba]:
			n[0]++
		case isISRC && track != nil && isrc == track.ISRC && !starts[lba]:
			n[1]++
		case track == nil && q == LeadOutQ(mixed, lba):
		case track != nil && q == PositionQ(track, lba):
		default:
			t.Errorf("Q at %d = %x", lba, q)
		}
		counts[hundred] = n
		if pause := track != nil && lba < track.Start; sub[0]>>7 != sub[95]>>7 || (sub[0]&0x80 != 0) != pause {
			t.Errorf("P at %d is %v, want %v", lba, sub[0]&0x80 != 0, pause)
		}
	}
	for lba := disc.LBA(0); lba < 3000; lba += 100 {
		want := [2]int{1, 1}
		if lba >= 1000 && lba < 2000 {
			want[1] = 0 // track 2 has no ISRC
		}
		if got := counts[(lba+200)/100]; got != want {
			t.Errorf("sectors from %d: %d MCN, %d ISRC; want %d", lba, got[0], got[1], want)
		}
	}
}

// A disc whose layout has no pregap of track 1 has one all the same.
func TestSubBeforeTheFirstTrack(t *testing.T) {
	l := &disc.Layout{Kind: disc.CD, Sessions: []disc.Session{{Number: 1, Tracks: []disc.Track{{Number: 1, Control: 4, Mode: disc.Mode1}}, LeadOut: 10}}}
	sub := make([]byte, disc.SubSize)
	Sub(sub, l, -150)
	if got, want := QOf(sub), PositionQ(l.First(), -150); got != want || sub[0]&0x80 == 0 {
		t.Errorf("Q at -150 = %x, P %02X; want %x and P set", got, sub[0], want)
	}
}

func BenchmarkSub(b *testing.B) {
	sub := make([]byte, disc.SubSize)
	b.SetBytes(disc.SubSize)
	for b.Loop() {
		Sub(sub, mixed, 1500)
	}
}

func BenchmarkInterleave(b *testing.B) {
	var dst, src [disc.SubSize]byte
	b.SetBytes(disc.SubSize)
	for b.Loop() {
		Interleave(dst[:], src[:])
	}
}
