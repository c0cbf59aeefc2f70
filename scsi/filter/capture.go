package filter

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"sync"
	"time"

	"spindle/scsi"
)

// A capture stands between a command and its front end's data paths.
type capture struct {
	scsi.DataIn // the front end's
	out         io.Reader
	ring        *ring
	prev, next  *capture // of the commands that run
	lent        []byte
	left        int64 // bytes that the host still takes
	start       time.Time
	hash        hash.Hash
	hashing     bool
	slot        slot
	outData     [MaxOut]byte
}

var captures = sync.Pool{New: func() any { return &capture{hash: sha256.New()} }}

// begin puts the capture into the command's paths.
func (c *capture) begin(r *Recorder, cmd *scsi.Command) {
	c.DataIn, c.out, c.ring = cmd.In, cmd.Out, &r.ring
	c.left, c.hashing = 0, false
	c.slot = slot{cdb: cmd.CDB, length: cmd.Length}
	if cmd.Nexus.Pending() {
		c.slot.pending = attentionsOf(cmd.Nexus)
	}
	c.start = time.Now()
	c.slot.n, c.slot.time = r.started.Add(1), c.start.UnixNano()
	r.ring.enter(c, cmd.Nexus)
	cmd.In, cmd.Out = c, (*captureOut)(c)
}

// end completes the entry and puts it into the ring.
func (c *capture) end(err error, aborted bool) {
	s := &c.slot
	s.took = time.Since(c.start)
	s.status, s.sense = scsi.StatusOf(err)
	s.aborted = aborted
	if c.hashing {
		c.hash.Sum(s.sha[:0])
		s.hashed = true
	}
	c.ring.leave(c, c.extra())
}

// extra is the data-out, which is rare, in memory of its own.
func (c *capture) extra() []byte {
	return bytes.Clone(c.outData[:min(c.slot.out, MaxOut)])
}

// release gives the capture back. It holds on to nothing of the command.
func (c *capture) release() {
	c.DataIn, c.out, c.ring, c.lent = nil, nil, nil, nil
	captures.Put(c)
}

// Begin implements scsi.DataIn.
func (c *capture) Begin(n int64) (int64, error) {
	take, err := c.DataIn.Begin(n)
	c.begun(n, take)
	return take, err
}

func (c *capture) begun(n, take int64) {
	c.slot.total, c.left = n, take
	if c.hashing = c.ring.mayHash(take, c.slot.time); c.hashing {
		c.hash.Reset()
	}
}

// Buffer implements scsi.DataIn.
func (c *capture) Buffer() (p []byte, err error) {
	c.lent, err = c.DataIn.Buffer()
	return c.lent, err
}

// Send implements scsi.DataIn. The memory is not ours after it.
func (c *capture) Send(n int) error {
	m := min(int64(max(n, 0)), c.left, int64(len(c.lent)))
	c.note(c.lent[:m])
	c.lent = nil
	return c.DataIn.Send(n)
}

// Reply implements scsi.DataIn.
func (c *capture) Reply(p []byte) error {
	take := min(int64(len(p)), c.slot.length)
	c.begun(int64(len(p)), take)
	c.note(p[:take])
	return c.DataIn.Reply(p)
}

// note keeps what is sent of p.
func (c *capture) note(p []byte) {
	s := &c.slot
	if s.sent < MaxData {
		copy(s.data[s.sent:], p)
	}
	s.sent += int64(len(p))
	c.left -= int64(len(p))
	if c.hashing {
		c.hash.Write(p)
	}
}

// A captureOut is a capture as the reader of data-out.
type captureOut capture

// Read implements io.Reader.
func (c *captureOut) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if c.slot.out < MaxOut {
		copy(c.outData[c.slot.out:], p[:n])
	}
	c.slot.out += int64(n)
	return n, err
}
