package chd

import (
	"errors"
	"math/bits"
)

// errTree: lengths that no prefix code has.
var errTree = errors.New("its Huffman code is impossible")

// A huffTree decodes symbols of a prefix code of at most max bits: at each value
// of the next max bits stand the symbol and, below it, its length.
type huffTree struct {
	max   uint
	table []uint16
}

// newTree makes the table of a code in which symbol i has lengths[i] bits, 0 for
// none. Codes are given out from the longest on, each length in the order of
// symbols.
func newTree(lengths []byte, limit uint) (*huffTree, error) {
	var next [33]uint32 // first the count of a length, then its next code
	for _, l := range lengths {
		if uint(l) > limit {
			return nil, errTree
		}
		next[l]++
	}
	start := uint32(0)
	for l := 32; l > 0; l-- {
		sum := start + next[l]
		if l != 1 && sum%2 != 0 {
			return nil, errTree
		}
		next[l], start = start, sum/2
	}
	t := &huffTree{max: limit, table: make([]uint16, 1<<limit)}
	for symbol, l := range lengths {
		if l == 0 {
			continue
		}
		shift := limit - uint(l)
		first := uint64(next[l]) << shift
		next[l]++
		if first+1<<shift > uint64(len(t.table)) {
			return nil, errTree
		}
		for i := range t.table[first : first+1<<shift] {
			t.table[first+uint64(i)] = uint16(symbol)<<5 | uint16(l)
		}
	}
	return t, nil
}

// decode takes one symbol. Bits that are no code are 0, and b.over fails.
func (t *huffTree) decode(b *bitReader) uint32 {
	e := t.table[b.peek(t.max)]
	if e == 0 {
		b.bad = true
	}
	b.skip(uint(e & 31))
	return uint32(e >> 5)
}

// lengthBits is the width in which a tree of codes up to limit bits is stored.
func lengthBits(limit uint) uint {
	switch {
	case limit >= 16:
		return 5
	case limit >= 8:
		return 4
	}
	return 3
}

// readTreeRLE reads a tree of n symbols as lengths: 1 is an escape, behind which
// stands 1 for itself, or a length and how often it comes, less 3.
func readTreeRLE(b *bitReader, n int, limit uint) (*huffTree, error) {
	width := lengthBits(limit)
	lengths := make([]byte, 0, n)
	for len(lengths) < n {
		l := b.read(width)
		if l != 1 {
			lengths = append(lengths, byte(l))
			continue
		}
		if l = b.read(width); l == 1 {
			lengths = append(lengths, 1)
			continue
		}
		for range int(b.read(width)) + 3 {
			if len(lengths) == n {
				return nil, errTree
			}
			lengths = append(lengths, byte(l))
		}
	}
	if err := b.over(); err != nil {
		return nil, err
	}
	return newTree(lengths, limit)
}

// readTreeHuffman reads a tree of n symbols whose lengths are themselves coded:
// by a small tree of 24 symbols, of which 0 repeats the last length and any
// other is a length plus 1.
func readTreeHuffman(b *bitReader, n int, limit uint) (*huffTree, error) {
	var small [24]byte
	small[0] = byte(b.read(3))
	for i := int(b.read(3)) + 1; i < len(small); i++ {
		l := byte(b.read(3))
		if l == 7 {
			break
		}
		small[i] = l
	}
	codes, err := newTree(small[:], 6)
	if err != nil {
		return nil, err
	}
	runBits := uint(bits.Len(uint(n - 9)))
	lengths := make([]byte, 0, n)
	last := byte(0)
	for len(lengths) < n {
		if v := codes.decode(b); v != 0 {
			last = byte(v - 1)
			lengths = append(lengths, last)
			continue
		}
		run := int(b.read(3)) + 2
		if run == 9 {
			run += int(b.read(runBits))
		}
		for ; run > 0 && len(lengths) < n; run-- {
			lengths = append(lengths, last)
		}
	}
	if err := b.over(); err != nil {
		return nil, err
	}
	return newTree(lengths, limit)
}
