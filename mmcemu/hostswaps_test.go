package mmcemu

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/scsi/scsitest/host"
)

// TestSwapsUnderHosts swaps media 200 times while hosts read, mount, hold and
// sleep: no read fails but for a move of the medium that its host had not yet
// been told of, none gives blocks of another disc, and every host that is awake
// notices every change.
func TestSwapsUnderHosts(t *testing.T) {
	total := 0
	for seed, group := range []struct {
		hosts []string
		swaps int
		load  time.Duration
	}{
		{[]string{"Linux, iSCSI", "Windows, iSCSI", "EDK2, iSCSI"}, 70, 0},
		{[]string{"Linux, USB", "Windows, USB", "FreeBSD, iSCSI"}, 50, 1500 * time.Millisecond},
		{[]string{"macOS, USB"}, 40, 0},
		{[]string{"Linux, iSCSI", "Linux, iSCSI", "macOS, USB", "Windows, iSCSI"}, 40, 300 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSwapper(newBench(t), uint64(seed), group.hosts, group.load)
			s.run(group.swaps)
			total += int(min(int64(s.swaps), s.came.Load()))
		})
	}
	if total < 200 {
		t.Errorf("%d swaps; want 200", total)
	}
}

// A living is a host that polls, reads and mounts by itself.
type living struct {
	*bench
	model host.Model
	host  host.Host
	rng   *rand.Rand
	turn  chan struct{} // held by whoever uses host
	sleep atomic.Int64  // until when, as Unix nanoseconds

	known   int64 // the bench's moves when a read was sure to succeed
	mounted bool

	seen   int    // its Changes when it was last checked
	medium string // what was in the drive then
	reads  int
	raced  int
}

// live is the host's goroutine.
func (l *living) live(ctx context.Context) {
	for {
		every := max(l.model.Interval, time.Second) // to the next poll
		if l.asleep(0) {
			every = time.Second
		} else {
			l.turn <- struct{}{}
			l.round()
			for every > 0 {
				l.act()
				<-l.turn
				pause := time.Duration(1+l.rng.IntN(18)) * 50 * time.Millisecond // so that much happens at once
				wait(pause)
				every -= pause
				l.turn <- struct{}{}
			}
			<-l.turn
		}
		if scsitest.Pause(ctx, max(every, 0)) != nil {
			return
		}
	}
}

// asleep reports whether the host slept within the last so much time.
func (l *living) asleep(within time.Duration) bool {
	return time.Now().Add(-within).UnixNano() < l.sleep.Load()
}

// round is what the host does of itself.
func (l *living) round() {
	moves := l.still()
	ctx := l.t.Context()
	l.failed("poll", l.host.Poll(ctx))
	if s := l.host.Seen(); l.model.Interval == 0 && !s.Present {
		l.failed("attach", l.host.Attach(ctx))
	} else if l.model.Interval > 0 && !blind(l.model) && l.believesRight() && moves == l.moves.Load() {
		l.known = moves
	}
}

// act is what programs on the host do: read, mount, keep the medium.
func (l *living) act() {
	ctx := l.t.Context()
	switch l.rng.IntN(12) {
	case 0:
		if l.mounted {
			l.mounted = false
			l.failed("unmount", l.host.Unmount(ctx))
		} else if l.host.Seen().Present {
			l.host.Hold(l.rng.IntN(2) == 0)
			err := l.host.Mount(ctx)
			l.mounted = err == nil
			if err != nil && !errors.Is(err, host.ErrNotData) {
				l.mayFail("mount", err)
			}
		}
	case 1:
		l.host.Hold(l.mounted && l.rng.IntN(2) == 0)
	default:
		l.read()
	}
}

// still returns the bench's moves, or none while the operator is at work.
func (l *living) still() int64 {
	moves := l.moves.Load() // before acting: put counts in the other order
	if l.acting.Load() > 0 {
		return -1
	}
	return moves
}

// blind reports whether the host polls nothing while there is a medium.
func blind(m host.Model) bool { return m.Name == "macOS, USB" }

func (l *living) believesRight() bool {
	s := l.host.Seen()
	return s.Present && s.Label == l.wants(l.model).Label
}

