package iscsi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
)

// 64 sessions read, abort, reset units, move trays, hang up, and take each
// other's place, while targets come and go by reload: for the race detector.
// What a host is told is true all the while, and nothing is left in the end.
func TestStormOfEverything(t *testing.T) {
	rounds := 6
	if os.Getenv("SPINDLE_SOAK") != "" {
		rounds = 1000
	}
	f := newFleet(t, wide, 4)
	f.listen(t)
	m := &mischief{fleet: f, there: map[*initiator.Session]bool{}}
	storm := f.storm(64)
	storm.Rounds, storm.Work = rounds, m.work
	storm.Login = func(n, _ int) initiator.Options {
		o := initiator.Port(n)
		if rand.IntN(4) == 0 { // its neighbour's
			o = initiator.Port(n ^ 1)
		}
		o.Target = f.targets[m.drive(n)].Name
		return o
	}
	rest := takeTally(t)
	r := storm.Run(t.Context())
	for kind, n := range r.Failures {
		switch kind {
		case "login 0203", "login 0204", "login", "logout": // its target was removed, or its place taken
		default:
			t.Errorf("%d failures of %q", n, kind)
		}
	}
	if t.Failed() || m.good.Load() < int64(storm.Sessions*rounds) {
		t.Errorf("%d good reads; the first failure: %v", m.good.Load(), r.First)
	}
	t.Logf("%d logins, %d logouts, %d good reads, %d refused, %d lost, failures %v, in %v",
		r.Logins.Load(), r.Logouts.Load(), m.good.Load(), m.refused.Load(), m.lost.Load(), r.Failures, r.Took)
	settle(t, rest)
	if out := f.srv.MemoryOut(); out != 0 {
		t.Errorf("%d bytes are still on loan", out)
	}
	f.srv.Set(exported(f.targets...))
	for i := range f.drives {
		f.insert(t, i, "last")
	}
	calm := f.storm(8)
	calm.Work = inquire
	if r := calm.Run(t.Context()); r.Err() != nil {
		t.Errorf("afterwards: %v", r.Err())
	}
}

// mischief is what the sessions of the storm do.
type mischief struct {
	*fleet
	good, refused, lost atomic.Int64 // reads, reads, and connections

	mu    sync.Mutex
	there map[*initiator.Session]bool
}

// patient is for a response whose task another host's reset ended and that
// nobody told of, which is rare.
const patient = 5 * time.Second

// work does some things at random. Only what must never be is an error of it.
func (m *mischief) work(_ context.Context, s *initiator.Session) error {
	m.come(s)
	defer m.leave(s)
	for range 12 {
		err := m.act(s)
		wrong, ok := errors.AsType[wrongError](err)
		_, status := errors.AsType[initiator.StatusError](err)
		switch {
		case ok:
			return wrong
		case errors.Is(err, initiator.ErrHangUp):
			return err
		case err != nil && !status: // the connection has gone
			m.lost.Add(1)
			return initiator.ErrHangUp
		}
	}
	return nil
}

func (m *mischief) act(s *initiator.Session) error {
	switch dice := rand.IntN(1000); {
	case dice < 1: // ends a quarter of all sessions, as the next does
		m.reload()
	case dice < 3:
		defer m.tell(s)
		_, err := m.manage(s, 5, initiator.NoTag, 0) // LOGICAL UNIT RESET
		return err
	case dice < 10:
		return initiator.ErrHangUp
	case dice < 20:
		m.moveTray()
	case dice < 30: // out, and in
		s.Do(cdb(0x1B, 0, 0, 0, 2), 0)
		_, err := s.Do(cdb(0x1B, 0, 0, 0, 3), 0)
		return err
	case dice < 130:
		return m.abort(s)
	default:
		return m.read(s)
	}
	return nil
}

func (m *mischief) come(s *initiator.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.there[s] = true
	s.SetReadDeadline(time.Now().Add(patient))
}

func (m *mischief) leave(s *initiator.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.there, s)
}

