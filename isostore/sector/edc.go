package sector

import "encoding/binary"

// edcPoly is x^32+x^31+x^16+x^15+x^4+x^3+x+1 with the lowest power in the
// highest bit (ECMA-130, 14.3).
const edcPoly = 0xD8018001

// edcTable[k][b] is what byte b gives when k zero bytes follow it, so that
// eight bytes cost eight independent look-ups.
var edcTable = func() (t [8][256]uint32) {
	for b := range t[0] {
		x := uint32(b)
		for range 8 {
			x = x>>1 ^ -(x&1)&edcPoly
		}
		t[0][b] = x
	}
	for k := 1; k < len(t); k++ {
		for b := range t[k] {
			x := t[k-1][b]
			t[k][b] = x>>8 ^ t[0][byte(x)]
		}
	}
	return t
}()

// EDC returns the error detection code of b, which a sector stores with its
// lowest byte first (ECMA-130, 14.3).
func EDC(b []byte) (x uint32) {
	t := &edcTable
	for ; len(b) >= 8; b = b[8:] {
		v := binary.LittleEndian.Uint64(b) ^ uint64(x)
		x = t[7][byte(v)] ^ t[6][byte(v>>8)] ^ t[5][byte(v>>16)] ^ t[4][byte(v>>24)] ^
			t[3][byte(v>>32)] ^ t[2][byte(v>>40)] ^ t[1][byte(v>>48)] ^ t[0][byte(v>>56)]
	}
	for _, c := range b {
		x = x>>8 ^ t[0][byte(x)^c]
	}
	return x
}