// read reads somewhere.
func (l *living) read() {
	s := l.host.Seen()
	if !s.Present {
		return
	}
	n := 1 + l.rng.IntN(4)
	if int(s.Blocks) <= n {
		return // taken out while the host looked
	}
	lba := uint32(l.rng.IntN(int(s.Blocks) - n))
	if l.rng.IntN(3) == 0 {
		lba = 16 // where a file system looks
	}
	moves := l.still()
	err := readSome(l.t, l.host, lba, n)
	switch {
	case err == nil:
		l.reads++
		l.known = moves
	case errors.Is(err, scsi.ErrIllegalMode) && !driver(l.model): // sound
	default:
		l.mayFail("read", err)
	}
}

// mayFail is for an error that only a move of the medium excuses.
func (l *living) mayFail(what string, err error) {
	l.failed(what, err)
	l.raced++
	if l.known == l.moves.Load() {
		l.t.Errorf("%s: %s: %v; but nothing moved", l.model.Name, what, err)
	}
}

// failed reports what no race excuses: that a host gave something up.
func (l *living) failed(what string, err error) {
	if rules := verdicts(err); len(rules) > 0 {
		l.t.Errorf("%s: %s: %v", l.model.Name, what, err)
	}
}

// A swapper is the operator.
type swapper struct {
	*bench
	hosts  []*living
	living sync.WaitGroup
	stop   context.CancelFunc
	rng    *rand.Rand
	swaps  int
	forced int
	checks int
}

func newSwapper(b *bench, seed uint64, names []string, load time.Duration) *swapper {
	t := b.t
	s := &swapper{bench: b, rng: rand.New(rand.NewPCG(seed, 5))}
	s.drive.SetPace(Pace{Host: b.drive.o.Host, LoadTime: load})
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	for i, name := range names {
		m := host.ByName(name)
		l := &living{
			bench: s.bench, model: m, host: m.Connect(s.lu, name), known: -1,
			rng: rand.New(rand.NewPCG(seed, uint64(i))), turn: make(chan struct{}, 1),
		}
		if err := l.host.Attach(t.Context()); err != nil {
			t.Errorf("%s: attach: %v", name, err)
		}
		s.hosts = append(s.hosts, l)
		s.living.Go(func() { l.live(ctx) })
	}
	return s
}

// run makes so many swaps, not counting those of nothing for nothing and of media
// that another superseded, and checks that they did what they should.
func (s *swapper) run(swaps int) {
	for s.swaps < swaps || s.came.Load() < int64(swaps) {
		s.act()
		if s.rng.IntN(4) > 0 {
			s.quiet()
		}
	}
	wait(sleepMost)
	s.quiet()
	s.stop()
	s.living.Wait()
	raced := 0
	for _, l := range s.hosts {
		s.t.Logf("%s: %d reads, %d errors that raced, %d changes seen", l.model.Name, l.reads, l.raced, l.host.Seen().Changes)
		if l.reads < 2*swaps {
			s.t.Errorf("%s: %d reads in %d swaps are too few", l.model.Name, l.reads, swaps)
		}
		raced += l.raced
	}
	s.t.Logf("%d swaps, %d media that came or went, %d by force, %d checks", s.swaps, s.came.Load(), s.forced, s.checks)
	if s.forced == 0 || raced == 0 || s.checks < swaps/2 {
		s.t.Errorf("%d swaps, %d by force, %d checks, %d reads that raced: too few", s.swaps, s.forced, s.checks, raced)
	}
	for _, l := range s.hosts {
		l.host.Detach()
	}
}

// act is one act of the operator's, at any time against what the hosts do.
func (s *swapper) act() {
	wait(time.Duration(s.rng.IntN(60)) * 50 * time.Millisecond)
	kinds := []host.Kind{host.CD, host.Audio, host.DVD, ""}
	kind := kinds[s.rng.IntN(len(kinds))]
	switch s.rng.IntN(10) {
	case 0: // somebody goes to sleep
		l := s.hosts[s.rng.IntN(len(s.hosts))]
		l.sleep.Store(time.Now().Add(time.Duration(1 + s.rng.Int64N(int64(sleepMost)))).UnixNano())
	case 1: // a host's user ejects
		l := s.hosts[s.rng.IntN(len(s.hosts))]
		l.turn <- struct{}{}
		err := l.host.Eject(s.t.Context())
		l.mounted = false
		<-l.turn
		if err != nil && !errors.Is(err, scsi.ErrRemovalPrevented) && !errors.Is(err, changed) {
			s.t.Errorf("%s: eject: %v", l.model.Name, err)
		}
	case 2, 3: // the paper clip
		s.swaps++
		s.forced++
		if err := s.put(kind, true); err != nil {
			s.t.Errorf("forced insert of %q: %v", kind, err)
		}
	case 4: // another before the first is ready
		s.swaps += 2
		done := make(chan struct{})
		go func() { s.putHeld(host.CD); close(done) }()
		wait(time.Duration(s.rng.IntN(40)) * 50 * time.Millisecond)
		s.putHeld(kind)
		<-done
	default:
		s.swaps++
		if s.putHeld(kind) {
			s.forced++
		}
	}
}

