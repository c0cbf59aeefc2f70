package sector

import (
	"bytes"
	"testing"

	"spindle/isostore/disc"
)

// interleaved is where on the disc symbol i of a pack lies, from the pack's first
// symbol on: the figure of IEC 60908 written out.
var interleaved = [packSymbols]int{
	0, 2*24 + 18, 5*24 + 5, 7*24 + 23, 4*24 + 4, 2*24 + 2, 6*24 + 6, 7*24 + 7,
	8, 24 + 9, 2*24 + 10, 3*24 + 11, 4*24 + 12, 5*24 + 13, 6*24 + 14, 7*24 + 15,
	16, 24 + 17, 24 + 1, 3*24 + 19, 4*24 + 20, 5*24 + 21, 6*24 + 22, 3*24 + 3,
}

// TestRWPacks lays packs out as a disc has them and reads them back.
func TestRWPacks(t *testing.T) {
	const sectors = 6
	packs := make([]byte, sectors*disc.SubSize)
	stream := make([]byte, (sectors+RWAhead)*disc.SubSize)
	for i := range stream {
		stream[i] = 0xC0 // P and Q, which are no part of a pack
	}
	for i := range packs {
		packs[i] = byte(i*i+3*i) & 0x3F
		stream[i/packSymbols*packSymbols+interleaved[i%packSymbols]] |= packs[i]
	}
	for s := range sectors {
		got := bytes.Repeat([]byte{0xEE}, disc.SubSize)
		RWPacks(got, stream[s*disc.SubSize:])
		if want := packs[s*disc.SubSize:][:disc.SubSize]; !bytes.Equal(got, want) {
			t.Errorf("sector %d = % x, want % x", s, got, want)
		}
	}
}

// TestRWSymbols lays packs out by RWSymbols, which must be as the figure has it.
func TestRWSymbols(t *testing.T) {
	const sectors = 9
	packs := make([]byte, (RWAhead+sectors)*disc.SubSize)
	want := make([]byte, (2*RWAhead+sectors)*disc.SubSize)
	for i := range packs {
		packs[i] = 0xC0 | byte(i*i+5*i)&0x3F
		want[i/packSymbols*packSymbols+interleaved[i%packSymbols]] = packs[i] & 0x3F
	}
	for s := range sectors {
		got := bytes.Repeat([]byte{0xEE}, disc.SubSize)
		RWSymbols(got, packs[s*disc.SubSize:])
		if want := want[(s+RWAhead)*disc.SubSize:][:disc.SubSize]; !bytes.Equal(got, want) {
			t.Errorf("sector %d = % x, want % x", s, got, want)
		}
	}
}

func BenchmarkRWPacks(b *testing.B) {
	var dst [disc.SubSize]byte
	src := make([]byte, (1+RWAhead)*disc.SubSize)
	b.SetBytes(disc.SubSize)
	for b.Loop() {
		RWPacks(dst[:], src)
	}
}
