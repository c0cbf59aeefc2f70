// Package sector makes and checks what surrounds the user data of a CD: sync,
// header, EDC and ECC of sectors, the scrambler, the sub-channels P to W, and
// CD-TEXT. It has no state, reads no file and, but for CD-TEXT, allocates
// nothing.
//
// Terms are those of ECMA-130 and MMC-6.
package sector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"spindle/isostore/disc"
)

// Where the fields of a sector begin, in bytes (ECMA-130, 14).
const (
	headerAt = 12   // address M S F in BCD, then the mode
	modeAt   = 15   //
	dataAt   = 16   // user data of Mode 1, the sub-header of Mode 2 XA
	submode  = 18   // third byte of the sub-header
	xaAt     = 24   // user data of Mode 2 XA
	edc1At   = 2064 // EDC of Mode 1, then 8 zero bytes
	edcXA1At = 2072 // EDC of Mode 2 Form 1
	eccAt    = 2076 // P and Q parity
	edcXA2At = 2348 // EDC of Mode 2 Form 2
)

// form2 is the bit of the sub-mode that says Form 2.
const form2 = 0x20

// syncField starts every sector of a data track (ECMA-130, 14.1).
var syncField = [headerAt]byte{0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0}

// IsRaw reports whether s begins with the sync pattern of a data sector.
func IsRaw(s []byte) bool { return bytes.HasPrefix(s, syncField[:]) }

// Header writes sync, the address of lba and mode at s[0:16].
func Header(s []byte, lba disc.LBA, mode byte) {
	m := lba.MSF()
	copy(s, syncField[:])
	s[headerAt], s[headerAt+1], s[headerAt+2], s[modeAt] = bcd(m.M), bcd(m.S), bcd(m.F), mode
}

// EncodeMode0 makes s the empty sector of a data track at lba: it clears the data.
// As all Encode functions it takes a whole sector of [disc.SectorSize] bytes.
func EncodeMode0(s []byte, lba disc.LBA) {
	Header(s, lba, 0)
	clear(s[dataAt:disc.SectorSize])
}

// EncodeMode1 puts sync, header, EDC and ECC around the user data at s[16:2064].
func EncodeMode1(s []byte, lba disc.LBA) {
	Header(s, lba, 1)
	binary.LittleEndian.PutUint32(s[edc1At:], EDC(s[:edc1At]))
	clear(s[edc1At+4 : eccAt])
	ECC(s)
}

// EncodeMode2 puts sync and header before the 2336 bytes of formless Mode 2 data at
// s[16:2352].
func EncodeMode2(s []byte, lba disc.LBA) { Header(s, lba, 2) }

// EncodeForm1 puts sync, header, EDC and ECC around sub-header and user data of Mode 2
// Form 1 at s[16:24] and s[24:2072].
func EncodeForm1(s []byte, lba disc.LBA) {
	Header(s, lba, 2)
	binary.LittleEndian.PutUint32(s[edcXA1At:], EDC(s[dataAt:edcXA1At]))
	ECC(s)
}

// EncodeForm2 puts sync, header and EDC around sub-header and user data of Mode 2 Form
// 2 at s[16:24] and s[24:2348].
func EncodeForm2(s []byte, lba disc.LBA) {
	Header(s, lba, 2)
	binary.LittleEndian.PutUint32(s[edcXA2At:], EDC(s[dataAt:edcXA2At]))
}

// Check reports what of s, a sector of a data track of [disc.SectorSize] bytes, does not
// agree: the sync pattern, the mode, the EDC or the ECC. It judges by the mode in the
// header and by the sub-header: a Mode 2 sector whose two copies of that differ is
// formless and passes, as does Form 2 with an EDC of 0, which is allowed to have
// none. The address is not checked.
func Check(s []byte) error {
	if len(s) != disc.SectorSize {
		return fmt.Errorf("sector of %d bytes, want %d", len(s), disc.SectorSize)
	}
	if !IsRaw(s) {
		return fmt.Errorf("no sync pattern: the sector begins % X", s[:headerAt])
	}
	switch s[modeAt] {
	case 0:
		for i, b := range s[dataAt:] {
			if b != 0 {
				return fmt.Errorf("byte %d of a Mode 0 sector is %02X, not 0", dataAt+i, b)
			}
		}
		return nil
	case 1:
		if err := checkEDC(s[:edc1At], s[edc1At:]); err != nil {
			return err
		}
		return checkECC(s)
	case 2:
		return checkMode2(s)
	}
	return fmt.Errorf("mode %02X in the header, want 0, 1 or 2", s[modeAt])
}

func checkMode2(s []byte) error {
	switch {
	case !bytes.Equal(s[dataAt:dataAt+4], s[dataAt+4:xaAt]):
		return nil // formless
	case s[submode]&form2 == 0:
		if err := checkEDC(s[dataAt:edcXA1At], s[edcXA1At:]); err != nil {
			return err
		}
		return checkECC(s)
	case binary.LittleEndian.Uint32(s[edcXA2At:]) == 0:
		return nil
	}
	return checkEDC(s[dataAt:edcXA2At], s[edcXA2At:])
}

// checkEDC compares the EDC of data with the one stored.
func checkEDC(data, stored []byte) error {
	want, got := EDC(data), binary.LittleEndian.Uint32(stored)
	if got != want {
		return fmt.Errorf("EDC is %08X, its data have %08X", got, want)
	}
	return nil
}

func checkECC(s []byte) error {
	var table parityTable
	table.fill(s)
	parity, stored := table.parity(), s[eccAt:]
	switch {
	case !bytes.Equal(parity[:pSize], stored[:pSize]):
		return errors.New("ECC: P parity does not agree with the data")
	case !bytes.Equal(parity[pSize:], stored[pSize:]):
		return errors.New("ECC: Q parity does not agree with the data")
	}
	return nil
}

func bcd(b byte) byte { return b/10<<4 | b%10 }
