package scsi

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Sense is the part of an error that goes on the wire (SPC-4, 4.5). It is a
// comparable value: wrap it to add context for the log, and test for it with
// errors.Is, which compares key and code and nothing else.
type Sense struct {
	Key   Key     // sense key
	Code  uint16  // additional sense code in the high byte, qualifier in the low
	Valid bool    // Info holds something
	Info  uint32  // information: for a medium error, the first bad LBA; in blocks
	SKS   [3]byte // sense key specific: field pointer or progress; zero when unused
	ILI   bool    // incorrect length indicator
}

// A Key is a sense key (SPC-4, 4.5.6).
type Key byte

// Sense keys.
const (
	NoSense        Key = 0x0
	RecoveredError Key = 0x1
	NotReady       Key = 0x2
	MediumError    Key = 0x3
	HardwareError  Key = 0x4
	IllegalRequest Key = 0x5
	UnitAttention  Key = 0x6
	DataProtect    Key = 0x7
	BlankCheck     Key = 0x8
	AbortedCommand Key = 0xB
)

// FixedSenseLen is the length in bytes of fixed format sense data.
const FixedSenseLen = 18

// AppendFixed appends s in fixed format, current error (SPC-4, 4.5.3).
func (s Sense) AppendFixed(b []byte) []byte {
	code := byte(0x70)
	if s.Valid {
		code |= 0x80
	}
	key := byte(s.Key)
	if s.ILI {
		key |= 0x20
	}
	b = append(b, code, 0, key)
	b = binary.BigEndian.AppendUint32(b, s.info())
	b = append(b, FixedSenseLen-8, 0, 0, 0, 0, byte(s.Code>>8), byte(s.Code), 0)
	return append(b, s.SKS[:]...)
}

// AppendDescriptor appends s in descriptor format, current error (SPC-4,
// 4.5.2): the header, then a descriptor for each part that s holds.
func (s Sense) AppendDescriptor(b []byte) []byte {
	start := len(b)
	b = append(b, 0x72, byte(s.Key), byte(s.Code>>8), byte(s.Code), 0, 0, 0, 0)
	if s.Valid {
		b = append(b, 0x00, 0x0A, 0x80, 0, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint32(b, s.Info)
	}
	if s.SKS != [3]byte{} {
		b = append(b, 0x02, 0x06, 0, 0, s.SKS[0], s.SKS[1], s.SKS[2], 0)
	}
	if s.ILI {
		b = append(b, 0x05, 0x02, 0, 0x20)
	}
	b[start+7] = byte(len(b) - start - 8)
	return b
}

func (s Sense) info() uint32 {
	if s.Valid {
		return s.Info
	}
	return 0
}

// Error names the sense as the tables of the standards do, "5/24/00 INVALID
// FIELD IN CDB", with the LBA when there is one.
func (s Sense) Error() string {
	text := fmt.Sprintf("%X/%02X/%02X", byte(s.Key), byte(s.Code>>8), byte(s.Code))
	if name, ok := codeNames[s.Code]; ok {
		text += " " + name
	}
	if s.Valid {
		text += fmt.Sprintf(" at block %d", s.Info)
	}
	return text
}

// Is compares key and code, so that errors.Is ignores where an error happened.
func (s Sense) Is(target error) bool {
	t, ok := target.(Sense)
	return ok && t.Key == s.Key && t.Code == s.Code
}

// At returns s with lba as its INFORMATION.
func (s Sense) At(lba uint32) Sense {
	s.Valid, s.Info = true, lba
	return s
}

// Progress returns s with done of total, of a long operation, as its sense key
// specific bytes (SPC-4, 4.5.3.5).
func (s Sense) Progress(done, total int64) Sense {
	p := uint16(0)
	if total > 0 {
		p = uint16(min(done*65536/total, 65535))
	}
	s.SKS = [3]byte{0x80, byte(p >> 8), byte(p)}
	return s
}

// FieldInCDB is INVALID FIELD IN CDB with a pointer to the byte and the bit,
// or to the whole byte when bit is negative (SPC-4, 4.5.3.2).
func FieldInCDB(index, bit int) Sense {
	s := ErrInvalidFieldInCDB
	s.SKS = fieldPointer(0xC0, index, bit)
	return s
}

// FieldInParameterList is INVALID FIELD IN PARAMETER LIST with a pointer as in
// [FieldInCDB].
func FieldInParameterList(index, bit int) Sense {
	s := ErrInvalidFieldInParameterList
	s.SKS = fieldPointer(0x80, index, bit)
	return s
}

func fieldPointer(flags byte, index, bit int) [3]byte {
	if bit >= 0 {
		flags |= 0x08 | byte(bit&7)
	}
	return [3]byte{flags, byte(index >> 8), byte(index)}
}

// SenseOf returns the sense to send for err: [ErrInternal] when it carries none.
func SenseOf(err error) Sense {
	if s, ok := errors.AsType[Sense](err); ok {
		return s
	}
	return ErrInternal
}