// Times: how long a host sleeps at most, and how long one takes at most to
// notice a change and what came of it.
const (
	sleepMost = 40 * time.Second
	notice    = 8 * time.Second
)

// quiet waits until every host that is awake had time to notice, and checks
// that it did.
func (s *swapper) quiet() {
	wait(notice)
	s.checks++
	medium := s.drive.Status().Medium
	if s.drive.Status().State != "ready" {
		medium = ""
	}
	for _, l := range s.hosts {
		if l.asleep(notice) {
			continue
		}
		l.turn <- struct{}{}
		s.check(l.model, l.host, "after swap")
		changes := l.host.Seen().Changes
		if medium != l.medium && changes == l.seen {
			s.t.Errorf("%s: it did not notice that %q became %q", l.model.Name, l.medium, medium)
		}
		l.medium, l.seen = medium, changes
		<-l.turn
	}
}

// TestReadsAreTold swaps as fast as it can under hosts that do nothing but read:
// no host gets a block of a medium that it was not told of.
func TestReadsAreTold(t *testing.T) {
	b := newBench(t)
	b.drive.SetPace(Pace{SwapHold: -1})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		n := join(b.drive, "reader")
		readers.Go(func() {
			was, told := uint32(0), true
			for {
				select {
				case <-stop:
					return
				default:
				}
				in, err := scsitest.Execute(context.Background(), b.drive, n, scsi.CDB{0x28, 8: 1}, 2048, nil)
				if err != nil {
					told = true
					continue
				}
				if is := binary.BigEndian.Uint32(in.Data); is != was && !told {
					t.Errorf("a read gives disc %d after disc %d, and nothing between told so", is, was)
				} else {
					was, told = is, false
				}
			}
		})
	}
	for range 3000 {
		if err := b.put(host.CD, false); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
}

// TestRemovalIsTold: a host that polls events alone, as Linux does, is told by
// one that the medium it knew went, also when a failed read said so before and
// another medium came and went since.
func TestRemovalIsTold(t *testing.T) {
	o := testOptions
	o.SwapHold = -1
	drive := New(o)
	insert(t, drive, newDisc(1, 1000), "one")
	linux, other := join(drive, "linux"), join(drive, "other")
	walk(t, drive, other, step{hostEject, "", nil})
	walk(t, drive, linux, step{readFirst, "", emptyOpen})
	insert(t, drive, newDisc(2, 1000), "two")
	walk(t, drive, other, step{tur, "", changed}, step{hostEject, "", nil})
	walk(t, drive, linux, step{gesn, removedOpen, nil}, step{gesn, nothingOpen, nil}, step{tur, "", emptyOpen})
	insert(t, drive, newDisc(3, 1000), "three")
	walk(t, drive, other, step{tur, "", changed}, step{hostEject, "", nil})
	walk(t, drive, linux, step{gesn, nothingOpen, nil}) // three was never there

	insert(t, drive, newDisc(4, 1000), "four")
	walk(t, drive, linux, step{tur, "", changed}, step{tur, "", nil}) // and no event asked for
	walk(t, drive, other, step{tur, "", changed}, step{hostEject, "", nil})
	walk(t, drive, linux, step{readFirst, "", emptyOpen})
	insert(t, drive, newDisc(5, 1000), "five")
	walk(t, drive, other, step{tur, "", changed}, step{hostEject, "", nil})
	walk(t, drive, linux, step{gesn, removedOpen, nil}, step{gesn, nothingOpen, nil})
}
