package bot

import (
	"spindle/scsi"
	"spindle/target"
)

const requestSense = 0x03

// command serves one command to its CSW. An error means that the host gets
// none: the transfer was abandoned.
func (t *Transport) command(w *cbw) error {
	k := t.spare
	if k == nil {
		k = newTask(t)
	}
	t.spare = nil
	k.start(w)
	if err := t.execute(k); err != nil {
		return err
	}
	t.spare = k
	status := t.settle(k)
	if err := t.endData(k); err != nil {
		return err
	}
	return t.ep.Write(appendCSW(t.csw[:0], w.tag, uint32(k.Length-k.moved()), status))
}

// execute runs the command in its logical unit's task set.
func (t *Transport) execute(k *task) error {
	if k.CDB[0] == requestSense && t.kept[k.w.lun] {
		k.err = t.replySense(k)
		return nil
	}
	t.kept[k.w.lun] = false
	s := t.nexus()
	t.setTask(k)
	defer t.setTask(nil)
	if t.interrupted() {
		return ErrAbandoned
	}
	s.Submit(lunOf(k.w.lun), &k.Task)
	if t.interrupted() { // since: it may have looked for the task before it was there
		t.abort(k)
	}
	select {
	case <-k.ended:
	case <-k.gone:
		return ErrAbandoned
	}
	if k.abort {
		return ErrAbandoned
	}
	return nil
}

func (t *Transport) setTask(k *task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.task = k
}

// interrupted reports whether an interrupt began before the task was there to
// be aborted.
func (t *Transport) interrupted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stops > 0 || t.over
}

// replySense answers REQUEST SENSE with what the last command failed with:
// Bulk-Only Transport has no other way to tell it.
func (t *Transport) replySense(k *task) error {
	t.kept[k.w.lun] = false
	s := t.sense[k.w.lun]
	b := s.AppendFixed(nil)
	if k.CDB[1]&1 != 0 {
		b = s.AppendDescriptor(nil)
	}
	return k.In.Reply(b[:min(len(b), int(k.CDB[4]))])
}

// settle decides the status of the CSW (6.7), and keeps the sense.
func (t *Transport) settle(k *task) byte {
	status, sense := scsi.StatusOf(k.err)
	if status != scsi.Good {
		if status != scsi.CheckCondition {
			sense = scsi.ErrNotReady // BUSY and its like have no other form here
		}
		t.sense[k.w.lun], t.kept[k.w.lun] = sense, true
		return failed
	}
	wantsIn := k.total > 0
	switch {
	case k.Length == 0 && (wantsIn || k.excess): // 2, 3
		return phaseError
	case k.w.in && (k.total > k.Length || k.excess): // 7, 8
		return phaseError
	case !k.w.in && k.Length > 0 && (wantsIn || k.excess && !k.short): // 10, 13
		return phaseError
	}
	return passed
}

// moved is how many bytes the command processed.
func (k *task) moved() int64 {
	if k.w.in {
		return k.sent
	}
	return k.taken
}

// endData brings the data phase to its end: what is left of data-in leaves,
// and a short one is ended as the host can see (6.7.2); data-out that nobody
// took is read and dropped.
func (t *Transport) endData(k *task) error {
	if !k.w.in {
		return k.discard()
	}
	if err := k.flush(k.fill); err != nil {
		return err
	}
	switch {
	case k.sent == k.Length:
		return nil
	case t.o.Stall:
		return t.ep.HaltIn()
	case k.sent%int64(t.ep.MaxPacket()) == 0:
		return t.ep.Write(nil)
	}
	return nil
}

var _ target.Owner = (*task)(nil)
