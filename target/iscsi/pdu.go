package iscsi

import (
	"encoding/binary"
	"fmt"
)

// An opcode is what bits 5-0 of byte 0 of a PDU say (RFC 7143, 11.2.1.2).
type opcode byte

const (
	opNopOut   opcode = 0x00
	opCommand  opcode = 0x01
	opTaskMgmt opcode = 0x02
	opLogin    opcode = 0x03
	opText     opcode = 0x04
	opDataOut  opcode = 0x05
	opLogout   opcode = 0x06
	opSNACK    opcode = 0x10

	opNopIn        opcode = 0x20
	opResponse     opcode = 0x21
	opTaskMgmtResp opcode = 0x22
	opLoginResp    opcode = 0x23
	opTextResp     opcode = 0x24
	opDataIn       opcode = 0x25
	opLogoutResp   opcode = 0x26
	opR2T          opcode = 0x31
	opAsync        opcode = 0x32
	opReject       opcode = 0x3F
)

// Bits of byte 1.
const (
	flagFinal    = 0x80 // F, and T of login requests
	flagContinue = 0x40 // C of login and text
	flagRead     = 0x40 // R of a SCSI command
	flagWrite    = 0x20 // W
	flagOverflow = 0x04 // O of SCSI Response and Data-In
	flagUnder    = 0x02 // U
	flagStatus   = 0x01 // S of Data-In
)

const (
	headerSize = 48
	digestSize = 4
	noTag      = 0xFFFFFFFF // the reserved initiator and target task tag
)

// A header is the basic header segment of a PDU (RFC 7143, 11.2.1).
type header [headerSize]byte

func (h *header) op() opcode      { return opcode(h[0] & 0x3F) }
func (h *header) immediate() bool { return h[0]&0x40 != 0 }
func (h *header) flags() byte     { return h[1] }
func (h *header) final() bool     { return h[1]&flagFinal != 0 }
func (h *header) ahsLen() int     { return int(h[4]) * 4 }
func (h *header) dataLen() int    { return int(h[5])<<16 | int(h[6])<<8 | int(h[7]) }
func (h *header) lun() [8]byte    { return [8]byte(h[8:16]) }
func (h *header) itt() uint32     { return h.u32(16) }
func (h *header) cmdSN() uint32   { return h.u32(24) }
func (h *header) isid() [6]byte   { return [6]byte(h[8:14]) }
func (h *header) tsih() uint16    { return binary.BigEndian.Uint16(h[14:]) }

func (h *header) u32(at int) uint32       { return binary.BigEndian.Uint32(h[at:]) }
func (h *header) put32(at int, v uint32)  { binary.BigEndian.PutUint32(h[at:], v) }
func (h *header) put16(at int, v uint16)  { binary.BigEndian.PutUint16(h[at:], v) }
func (h *header) setDataLen(n int)        { h[5], h[6], h[7] = byte(n>>16), byte(n>>8), byte(n) }
func (h *header) setLUN(l [8]byte)        { copy(h[8:16], l[:]) }
func (h *header) setISID(id [6]byte)      { copy(h[8:14], id[:]) }
func (h *header) start(op opcode, f byte) { *h = header{0: byte(op), 1: f} }

// padding returns how many bytes follow n to the next multiple of 4.
func padding(n int) int { return -n & 3 }

var opcodeNames = map[opcode]string{
	opNopOut: "NOP-Out", opCommand: "SCSI Command", opTaskMgmt: "Task Management",
	opLogin: "Login", opText: "Text", opDataOut: "Data-Out", opLogout: "Logout", opSNACK: "SNACK",
}

func (o opcode) String() string {
	if name, ok := opcodeNames[o]; ok {
		return name
	}
	return fmt.Sprintf("opcode %02Xh", byte(o))
}

// before compares serial numbers (RFC 1982, 32 bits): a is before b.
func before(a, b uint32) bool { return int32(a-b) < 0 }
