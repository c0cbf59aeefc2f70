package bot

import "encoding/binary"

// Sizes and signatures of the wrappers (USB Mass Storage Class, Bulk-Only
// Transport 1.0, 5.1 and 5.2). All fields are little-endian.
const (
	cbwSize      = 31
	cswSize      = 13
	cbwSignature = 0x43425355 // USBC
	cswSignature = 0x53425355 // USBS
	flagIn       = 0x80       // bmCBWFlags: data goes to the host
)

// A cbw is a command block wrapper.
type cbw struct {
	tag    uint32
	length uint32 // dCBWDataTransferLength
	in     bool
	lun    byte
	cdb    [16]byte
}

// Status of a command in its CSW (5.2).
const (
	passed     = 0
	failed     = 1
	phaseError = 2
)

// parse reads a wrapper. valid and meaningful are those of 6.2.1 and 6.2.2.
func (w *cbw) parse(b []byte, maxLUN byte) (valid, meaningful bool) {
	if len(b) != cbwSize || binary.LittleEndian.Uint32(b) != cbwSignature {
		return false, false
	}
	w.tag = binary.LittleEndian.Uint32(b[4:])
	w.length = binary.LittleEndian.Uint32(b[8:])
	w.in = b[12]&flagIn != 0
	w.lun = b[13]
	n := b[14]
	if b[12]&^flagIn != 0 || w.lun > maxLUN || n < 1 || n > 16 {
		return true, false
	}
	clear(w.cdb[:])
	copy(w.cdb[:], b[15:15+int(n)])
	return true, true
}

// appendCSW appends a command status wrapper.
func appendCSW(b []byte, tag, residue uint32, status byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, cswSignature)
	b = binary.LittleEndian.AppendUint32(b, tag)
	b = binary.LittleEndian.AppendUint32(b, residue)
	return append(b, status)
}
