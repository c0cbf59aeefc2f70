package gotgt

import (
	"bytes"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/gostor/gotgt/pkg/api"
	uuid "github.com/satori/go.uuid"

	"spindle/scsi"
	"spindle/target"
)

// gotgt tells nobody when a session ends, so one that is quiet for this long
// has ended: what it held, the tray above all, is let go.
const quiet = 5 * time.Minute

// maxSessions bounds those of a unit; the quietest makes room.
const maxSessions = 64

// A unit is a target as gotgt's logical unit 0.
type unit struct {
	e    *Engine
	name string

	mu       sync.Mutex
	target   *target.Target // nil when it is not served any more
	sessions map[uuid.UUID]*session
}

// A session is the I_T nexus that gotgt knows by a number of its own.
type session struct {
	*target.Session
	used time.Time
	busy int
}

func newUnit(e *Engine, t *target.Target) *unit {
	return &unit{e: e, name: t.Name, target: t, sessions: map[uuid.UUID]*session{}}
}

// set puts another target, or none, behind the unit. Its sessions end.
func (u *unit) set(t *target.Target) {
	u.mu.Lock()
	if u.target == t {
		u.mu.Unlock()
		return
	}
	old := u.sessions
	u.target, u.sessions = t, map[uuid.UUID]*session{}
	u.mu.Unlock()
	for _, s := range old {
		s.Close()
	}
}

// enter returns the session of id for one command, nil when there is none to
// be had.
func (u *unit) enter(id uuid.UUID) *session {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.target == nil || u.e.stop.Load() {
		return nil
	}
	s := u.sessions[id]
	if s == nil {
		u.sweep(now)
		s = &session{Session: u.open(id)}
		u.sessions[id] = s
	}
	s.used, s.busy = now, s.busy+1
	return s
}

func (u *unit) leave(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.used, s.busy = time.Now(), s.busy-1
}

func (u *unit) open(id uuid.UUID) *target.Session {
	port := scsi.Port{Protocol: scsi.ISCSI, Name: u.name + ",t,0x0001", RelativeID: 1, Group: 1}
	return u.target.Open(target.Initiator{Name: "gotgt:" + id.String()}, [6]byte(id[:6]), port, "")
}

// sweep ends sessions that are quiet, and the quietest when there are too many.
// u.mu is held.
func (u *unit) sweep(now time.Time) {
	idle := slices.DeleteFunc(slices.Collect(maps.Keys(u.sessions)), func(id uuid.UUID) bool { return u.sessions[id].busy > 0 })
	slices.SortFunc(idle, func(a, b uuid.UUID) int { return u.sessions[a].used.Compare(u.sessions[b].used) })
	for i, id := range idle {
		if s := u.sessions[id]; now.Sub(s.used) >= quiet || len(u.sessions)-i >= maxSessions {
			defer s.Close()
			defer delete(u.sessions, id)
		}
	}
}

// A job is a command of gotgt on its way through the task set.
type job struct {
	target.Task
	in    dataIn
	ended chan struct{} // of capacity 1
	err   error
}

// Finish implements target.Owner.
func (j *job) Finish(err error, aborted bool) {
	if j.err = err; aborted {
		j.err = scsi.TaskAborted
	}
}

// Release implements target.Owner.
func (j *job) Release() { j.ended <- struct{}{} }

// perform is gotgt's function of a logical unit.
func (u *unit) perform(_ int, cmd *api.SCSICommand) (stat api.SAMStat) {
	defer func() {
		if r := recover(); r != nil {
			u.e.log.Error("command panicked", "target", u.name, "panic", r, "stack", string(debug.Stack()))
			stat = answer(cmd, nil, scsi.ErrInternal)
		}
	}()
	s := u.enter(cmd.ITNexusID)
	if s == nil {
		return answer(cmd, nil, scsi.ErrNotReady)
	}
	defer u.leave(s)
	j := &job{ended: make(chan struct{}, 1)}
	j.Owner = j
	copy(j.CDB[:], cmd.SCB)
	out := []byte(nil)
	if b := cmd.OutSDBBuffer; b != nil {
		out, j.Length = b.Buffer, int64(len(b.Buffer))
	}
	if b := cmd.InSDBBuffer; b != nil {
		j.in.mem, j.Length = b.Buffer, int64(len(b.Buffer))
	}
	j.In, j.Out = &j.in, bytes.NewReader(out)
	s.Submit(target.LUN(cmd.Lun), &j.Task)
	<-j.ended
	return answer(cmd, j.in.mem[:j.in.sent], j.err)
}

// answer fills in what gotgt makes its PDUs of. The rules are those of its code:
// a Buffer shorter than Length is sent whole, Resid is the underflow, and a
// command without data must look like a write to get a SCSI Response.
func answer(cmd *api.SCSICommand, data []byte, err error) api.SAMStat {
	status, sense := scsi.StatusOf(err)
	in := cmd.InSDBBuffer
	if in == nil { // a write
		in = &api.SCSIDataBuffer{}
	}
	expected := len(in.Buffer)
	if status != scsi.Good {
		data = nil // gotgt sends data or sense
	}
	if len(data) < expected {
		in.Buffer, in.Length, in.Resid = data, 0, uint32(expected-len(data))
	}
	if len(data) == 0 {
		cmd.Direction = api.SCSIDataWrite
	}
	cmd.Result = byte(status)
	switch status {
	case scsi.Good:
		return api.SAMStatGood
	case scsi.CheckCondition:
		b := sense.AppendFixed(nil)
		cmd.SenseBuffer = &api.SenseBuffer{Buffer: b, Length: uint32(len(b))}
		return api.SAMStatCheckCondition
	}
	return api.SAMStat{Stat: byte(status), Err: fmt.Errorf("status %02x", byte(status))}
}
