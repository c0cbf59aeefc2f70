package usbip

import (
	"encoding/binary"
	"errors"
)

// Of the USB/IP protocol (Linux, Documentation/usb/usbip_protocol.rst). All
// fields are big-endian.
const (
	version    = 0x0111
	reqDevlist = 0x8005
	repDevlist = 0x0005
	reqImport  = 0x8003
	repImport  = 0x0003

	opSize    = 8  // version, code, status
	busIDSize = 32 // with its NUL
)

// Status of a reply (tools/usb/usbip/libsrc/usbip_common.h).
const (
	statusOK       = 0
	statusBusy     = 2 // ST_DEV_BUSY: another has it
	statusNoDevice = 4 // ST_NODEV
)

// Commands of an imported device.
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4

	headerSize = 48
)

// Status of an URB: Linux's error numbers, negative.
const (
	urbStall    = -32  // EPIPE
	urbNoMemory = -12  // ENOMEM: more than this server takes
	urbOverflow = -75  // EOVERFLOW: the device sent more than the URB holds
	urbUnlinked = -104 // ECONNRESET
)

const zeroPacket = 0x40 // URB_ZERO_PACKET: a transfer of whole packets ends with an empty one

var errProtocol = errors.New("not the USB/IP protocol")

// A header precedes each message of an imported device.
type header struct {
	command, seq uint32
	in           bool
	ep           uint32
	flags        uint32 // of a submit, as the next three
	length       uint32 // transfer_buffer_length
	packets      uint32 // of an isochronous URB
	setup        setup
	unlink       uint32 // the other seq, of an unlink
}

// A setup is a SETUP packet (USB 2.0, 9.3).
type setup struct {
	requestType, request byte
	value, index, length uint16
}

func (h *header) parse(b *[headerSize]byte) {
	word := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	*h = header{
		command: word(0), seq: word(4), in: word(12) != 0, ep: word(16),
		flags: word(20), length: word(24), packets: word(32), unlink: word(20),
		setup: setup{
			b[40], b[41], binary.LittleEndian.Uint16(b[42:]),
			binary.LittleEndian.Uint16(b[44:]), binary.LittleEndian.Uint16(b[46:]),
		},
	}
}

// putReply makes a RET_SUBMIT or RET_UNLINK: endpoint and device are zero in
// what a server sends.
func putReply(b *[headerSize]byte, command, seq uint32, status, actual int) {
	clear(b[:])
	binary.BigEndian.PutUint32(b[0:], command)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[20:], uint32(int32(status)))
	binary.BigEndian.PutUint32(b[24:], uint32(actual))
}

func appendOp(b []byte, code uint16, status uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, code)
	return binary.BigEndian.AppendUint32(b, status)
}
