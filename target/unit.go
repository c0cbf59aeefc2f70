package target

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"spindle/scsi"
)

// A Unit is a logical unit with its one task set, shared by every target and
// front end that carries it.
//
// The task set starts the tasks of a nexus in the order of Submit. Those that
// the logical unit calls concurrent overlap. Every other, and one that will
// report a unit attention, waits for those of its nexus, and for such a one of
// another; it does not wait for another nexus's reads, which end on the medium
// on which they began, however slowly that host takes them. An ORDERED task
// runs alone in the set. HEAD OF QUEUE goes before what waits.
type Unit struct {
	Name string // for logs and status

	lu         scsi.LogicalUnit
	concurrent scsi.Concurrent // nil: every task runs alone
	opts       UnitOptions

	mu      sync.Mutex
	changed sync.Cond // a task left the set
	head    *Task     // in order; waiting tasks are behind or among running ones
	tail    *Task
	running int
	alone   int  // running tasks that are exclusive: one, or none
	barrier bool // an ORDERED task runs
	waiting int
	size    int    // tasks in the set
	queue   int    // that size is to stay below; 0 is no limit
	pass    uint64 // of schedule
	own     *Task  // that its submitter runs, during submit
	seq     uint64
	stuck   int // tasks that did not end when aborted
	nexuses map[*scsi.Nexus]struct{}
	ports   portMemory
}

// UnitOptions are the settings of a Unit.
type UnitOptions struct {
	Log *slog.Logger // nil discards

	// UAOnReturn raises 29h unit attentions also for an initiator port that
	// comes back; Linux fails a READ on them, so the default raises none.
	UAOnReturn bool

	// Ports is what [Unit.Ports] returned before a restart.
	Ports []PortRecord

	// AbortWait is how long an abort waits for storage; 10 s when zero.
	AbortWait time.Duration
}

// NewUnit returns a Unit around lu.
func NewUnit(name string, lu scsi.LogicalUnit, o UnitOptions) *Unit {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.AbortWait == 0 {
		o.AbortWait = 10 * time.Second
	}
	u := &Unit{Name: name, lu: lu, opts: o, nexuses: map[*scsi.Nexus]struct{}{}}
	u.concurrent, _ = scsi.As[scsi.Concurrent](lu)
	u.changed.L = &u.mu
	u.ports.restore(o.Ports)
	return u
}

// submit puts t into the task set, unless there is a refusal. With own a task that may run at once is left to the caller: submit
// returns true.
func (u *Unit) submit(t *Task, own bool) bool {
	t.prepare()
	t.unit = u
	u.mu.Lock()
	if err := u.refusal(t); err != nil {
		u.mu.Unlock()
		t.Owner.Finish(err, false)
		t.Owner.Release()
		return false
	}
	defer u.mu.Unlock()
	u.seq++
	t.seq, t.state = u.seq, waiting
	u.waiting++
	u.insert(t)
	if own {
		u.own = t
	}
	u.schedule()
	left := own && u.own == nil
	u.own = nil
	return left
}

// refusal is BUSY when a task of the set is stuck in storage, and ErrFull when
// the set is full and the nexus has its share of it already. u.mu is held.
func (u *Unit) refusal(t *Task) error {
	switch {
	case u.stuck > 0:
		return scsi.Busy
	case u.queue > 0 && u.size >= u.queue && t.lane.size*max(len(u.nexuses), 1) >= u.queue:
		return ErrFull
	}
	return nil
}

// ErrFull is what a task ends with that found its task set full. Its status is
// TASK SET FULL and never BUSY, which SAM-5, 5.3.1 has for a nexus without a
// task in the set: such a one is always let in.
var ErrFull = fmt.Errorf("the queue of the drive is full: %w", scsi.TaskSetFull)

// SetQueue bounds the task set to n tasks of all nexuses; 0 is no bound. A
// nexus that has less than its part of n is let in beyond it, so that no
// initiator that fills the set keeps another one out: it holds at most twice n,
// and a task of each nexus.
func (u *Unit) SetQueue(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.queue = n
}

