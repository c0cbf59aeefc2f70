package target_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/target"
)

// A probe is a logical unit whose commands stop where the test wants.
type probe struct {
	mu     sync.Mutex
	log    []string
	lost   []string
	resets int
	hold   chan struct{} // closed to let commands of opcode slow go
	deaf   bool          // slow ones do not heed their context
}

const (
	fast  = 0x00 // alone
	read  = 0x28 // concurrent, slow
	panik = 0xEE
)

func (p *probe) Concurrent(c scsi.CDB) bool { return c[0] == read }

func (p *probe) Execute(ctx context.Context, cmd *scsi.Command) error {
	if ua, ok := cmd.Nexus.Take(); ok {
		return ua
	}
	p.note("start", cmd.CDB[1])
	defer p.note("end", cmd.CDB[1])
	switch {
	case cmd.CDB[0] == panik:
		panic("as asked")
	case cmd.CDB[0] == read && p.deaf:
		<-p.hold
	case cmd.CDB[0] == read:
		select {
		case <-p.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *probe) note(what string, id byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, what+" "+string('a'+rune(id)))
}

func (p *probe) events() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

func (p *probe) NexusJoined(*scsi.Nexus) {}
func (p *probe) NexusLost(n *scsi.Nexus) { p.lost = append(p.lost, n.Initiator) }
func (p *probe) Reset()                  { p.resets++ }

// A result is how a task of the test ended.
type result struct {
	err     error
	aborted bool
}

type job struct {
	target.Task
	ended chan result
	r     result
}

func (j *job) Finish(err error, aborted bool) { j.r = result{err, aborted} }
func (j *job) Release()                       { j.ended <- j.r }

func submit(s *target.Session, op, id byte, attr target.Attribute) *job {
	j := &job{ended: make(chan result, 1)}
	j.CDB = scsi.CDB{op, id}
	j.In, j.Out = &scsitest.DataIn{}, scsitest.NoData
	j.Attribute, j.Owner = attr, j
	s.Submit(target.LUN{}, &j.Task)
	return j
}

var isid = [6]byte{0x80, 0, 0, 0, 0, 1}

func open(t *testing.T, tg *target.Target, name string) *target.Session {
	t.Helper()
	s := tg.Open(target.Initiator{Name: name}, isid, scsi.Port{Protocol: scsi.ISCSI}, "test")
	j := submit(s, fast, 25, target.Simple) // takes the power on
	if r := <-j.ended; r.err != nil && !errors.Is(r.err, scsi.ErrPowerOn) {
		t.Fatalf("first command = %v", r.err)
	}
	return s
}

func newTarget(p *probe, o target.UnitOptions) (*target.Target, *target.Unit) {
	u := target.NewUnit("cd0", p, o)
	return target.New("iqn.test", map[uint16]*target.Unit{0: u}), u
}

func TestTaskSetOrder(t *testing.T) {
	tests := []struct {
		name string
		jobs []struct {
			op   byte
			attr target.Attribute
		}
		before []string // started before the reads are let go
		after  []string // in all, order of starts
	}{
		{"reads overlap", jobs(read, target.Simple, read, target.Simple), []string{"start a", "start b"}, []string{"start a", "start b"}},
		{"a lone command waits for reads", jobs(read, target.Simple, fast, target.Simple, read, target.Simple), []string{"start a"}, []string{"start a", "start b", "start c"}},
		{"ordered runs alone", jobs(read, target.Simple, read, target.Ordered, read, target.Simple), []string{"start a"}, []string{"start a", "start b", "start c"}},
		{"head of queue goes before what waits", jobs(read, target.Simple, fast, target.Simple, fast, target.HeadOfQueue), []string{"start a"}, []string{"start a", "start c", "start b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &probe{hold: make(chan struct{})}
				tg, _ := newTarget(p, target.UnitOptions{})
				s := open(t, tg, "a")
				p.log = nil
				var all []*job
				for i, j := range tt.jobs {
					all = append(all, submit(s, j.op, byte(i), j.attr))
					synctest.Wait()
				}
				if got := starts(p.events()); !slices.Equal(got, tt.before) {
					t.Errorf("before the reads end: %q, want %q", got, tt.before)
				}
				close(p.hold)
				for _, j := range all {
					<-j.ended
				}
				if got := starts(p.events()); !slices.Equal(got, tt.after) {
					t.Errorf("in all: %q, want %q", got, tt.after)
				}
				s.Close()
			})
		})
	}
}

