package usbip_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A client is a USB/IP client: it sends URBs and takes what comes back.
type client struct {
	net.Conn
	mu      sync.Mutex
	seq     uint32
	in      map[uint32]bool // URBs for data-in
	replies chan reply
}

type reply struct {
	command, seq uint32
	status       int32
	actual       int
	data         []byte
}

func op(code uint16) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16([]byte{1, 0x11}, code), 0)
}

func importRequest(busID string) []byte {
	b := append(op(0x8003), busID...)
	return append(b, make([]byte, 40-len(b))...)
}

// attach imports a device and returns its description, or the status of the
// refusal.
func attach(c net.Conn, busID string) (device []byte, status uint32, err error) {
	if _, err := c.Write(importRequest(busID)); err != nil {
		return nil, 0, err
	}
	b := make([]byte, 8)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, 0, err
	}
	if v := binary.BigEndian.Uint32(b); v != 0x01110003 {
		return nil, 0, fmt.Errorf("reply %#x", v)
	}
	if status := binary.BigEndian.Uint32(b[4:]); status != 0 {
		return nil, status, nil
	}
	device = make([]byte, 312)
	_, err = io.ReadFull(c, device)
	return device, 0, err
}

// newClient attaches to a server and reads what comes until the end.
func newClient(t testing.TB, c net.Conn) *client {
	t.Helper()
	if _, status, err := attach(c, "1-1"); status != 0 || err != nil {
		t.Fatalf("import: status %d, %v", status, err)
	}
	k := &client{Conn: c, in: map[uint32]bool{}, replies: make(chan reply, 4096)}
	go k.read()
	t.Cleanup(func() { c.Close() })
	return k
}

func (c *client) read() {
	defer close(c.replies)
	for {
		var b [48]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return
		}
		word := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
		r := reply{command: word(0), seq: word(4), status: int32(word(20)), actual: int(word(24))}
		c.mu.Lock()
		in := c.in[r.seq]
		c.mu.Unlock()
		if r.command == 3 && in && r.actual > 0 {
			r.data = make([]byte, r.actual)
			if _, err := io.ReadFull(c, r.data); err != nil {
				return
			}
		}
		c.replies <- r
	}
}

// submit sends an URB and returns its number.
func (c *client) submit(ep uint32, in bool, length int, setup, data []byte) uint32 {
	c.mu.Lock()
	c.seq++
	seq := c.seq
	c.in[seq] = in
	c.mu.Unlock()
	c.Write(append(submission(seq, ep, in, length, setup), data...))
	return seq
}

func submission(seq, ep uint32, in bool, length int, setup []byte) []byte {
	b := make([]byte, 48)
	put := func(at int, v uint32) { binary.BigEndian.PutUint32(b[at:], v) }
	put(0, 1)
	put(4, seq)
	put(8, 1<<16|2)
	if in {
		put(12, 1)
	}
	put(16, ep)
	put(24, uint32(length))
	copy(b[40:], setup)
	return b
}

// unlink takes an URB back.
func (c *client) unlink(victim uint32) uint32 {
	c.mu.Lock()
	c.seq++
	seq := c.seq
	c.mu.Unlock()
	b := make([]byte, 48)
	binary.BigEndian.PutUint32(b, 2)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[20:], victim)
	c.Write(b)
	return seq
}

// await returns the next reply, which has to be of seq.
func (c *client) await(t testing.TB, seq uint32) reply {
	t.Helper()
	select {
	case r, ok := <-c.replies:
		if !ok {
			t.Fatal("the connection ended")
		}
		if r.seq != seq {
			t.Fatalf("reply to %d, want to %d", r.seq, seq)
		}
		return r
	case <-time.After(time.Minute):
		t.Fatalf("no reply to %d", seq)
	}
	panic("unreachable")
}

// control plays a control transfer.
func (c *client) control(t testing.TB, requestType, request byte, value, index, length uint16) reply {
	t.Helper()
	setup := []byte{requestType, request}
	for _, v := range []uint16{value, index, length} {
		setup = binary.LittleEndian.AppendUint16(setup, v)
	}
	var data []byte
	if requestType&0x80 == 0 {
		data = make([]byte, length)
	}
	return c.await(t, c.submit(0, requestType&0x80 != 0, int(length), setup, data))
}

func cbw(tag uint32, length int, in bool, cdb ...byte) []byte {
	b := append([]byte("USBC"), make([]byte, 27)...)
	binary.LittleEndian.PutUint32(b[4:], tag)
	binary.LittleEndian.PutUint32(b[8:], uint32(length))
	if in {
		b[12] = 0x80
	}
	b[14] = byte(len(cdb))
	copy(b[15:], cdb)
	return b
}

// out sends a bulk transfer.
func (c *client) out(p []byte) uint32 { return c.submit(2, false, len(p), nil, p) }

// csw reads the CSW of a command and returns its status and residue.
func (c *client) csw(t testing.TB, tag uint32) (status byte, residue uint32) {
	t.Helper()
	r := c.await(t, c.submit(1, true, 13, nil, nil))
	if r.status != 0 || len(r.data) != 13 || binary.LittleEndian.Uint32(r.data[4:]) != tag {
		t.Fatalf("CSW: status %d, %x; want tag %x", r.status, r.data, tag)
	}
	return r.data[12], binary.LittleEndian.Uint32(r.data[8:])
}
