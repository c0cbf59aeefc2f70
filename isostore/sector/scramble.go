package sector

import (
	"crypto/subtle"

	"spindle/isostore/disc"
)

// scrambler is what a data sector is mixed with on the disc: the output of a
// shift register of 15 bits, x^15+x+1, which starts with 1, lowest bit first
// (ECMA-130, annex B).
var scrambler = func() (t [disc.SectorSize - headerAt]byte) {
	register := uint16(1)
	for i := range t {
		for bit := range 8 {
			t[i] |= byte(register&1) << bit
			feedback := register&1 ^ register>>1&1
			register = register>>1 | feedback<<14
		}
	}
	return t
}()

// Scramble turns s, a sector of [disc.SectorSize] bytes, into the form in which it
// stands on the disc, and back. The sync pattern stays.
func Scramble(s []byte) {
	data := s[headerAt:disc.SectorSize]
	subtle.XORBytes(data, data, scrambler[:])
}
