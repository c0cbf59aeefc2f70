package initiator

import (
	"fmt"
	"strings"
)

// Options describe a login.
type Options struct {
	Initiator string   // "iqn.2026-11.spindle:test" when empty
	ISID      [6]byte  // 80 00 00 00 00 01 when zero
	Target    string   // discovery when empty
	Keys      []string // further key=value offers
}

func (o Options) text() []byte {
	if o.Initiator == "" {
		o.Initiator = "iqn.2026-11.spindle:test"
	}
	keys := []string{"InitiatorName=" + o.Initiator}
	if o.Target == "" {
		keys = append(keys, "SessionType=Discovery")
	} else {
		keys = append(keys, "SessionType=Normal", "TargetName="+o.Target)
	}
	return []byte(strings.Join(append(keys, o.Keys...), "\x00") + "\x00")
}

func (o Options) isid() [6]byte {
	if o.ISID == [6]byte{} {
		return [6]byte{0x80, 0, 0, 0, 0, 1}
	}
	return o.ISID
}

// LoginRequest returns a login request from the operational stage straight to
// the full feature phase.
func (c *Conn) LoginRequest(o Options) *PDU {
	p := New(Login|Immediate, 0x87)
	isid := o.isid()
	p.PutBytes(8, isid[:]...).Put32(16, c.ITT).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
	p.Data = o.text()
	return p
}

// Login logs in with one request and returns the keys of the answer. Digests
// that were agreed to are in force afterwards.
func (c *Conn) Login(o Options) (map[string]string, error) {
	if err := c.Send(c.LoginRequest(o)); err != nil {
		return nil, err
	}
	p, err := c.Recv()
	if err != nil {
		return nil, err
	}
	return c.loggedIn(p)
}

// loggedIn takes the response that ends a login.
func (c *Conn) loggedIn(p *PDU) (map[string]string, error) {
	if p.Op() != LoginResp || p.U16(36) != 0 || p.Header[1]&0x83 != 0x83 {
		return nil, &LoginError{p.Op(), p.Header[1], p.U16(36)}
	}
	keys := ParseText(p.Data)
	c.TSIH = p.U16(14)
	c.ExpStatSN = p.U32(24) + 1
	c.ITT++
	c.HeaderDigest = keys["HeaderDigest"] == "CRC32C"
	c.DataDigest = keys["DataDigest"] == "CRC32C"
	return keys, nil
}

// ParseText splits login or text data.
func ParseText(b []byte) map[string]string {
	keys := map[string]string{}
	for item := range strings.SplitSeq(string(b), "\x00") {
		if name, value, ok := strings.Cut(item, "="); ok {
			keys[name] = value
		}
	}
	return keys
}

// A Result is how a command ended.
type Result struct {
	Status   byte
	Response byte
	Sense    []byte // without its length
	Data     []byte
	Flags    byte   // O and U, of the PDU with the status
	Residual uint32 // of that PDU
	R2Ts     int
	PDUs     []*PDU // everything that came for the task
}

// Do sends a SCSI command to LUN 0 and serves it to its end: read is the
// length that the host expects in, out what it sends, of which immediate bytes
// go with the command.
func (c *Conn) Do(cdb []byte, read int, out []byte, immediate int) (*Result, error) {
	p := c.NewCommand(cdb, read, len(out))
	p.Data = out[:immediate]
	if err := c.SendCommand(p); err != nil {
		return nil, err
	}
	return c.Wait(p.U32(16), out)
}

// NewCommand returns a SCSI command with the next tag and CmdSN.
func (c *Conn) NewCommand(cdb []byte, read, write int) *PDU {
	p := New(Command, 0x80|0x01) // F, SIMPLE
	if read > 0 {
		p.Header[1] |= 0x40
		p.Put32(20, uint32(read))
	}
	if write > 0 {
		p.Header[1] |= 0x20
		p.Put32(20, uint32(write))
	}
	p.Put32(16, c.ITT).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
	copy(p.Header[32:], cdb)
	return p
}

// SendCommand sends p and counts its tag and CmdSN as used.
func (c *Conn) SendCommand(p *PDU) error {
	c.ITT++
	if p.Header[0]&Immediate == 0 {
		c.CmdSN++
	}
	return c.Send(p)
}

// Wait reads PDUs until the task of tag has its status, and answers R2T from
// out. A PDU of anything else is an error.
func (c *Conn) Wait(tag uint32, out []byte) (*Result, error) {
	r := &Result{}
	for {
		p, err := c.Recv()
		if err != nil {
			return r, err
		}
		r.PDUs = append(r.PDUs, p)
		if p.U32(16) != tag {
			return r, fmt.Errorf("opcode %02x of task %08x, want task %08x", p.Op(), p.U32(16), tag)
		}
		switch p.Op() {
		case DataIn:
			if at := int(p.U32(40)); at != len(r.Data) {
				return r, fmt.Errorf("Data-In at offset %d, want %d", at, len(r.Data))
			}
			r.Data = append(r.Data, p.Data...)
			if p.Header[1]&1 == 0 {
				continue
			}
			r.end(c, p)
			return r, nil
		case R2T:
			r.R2Ts++
			if err := c.answerR2T(p, out); err != nil {
				return r, err
			}
		case Response:
			r.end(c, p)
			r.Response = p.Header[2]
			if len(p.Data) > 2 {
				r.Sense = p.Data[2:]
			}
			return r, nil
		default:
			return r, fmt.Errorf("unexpected opcode %02x, data %x", p.Op(), p.Data)
		}
	}
}

func (r *Result) end(c *Conn, p *PDU) {
	r.Status, r.Flags, r.Residual = p.Header[3], p.Header[1]&6, p.U32(44)
	c.ExpStatSN = p.U32(24) + 1
}

func (c *Conn) answerR2T(r2t *PDU, out []byte) error {
	at, n := int(r2t.U32(40)), int(r2t.U32(44))
	if at+n > len(out) {
		return fmt.Errorf("R2T asks for %d bytes at %d of %d", n, at, len(out))
	}
	const most = 8192
	for sn := uint32(0); n > 0; sn++ {
		part := min(n, most)
		p := New(DataOut, 0).Put32(16, r2t.U32(16)).Put32(20, r2t.U32(20)).Put32(28, c.ExpStatSN).Put32(36, sn).Put32(40, uint32(at))
		p.Data = out[at : at+part]
		if part == n {
			p.Header[1] = 0x80
		}
		if err := c.Send(p); err != nil {
			return err
		}
		at, n = at+part, n-part
	}
	return nil
}
