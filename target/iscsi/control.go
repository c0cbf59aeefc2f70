package iscsi

import (
	"bytes"
	"errors"

	"spindle/target"
)

// A rejectReason is the reason field of Reject (RFC 7143, 11.17.1).
type rejectReason byte

const (
	rejectDataDigest     rejectReason = 0x02
	rejectSNACK          rejectReason = 0x03
	rejectProtocol       rejectReason = 0x04
	rejectUnsupported    rejectReason = 0x05
	rejectImmediate      rejectReason = 0x06
	rejectTaskInProgress rejectReason = 0x07
	rejectInvalidField   rejectReason = 0x09
	rejectLongOperation  rejectReason = 0x0A // out of resources; the initiator may try again
)

// reject answers h with Reject, whose data is the header (RFC 7143, 11.17).
func (c *conn) reject(h *header, reason rejectReason) error {
	c.logReject(h, reason)
	c.stats.rejects.Add(1)
	bad := *h
	var r header
	r.start(opReject, flagFinal)
	r[2] = byte(reason)
	r.put32(16, noTag)
	return c.out.send(&r, statAdvance, bad[:])
}

// logReject tells of a PDU that was rejected, and loud of the first one that was
// damaged on its way: that is a fault of the network, which a person must mend.
func (c *conn) logReject(h *header, reason rejectReason) {
	if reason == rejectDataDigest && !c.torn {
		c.torn = true
		c.log.Warn("data digest differs: the network changes data on its way", "pdu", h.op())
		return
	}
	c.log.Debug("rejected", "pdu", h.op(), "reason", reason)
}

// maxHeldPing bounds what a NOP-Out past a gap in CmdSN keeps of its data.
const maxHeldPing = 256

// nopOut answers a ping, and takes the answer to one of ours, which asks for
// nothing (RFC 7143, 11.18).
func (c *conn) nopOut(h *header) error {
	data, done, err := c.readData(h)
	if err != nil || done == nil {
		return err
	}
	defer done()
	switch {
	case h.itt() == noTag:
		return nil
	case h.immediate():
		return c.pong(h, data)
	case c.sess.admit(h.cmdSN()):
		err := c.pong(h, data)
		c.sess.deliverEarly()
		return err
	}
	kept, part := *h, bytes.Clone(data[:min(len(data), maxHeldPing)])
	c.sess.order(h.cmdSN(), held{run: func() { c.pong(&kept, part) }})
	return nil
}

func (c *conn) pong(h *header, data []byte) error {
	var r header
	r.start(opNopIn, flagFinal)
	r.setLUN(h.lun())
	r.put32(16, h.itt())
	r.put32(20, noTag)
	return c.out.send(&r, statAdvance, data[:min(len(data), c.p.maxRecv)])
}

// readData reads the data segment of h; done ends the use of data. It is nil
// when the digest was wrong and Reject was sent.
func (c *conn) readData(h *header) (data []byte, done func(), err error) {
	n := h.dataLen()
	buf := c.srv.memory.take(classOf(n))
	done = func() { c.srv.memory.pools[buf.class].Put(buf) }
	err = c.in.data(buf.mem[:n])
	if err == nil {
		return buf.mem[:n], done, nil
	}
	done()
	if errors.Is(err, errDataDigest) {
		err = c.reject(h, rejectDataDigest)
	}
	return nil, nil, err
}

// inOrder runs f in the order of CmdSN, at once for an immediate PDU. It
// returns false when the PDU is ignored.
func (c *conn) inOrder(h *header, f func(h *header)) bool {
	kept := *h
	if h.immediate() {
		f(&kept)
		return true
	}
	return c.sess.order(h.cmdSN(), held{run: func() { f(&kept) }})
}

// Reasons and responses of Logout (RFC 7143, 11.14 and 11.15).
const (
	logoutSession    = 0
	logoutConnection = 1

	logoutDone       = 0
	logoutNoCID      = 1
	logoutNoRecovery = 2

	reasonMask = 0x7F
)

// logout answers Logout and ends the connection, which is the session.
func (c *conn) logout(h *header) error {
	if err := c.in.skip(h.dataLen()); err != nil {
		return err
	}
	c.inOrder(h, func(h *header) { c.left = c.answerLogout(h) })
	return nil
}

