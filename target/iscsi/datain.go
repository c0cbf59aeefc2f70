package iscsi

import (
	"errors"
	"time"
)

// dataIn is a task as its logical unit's scsi.DataIn. Memory is borrowed chunk
// by chunk; the last bytes stay until Execute has returned, because the status
// may leave with them.
type dataIn task

var errBegin = errors.New("data-in: Begin must come once, and first")

// Begin implements scsi.DataIn.
func (d *dataIn) Begin(n int64) (int64, error) {
	if d.begun || n < 0 {
		return 0, errBegin
	}
	d.begun, d.total = true, n
	if d.reads {
		d.take = min(n, d.Length)
	}
	return d.take, nil
}

// Buffer implements scsi.DataIn.
func (d *dataIn) Buffer() ([]byte, error) {
	left := d.take - d.sent
	if !d.begun || left <= 0 || d.lent != nil {
		return nil, errBegin
	}
	n := int(min((left+blockSize-1)/blockSize*blockSize, chunkSize))
	var err error
	if d.lent, err = d.c.srv.memory.lend(&d.Task, &d.c.memory, &d.turn, n); err != nil {
		return nil, err
	}
	d.lentAt = time.Now()
	return d.lent.mem[:n], nil
}

const blockSize = 2048

// Send implements scsi.DataIn.
func (d *dataIn) Send(n int) error {
	if d.lent == nil || n < 0 || n > len(d.lent.mem) {
		return errBegin
	}
	t := (*task)(d)
	t.c.warmth.saw(n, time.Since(d.lentAt))
	data := d.lent.mem[:min(int64(n), d.take-d.sent)]
	if d.sent+int64(len(data)) == d.take {
		d.held = data
		d.sent = d.take
		return nil
	}
	if err := d.Err(); err != nil {
		return err
	}
	w := &d.c.out
	w.mu.Lock()
	err := t.sendData(data, false, false)
	w.mu.Unlock()
	d.sent += int64(len(data))
	t.dropChunk()
	return err
}

// Reply implements scsi.DataIn.
func (d *dataIn) Reply(p []byte) error {
	take, err := d.Begin(int64(len(p)))
	if err != nil || take == 0 {
		return err
	}
	p = p[:take]
	if len(p) <= len(d.small) {
		d.held = d.small[:copy(d.small[:], p)]
		d.sent = take
		return nil
	}
	for len(p) > 0 {
		buf, err := d.Buffer()
		if err != nil {
			return err
		}
		n := copy(buf, p)
		if err := d.Send(n); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// sendData sends data in Data-In PDUs that the initiator can take, several in
// one write. end says that data is the last of the task; F also ends each
// sequence of MaxBurstLength. With good the last PDU carries the status. The
// writer's mu is held; t.sent counts data already when end is set.
func (t *task) sendData(data []byte, end, good bool) error {
	w := &t.c.out
	offset := t.sent
	if end {
		offset -= int64(len(data))
	}
	for len(data) > 0 {
		inBurst := int(offset % int64(t.c.p.maxBurst))
		n := min(len(data), t.c.p.maxRecv, t.c.p.maxBurst-inBurst)
		var h header
		h.start(opDataIn, 0)
		last := end && n == len(data)
		if last || inBurst+n == t.c.p.maxBurst {
			h[1] |= flagFinal
		}
		h.put32(16, t.itt)
		h.put32(20, noTag)
		h.put32(36, t.dataSN)
		h.put32(40, uint32(offset))
		use := statNone
		if last && good {
			h[1] |= flagStatus
			t.putResidual(&h)
			use = statAdvance
		}
		w.add(&h, use, data[:n])
		t.dataSN++
		offset += int64(n)
		data = data[n:]
		if w.count == batch || len(data) == 0 {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}
