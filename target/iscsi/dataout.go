package iscsi

import (
	"errors"
	"io"
	"sync"
	"time"

	"spindle/scsi"
)

// A receiver takes the data-out of a task: what came with the command, what
// followed it unasked, then what R2T asks for, a chunk at a time.
type receiver struct {
	mu       sync.Mutex
	length   int64  // expected data transfer length
	got      int64  // bytes that arrived
	read     int64  // bytes that the logical unit took
	excess   int64  // bytes that it wanted beyond length
	buf      *chunk // bytes read to got
	fill     int    // bytes in buf
	pos      int    // of them taken
	until    int64  // where the sequence under way must end
	dataSN   uint32
	r2tSN    uint32
	ttt      uint32 // of the sequence under way; noTag for unsolicited data
	open     bool   // a sequence is under way
	arrived  chan struct{}
	refused  error // what the command is answered with instead of being executed
	solicits bool
}

func (r *receiver) start(c *conn, t *task, h *header) {
	r.length = 0
	if t.writes {
		r.length = t.Length
	}
	r.got, r.read, r.excess, r.fill, r.pos = 0, 0, 0, 0, 0
	r.dataSN, r.r2tSN, r.ttt = 0, 0, noTag
	r.refused, r.open, r.solicits = nil, t.writes && !h.final(), false
	r.until = min(int64(c.p.firstBurst), r.length)
	if r.arrived == nil {
		r.arrived = make(chan struct{}, 1)
	}
	select {
	case <-r.arrived:
	default:
	}
}

// immediateData takes the data segment of a SCSI Command.
func (c *conn) immediateData(h *header, t *task) error {
	n, r := h.dataLen(), &t.recv
	if n == 0 && !r.open {
		return nil
	}
	limit := int(min(int64(c.p.firstBurst), r.length))
	switch {
	case n > limit, n > 0 && !c.p.immediate:
		r.refused = scsi.ErrUnexpectedUnsolicitedData
		return c.in.skip(n)
	}
	if r.buf = c.srv.memory.try(&c.from.unasked, max(limit, 1)); r.buf == nil {
		r.refused = c.noMemory()
		return c.in.skip(n)
	}
	err := c.in.data(r.buf.mem[:n])
	if errors.Is(err, errDataDigest) {
		return c.refuseImmediate(h, t)
	}
	r.fill, r.got = n, int64(n)
	return err
}

// noMemory says that there is none for unsolicited data: TASK SET FULL while the
// session has another command, whose end makes room, and BUSY when it has none
// (SAM-5, 5.3.1). An initiator tries again in both cases.
func (c *conn) noMemory() error {
	c.overLimit(limitUnsolicited, "command refused: no memory for its unsolicited data")
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tasks) > 0 {
		return scsi.TaskSetFull
	}
	return scsi.Busy
}

// refuseImmediate rejects a command whose immediate data differs from its
// digest, and has it answered with CHECK CONDITION, for its tag is in use
// (RFC 7143, 7.8 and 11.17.1). That answer would have to wait for unsolicited
// data of a command that nobody keeps: then the session is made anew instead.
func (c *conn) refuseImmediate(h *header, t *task) error {
	if err := c.reject(h, rejectDataDigest); err != nil {
		return err
	}
	if t.recv.open {
		c.linger()
		return errDataDigest
	}
	t.recv.refused = scsi.ErrProtocolServiceCRC
	return nil
}

// dataOut takes a Data-Out PDU (RFC 7143, 11.7).
func (c *conn) dataOut(h *header) error {
	n := h.dataLen()
	buf := c.srv.memory.take(classOf(n)) // one a connection, for the length of this call
	defer c.srv.memory.pools[buf.class].Put(buf)
	data := buf.mem[:n]
	derr := c.in.data(data)
	damaged := errors.Is(derr, errDataDigest)
	switch {
	case damaged: // now, so that the task's response comes after it
		if err := c.reject(h, rejectDataDigest); err != nil {
			return err
		}
	case derr != nil:
		return derr
	}
	s := c.sess
	s.mu.Lock()
	t := s.tasks[h.itt()]
	if t == nil {
		late := s.isLate(h.itt())
		s.mu.Unlock()
		if late || damaged {
			return nil // its task ended without this data: swallowed
		}
		return c.reject(h, rejectInvalidField)
	}
	err := t.recv.put(h, data, damaged)
	s.mu.Unlock()
	if err != nil {
		return c.violation(h, "%w", err)
	}
	return nil
}

