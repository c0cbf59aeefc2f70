package initiator

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// Logout ends the session in the way of RFC 7143, 11.14; what else was under
// way is skipped. The connection is still to be closed.
func (c *Conn) Logout() error {
	p := New(Logout|Immediate, 0x80).Put32(16, c.ITT).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
	if err := c.Send(p); err != nil {
		return err
	}
	for {
		h, _, err := c.next()
		switch {
		case err != nil:
			return fmt.Errorf("no answer to the logout: %w", err)
		case h[0] != LogoutResp:
			continue
		case h[2] != 0:
			return fmt.Errorf("logout: response %d", h[2])
		}
		return nil
	}
}

var sinks = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// next takes a PDU of a connection without digests and throws its data away,
// but for the first bytes, which it returns for as long as nothing else is read.
func (c *Conn) next() (h *[48]byte, head []byte, err error) {
	h = &c.head
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return nil, nil, err
	}
	n := int(h[5])<<16 | int(h[6])<<8 | int(h[7])
	n += -n & 3
	if n == 0 {
		return h, nil, nil
	}
	if n <= len(c.short) {
		_, err := io.ReadFull(c.r, c.short[:n])
		return h, c.short[:n], err
	}
	sink := sinks.Get().(*[64 << 10]byte)
	defer sinks.Put(sink)
	for n > 0 {
		part := min(n, len(sink))
		if _, err := io.ReadFull(c.r, sink[:part]); err != nil {
			return h, nil, err
		}
		n -= part
	}
	return h, nil, nil
}

// A StatusError is a command's status other than GOOD, with what a sense of
// fixed format says.
type StatusError struct {
	Status, Key, ASC, ASCQ byte
}

func (e StatusError) Error() string {
	return fmt.Sprintf("status %02x, sense %x/%02x/%02x", e.Status, e.Key, e.ASC, e.ASCQ)
}

// Do sends a command that reads at most want bytes and waits for its status.
// It returns how much data came; a status other than GOOD is a [StatusError].
// NOP-In are answered; the session has no digests.
func (s *Session) Do(cdb []byte, want int) (got int, err error) {
	p := s.NewCommand(cdb, want, 0)
	p.Header[9] = s.LUN
	if err := s.SendCommand(p); err != nil {
		return 0, err
	}
	tag := p.U32(16)
	for {
		h, head, err := s.next()
		if err != nil {
			return got, err
		}
		n := int(h[5])<<16 | int(h[6])<<8 | int(h[7])
		switch op, of := h[0], binary.BigEndian.Uint32(h[16:]); {
		case op == NopIn:
			if err := s.pong(h); err != nil {
				return got, err
			}
			continue
		case of != tag || op != DataIn && op != Response:
			return got, fmt.Errorf("opcode %02x of task %08x, want task %08x", op, of, tag)
		case op == DataIn:
			got += n
			if h[1]&1 == 0 {
				continue
			}
		}
		s.ExpStatSN = binary.BigEndian.Uint32(h[24:]) + 1
		return got, statusOf(h, head)
	}
}

// pong answers a NOP-In that asks for it.
func (c *Conn) pong(h *[48]byte) error {
	ttt := binary.BigEndian.Uint32(h[20:])
	if ttt == NoTag {
		return nil
	}
	p := New(NopOut|Immediate, 0x80).Put32(16, NoTag).Put32(20, ttt).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
	return c.Send(p.PutBytes(8, h[8:16]...))
}

func statusOf(h *[48]byte, data []byte) error {
	if h[3] == 0 {
		return nil
	}
	e := StatusError{Status: h[3]}
	if len(data) >= 2+14 && h[0] == Response {
		e.Key, e.ASC, e.ASCQ = data[2+2]&15, data[2+12], data[2+13]
	}
	return e
}

// Ready takes the unit attentions that a new session has, with TEST UNIT READY.
func (s *Session) Ready() error {
	var err error
	for range 4 {
		if _, err = s.Do([]byte{0}, 0); err == nil {
			return nil
		}
		if e, ok := err.(StatusError); !ok || e.Key != 6 {
			return err
		}
	}
	return err
}

// Read reads blocks of 2048 bytes with READ(10) and counts the time it takes.
func (s *Session) Read(lba, blocks int) error {
	cdb := [10]byte{0: 0x28}
	binary.BigEndian.PutUint32(cdb[2:], uint32(lba))
	binary.BigEndian.PutUint16(cdb[7:], uint16(blocks))
	begun := time.Now()
	n, err := s.Do(cdb[:], blocks*2048)
	if err != nil {
		return err
	}
	if n != blocks*2048 {
		return fmt.Errorf("READ of %d blocks at %d: %d bytes", blocks, lba, n)
	}
	s.report.ReadTime.Add(time.Since(begun))
	s.report.ReadBytes.Add(int64(n))
	return nil
}
