package target

import (
	"encoding/binary"
	"fmt"
)

// A LUN is the eight-byte logical unit number of the wire (SAM-5, 4.7).
type LUN [8]byte

// number returns the number of a single-level LUN by the peripheral device or
// the flat space addressing method; ok is false for any other.
func (l LUN) number() (n uint16, ok bool) {
	if [6]byte(l[2:]) != [6]byte{} {
		return 0, false
	}
	switch l[0] >> 6 {
	case 0: // peripheral device addressing, bus 0
		return uint16(l[1]), l[0] == 0
	case 1: // flat space addressing
		return binary.BigEndian.Uint16(l[:2]) & 0x3FFF, true
	}
	return 0, false
}

// makeLUN is the form that Linux uses: peripheral below 256, flat above.
func makeLUN(n uint16) (l LUN) {
	if n > 0xFF {
		n |= 0x4000
	}
	binary.BigEndian.PutUint16(l[:], n)
	return l
}

func (l LUN) String() string {
	if n, ok := l.number(); ok {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%x", l[:])
}
