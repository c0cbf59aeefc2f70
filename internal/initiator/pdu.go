// Package initiator is a small iSCSI initiator for tests and benchmarks: it
// can say what a well-behaved one never says, byte by byte, and read a disc as
// fast as the other end gives it.
//
// It shares no code with package target/iscsi, so that a mistake in one shows.
package initiator

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
)

// A PDU is one protocol data unit (RFC 7143, 11.2).
type PDU struct {
	Header [48]byte
	AHS    []byte // multiple of 4 bytes
	Data   []byte // without padding
}

// Opcodes that tests send and meet (RFC 7143, 11.2.1.2).
const (
	NopOut   = 0x00
	Command  = 0x01
	TaskMgmt = 0x02
	Login    = 0x03
	Text     = 0x04
	DataOut  = 0x05
	Logout   = 0x06
	SNACK    = 0x10

	NopIn        = 0x20
	Response     = 0x21
	TaskMgmtResp = 0x22
	LoginResp    = 0x23
	TextResp     = 0x24
	DataIn       = 0x25
	LogoutResp   = 0x26
	R2T          = 0x31
	Async        = 0x32
	Reject       = 0x3F

	Immediate = 0x40 // ORed to an opcode
	NoTag     = 0xFFFFFFFF
)

// New returns a PDU with opcode (and [Immediate]) and the flags of byte 1.
func New(opcode, flags byte) *PDU { return &PDU{Header: [48]byte{opcode, flags}} }

// Op returns the opcode.
func (p *PDU) Op() byte { return p.Header[0] & 0x3F }

// Put16 sets the big-endian field at byte at, and returns p.
func (p *PDU) Put16(at int, v uint16) *PDU {
	binary.BigEndian.PutUint16(p.Header[at:], v)
	return p
}

// Put32 sets the big-endian field at byte at, and returns p.
func (p *PDU) Put32(at int, v uint32) *PDU {
	binary.BigEndian.PutUint32(p.Header[at:], v)
	return p
}

// PutBytes sets the bytes from at on, and returns p.
func (p *PDU) PutBytes(at int, b ...byte) *PDU {
	copy(p.Header[at:], b)
	return p
}

// U32 returns the big-endian field at byte at.
func (p *PDU) U32(at int) uint32 { return binary.BigEndian.Uint32(p.Header[at:]) }

// U16 returns the big-endian field at byte at.
func (p *PDU) U16(at int) uint16 { return binary.BigEndian.Uint16(p.Header[at:]) }

// A Conn is a connection to a target.
type Conn struct {
	net.Conn
	HeaderDigest bool
	DataDigest   bool

	CmdSN     uint32 // of the next command
	ExpStatSN uint32
	ITT       uint32 // of the next task
	TSIH      uint16 // after the login

	r       *bufio.Reader
	in, out []byte   // of a Load
	head    [48]byte // of the PDU that a Load or a Session reads
	short   [64]byte // its data, when it is not longer
}

// Dial connects to addr.
func Dial(addr string) (*Conn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return NewConn(nc), nil
}

// NewConn returns a Conn on nc.
func NewConn(nc net.Conn) *Conn {
	return newConn(nc, 64<<10)
}

// newConn returns a Conn that reads so many bytes ahead.
func newConn(nc net.Conn, ahead int) *Conn {
	return &Conn{Conn: nc, CmdSN: 1, ITT: 1, r: bufio.NewReaderSize(nc, ahead)}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Send writes p as it is, but for the data segment length when that is zero
// and p has data: a test may claim another length.
func (c *Conn) Send(p *PDU) error {
	_, err := c.Write(c.Marshal(p))
	return err
}

// Marshal returns the bytes of p with padding and digests.
func (c *Conn) Marshal(p *PDU) []byte {
	h := p.Header
	if h[5]|h[6]|h[7] == 0 {
		h[5], h[6], h[7] = byte(len(p.Data)>>16), byte(len(p.Data)>>8), byte(len(p.Data))
	}
	if h[4] == 0 {
		h[4] = byte(len(p.AHS) / 4)
	}
	b := append(h[:], p.AHS...)
	if c.HeaderDigest {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	}
	if len(p.Data) == 0 {
		return b
	}
	data := append([]byte(nil), p.Data...)
	data = append(data, make([]byte, -len(data)&3)...)
	b = append(b, data...)
	if c.DataDigest {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(data, castagnoli))
	}
	return b
}

// Recv reads the next PDU and checks its digests.
func (c *Conn) Recv() (*PDU, error) {
	p := &PDU{}
	if _, err := io.ReadFull(c.r, p.Header[:]); err != nil {
		return nil, err
	}
	p.AHS = make([]byte, int(p.Header[4])*4)
	if _, err := io.ReadFull(c.r, p.AHS); err != nil {
		return nil, err
	}
	if c.HeaderDigest {
		if err := c.digest(append(p.Header[:], p.AHS...), "header"); err != nil {
			return nil, err
		}
	}
	n := int(p.Header[5])<<16 | int(p.Header[6])<<8 | int(p.Header[7])
	padded := make([]byte, n+-n&3)
	if _, err := io.ReadFull(c.r, padded); err != nil {
		return nil, err
	}
	if c.DataDigest && n > 0 {
		if err := c.digest(padded, "data"); err != nil {
			return nil, err
		}
	}
	p.Data = padded[:n]
	return p, nil
}

func (c *Conn) digest(b []byte, what string) error {
	var d [4]byte
	if _, err := io.ReadFull(c.r, d[:]); err != nil {
		return err
	}
	if got, want := binary.LittleEndian.Uint32(d[:]), crc32.Checksum(b, castagnoli); got != want {
		return fmt.Errorf("%s digest %08x, computed %08x", what, got, want)
	}
	return nil
}

// ErrLogin is what a refused login wraps.
var ErrLogin = errors.New("login refused")

// A LoginError is what came instead of the response that completes a login. It
// is [ErrLogin].
type LoginError struct {
	Op, Flags byte
	Status    uint16 // class and detail, when Op is LoginResp (RFC 7143, 11.13.5)
}

func (e *LoginError) Error() string {
	return fmt.Sprintf("%v: opcode %02x, flags %02x, status %04x", ErrLogin, e.Op, e.Flags, e.Status)
}

// Unwrap returns ErrLogin.
func (e *LoginError) Unwrap() error { return ErrLogin }
