package sector

import (
	"encoding/binary"

	"spindle/isostore/disc"
)

// The product code of ECMA-130, annex A, over GF(2^8) modulo
// x^8+x^4+x^3+x^2+1. Its bytes, from the header on, are a table of rows of 86:
// 24 rows of data and 2 that P adds, a column at a time. Q runs over all 26
// rows along diagonals of 43 steps, each one row down and two bytes right, and
// from the last row on to the first.
const (
	eccRow   = 86
	eccRows  = 24
	qRows    = eccRows + 2
	qSteps   = 43
	qStep    = eccRow + 2
	pSize    = 2 * eccRow
	qSize    = 2 * 2 * qRows
	eccSize  = pSize + qSize
	eccTable = qRows * eccRow // bytes under Q
)

// third[b] is b divided by 3 in GF(2^8).
var third = func() (t [256]byte) {
	for b := range 256 {
		t[byte(b)^double(byte(b))] = byte(b)
	}
	return t
}()

// double is b times 2 in GF(2^8).
func double(b byte) byte { return b<<1 ^ -(b>>7)&0x1D }

// double8 is double of each of eight bytes.
func double8(x uint64) uint64 {
	high := x >> 7 & 0x0101010101010101
	return x&0x7F7F7F7F7F7F7F7F<<1 ^ high*0x1D
}

// ECC writes the P and Q parity of s, a Mode 1 or Mode 2 Form 1 sector whole
// but for it, at s[2076:2352]. For Mode 2, which s[15] says, the header counts
// as zero (ECMA-130, 14.5 and annex A; for Form 1 the CD-ROM XA specification).
func ECC(s []byte) {
	var table parityTable
	table.fill(s)
	parity := table.parity()
	copy(s[eccAt:disc.SectorSize], parity[:])
}

// A parityTable is the table under the code, repeated for as long as the last
// diagonal goes, so that none has to be wrapped.
type parityTable [(qRows-1)*eccRow + qSteps*qStep]byte

// fill takes the data of s, without its parity.
func (p *parityTable) fill(s []byte) {
	copy(p[:eccRows*eccRow], s[headerAt:eccAt])
	if s[modeAt] != 1 {
		clear(p[:4])
	}
}

// parity returns P and Q, as they stand in a sector.
func (p *parityTable) parity() (out [eccSize]byte) {
	const last = eccRow - 8 // 86 is no multiple of 8: the last columns are done twice
	for col := 0; col < eccRow; col += 8 {
		col := min(col, last)
		p.columns(out[:pSize], col)
	}
	copy(p[eccRows*eccRow:], out[:pSize])
	copy(p[eccTable:], p[:eccTable])
	copy(p[2*eccTable:], p[:])
	for i := 0; i < qRows; i += 4 {
		i := min(i, qRows-4)
		p.diagonals(out[pSize:], i)
	}
	return out
}

// columns computes P of eight columns from col on.
func (p *parityTable) columns(out []byte, col int) {
	var a, b uint64
	for i := col; i < eccRows*eccRow; i += eccRow {
		x := binary.LittleEndian.Uint64(p[i:])
		a = double8(a ^ x)
		b ^= x
	}
	solve(out[col:], out[eccRow+col:], a, b)
}

// diagonals computes Q of the four diagonals from number i on, each of two
// bytes side by side.
func (p *parityTable) diagonals(out []byte, i int) {
	var a, b uint64
	for q := p[i*eccRow : i*eccRow+qSteps*qStep+3*eccRow]; len(q) >= qStep+3*eccRow; q = q[qStep:] {
		x := uint64(binary.LittleEndian.Uint16(q)) |
			uint64(binary.LittleEndian.Uint16(q[eccRow:]))<<16 |
			uint64(binary.LittleEndian.Uint16(q[2*eccRow:]))<<32 |
			uint64(binary.LittleEndian.Uint16(q[3*eccRow:]))<<48
		a = double8(a ^ x)
		b ^= x
	}
	solve(out[2*i:], out[2*qRows+2*i:], a, b)
}

// solve writes the two parity bytes of eight code words, of which sum is the sum
// of the bytes, and weighed that of each times 2 to the power of its place from
// the end, which is 1.
func solve(first, second []byte, weighed, sum uint64) {
	x := double8(weighed) ^ sum
	for k := range 8 {
		v := third[byte(x>>(8*k))]
		first[k], second[k] = v, v^byte(sum>>(8*k))
	}
}
