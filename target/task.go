package target

import (
	"context"
	"time"

	"spindle/scsi"
)

// An Attribute is a task attribute (SAM-5, 8.6). ACA is refused by the front
// ends: no logical unit here establishes it.
type Attribute byte

// Task attributes.
const (
	Simple Attribute = iota
	Ordered
	HeadOfQueue
)

// An Owner is the front end's side of a task.
type Owner interface {
	// Finish is called once, on the goroutine that executed the task, with what
	// Execute returned. When aborted is true nothing may be sent to the host.
	Finish(err error, aborted bool)

	// Release is called once, when the task has left the task set after
	// Finish: its memory is the front end's again.
	Release()
}

// A Task is one command on its way through a task set. A front end embeds it
// in a task of its own, fills Command, Attribute and Owner, and pools the
// whole; the task is its own context, so that a command costs no allocation.
type Task struct {
	scsi.Command
	Attribute Attribute
	Owner     Owner

	unit       *Unit
	lane       *lane
	exclusive  bool
	stuck      bool // aborted, and did not return in time
	state      taskState
	seq        uint64 // of the task set: tells a task from a later use of its memory
	prev, next *Task  // in the task set, in order of arrival
	run        func()
	done       chan struct{} // closed when the task is aborted
}

type taskState byte

const (
	idle     taskState = iota
	waiting            // in the set, not started
	running            // in Execute
	aborting           // aborted while running
	ending             // Execute has returned, Finish runs
)

var _ context.Context = (*Task)(nil)

func (t *Task) prepare() {
	if t.done == nil || t.Err() != nil {
		t.done = make(chan struct{})
	}
	if t.run == nil {
		t.run = t.execute
	}
}

// Deadline implements context.Context: a task has none.
func (t *Task) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context: it is closed when the task is aborted.
func (t *Task) Done() <-chan struct{} { return t.done }

// Err implements context.Context.
func (t *Task) Err() error {
	select {
	case <-t.done:
		return context.Canceled
	default:
		return nil
	}
}

// Value implements context.Context: a task carries none.
func (t *Task) Value(any) any { return nil }
