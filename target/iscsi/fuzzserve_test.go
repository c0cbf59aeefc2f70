package iscsi_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/isostore/disc/disctest"
	"spindle/mmcemu"
	"spindle/target"
	"spindle/target/iscsi"
)

// FuzzServe plays a program to a server over a pipe: a login, then PDUs that
// are right or wrong, whole or torn, on a target of real drives. However it
// goes, the server neither panics nor hangs, answers a ping as long as the
// stream is in step, numbers what it says, says no more than it was asked for,
// and keeps nothing: no goroutine, no memory on loan. See player for what the
// bytes of a program mean.
func FuzzServe(f *testing.F) {
	for _, seed := range serveSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		rest := runtime.NumGoroutine()
		s := newShelf()
		ours, theirs := net.Pipe()
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		go s.srv.Serve(context.Background(), l)
		l.conns <- theirs
		p := &player{t: t, shelf: s, Conn: initiator.NewConn(ours), program: program}
		p.play()
		ours.Close()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		s.srv.Shutdown(over)
		for _, d := range s.drives {
			d.Close()
		}
		awaitGoroutines(t, rest)
		if out := s.srv.MemoryOut(); out != 0 {
			t.Errorf("%d bytes are still on loan", out)
		}
		if n := liveHeap(); n > 128<<20 {
			t.Errorf("%d MiB of live objects", n>>20)
		}
	})
}

// awaitGoroutines waits until there are no more goroutines than before.
func awaitGoroutines(t *testing.T, rest int) {
	t.Helper()
	for i, late := 0, time.Now().Add(patience()); runtime.NumGoroutine() > rest; i++ {
		runtime.Gosched()
		if i < 100 {
			continue
		}
		if time.Now().After(late) {
			buf := make([]byte, 64<<10)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), rest, buf[:runtime.Stack(buf, true)])
		}
		<-time.After(time.Millisecond)
	}
}

// liveHeap returns the bytes of objects, without garbage when they are many.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	if metrics.Read(s); s[0].Value.Uint64() > 64<<20 {
		runtime.GC()
		metrics.Read(s)
	}
	return s[0].Value.Uint64()
}

// A shelf is a server with four drives as the logical units of one target: a
// data disc, a CD-Extra, none, and a changer.
type shelf struct {
	srv     *iscsi.Server
	drives  []*mmcemu.Drive
	exports iscsi.Settings
}

func newShelf() *shelf {
	s := &shelf{srv: iscsi.NewServer(iscsi.Options{})}
	slot := func(name string) mmcemu.Slot {
		return mmcemu.Slot{Name: name, Open: func(context.Context) (mmcemu.Medium, error) { return dataMedium(name), nil }}
	}
	units := map[uint16]*target.Unit{}
	for i, o := range []mmcemu.Options{{}, {}, {BlockLength: 512}, {Slots: []mmcemu.Slot{slot("one"), slot("two"), {}}}} {
		o.Serial, o.SwapHold = fmt.Sprintf("00000000CD%02d", i), -1
		d := mmcemu.New(o)
		s.drives = append(s.drives, d)
		units[uint16(i)] = target.NewUnit(fmt.Sprintf("cd%d", i), d, target.UnitOptions{})
	}
	s.drives[0].Insert(context.Background(), dataMedium("data"), true)
	s.drives[1].Insert(context.Background(), mmcemu.Medium{Disc: disctest.Synthetic(disctest.EnhancedCD()), Name: "extra"}, true)
	s.exports = exported(target.New(iqn, units))
	s.exports.Limits.Memory, s.exports.Limits.UnsolicitedMemory = 3<<20, 1<<20
	s.srv.Set(s.exports)
	return s
}

func dataMedium(name string) mmcemu.Medium {
	return mmcemu.Medium{Disc: disctest.Synthetic(disctest.DataDisc(fleetBlocks)), Name: name, ID: name}
}

// patience is how long a player waits for what must come: while it fuzzes,
// shorter than the 10 s that the fuzzer takes for a hang.
func patience() time.Duration {
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		return 7 * time.Second
	}
	return limit
}

// drainLimit is how many bytes of data a player takes before it hangs up.
const drainLimit = 1 << 20

// A listener takes what the server says and holds it against the rules.
type listener struct {
	t    *testing.T
	c    *initiator.Conn
	done chan struct{} // closed when nothing more comes

	mu      sync.Mutex
	heard   sync.Cond
	pongs   map[uint32]bool // tags of pings that were answered
	r2ts    []*initiator.PDU
	ttt     uint32 // the last that came in a text response
	replies int    // PDUs that carry a status
	bytes   int    // of data-in
	over    bool
	stalled bool // takes nothing more until it is over
	left    bool // a logout was answered
}

// statusCarriers are the PDUs of a target by their opcode, and whether each
// advances StatSN (RFC 7143, 11.2.1.2 and 4.2.2.2).
var statusCarriers = map[byte]func(p *initiator.PDU) bool{
	initiator.NopIn:        func(p *initiator.PDU) bool { return p.U32(16) != initiator.NoTag },
	initiator.Response:     always,
	initiator.TaskMgmtResp: always,
	initiator.LoginResp:    always,
	initiator.TextResp:     always,
	initiator.DataIn:       func(p *initiator.PDU) bool { return p.Header[1]&1 != 0 },
	initiator.LogoutResp:   always,
	initiator.R2T:          func(*initiator.PDU) bool { return false },
	initiator.Async:        always,
	initiator.Reject:       always,
}

func always(*initiator.PDU) bool { return true }

func (l *listener) listen(statSN uint32) {
	defer close(l.done)
	defer l.update(func() { l.over = true })
	defer l.c.Close() // a server that goes on to write finds out
	for {
		p, err := l.c.Recv()
		if err != nil {
			return
		}
		carries := statusCarriers[p.Op()]
		if carries == nil {
			l.t.Errorf("opcode %02x is none of a target", p.Op())
			return
		}
		if carries(p) {
			if p.U32(24) != statSN {
				l.t.Errorf("opcode %02x has StatSN %d, want %d", p.Op(), p.U32(24), statSN)
			}
			statSN++
		}
		if !l.take(p, carries(p)) {
			return
		}
	}
}

// take notes p and reports whether to go on.
func (l *listener) take(p *initiator.PDU, carries bool) (more bool) {
	l.update(func() {
		if carries {
			l.replies++
		}
		switch p.Op() {
		case initiator.NopIn:
			l.pongs[p.U32(16)] = true
		case initiator.R2T:
			l.r2ts = append(l.r2ts, p)
		case initiator.TextResp:
			l.ttt = p.U32(20)
		case initiator.DataIn:
			l.bytes += len(p.Data)
		case initiator.LogoutResp:
			l.left = l.left || p.Header[2] == 0
		}
		for l.stalled && !l.over {
			l.heard.Wait()
		}
		more = !l.over && l.bytes <= drainLimit
	})
	return more
}

func (l *listener) update(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.heard.Broadcast()
}

// wait waits until cond holds or nothing more comes; it reports false when
// neither happens in time.
func (l *listener) wait(cond func() bool) bool {
	late := false
	timer := time.AfterFunc(patience(), func() { l.update(func() { late = true }) })
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !cond() && !l.over && !late {
		l.heard.Wait()
	}
	return !late
}