func jobs(a ...any) (list []struct {
	op   byte
	attr target.Attribute
},
) {
	for i := 0; i < len(a); i += 2 {
		list = append(list, struct {
			op   byte
			attr target.Attribute
		}{byte(a[i].(int)), a[i+1].(target.Attribute)})
	}
	return list
}

func starts(log []string) (list []string) {
	for _, l := range log {
		if l[:5] == "start" {
			list = append(list, l)
		}
	}
	return list
}

// A host that does not take its data holds up nobody else: another's command
// that runs alone goes on beside the read, and its own waits.
func TestSlowHostHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{hold: make(chan struct{})}
		tg, _ := newTarget(p, target.UnitOptions{})
		slow, other := open(t, tg, "slow"), open(t, tg, "other")
		reading, own := submit(slow, read, 0, target.Simple), submit(slow, fast, 1, target.Simple)
		if r := <-submit(other, fast, 2, target.Simple).ended; r.err != nil {
			t.Errorf("another host's command = %v", r.err)
		}
		ordered := submit(other, fast, 3, target.Ordered)
		after := submit(other, fast, 4, target.Simple)
		synctest.Wait()
		if len(own.ended)+len(ordered.ended)+len(after.ended) != 0 {
			t.Error("a command passed a read of its own nexus, or an ORDERED task any read")
		}
		close(p.hold)
		for _, j := range []*job{reading, own, ordered, after} {
			<-j.ended
		}
		if got := starts(p.events()); !slices.Equal(got[len(got)-3:], []string{"start b", "start d", "start e"}) {
			t.Errorf("order %q", got)
		}
		slow.Close()
		other.Close()
	})
}

// The command that comes first reports the unit attention, however the
// scheduler runs the goroutines of two reads.
func TestUnitAttentionGoesToTheFirst(t *testing.T) {
	p := &probe{hold: make(chan struct{})}
	close(p.hold)
	tg, _ := newTarget(p, target.UnitOptions{})
	for range 100 {
		s := tg.Open(target.Initiator{Name: "a"}, [6]byte{1}, scsi.Port{}, "")
		first, second := submit(s, read, 0, target.Simple), submit(s, read, 1, target.Simple)
		if r := <-first.ended; !errors.Is(r.err, scsi.ErrPowerOn) {
			t.Fatalf("first = %v, want %v", r.err, scsi.ErrPowerOn)
		}
		if r := <-second.ended; r.err != nil {
			t.Fatalf("second = %v, want GOOD", r.err)
		}
		s.Close()
		tg, _ = newTarget(p, target.UnitOptions{})
	}
}

func TestPanicIsOneCommandsError(t *testing.T) {
	p := &probe{}
	tg, _ := newTarget(p, target.UnitOptions{})
	s := open(t, tg, "a")
	if r := <-submit(s, panik, 0, target.Simple).ended; !errors.Is(r.err, scsi.ErrInternal) {
		t.Errorf("panic = %v, want %v", r.err, scsi.ErrInternal)
	}
	if r := <-submit(s, fast, 0, target.Simple).ended; r.err != nil {
		t.Errorf("next command = %v, want GOOD", r.err)
	}
}