// insert links t at the end, or before the first waiting task when it is HEAD
// OF QUEUE. u.mu is held.
func (u *Unit) insert(t *Task) {
	before := (*Task)(nil)
	if t.Attribute == HeadOfQueue {
		for before = u.head; before != nil && before.state != waiting; before = before.next {
		}
	}
	if before == nil {
		t.prev, t.next = u.tail, nil
	} else {
		t.prev, t.next = before.prev, before
	}
	if t.prev != nil {
		t.prev.next = t
	} else {
		u.head = t
	}
	if t.next != nil {
		t.next.prev = t
	} else {
		u.tail = t
	}
	u.size++
	t.lane.size++
}

func (u *Unit) unlink(t *Task) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		u.head = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		u.tail = t.prev
	}
	t.prev, t.next, t.state = nil, nil, idle
	u.size--
	t.lane.size--
	if t.stuck {
		t.stuck = false
		u.stuck--
	}
	u.changed.Broadcast()
}

// A lane is the tasks of one nexus in a set.
type lane struct {
	size    int
	running int
	alone   bool   // the one that runs is exclusive
	held    uint64 // the pass of schedule in which a task of it could not start
}

// schedule starts every task that may run now, in order within its lane. u.mu
// is held.
func (u *Unit) schedule() {
	if u.waiting == 0 || u.barrier {
		return
	}
	u.pass++
	held := false
	for t := u.head; t != nil && u.waiting > 0; t = t.next {
		if t.state != waiting || t.lane.held == u.pass {
			continue
		}
		if t.Attribute == Ordered && (held || u.running > 0) {
			return // nothing passes it
		}
		t.exclusive = u.exclusive(t)
		if t.lane.alone || t.exclusive && (t.lane.running > 0 || u.alone > 0) {
			t.lane.held, held = u.pass, true
			continue
		}
		u.begin(t)
		if u.barrier {
			return
		}
	}
}

func (u *Unit) begin(t *Task) {
	t.state = running
	u.waiting--
	u.running++
	t.lane.running++
	if t.exclusive {
		t.lane.alone = true
		u.alone++
	}
	u.barrier = t.Attribute == Ordered
	if u.own == t {
		u.own = nil
		return
	}
	go t.run()
}

// exclusive reports whether t must run alone in its lane. A task that will
// report a unit attention does, so that the first in order is the one that
// fails.
func (u *Unit) exclusive(t *Task) bool {
	if t.Attribute == Ordered || t.Nexus.Pending() {
		return true
	}
	return u.concurrent == nil || !u.concurrent.Concurrent(t.CDB)
}

// Run executes a task that Start left to its caller. The task is not to be
// touched afterwards.
func (t *Task) Run() { t.execute() }

func (t *Task) execute() {
	u := t.unit
	err := u.call(t)
	u.mu.Lock()
	aborted := t.state == aborting
	t.state = ending
	u.running--
	t.lane.running--
	if t.exclusive {
		t.lane.alone = false
		u.alone--
	}
	if t.Attribute == Ordered {
		u.barrier = false
	}
	u.schedule()
	u.mu.Unlock()
	u.finish(t, err, aborted)
}

// finish has the front end send the response, then takes t out of the set:
// whoever waits for the set to be free of t knows that nothing of it follows.
func (u *Unit) finish(t *Task, err error, aborted bool) {
	owner := t.Owner
	owner.Finish(err, aborted)
	u.mu.Lock()
	u.unlink(t)
	u.mu.Unlock()
	owner.Release()
}

// call runs Execute; a panic there is a hardware error of one command, not the
// end of every drive.
func (u *Unit) call(t *Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			u.opts.Log.Error("logical unit panicked", "unit", u.Name, "cdb", fmt.Sprintf("%x", t.CDB), "panic", p, "stack", string(debug.Stack()))
			err = scsi.ErrInternal
		}
	}()
	return u.lu.Execute(t, &t.Command)
}
