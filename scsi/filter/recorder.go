package filter

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"spindle/scsi"
	"spindle/scsi/tally"
)

// A Recorder is a flight recorder: a logical unit that keeps the last commands
// and events of the one inside it, as a ring of 4,096 entries within 4 MiB. It
// is always on; what it keeps is read by [Recorder.Read].
//
// Of a command it keeps the CDB, the nexus, the unit attentions that waited,
// lengths, status, sense, time taken, the first [MaxData] bytes of data-in and
// up to [MaxOut] bytes of data-out, and the SHA-256 of data-in. A hash costs
// several times what a read does, so it is bounded: answers of up to 4 KiB
// always have one, longer ones out of an allowance of 4 MiB a second that
// saves up to 16 MiB, and all while somebody follows. An entry without a hash
// has no "sha256".
//
// Execute of a command without data-out allocates nothing.
type Recorder struct {
	lu      scsi.LogicalUnit
	namer   Namer // may be nil
	watcher scsi.NexusWatcher
	resets  scsi.Resetter
	started atomic.Uint64 // commands and events begun
	ring    ring
	counts  tally.Commands
}

var (
	_ scsi.LogicalUnit  = (*Recorder)(nil)
	_ scsi.NexusWatcher = (*recording)(nil)
	_ scsi.Resetter     = (*recording)(nil)
)

// Record returns a recorder around lu, and the logical unit to use in its
// place: one that has the abilities that lu has, and no other.
func Record(lu scsi.LogicalUnit) (*Recorder, scsi.LogicalUnit) {
	r := &Recorder{lu: lu}
	r.namer, _ = scsi.As[Namer](lu)
	r.watcher, _ = scsi.As[scsi.NexusWatcher](lu)
	r.resets, _ = scsi.As[scsi.Resetter](lu)
	r.ring.init()
	switch {
	case r.watcher != nil && r.resets != nil:
		return r, recording{r, watching{r}, resetting{r}}
	case r.watcher != nil:
		return r, struct {
			*Recorder
			watching
		}{r, watching{r}}
	case r.resets != nil:
		return r, struct {
			*Recorder
			resetting
		}{r, resetting{r}}
	}
	return r, r
}

// A recording is a recorder around a logical unit that has all abilities.
type recording struct {
	*Recorder
	watching
	resetting
}

// Unwrap lets scsi.As look inside.
func (r *Recorder) Unwrap() scsi.LogicalUnit { return r.lu }

// Execute implements scsi.LogicalUnit. A panic goes on to the front end, which
// makes an internal error of it: so does the entry.
func (r *Recorder) Execute(ctx context.Context, cmd *scsi.Command) (err error) {
	c := captures.Get().(*capture)
	c.begin(r, cmd)
	err = errPanic
	defer func() {
		cmd.In, cmd.Out = c.DataIn, c.out // the command is the front end's again
		c.end(err, ctx.Err() != nil)
		r.count(&c.slot)
		c.release()
	}()
	err = r.lu.Execute(ctx, cmd)
	return err
}

// count adds a command that ended to the drive's numbers.
func (r *Recorder) count(s *slot) {
	r.counts.Note(&tally.End{CDB: s.cdb, Status: s.status, Aborted: s.aborted, Took: s.took, In: s.sent, Out: s.out})
}

// Counts returns how many commands there were, of all hosts, and how long each
// took in the logical unit: a front end that takes its answer slowly counts with it.
func (r *Recorder) Counts() tally.Snapshot { return r.counts.Snapshot() }

// errPanic is how a command ends that panics. It is a variable so that it is
// made once.
var errPanic error = scsi.ErrInternal

// watching makes a recorder a scsi.NexusWatcher.
type watching struct{ r *Recorder }

// NexusJoined implements scsi.NexusWatcher.
func (w watching) NexusJoined(n *scsi.Nexus) {
	e := Entry{Event: EventJoined, Host: hostOf(n), Pending: texts(attentionsOf(n))}
	s := w.r.slotOf(kindJoined)
	w.r.watcher.NexusJoined(n)
	w.r.ring.add(&s, n, encode(&e))
}

// NexusLost implements scsi.NexusWatcher.
func (w watching) NexusLost(n *scsi.Nexus) {
	s := w.r.slotOf(kindLost)
	w.r.watcher.NexusLost(n)
	w.r.ring.add(&s, n, encode(&Entry{Event: EventLost}))
}

// resetting makes a recorder a scsi.Resetter.
type resetting struct{ r *Recorder }

// Reset implements scsi.Resetter.
func (w resetting) Reset() {
	s := w.r.slotOf(kindEvent)
	w.r.resets.Reset()
	w.r.ring.add(&s, nil, encode(&Entry{Event: EventReset}))
}

// Event records what happened in the drive: its kind, and what belongs to it.
func (r *Recorder) Event(e Entry) { _ = r.Act(e, func() error { return nil }) }

// Act records what an operator does to the drive: act does it. The entry has
// the place in the order of commands where act began, and the error that act
// returned, which Act returns, too.
func (r *Recorder) Act(e Entry, act func() error) error {
	s := r.slotOf(kindEvent)
	err := act()
	if e.Error = ""; err != nil {
		e.Error = err.Error()
	}
	if k, ok := trayEvents[e.Event]; ok && err == nil {
		s.kind = k
	}
	r.ring.add(&s, nil, encode(&e))
	return err
}

// slotOf begins the entry of an event.
func (r *Recorder) slotOf(k kind) slot {
	return slot{n: r.started.Add(1), time: time.Now().UnixNano(), kind: k}
}

// encode is an event in the ring. It is an Entry without what a slot has.
func encode(e *Entry) []byte {
	b, err := json.Marshal(e)
	if err != nil || len(b) > maxEvent { // cannot be: text and numbers
		b, _ = json.Marshal(&Entry{Event: e.Event, Error: "too long to be recorded"})
	}
	return b
}

// maxEvent bounds an event in the ring, in bytes. A disc of 99 tracks takes
// about 10,000.
const maxEvent = 64 << 10