func (c *conn) answerLogout(h *header) bool {
	response := byte(logoutNoRecovery)
	cid := uint16(h.u32(20) >> 16)
	switch h.flags() & reasonMask {
	case logoutSession:
		response = logoutDone
	case logoutConnection:
		if response = logoutNoCID; cid == c.cid {
			response = logoutDone
		}
	}
	if response == logoutDone {
		if c.sess.nexus != nil {
			c.sess.nexus.Close() // outstanding tasks end before the response
		}
		c.srv.unregister(c.sess) // a login that follows the response is a new session's
	}
	var r header
	r.start(opLogoutResp, flagFinal)
	r[2] = response
	r.put32(16, h.itt())
	// Time2Wait and Time2Retain are 0: come back at once, nothing is kept
	c.out.send(&r, statAdvance, nil)
	return response == logoutDone
}

// Functions and responses of task management (RFC 7143, 11.5.1 and 11.6.1).
const (
	tmfAbortTask    = 1
	tmfAbortTaskSet = 2
	tmfClearTaskSet = 4
	tmfUnitReset    = 5
	tmfWarmReset    = 6
	tmfColdReset    = 7
	tmfReassign     = 8

	tmfComplete     = 0
	tmfNoTask       = 1
	tmfNoLUN        = 2
	tmfNoReassign   = 4
	tmfNotSupported = 5
	tmfRejected     = 255

	tmfFunctionMask = 0x7F
)

// taskManagement runs a task management function on a goroutine of its own:
// it waits for storage, and the connection must go on meanwhile.
func (c *conn) taskManagement(h *header) error {
	if err := c.in.skip(h.dataLen()); err != nil {
		return err
	}
	c.stats.management.Add(1)
	s := c.sess
	s.mu.Lock()
	busy := s.managing >= maxImmediate
	if !busy {
		s.managing++
	}
	s.mu.Unlock()
	if busy {
		return c.reject(h, rejectImmediate)
	}
	if !c.inOrder(h, func(h *header) {
		skipped := c.skipAborted(h)
		c.srv.running.Go(func() { c.manage(h, skipped) })
	}) {
		s.doneManaging()
	}
	return nil
}

func (s *session) doneManaging() {
	s.mu.Lock()
	s.managing--
	s.mu.Unlock()
}

// skipAborted takes the place of the command that ABORT TASK names and that has
// not come to its turn: it counts as received and aborted (RFC 7143, 11.6.1).
func (c *conn) skipAborted(h *header) bool {
	s, ref := c.sess, h.u32(32)
	exp, maximum := s.window()
	s.mu.Lock()
	running := s.tasks[h.u32(20)] != nil
	s.mu.Unlock()
	if h.flags()&tmfFunctionMask != tmfAbortTask || running || before(ref, exp) || before(maximum, ref) || !before(ref, h.cmdSN()) {
		return false
	}
	if kept := s.early[ref]; kept.drop != nil {
		kept.drop()
	}
	delete(s.early, ref)
	return s.order(ref, held{run: func() {}})
}

func (c *conn) manage(h *header, skipped bool) {
	defer c.sess.doneManaging()
	response := byte(tmfComplete)
	if !skipped {
		response = c.runFunction(h)
	}
	var r header
	r.start(opTaskMgmtResp, flagFinal)
	r[2] = response
	r.put32(16, h.itt())
	c.out.send(&r, statAdvance, nil)
	if h.flags()&tmfFunctionMask == tmfColdReset && response == tmfComplete {
		c.srv.dropSessions(c.sess.target)
	}
}

func (c *conn) runFunction(h *header) byte {
	n, lun := c.sess.nexus, target.LUN(h.lun())
	switch h.flags() & tmfFunctionMask {
	case tmfAbortTask:
		return c.abortTask(h)
	case tmfAbortTaskSet:
		return tmfResponse(n.AbortSet(lun))
	case tmfClearTaskSet:
		return tmfResponse(n.ClearSet(lun))
	case tmfUnitReset:
		return tmfResponse(n.ResetUnit(lun))
	case tmfWarmReset, tmfColdReset:
		return tmfResponse(n.Reset())
	case tmfReassign:
		return tmfNoReassign
	}
	return tmfNotSupported // CLEAR ACA too: no unit establishes ACA
}

func tmfResponse(err error) byte {
	switch {
	case err == nil:
		return tmfComplete
	case errors.Is(err, target.ErrNoLUN):
		return tmfNoLUN
	}
	return tmfRejected
}

// abortTask ends one task.
func (c *conn) abortTask(h *header) byte {
	s, tag := c.sess, h.u32(20)
	s.mu.Lock()
	t := s.tasks[tag]
	s.mu.Unlock()
	if t == nil {
		return tmfNoTask
	}
	ended, err := s.nexus.Abort(target.LUN(h.lun()), func(u *target.Task) bool {
		owner, ok := u.Owner.(*task)
		return ok && owner == t && owner.itt == tag
	})
	switch {
	case err != nil:
		return tmfRejected
	case !ended:
		return tmfNoTask
	}
	return tmfComplete
}
