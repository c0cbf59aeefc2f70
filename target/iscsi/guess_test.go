package iscsi_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi/scsitest"
	"spindle/target"
	"spindle/target/iscsi"
)

// A piped is a server in a bubble, whose connections are pipes of one address.
type piped struct {
	srv *iscsi.Server
	l   *pipeListener
}

func inSecuredBubble(t *testing.T, f func(t *testing.T, p *piped)) {
	synctest.Test(t, func(t *testing.T) {
		p := &piped{iscsi.NewServer(iscsi.Options{}), &pipeListener{make(chan net.Conn), make(chan struct{})}}
		unit := target.NewUnit("cd0", &disk{}, target.UnitOptions{})
		tg := target.New(iqn, map[uint16]*target.Unit{0: unit})
		p.srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: tg, Auth: &iscsi.Auth{Users: []iscsi.User{alice}}}}})
		go p.srv.Serve(context.Background(), p.l)
		f(t, p)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		start := time.Now()
		p.srv.Shutdown(over)
		if d := time.Since(start); d != 0 {
			t.Errorf("Shutdown took %v", d)
		}
	})
}

// try logs in and returns how long that took and what came of it.
func (p *piped) try(a initiator.CHAP) (time.Duration, error) {
	c := p.dial()
	defer c.Close()
	start := time.Now()
	_, err := c.LoginCHAP(initiator.Options{Target: iqn}, a)
	return time.Since(start), err
}

func (p *piped) dial() *initiator.Conn {
	ours, theirs := net.Pipe()
	p.l.conns <- theirs
	return initiator.NewConn(ours)
}

var wrong = initiator.CHAP{Name: "alice", Secret: "what somebody guessed"}

// Guesses of one address are answered later and later; who has the secret does
// not wait, and after a while the address is as good as another.
func TestGuessesWait(t *testing.T) {
	inSecuredBubble(t, func(t *testing.T, p *piped) {
		unknown := initiator.CHAP{Name: "mallory", Secret: "what somebody guessed"}
		for i, want := range []time.Duration{0, 250, 500, 1000, 2000, 4000, 4000, 4000, 4000} {
			a := wrong
			if i%2 == 1 {
				a = unknown
			}
			if d, err := p.try(a); d != want*time.Millisecond || !errors.Is(err, initiator.Refused(0x0201)) {
				t.Errorf("guess %d: %v after %v, want status 0201 after %vms", i, err, d, int(want))
			}
			if d, err := p.try(asAlice); d != 0 || err != nil {
				t.Errorf("the right secret after %d guesses: %v after %v", i, err, d)
			}
		}
		scsitest.Pause(t.Context(), 80*time.Second)
		if d, err := p.try(wrong); d != 0 || !errors.Is(err, initiator.Refused(0x0201)) {
			t.Errorf("a guess later: %v after %v, want it at once", err, d)
		}
	})
}

// Many connections do not make guessing faster: when so many wait, the response
// of a further one is not looked at, be it right.
func TestGuessesAtOnce(t *testing.T) {
	inSecuredBubble(t, func(t *testing.T, p *piped) {
		p.try(wrong)
		var mu sync.Mutex
		var wg sync.WaitGroup
		looked := map[bool]int{}
		const tries = 40
		for range tries {
			wg.Go(func() {
				d, err := p.try(wrong)
				full := errors.Is(err, initiator.Refused(0x0302))
				if full != (d == 0) || !full && !errors.Is(err, initiator.Refused(0x0201)) {
					t.Errorf("%v after %v", err, d)
				}
				mu.Lock()
				looked[full]++
				mu.Unlock()
			})
		}
		synctest.Wait() // those that wait, wait
		if d, err := p.try(asAlice); d != 0 || !errors.Is(err, initiator.Refused(0x0302)) {
			t.Errorf("the right secret among them: %v after %v; want status 0302 at once", err, d)
		}
		wg.Wait()
		if looked[false] != 16 || looked[true] != tries-16 {
			t.Errorf("%d responses were looked at, want 16", looked[false])
		}
		if _, err := p.try(asAlice); err != nil {
			t.Errorf("the right secret afterwards: %v", err)
		}
	})
}

// A guesser that does not wait for its answer, or talks meanwhile, gains
// nothing and leaves nothing.
func TestGuesserLeaves(t *testing.T) {
	inSecuredBubble(t, func(t *testing.T, p *piped) {
		for range 8 {
			p.try(wrong)
		}
		guess := func() *initiator.Conn {
			c := p.dial()
			o := initiator.Options{}
			c.LoginStep(o, 0x00, names("AuthMethod=CHAP")(nil)...)
			c.LoginStep(o, 0x00, "CHAP_A=5")
			r := loginPDU(0x81, "CHAP_N=alice\x00CHAP_R=0x00\x00")
			r.PutBytes(8, 0x80, 0, 0, 0, 0, 1).Put32(28, c.ExpStatSN)
			if err := c.Send(r); err != nil {
				t.Fatal(err)
			}
			return c
		}
		for range 5 {
			var list []*initiator.Conn
			for range 16 {
				list = append(list, guess())
			}
			for _, c := range list {
				c.Close()
			}
			synctest.Wait()
		}
		if _, err := p.try(asAlice); err != nil {
			t.Errorf("after guessers that left: %v", err)
		}

		c := guess()
		start := time.Now()
		go c.Write(make([]byte, 1<<20))
		if r, err := c.Recv(); err == nil {
			t.Errorf("a guesser that talks gets status %04x after %v", r.U16(36), time.Since(start))
		}
	})
}