func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{hold: make(chan struct{})}
		tg, _ := newTarget(p, target.UnitOptions{})
		a, b := open(t, tg, "a"), open(t, tg, "b")
		running := submit(a, read, 0, target.Simple)
		waiting := submit(a, fast, 1, target.Simple)
		synctest.Wait()
		for _, j := range []*job{waiting, running} {
			ok, err := a.Abort(target.LUN{}, func(u *target.Task) bool { return u.Owner == target.Owner(j) })
			if !ok || err != nil {
				t.Errorf("Abort = %v, %v; want true, nil", ok, err)
			}
			if r := <-j.ended; !r.aborted {
				t.Errorf("aborted task ended as %+v", r)
			}
		}
		if ok, _ := a.Abort(target.LUN{}, func(u *target.Task) bool { return u.Owner == target.Owner(running) }); ok {
			t.Error("Abort of a task that ended = true")
		}

		mine, other := submit(a, read, 2, target.Simple), submit(b, read, 3, target.Simple)
		if err := a.AbortSet(target.LUN{}); err != nil || !(<-mine.ended).aborted || len(other.ended) != 0 {
			t.Errorf("AbortSet = %v; other's task ended: %d", err, len(other.ended))
		}
		if err := a.ClearSet(target.LUN{}); err != nil || !(<-other.ended).aborted {
			t.Errorf("ClearSet = %v", err)
		}
		if r := <-submit(b, fast, 0, target.Simple).ended; !errors.Is(r.err, scsi.ErrCommandsCleared) {
			t.Errorf("the other nexus after ClearSet = %v, want %v", r.err, scsi.ErrCommandsCleared)
		}
		if err := a.ResetUnit(target.LUN{}); err != nil || p.resets != 1 {
			t.Errorf("ResetUnit = %v, %d resets", err, p.resets)
		}
		if r := <-submit(b, fast, 0, target.Simple).ended; !errors.Is(r.err, scsi.ErrDeviceReset) {
			t.Errorf("the other nexus after ResetUnit = %v, want %v", r.err, scsi.ErrDeviceReset)
		}
		if r := <-submit(a, fast, 0, target.Simple).ended; r.err != nil {
			t.Errorf("the requester after ResetUnit = %v, want GOOD", r.err)
		}
		if err := a.AbortSet(target.LUN{0, 7}); !errors.Is(err, target.ErrNoLUN) {
			t.Errorf("AbortSet of LUN 7 = %v", err)
		}
		a.Close()
		b.Close()
		if !slices.Equal(p.lost, []string{"a", "b"}) {
			t.Errorf("nexuses lost: %q", p.lost)
		}
	})
}

func TestTaskStuckInStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{hold: make(chan struct{}), deaf: true}
		tg, u := newTarget(p, target.UnitOptions{})
		s := open(t, tg, "a")
		stuck := submit(s, read, 0, target.Simple)
		synctest.Wait()
		began := time.Now()
		if err := s.ResetUnit(target.LUN{}); !errors.Is(err, target.ErrStuck) {
			t.Errorf("ResetUnit = %v, want %v", err, target.ErrStuck)
		}
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("it took %v, want 10s", d)
		}
		if r := <-submit(s, fast, 1, target.Simple).ended; !errors.Is(r.err, scsi.Busy) || u.Stuck() != 1 {
			t.Errorf("while stuck = %v, %d stuck; want %v, 1", r.err, u.Stuck(), scsi.Busy)
		}
		close(p.hold)
		if r := <-stuck.ended; !r.aborted {
			t.Errorf("stuck task ended as %+v", r)
		}
		if r := <-submit(s, fast, 1, target.Simple).ended; r.err != nil || u.Stuck() != 0 {
			t.Errorf("afterwards = %v, %d stuck; want GOOD, 0", r.err, u.Stuck())
		}
		s.Close()
	})
}

func TestComingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := func(tg *target.Target, name string) error {
			s := tg.Open(target.Initiator{Name: name}, isid, scsi.Port{}, "")
			defer s.Close()
			return (<-submit(s, fast, 0, target.Simple).ended).err
		}
		p := &probe{}
		tg, u := newTarget(p, target.UnitOptions{})
		check := func(what string, got error, want error) {
			t.Helper()
			if !errors.Is(got, want) {
				t.Errorf("%s = %v, want %v", what, got, want)
			}
		}
		check("first login", first(tg, "a"), scsi.ErrPowerOn)
		scsitest.Pause(t.Context(), target.ReturnTime-time.Second)
		check("back in time", first(tg, "a"), nil)
		check("another port", first(tg, "b"), scsi.ErrPowerOn)
		scsitest.Pause(t.Context(), target.ReturnTime+time.Second)
		check("back too late", first(tg, "a"), scsi.ErrPowerOn)

		restarted, _ := newTarget(p, target.UnitOptions{Ports: u.Ports()})
		check("back after a restart", first(restarted, "a"), nil)
		strict, _ := newTarget(p, target.UnitOptions{Ports: u.Ports(), UAOnReturn: true})
		check("back with the switch on", first(strict, "a"), scsi.ErrPowerOn)
	})
}

func TestPortMemoryIsBounded(t *testing.T) {
	p := &probe{}
	tg, u := newTarget(p, target.UnitOptions{})
	for i := range 1000 {
		tg.Open(target.Initiator{Name: "a"}, [6]byte{byte(i >> 8), byte(i)}, scsi.Port{}, "").Close()
	}
	if n := len(u.Ports()); n > 64 {
		t.Errorf("%d ports are remembered", n)
	}
}
