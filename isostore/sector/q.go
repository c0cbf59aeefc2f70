package sector

import (
	"encoding/binary"

	"spindle/isostore/disc"
)

// A Q is sub-channel Q of one sector: control and ADR in byte 0, what ADR says in bytes
// 1 to 9, a CRC in the last two (ECMA-130, 22.3; MMC-6, 4.2.4).
type Q [channelSize]byte

// What ADR, the low nibble of byte 0, says of the rest.
const (
	adrPosition = 1
	adrMCN      = 2
	adrISRC     = 3
)

const leadOutTrack = 0xAA

// Sizes of names, in characters.
const (
	mcnSize  = 13
	isrcSize = 12
)

// Valid reports whether the CRC agrees with the rest.
func (q Q) Valid() bool { return CRC16(q[:10]) == binary.BigEndian.Uint16(q[10:]) }

// seal writes the CRC.
func (q *Q) seal() { binary.BigEndian.PutUint16(q[10:], CRC16(q[:10])) }

// PositionQ returns mode 1 of sub-channel Q: track, index, relative and absolute
// address. The relative address counts down in the pregap, and is zero at its end
// (ECMA-130, 22.3.3).
func PositionQ(t *disc.Track, lba disc.LBA) Q {
	relative := lba - t.Start
	if relative < 0 {
		relative = -1 - relative
	}
	return position(t.Control, bcd(t.Number), bcd(index(t, lba)), relative, lba)
}

// LeadOutQ returns mode 1 of sub-channel Q in the lead-out of the last session that ends
// at or before lba: track AAh, and the control of the session's last track.
func LeadOutQ(l *disc.Layout, lba disc.LBA) Q {
	s := &l.Sessions[0]
	for i := range l.Sessions {
		if l.Sessions[i].LeadOut <= lba {
			s = &l.Sessions[i]
		}
	}
	return position(s.Tracks[len(s.Tracks)-1].Control, leadOutTrack, 1, max(lba-s.LeadOut, 0), lba)
}

// position makes a Q of mode 1; track and index are BCD.
func position(control, track, index byte, relative, lba disc.LBA) (q Q) {
	r, a := (disc.MSF{}.LBA() + relative).MSF(), lba.MSF()
	q = Q{
		control<<4 | adrPosition, track, index,
		bcd(r.M), bcd(r.S), bcd(r.F), 0, bcd(a.M), bcd(a.S), bcd(a.F),
	}
	q.seal()
	return q
}

// index returns the index that lba has in track t.
func index(t *disc.Track, lba disc.LBA) byte {
	if lba < t.Start {
		return 0
	}
	n := byte(1)
	for _, i := range t.Indexes {
		if lba >= i {
			n++
		}
	}
	return n
}

// MCNQ returns mode 2 of sub-channel Q: the media catalogue number, 13 digits, and the
// frame of lba. What is no digit becomes 0.
func MCNQ(control byte, mcn string, lba disc.LBA) (q Q) {
	q[0] = control<<4 | adrMCN
	putDigits(q[1:8], mcn, mcnSize)
	q[9] = bcd(lba.MSF().F)
	q.seal()
	return q
}

// ISRCQ returns mode 3 of sub-channel Q: the international standard recording code,
// 12 characters, and the frame of lba. The first five are letters or digits of 6 bits,
// the others digits; what is neither becomes 0.
func ISRCQ(control byte, isrc string, lba disc.LBA) (q Q) {
	q[0] = control<<4 | adrISRC
	var head uint32
	for i := range 5 {
		var v uint32
		if i < len(isrc) {
			v = uint32(isrcValue(isrc[i]))
		}
		head = head<<6 | v
	}
	binary.BigEndian.PutUint32(q[1:], head<<2)
	if len(isrc) > 5 {
		putDigits(q[5:9], isrc[5:], isrcSize-5)
	}
	q[9] = bcd(lba.MSF().F)
	q.seal()
	return q
}

// ParseMCN returns the media catalogue number of q, and whether q is of mode 2 with
// 13 digits and a CRC that agrees.
func ParseMCN(q Q) (string, bool) {
	if q[0]&0xF != adrMCN || !q.Valid() {
		return "", false
	}
	b, ok := appendDigits(nil, q[1:8], mcnSize)
	return string(b), ok
}

// ParseISRC returns the international standard recording code of q, and whether q is of
// mode 3 with characters as it has them and a CRC that agrees.
func ParseISRC(q Q) (string, bool) {
	if q[0]&0xF != adrISRC || !q.Valid() {
		return "", false
	}
	b := make([]byte, 0, isrcSize)
	for head := binary.BigEndian.Uint32(q[1:]); len(b) < 5; head <<= 6 {
		c, ok := isrcCharacter(byte(head >> 26))
		if !ok {
			return "", false
		}
		b = append(b, c)
	}
	b, ok := appendDigits(b, q[5:9], isrcSize-5)
	return string(b), ok
}

// isrcValue is the 6 bits of a letter or digit: 0 to 9, and 17 for A.
func isrcValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'Z':
		return c - 'A' + 17
	}
	return 0
}

func isrcCharacter(v byte) (byte, bool) {
	switch {
	case v <= 9:
		return '0' + v, true
	case v >= 17 && v < 17+26:
		return 'A' + v - 17, true
	}
	return 0, false
}

// putDigits writes n digits of s, a nibble each, from the high nibble of dst[0] on.
func putDigits(dst []byte, s string, n int) {
	for i := range min(n, len(s)) {
		if c := s[i]; c >= '0' && c <= '9' {
			dst[i/2] |= (c - '0') << (4 - 4*(i%2))
		}
	}
}

// appendDigits appends n digits of src and reports whether they are digits.
func appendDigits(b, src []byte, n int) ([]byte, bool) {
	for i := range n {
		v := src[i/2] >> (4 - 4*(i%2)) & 0xF
		if v > 9 {
			return nil, false
		}
		b = append(b, '0'+v)
	}
	return b, true
}
