package iscsi

import (
	"errors"
	"time"

	"spindle/scsi"
	"spindle/target"
)

// smallReply is the longest answer in bytes that a task keeps in itself.
const smallReply = 256

// A task is a SCSI command of a session, from its PDU to its response.
type task struct {
	target.Task
	c         *conn
	s         *session
	itt       uint32
	lun       target.LUN
	immediate bool // the I bit: not counted by CmdSN
	reads     bool // the R bit
	writes    bool // the W bit
	arrived   time.Time

	// data-in; used by the executing goroutine alone
	begun  bool
	total  int64 // what Begin announced
	take   int64 // what the host takes of it
	sent   int64 // what was sent or is held
	dataSN uint32
	lent   *chunk
	lentAt time.Time // when
	turn   waiter    // for memory
	held   []byte    // the last bytes, which leave with the status
	small  [smallReply]byte

	recv receiver // data-out
}

// The task attributes of a SCSI Command PDU (RFC 7143, 11.3.1).
const (
	attrUntagged = iota
	attrSimple
	attrOrdered
	attrHeadOfQueue
	attrACA
)

// command takes a SCSI Command PDU (RFC 7143, 11.3).
func (c *conn) command(h *header) error {
	if len(c.in.ahs) > 0 || h.flags()&(flagRead|flagWrite) == flagRead|flagWrite {
		return c.refuse(h, rejectUnsupported) // long CDBs and bidirectional commands
	}
	if attr := h.flags() & 7; attr >= attrACA {
		return c.refuse(h, rejectInvalidField)
	}
	if h.itt() == noTag {
		return c.refuse(h, rejectInvalidField)
	}
	if !h.final() && (h.flags()&flagWrite == 0 || c.p.initialR2T) {
		return c.violation(h, "F is not set where no unsolicited data may follow")
	}
	t := c.newTask(h)
	if err := c.immediateData(h, t); err != nil {
		t.free()
		return err
	}
	switch {
	case t.immediate, c.sess.admit(h.cmdSN()):
		c.submit(h, t)
		c.sess.deliverEarly()
	default:
		kept := *h
		if !c.sess.order(h.cmdSN(), held{func() { c.submit(&kept, t) }, t.free}) {
			t.free()
		}
	}
	return nil
}

func (c *conn) newTask(h *header) *task {
	t := c.srv.tasks.Get().(*task)
	t.c, t.s, t.itt, t.lun = c, c.sess, h.itt(), h.lun()
	t.immediate = h.immediate()
	t.reads, t.writes = h.flags()&flagRead != 0, h.flags()&flagWrite != 0
	t.arrived = c.stats.arrive()
	t.begun, t.total, t.take, t.sent, t.dataSN = false, 0, 0, 0, 0
	t.Owner = t
	t.In, t.Out = (*dataIn)(t), (*dataOut)(t)
	t.CDB = scsi.CDB(h[32:48])
	t.Length = int64(h.u32(20))
	t.Attribute = attribute(h.flags() & 7)
	t.recv.start(c, t, h)
	return t
}

func attribute(b byte) target.Attribute {
	switch b {
	case attrOrdered:
		return target.Ordered
	case attrHeadOfQueue:
		return target.HeadOfQueue
	}
	return target.Simple
}

// submit hands t, whose turn it is, to its logical unit.
func (c *conn) submit(h *header, t *task) {
	if reason := c.sess.add(t); reason != 0 {
		t.free()
		c.reject(h, reason)
		return
	}
	if err := t.recv.refused; err != nil {
		t.Finish(err, false)
		t.Release()
		return
	}
	if c.own == nil && !t.writes && (c.in.r.Buffered() == 0 || c.quick(t)) {
		if c.sess.nexus.Start(t.lun, &t.Task) {
			c.own = t
		}
		return
	}
	c.sess.nexus.Submit(t.lun, &t.Task)
}

// Finish implements target.Owner: it sends the response.
func (t *task) Finish(err error, aborted bool) {
	if aborted {
		t.s.remove(t, t.recv.expecting())
	} else {
		t.respond(err)
	}
	t.c.stats.end(t, err, aborted)
	t.dropChunk()
}

// Release implements target.Owner.
func (t *task) Release() { t.free() }

func (t *task) free() {
	t.dropChunk()
	t.recv.drop(t.c)
	t.c.srv.tasks.Put(t)
}

func (t *task) dropChunk() {
	if t.lent != nil {
		t.c.srv.memory.giveBack(&t.c.memory, t.lent)
		t.lent = nil
	}
	t.held = nil
}

// respond sends what is held of the data and the status: in one Data-In when
// all went well (RFC 7143, 11.7.3), else in a SCSI Response.
func (t *task) respond(err error) {
	w := &t.c.out
	status, sense := scsi.StatusOf(err)
	if errors.Is(err, target.ErrFull) {
		t.c.overLimit(limitQueue, "command refused: the drive's queue is full")
	}
	late := t.recv.expecting()
	w.mu.Lock()
	defer w.mu.Unlock()
	// Once the status is on the wire the initiator may use the tag and the place
	// in the window again; before it is, no function may say that it is not there.
	t.s.remove(t, late)
	if len(t.held) > 0 {
		data := t.held
		t.held = nil
		if t.sendData(data, true, status == scsi.Good) != nil || status == scsi.Good {
			return
		}
	}
	var h header
	h.start(opResponse, flagFinal)
	h[3] = byte(status)
	h.put32(16, t.itt)
	t.putResidual(&h)
	if t.reads {
		h.put32(36, t.dataSN)
	} else {
		h.put32(36, t.recv.r2tSN)
	}
	var data []byte
	if status == scsi.CheckCondition {
		buf := t.small[:0]
		buf = append(buf, 0, scsi.FixedSenseLen)
		data = sense.AppendFixed(buf)
	}
	w.add(&h, statAdvance, data)
	w.flush()
}

// putResidual sets the residual count and its flag: how much the expected
// length differs from what moved or would have (RFC 7143, 11.4.5).
func (t *task) putResidual(h *header) {
	moved := t.sent
	if t.writes {
		moved = t.recv.moved()
	}
	switch over := t.excess(); {
	case over > 0 && moved == t.Length:
		h[1] |= flagOverflow
		h.put32(44, uint32(min(over, 1<<32-1)))
	case moved < t.Length:
		h[1] |= flagUnder
		h.put32(44, uint32(t.Length-moved))
	}
}

// excess is how much more than the host expects the logical unit would move.
func (t *task) excess() int64 {
	if t.writes {
		return t.recv.excess
	}
	return t.total - t.take
}
