// Package target is what every front end shares above the wire: the map of
// logical units, their task sets and task management, REPORT LUNS, and the
// beginning and end of nexuses. It knows no transport.
//
// Terms are those of SAM-5.
package target

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"spindle/scsi"
)

// A Target is a SCSI target device: logical units under one name.
type Target struct {
	Name  string // iSCSI name; empty for USB
	luns  map[uint16]*Unit
	rules atomic.Pointer[map[uint16]Rules]
	none  *Unit // answers REPORT LUNS, and for logical units that are not there

	mu       sync.Mutex
	sessions map[*scsi.Nexus]*Session // by other
}

// New returns a target with the given logical units.
func New(name string, luns map[uint16]*Unit) *Target {
	t := &Target{Name: name, luns: luns, sessions: map[*scsi.Nexus]*Session{}}
	t.none = NewUnit(name, absent{t}, UnitOptions{})
	return t
}

// Units returns the logical units by number.
func (t *Target) Units() map[uint16]*Unit { return t.luns }

// A Session is the I_T nexus: an initiator port that speaks to a target, with
// an I_T_L nexus for each logical unit that it may reach.
type Session struct {
	target *Target
	who    Initiator
	places map[uint16]place
	other  place // for logical units that are not there
	leave  sync.Once
}

// A place is an I_T_L nexus with its lane in the unit's task set.
type place struct {
	*scsi.Nexus
	lane *lane
	unit *Unit
}

// Open begins a session of who with the logical units of [Target.Map]; one with
// none is of no use: see [Target.Check]. The ISID, port and address (with the
// TCP port, for people) are copied to the nexus of each unit.
func (t *Target) Open(who Initiator, isid [6]byte, port scsi.Port, address string) *Session {
	at := func(u *Unit) place {
		n := &scsi.Nexus{Initiator: who.Name, ISID: isid, Port: port, Address: address, Since: time.Now()}
		return place{n, new(lane), u}
	}
	s := &Session{target: t, who: who, places: map[uint16]place{}, other: at(t.none)}
	for lun, u := range t.Map(who) {
		s.places[lun] = at(u)
	}
	t.mu.Lock()
	t.sessions[s.other.Nexus] = s
	t.mu.Unlock()
	for _, p := range s.places {
		p.unit.join(p.Nexus)
	}
	return s
}

// reach returns the logical units of the session whose nexus with t.none is n.
func (t *Target) reach(n *scsi.Nexus) []uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[n]; s != nil {
		return slices.Sorted(maps.Keys(s.places))
	}
	return nil // it has ended
}

// Close ends the session: its tasks are aborted, and when Close returns no
// Owner of them is called any more, but for those that storage holds.
func (s *Session) Close() {
	s.leave.Do(func() {
		s.target.none.abort(func(t *Task) bool { return t.Nexus == s.other.Nexus })
		for _, p := range s.places {
			p.unit.leave(p.Nexus)
		}
		s.target.mu.Lock()
		delete(s.target.sessions, s.other.Nexus)
		s.target.mu.Unlock()
	})
}

const reportLUNs = 0xA0

// Submit sends t to the logical unit of lun and sets its Nexus.
func (s *Session) Submit(lun LUN, t *Task) { s.to(lun, t).submit(t, false) }

// Start is Submit, but leaves a task that may run at once to the caller, who
// then calls its Run: it returns true. A goroutine that would only wait for the
// next command saves the turn of another.
func (s *Session) Start(lun LUN, t *Task) bool { return s.to(lun, t).submit(t, true) }

// to returns the unit of lun, or the one that answers for it.
func (s *Session) to(lun LUN, t *Task) *Unit {
	p, ok := s.place(lun)
	if !ok || t.CDB[0] == reportLUNs {
		p = s.other
	}
	t.Nexus, t.lane = p.Nexus, p.lane
	return p.unit
}

func (s *Session) place(lun LUN) (place, bool) {
	n, ok := lun.number()
	if !ok {
		return place{}, false
	}
	p, ok := s.places[n]
	return p, ok
}

// ErrNoLUN reports a logical unit that is not there.
var ErrNoLUN = errors.New("logical unit does not exist")

func (s *Session) unit(lun LUN) (*Unit, *scsi.Nexus, error) {
	if p, ok := s.place(lun); ok {
		return p.unit, p.Nexus, nil
	}
	return nil, nil, ErrNoLUN
}

// Abort ends the one task t, which match recognises among those of lun, and
// reports whether it was there to be ended (ABORT TASK). It returns when
// nothing more of the task will be sent.
func (s *Session) Abort(lun LUN, match func(*Task) bool) (bool, error) {
	u, n, err := s.unit(lun)
	if err != nil {
		u, n = s.target.none, s.other.Nexus
	}
	ended, err := u.abort(func(t *Task) bool { return t.Nexus == n && match(t) })
	return ended > 0, err
}

// AbortSet ends all tasks of this nexus (ABORT TASK SET).
func (s *Session) AbortSet(lun LUN) error {
	u, n, err := s.unit(lun)
	if err != nil {
		return err
	}
	_, err = u.abort(func(t *Task) bool { return t.Nexus == n })
	return err
}

// ClearSet ends all tasks of every nexus (CLEAR TASK SET).
func (s *Session) ClearSet(lun LUN) error {
	u, n, err := s.unit(lun)
	if err != nil {
		return err
	}
	return u.clear(n)
}

// ResetUnit resets the logical unit (LOGICAL UNIT RESET).
func (s *Session) ResetUnit(lun LUN) error {
	u, n, err := s.unit(lun)
	if err != nil {
		return err
	}
	return u.reset(n, scsi.ErrDeviceReset)
}

// Reset resets every logical unit of the session (TARGET WARM RESET, TARGET
// COLD RESET).
func (s *Session) Reset() error {
	var errs []error
	for _, p := range s.places {
		errs = append(errs, p.unit.reset(p.Nexus, scsi.ErrTargetReset))
	}
	return errors.Join(errs...)
}
