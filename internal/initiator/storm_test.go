package initiator_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/target"
	"spindle/target/iscsi"
)

const iqn = "iqn.2026-11.spindle.test:storm"

// disk reads zeros; READ above block 1000 fails.
type disk struct{}

func (disk) Concurrent(scsi.CDB) bool { return true }

func (disk) Execute(_ context.Context, cmd *scsi.Command) error {
	if ua, ok := cmd.Nexus.Take(); ok {
		return ua
	}
	if cmd.CDB[0] != 0x28 {
		return nil
	}
	if binary.BigEndian.Uint32(cmd.CDB[2:]) > 1000 {
		return scsi.ErrLBAOutOfRange
	}
	return cmd.In.Reply(make([]byte, int(cmd.CDB[8])*2048))
}

// serve starts a server and returns its address and how to take its target away.
func serve(t *testing.T) (addr string, remove func()) {
	t.Helper()
	srv := iscsi.NewServer(iscsi.Options{})
	unit := target.NewUnit("cd0", disk{}, target.UnitOptions{})
	srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: target.New(iqn, map[uint16]*target.Unit{0: unit})}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(over)
		<-done
	})
	return l.Addr().String(), func() { srv.Set(iscsi.Settings{}) }
}

// A storm counts what went well and tells what did not by its kind.
func TestStormReport(t *testing.T) {
	addr, _ := serve(t)
	sources := map[string]bool{}
	var mu sync.Mutex
	r := initiator.Storm{
		Addr: addr, From: initiator.Loopback(3), Target: iqn, Sessions: 12, Rounds: 3, Logins: 4,
		Work: func(_ context.Context, s *initiator.Session) error {
			mu.Lock()
			sources[s.LocalAddr().(*net.TCPAddr).IP.String()] = true
			mu.Unlock()
			if err := s.Ready(); err != nil {
				return err
			}
			switch s.Number {
			case 0:
				return initiator.ErrHangUp
			case 1:
				return s.Read(2000, 1)
			}
			return errors.Join(s.Read(0, 64), s.Read(5, 1))
		},
	}.Run(t.Context())
	if r.Logins.Load() != 36 || r.Logouts.Load() != 30 || r.LoginTime.Count() != 36 {
		t.Errorf("%d logins, %d times of them, %d logouts; want 36, 36, 30", r.Logins.Load(), r.LoginTime.Count(), r.Logouts.Load())
	}
	if r.ReadTime.Count() != 60 || r.ReadBytes.Load() != 30*65*2048 {
		t.Errorf("%d reads of %d bytes; want 60 of %d", r.ReadTime.Count(), r.ReadBytes.Load(), 30*65*2048)
	}
	if len(r.Failures) != 1 || r.Failures["work"] != 3 {
		t.Errorf("failures %v, want 3 of work", r.Failures)
	}
	if e, ok := errors.AsType[initiator.StatusError](r.Err()); !ok || e != (initiator.StatusError{Status: 2, Key: 5, ASC: 0x21}) {
		t.Errorf("the first is %v, want 5/21/00", r.First)
	}
	if len(sources) != 3 {
		t.Errorf("came from %v, want three addresses", sources)
	}
}

// Refused logins are counted by status, and a meeting does not wait for them.
func TestStormRefused(t *testing.T) {
	addr, remove := serve(t)
	meetings := 0
	s := initiator.Storm{Addr: addr, Target: iqn, Sessions: 10, Meet: true, AllIn: func() { meetings++ }}
	s.Login = func(n, _ int) initiator.Options {
		o := initiator.Port(n)
		if o.Target = iqn; n < 4 {
			o.Target = "iqn.2026-11.spindle.test:none"
		}
		return o
	}
	r := s.Run(t.Context())
	if r.Failures["login 0203"] != 4 || r.Logouts.Load() != 6 || meetings != 1 || r.Meeting <= 0 || r.Meeting > r.Took {
		t.Errorf("failures %v, %d logouts, %d meetings, after %v of %v", r.Failures, r.Logouts.Load(), meetings, r.Meeting, r.Took)
	}
	if !errors.Is(r.Err(), initiator.ErrLogin) {
		t.Errorf("the first failure is %v", r.First)
	}
	remove()
	s.Login = nil
	if r := s.Run(t.Context()); r.Failures["login 0204"] != 10 {
		t.Errorf("without a target: %v", r.Failures)
	}
}

// A storm ends with its context, wherever its sessions are.
func TestStormEnds(t *testing.T) {
	addr, _ := serve(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, addr := range map[string]string{"at work": addr, "in logins": silent.Addr().String()} {
		for _, meet := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			var once sync.Once
			if addr == silent.Addr().String() {
				go func() { silent.Accept(); cancel() }()
			}
			r := initiator.Storm{
				Addr: addr, Target: iqn, Sessions: 8, Rounds: 1000, Logins: 2, Meet: meet,
				Work: func(ctx context.Context, s *initiator.Session) error {
					once.Do(cancel)
					<-ctx.Done()
					return s.Read(0, 1)
				},
			}.Run(ctx)
			if len(r.Failures) == 0 || r.Logouts.Load() != 0 {
				t.Errorf("%s, meeting %v: failures %v, %d logouts", name, meet, r.Failures, r.Logouts.Load())
			}
			cancel()
		}
	}
}