// tell has the other sessions of the drive that s has reset stop waiting: the
// response of a task that it ended never comes (SAM-5, 5.3.1).
func (m *mischief) tell(s *initiator.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for other := range m.there {
		if other != s && m.drive(other.Number) == m.drive(s.Number) {
			other.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// drive is which one session n speaks to.
func (m *mischief) drive(n int) int { return n / 2 % len(m.drives) }

// A wrongError is what no host may see.
type wrongError struct{ error }

// mayFail are the sense keys that a read may end with while trays move: NOT
// READY, UNIT ATTENTION, and ABORTED COMMAND.
var mayFail = map[byte]bool{2: true, 6: true, 0xB: true}

// read reads somewhere and holds the data against the disc: all discs of the
// fleet are the same.
func (m *mischief) read(s *initiator.Session) error {
	n := 1 + rand.IntN(8)
	if rand.IntN(16) == 0 {
		n = 160 // of more than a chunk
	}
	lba := rand.IntN(fleetBlocks - n)
	var r *initiator.Result
	for range 4 { // as a host does after a unit attention
		var err error
		if r, err = s.Conn.Do(read10(lba, n), n*2048, nil, 0); err != nil {
			return err
		}
		if len(r.Sense) < 14 || r.Sense[2]&15 != 6 {
			break
		}
	}
	if r.Status != 0 {
		if r.Status != 2 || len(r.Sense) < 14 || !mayFail[r.Sense[2]&15] {
			return wrongError{fmt.Errorf("READ of %d blocks at %d: status %02x, sense %x", n, lba, r.Status, r.Sense)}
		}
		m.refused.Add(1)
		return nil
	}
	want := make([]byte, disc.BlockSize)
	for i := range n {
		disctest.Fill(want, disc.LBA(lba+i))
		if !bytes.Equal(r.Data[i*2048:(i+1)*2048], want) {
			return wrongError{fmt.Errorf("READ of %d blocks at %d: block %d is not the disc's", n, lba, i)}
		}
	}
	m.good.Add(1)
	return nil
}

// abort queues reads, aborts the last, and serves the rest to their ends.
func (m *mischief) abort(s *initiator.Session) error {
	const reads = 4
	first := s.ITT
	for range reads {
		if err := s.SendCommand(s.NewCommand(read10(rand.IntN(1000), 64), 64*2048, 0)); err != nil {
			return err
		}
	}
	ended, err := m.manage(s, 1, first+reads-1, s.CmdSN-1) // ABORT TASK
	for err == nil && ended < reads {
		var done bool
		if done, err = m.next(s, nil); done {
			ended++
		}
	}
	return err
}

// manage runs a task management function and returns how many tasks ended until
// its response, the aborted one included.
func (m *mischief) manage(s *initiator.Session, function byte, tag, ref uint32) (ended int, err error) {
	q := initiator.New(initiator.TaskMgmt|initiator.Immediate, 0x80|function).Put32(16, s.ITT).Put32(20, tag).
		Put32(24, s.CmdSN).Put32(28, s.ExpStatSN).Put32(32, ref)
	s.ITT++
	if err := s.Send(q); err != nil {
		return 0, err
	}
	var response *initiator.PDU
	for response == nil {
		done, err := m.next(s, &response)
		if err != nil {
			return ended, err
		}
		if done {
			ended++
		}
	}
	switch response.Header[2] {
	case 0:
		if function == 1 {
			ended++
		}
	case 1: // no such task: it had ended
	default:
		return ended, wrongError{fmt.Errorf("function %d: response %d", function, response.Header[2])}
	}
	return ended, nil
}

// errDismissed is how a session ends whose target was removed.
var errDismissed = errors.New("the target ended the session")

// next takes a PDU and reports whether it ends a command; response is set to
// that of a function.
func (m *mischief) next(s *initiator.Session, response **initiator.PDU) (done bool, err error) {
	p, err := s.Recv()
	if err != nil {
		return false, err
	}
	switch p.Op() {
	case initiator.DataIn:
		return p.Header[1]&1 != 0, nil
	case initiator.Response:
		return true, nil
	case initiator.Async:
		return false, errDismissed
	case initiator.TaskMgmtResp:
		if response != nil {
			*response = p
			return false, nil
		}
	}
	return false, wrongError{fmt.Errorf("opcode %02x among reads", p.Op())}
}

// moveTray takes a disc out, or puts another one in.
func (m *mischief) moveTray() {
	d := m.drives[rand.IntN(len(m.drives))]
	if rand.IntN(3) == 0 {
		d.Eject(context.Background(), true)
	}
	name := fmt.Sprint(rand.Uint32())
	d.Insert(context.Background(), dataMedium(name), true) // a later one may take its place
}

// reload takes a target away and puts it back.
func (m *mischief) reload() {
	i := rand.IntN(len(m.targets))
	left := append(append(m.targets[:0:0], m.targets[:i]...), m.targets[i+1:]...)
	m.srv.Set(exported(left...))
	m.srv.Set(exported(m.targets...))
}
