package initiator

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"time"
)

// A Load reads blocks of 2048 bytes with READ(10), so many commands at once.
type Load struct {
	LUN    byte
	Blocks int // a command
	Depth  int // commands at once
	Random bool
	Span   int // blocks of the disc that are read
	For    time.Duration
	Count  int // commands in all instead of For, when it is not 0
}

// Run reads until the time is over and returns the bytes that came and the
// time that it took. It checks lengths and statuses, not data nor digests.
func (l Load) Run(c *Conn) (bytes int64, took time.Duration, err error) {
	start := time.Now()
	deadline := start.Add(l.For)
	sink := c.sink()
	var lba, out, sent int
	var send []byte
	for {
		send = c.out[:0]
		for l.more(sent, deadline) && out < l.Depth {
			if lba+l.Blocks > l.Span {
				lba = 0
			}
			if l.Random {
				lba = rand.IntN(l.Span - l.Blocks)
			}
			send = c.appendRead(send, l, lba)
			lba += l.Blocks
			out++
			sent++
		}
		if c.out = send; len(send) > 0 {
			if _, err := c.Write(send); err != nil {
				return bytes, time.Since(start), err
			}
		}
		if out == 0 {
			return bytes, time.Since(start), nil
		}
		n, done, err := c.drain(sink)
		if err != nil {
			return bytes, time.Since(start), err
		}
		bytes += int64(n)
		if done {
			out--
		}
	}
}

func (l Load) more(sent int, deadline time.Time) bool {
	if l.Count > 0 {
		return sent < l.Count
	}
	return time.Now().Before(deadline)
}

func (c *Conn) appendRead(b []byte, l Load, lba int) []byte {
	var h [48]byte
	h[0], h[1] = Command, 0x80|0x40|0x01
	h[9] = l.LUN
	binary.BigEndian.PutUint32(h[16:], c.ITT)
	binary.BigEndian.PutUint32(h[20:], uint32(l.Blocks*2048))
	binary.BigEndian.PutUint32(h[24:], c.CmdSN)
	binary.BigEndian.PutUint32(h[28:], c.ExpStatSN)
	h[32] = 0x28
	binary.BigEndian.PutUint32(h[34:], uint32(lba))
	binary.BigEndian.PutUint16(h[39:], uint16(l.Blocks))
	c.ITT++
	c.CmdSN++
	b = append(b, h[:]...)
	if c.HeaderDigest {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[len(b)-len(h):], castagnoli))
	}
	return b
}

// sink is where data goes that nobody looks at.
func (c *Conn) sink() []byte {
	if c.in == nil {
		c.in = make([]byte, 256<<10)
	}
	return c.in
}

// segment returns how many bytes a data segment of n takes on the wire.
func (c *Conn) segment(n int) int {
	if n > 0 && c.DataDigest {
		return n + -n&3 + 4
	}
	return n + -n&3
}

// drain takes one PDU and reports its data length and whether it ends a task.
func (c *Conn) drain(sink []byte) (n int, done bool, err error) {
	h := &c.head
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return 0, false, err
	}
	n = int(h[5])<<16 | int(h[6])<<8 | int(h[7])
	if c.HeaderDigest {
		if _, err := c.r.Discard(4); err != nil {
			return 0, false, err
		}
	}
	for left := c.segment(n); left > 0; {
		part := min(left, len(sink))
		if _, err := io.ReadFull(c.r, sink[:part]); err != nil {
			return n, false, err
		}
		left -= part
	}
	switch h[0] {
	case DataIn:
		if done = h[1]&1 != 0; done && h[3] != 0 {
			return n, done, fmt.Errorf("status %02x", h[3])
		}
	case Response:
		if h[3] != 0 {
			return n, true, fmt.Errorf("status %02x", h[3])
		}
		done = true
	case NopIn:
		return 0, false, nil
	default:
		return n, false, fmt.Errorf("unexpected opcode %02x", h[0])
	}
	if done {
		c.ExpStatSN = binary.BigEndian.Uint32(h[24:]) + 1
	}
	return n, done, nil
}
