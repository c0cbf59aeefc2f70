package target

import (
	"errors"
	"slices"
	"time"

	"spindle/scsi"
)

// ErrStuck reports tasks that did not end in time when they were aborted:
// storage holds them. The unit answers BUSY until they return.
var ErrStuck = errors.New("tasks are stuck in storage")

// abort ends every task of the set that match selects and returns when all of
// them have left it. It reports how many it ended before their end; a task
// whose response was already on its way is waited for and not counted.
func (u *Unit) abort(match func(*Task) bool) (ended int, err error) {
	u.mu.Lock()
	var wait []waitFor
	var dropped []*Task
	for t := u.head; t != nil; t = t.next {
		if !match(t) {
			continue
		}
		wait = append(wait, waitFor{t, t.seq})
		switch t.state {
		case waiting:
			u.waiting--
			t.state = ending
			close(t.done)
			dropped = append(dropped, t)
			ended++
		case running:
			t.state = aborting
			close(t.done)
			ended++
		}
	}
	u.schedule()
	u.mu.Unlock()
	for _, t := range dropped {
		u.finish(t, nil, true)
	}
	return ended, u.await(wait)
}

type waitFor struct {
	task *Task
	seq  uint64
}

// await waits until every task of the list has left the set, at most AbortWait.
func (u *Unit) await(list []waitFor) error {
	if len(list) == 0 {
		return nil
	}
	deadline := time.Now().Add(u.opts.AbortWait)
	timer := time.AfterFunc(u.opts.AbortWait, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.changed.Broadcast()
	})
	defer timer.Stop()
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.holds(list) {
		if !time.Now().Before(deadline) {
			u.markStuck(list)
			return ErrStuck
		}
		u.changed.Wait()
	}
	return nil
}

func (u *Unit) holds(list []waitFor) bool {
	return slices.ContainsFunc(list, u.in)
}

// in reports whether the task of w is in the set still, and not its memory in
// a later use. u.mu is held.
func (u *Unit) in(w waitFor) bool {
	for t := u.head; t != nil; t = t.next {
		if t == w.task && t.seq == w.seq {
			return true
		}
	}
	return false
}

// markStuck counts the tasks that are still in the set and uncounts each when
// it leaves. u.mu is held.
func (u *Unit) markStuck(list []waitFor) {
	for _, w := range list {
		if u.in(w) && !w.task.stuck {
			w.task.stuck = true
			u.stuck++
			u.opts.Log.Error("task is stuck in storage: the drive answers BUSY", "unit", u.Name, "initiator", w.task.Nexus.Initiator)
		}
	}
}

// Stuck returns how many aborted tasks have not returned from storage.
func (u *Unit) Stuck() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stuck
}

// reset aborts every task, resets the logical unit, and tells every nexus but
// that of the requester (SAM-5, 6.3.3 and 7.5).
func (u *Unit) reset(by *scsi.Nexus, why scsi.Sense) error {
	_, err := u.abort(func(*Task) bool { return true })
	if err != nil {
		return err
	}
	if r, ok := scsi.As[scsi.Resetter](u.lu); ok {
		r.Reset()
	}
	u.raise(by, why)
	return nil
}

// clear aborts every task and tells the nexuses whose tasks were lost by
// another's request (SAM-5, 7.4).
func (u *Unit) clear(by *scsi.Nexus) error {
	lost := map[*scsi.Nexus]bool{}
	_, err := u.abort(func(t *Task) bool {
		lost[t.Nexus] = true
		return true
	})
	if err != nil {
		return err
	}
	for n := range lost {
		if n != by {
			n.Raise(scsi.ErrCommandsCleared)
		}
	}
	return nil
}

func (u *Unit) raise(but *scsi.Nexus, why scsi.Sense) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for n := range u.nexuses {
		if n != but {
			n.Raise(why)
		}
	}
}