// put takes one Data-Out. An error ends the connection.
func (r *receiver) put(h *header, data []byte, damaged bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	ttt, sn, offset := h.u32(20), h.u32(36), int64(h.u32(40))
	switch {
	case damaged || r.refused != nil:
		r.discard(ttt, h.final())
		return nil
	case !r.open || ttt != r.ttt:
		return errors.New("data that nobody asked for")
	case sn != r.dataSN:
		return errors.New("DataSN is out of order")
	case offset != r.got || offset+int64(len(data)) > r.until:
		return errors.New("data lies outside what was asked for")
	}
	copy(r.buf.mem[r.fill:], data)
	r.fill += len(data)
	r.got += int64(len(data))
	r.dataSN++
	if h.final() {
		r.open = false
		if r.got < r.until && r.solicits {
			return errors.New("the sequence ends before what was asked for")
		}
		r.wake()
	}
	return nil
}

// discard fails the command of a damaged Data-Out, once the last PDU of its
// sequence has come (RFC 7143, 7.8).
func (r *receiver) discard(ttt uint32, final bool) {
	if !r.open || ttt != r.ttt {
		return
	}
	r.refused = scsi.ErrProtocolServiceCRC
	if final {
		r.open = false
		r.wake()
	}
}

func (r *receiver) wake() {
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

// expecting reports whether Data-Out of the task may still arrive.
func (r *receiver) expecting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

// moved returns how many bytes the logical unit took.
func (r *receiver) moved() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read
}

func (r *receiver) drop(c *conn) {
	if r.buf == nil {
		return
	}
	if r.solicits {
		c.srv.memory.giveBack(&c.memory, r.buf)
	} else {
		c.srv.memory.giveUnasked(&c.from.unasked, r.buf)
	}
	r.buf = nil
}

// dataOut is a task as its logical unit's data-out.
type dataOut task

// Read implements io.Reader. At the end it notes how much more was wanted:
// that is the residual overflow. An initiator that does not send what it owes
// is dropped: its task runs alone, and every other host waits behind it.
func (d *dataOut) Read(p []byte) (int, error) {
	t, r := (*task)(d), &d.recv
	for {
		r.mu.Lock()
		n := copy(p, r.bytes())
		r.pos += n
		r.read += int64(n)
		refused, open, end := r.refused, r.open, r.read == r.length
		if n == 0 && end && len(p) > 0 {
			r.excess = int64(len(p))
		}
		r.mu.Unlock()
		switch {
		case n > 0 || len(p) == 0:
			return n, nil
		case end:
			return 0, io.EOF
		case refused != nil && !open:
			return 0, refused
		case !open:
			if err := t.solicit(); err != nil {
				return 0, err
			}
		}
		c := t.c // a late timer may find t in use by another
		late := time.AfterFunc(c.srv.ping.Load().Timeout, func() { c.fail(errNoData) })
		select {
		case <-r.arrived:
			late.Stop()
		case <-t.Done():
			late.Stop()
			return 0, t.Err()
		}
	}
}

func (r *receiver) bytes() []byte {
	if r.buf == nil {
		return nil
	}
	return r.buf.mem[r.pos:r.fill]
}

// solicit asks for the next data with R2T (RFC 7143, 11.8).
func (t *task) solicit() error {
	r := &t.recv
	r.drop(t.c)
	n := int(min(r.length-r.got, int64(t.c.p.maxBurst), ourMaxRecv))
	buf, err := t.c.srv.memory.lend(&t.Task, &t.c.memory, &t.turn, n)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.buf, r.solicits = buf, true
	r.fill, r.pos, r.dataSN = 0, 0, 0
	r.until = r.got + int64(n)
	r.ttt = t.c.nextTag()
	r.open = true
	var h header
	h.start(opR2T, flagFinal)
	h.setLUN(t.lun)
	h.put32(16, t.itt)
	h.put32(20, r.ttt)
	h.put32(36, r.r2tSN)
	h.put32(40, uint32(r.got))
	h.put32(44, uint32(n))
	r.r2tSN++
	r.mu.Unlock()
	return t.c.out.send(&h, statCurrent, nil)
}
