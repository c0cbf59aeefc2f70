package mmcemu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// CDBs of the media tests.
const (
	tur       = "00"
	gesn      = "4a 01 00 00 10 00 00 00 08"
	prevent   = "1e 00 00 00 01"
	allow     = "1e 00 00 00 00"
	hostEject = "1b 00 00 00 02"
	hostLoad  = "1b 00 00 00 03"
	readFirst = "28 00 00 00 00 00 00 00 01"
)

// Answers to gesn.
const (
	nothingEmpty   = "00 06 04 10 00 00 00 00"
	nothingOpen    = "00 06 04 10 00 01 00 00"
	nothingDisc    = "00 06 04 10 00 02 00 00"
	newMedia       = "00 06 04 10 02 02 00 00"
	removedOpen    = "00 06 04 10 03 01 00 00"
	removedClosed  = "00 06 04 10 03 00 00 00"
	ejectRequested = "00 06 04 10 01 02 00 00"
)

var (
	changed    = scsi.ErrMediumMayHaveChanged
	emptyOpen  = scsi.ErrMediumNotPresentTrayOpen
	emptyClose = scsi.ErrMediumNotPresentTrayClosed
)

// A step is a command and its answer: the error, or the data-in.
type step struct {
	cdb  string
	want string
	err  error
}

func walk(t *testing.T, drive *Drive, n *scsi.Nexus, steps ...step) {
	t.Helper()
	for i, s := range steps {
		got, err := scsitest.DoNexus(t, drive, n, s.cdb, nil)
		if !errors.Is(err, s.err) || s.want != "" && fmt.Sprintf("% x", got) != s.want {
			t.Errorf("step %d, %s on %s = % x, %v; want %s, %v", i, s.cdb, n.Initiator, got, err, s.want, s.err)
		}
	}
}

func TestInsertIntoEmptyTray(t *testing.T) {
	drive := newDrive(t, nil)
	a, b := join(drive, "a"), join(drive, "b")
	walk(t, drive, a, step{tur, "", emptyClose}, step{gesn, nothingEmpty, nil})
	insert(t, drive, newDisc(1, 1000), "one")
	walk(t, drive, a, step{gesn, newMedia, nil}, step{gesn, nothingDisc, nil}, step{tur, "", changed}, step{tur, "", nil})
	walk(t, drive, b, step{readFirst, "", changed}, step{readFirst, "", nil}, step{gesn, newMedia, nil}, step{gesn, nothingDisc, nil})
	walk(t, drive, join(drive, "late"), step{gesn, nothingDisc, nil}, step{tur, "", nil})
}

// TestHostEject walks MMC's order: no CHECK CONDITION on the eject, removal by
// GESN, 2/3A/02; and on load NewMedia, 6/28/00, GOOD.
func TestHostEject(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	a, b := join(drive, "a"), join(drive, "b")
	walk(
		t, drive, a,
		step{hostEject, "", nil}, step{gesn, removedOpen, nil}, step{gesn, nothingOpen, nil}, step{tur, "", emptyOpen},
		step{hostEject, "", nil},
		step{"46 02 00 00 00 00 00 00 08", "00 00 00 14 00 00 00 00", nil}, // profile 0
		step{"bd 00 00 00 00 00 00 00 00 08", "00 10 00 00 00 00 00 00", nil},
	)
	if s := drive.Status(); s.State != "open" || s.Medium != "disc" {
		t.Errorf("status after the eject = %+v; want open with the disc", s)
	}
	walk(
		t, drive, a,
		step{hostLoad, "", nil}, step{gesn, newMedia, nil}, step{tur, "", changed}, step{tur, "", nil}, step{hostLoad, "", nil},
	)
	// b polled nothing meanwhile: of the two events the later holds.
	walk(t, drive, b, step{gesn, newMedia, nil}, step{tur, "", changed}, step{tur, "", nil})
}

func TestRemoveOnEject(t *testing.T) {
	var events []Event
	o := testOptions
	o.RemoveOnEject, o.OnEvent = true, func(e Event) { events = append(events, e) }
	drive, d := New(o), newDisc(1, 1000)
	insert(t, drive, d, "one")
	a := join(drive, "a")
	walk(t, drive, a, step{hostEject, "", nil}, step{hostLoad, "", nil}, step{tur, "", emptyClose})
	if d.closed.Load() != 1 {
		t.Error("the disc is still open")
	}
	want := []Event{{Kind: EventReady, Medium: "one", MediumID: "one"}, {Kind: EventHostOut, Medium: "one", MediumID: "one", Nexus: "a", Removed: true}}
	if fmt.Sprint(events) != fmt.Sprint(want) {
		t.Errorf("events %v; want %v", events, want)
	}
}

func TestOperatorEject(t *testing.T) {
	drive, d := newDrive(t, newDisc(1, 1000)), newDisc(2, 1000)
	a := join(drive, "a")
	for range 2 { // ejecting what is out is no error
		if err := drive.Eject(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	walk(t, drive, a, step{tur, "", emptyOpen}, step{gesn, removedOpen, nil}, step{hostLoad, "", nil}, step{tur, "", emptyClose})
	insert(t, drive, d, "two")
	walk(t, drive, a, step{gesn, newMedia, nil}, step{tur, "", changed}, step{tur, "", nil})
}

// TestSwap passes through empty until every nexus knows, 2.5 s at most.
func TestSwap(t *testing.T) {
	for _, tt := range []struct {
		name    string
		polling []string // one command each for hosts a and b, a second after the swap began; empty: none
		took    time.Duration
	}{
		{"nobody polls", []string{"", ""}, 2500 * time.Millisecond},
		{"one polls", []string{gesn, ""}, 2500 * time.Millisecond},
		{"both poll", []string{gesn, tur}, time.Second + settle},
		{"a read tells as well", []string{readFirst, readFirst}, time.Second + settle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old, next := newDisc(1, 1000), newDisc(2, 1000)
				drive := newDrive(t, old)
				hosts := []*scsi.Nexus{join(drive, "a"), join(drive, "b")}
				start := time.Now()
				done := make(chan error, 1)
				go func() { done <- drive.Insert(t.Context(), Medium{Disc: next, Name: "two", ID: "two"}, false) }()
				synctest.Wait()
				if s := drive.Status(); s.State != "changing" || s.Next != "two" || old.closed.Load() != 1 {
					t.Errorf("status = %+v, old disc closed %d times", s, old.closed.Load())
				}
				time.Sleep(time.Second)
				for i, cdb := range tt.polling {
					switch cdb {
					case gesn:
						walk(t, drive, hosts[i], step{gesn, removedClosed, nil})
					case "":
					default:
						walk(t, drive, hosts[i], step{cdb, "", emptyClose})
					}
				}
				if err := <-done; err != nil || time.Since(start) != tt.took {
					t.Errorf("insert took %v, %v; want %v", time.Since(start), err, tt.took)
				}
				for _, n := range hosts {
					walk(t, drive, n, step{gesn, newMedia, nil}, step{gesn, nothingDisc, nil}, step{tur, "", changed}, step{tur, "", nil})
				}
			})
		})
	}
}

func TestSwapWithoutHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, newDisc(1, 1000))
		n := join(drive, "a")
		drive.NexusLost(n)
		start := time.Now()
		insert(t, drive, newDisc(2, 1000), "two")
		if time.Since(start) != 0 {
			t.Errorf("insert took %v; want nothing", time.Since(start))
		}
	})
}

// TestSwapHostLeaves: the last host that does not know goes away.
func TestSwapHostLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, newDisc(1, 1000))
		a := join(drive, "a")
		start := time.Now()
		time.AfterFunc(time.Second, func() { drive.NexusLost(a) })
		insert(t, drive, newDisc(2, 1000), "two")
		if time.Since(start) != time.Second+settle {
			t.Errorf("insert took %v; want 1.25 s", time.Since(start))
		}
	})
}

// TestSupersede: of two inserts and an eject the last act wins, and every disc
// but the one in the drive is closed.
func TestSupersede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, newDisc(1, 1000))
		join(drive, "a")
		two, three := newDisc(2, 1000), newDisc(3, 1000)
		results := make(chan error, 2)
		go func() { results <- drive.Insert(t.Context(), Medium{Disc: two, Name: "two"}, false) }()
		synctest.Wait()
		go func() { results <- drive.Insert(t.Context(), Medium{Disc: three, Name: "three"}, false) }()
		if err := <-results; !errors.Is(err, ErrSuperseded) || two.closed.Load() != 1 {
			t.Errorf("first insert: %v, closed %d times; want superseded", err, two.closed.Load())
		}
		if err := drive.Eject(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if err := <-results; !errors.Is(err, ErrSuperseded) || three.closed.Load() != 1 {
			t.Errorf("second insert: %v, closed %d times; want superseded", err, three.closed.Load())
		}
		if s := drive.Status(); s.State != "open" || s.Medium != "" {
			t.Errorf("status = %+v; want open and empty", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		four := newDisc(4, 1000)
		err := drive.Insert(ctx, Medium{Disc: four, Name: "four"}, false)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("insert = %v; want the end of the wait", err)
		}
		time.Sleep(2 * time.Second)
		if s := drive.Status(); s.State != "ready" || s.Medium != "four" {
			t.Errorf("status = %+v; want the change completed all the same", s)
		}
	})
}

func TestHeldTray(t *testing.T) {
	var events []EventKind
	o := testOptions
	o.SwapHold, o.OnEvent = -1, func(e Event) { events = append(events, e.Kind) }
	drive := New(o)
	insert(t, drive, newDisc(1, 1000), "one")
	a, b := join(drive, "a"), join(drive, "b")
	walk(t, drive, a, step{prevent, "", nil}, step{hostEject, "", scsi.ErrRemovalPrevented})
	walk(t, drive, b, step{hostEject, "", scsi.ErrRemovalPrevented})

	two := newDisc(2, 1000)
	for _, act := range []func(force bool) error{
		func(force bool) error { return drive.Eject(t.Context(), force) },
		func(force bool) error { return drive.Insert(t.Context(), Medium{Disc: two, Name: "two"}, force) },
	} {
		err := act(false)
		held, ok := errors.AsType[*HeldError](err)
		if !ok || len(held.Holders) != 1 || held.Holders[0].Name != "a" || held.Holders[0].Since.IsZero() {
			t.Fatalf("held by %v; want a, and since when", err)
		}
		walk(t, drive, a, step{gesn, ejectRequested, nil}, step{gesn, nothingDisc, nil}, step{readFirst, "", nil})
		walk(t, drive, b, step{gesn, ejectRequested, nil}, step{gesn, nothingDisc, nil})
	}
	if two.closed.Load() != 1 {
		t.Error("the refused disc is still open")
	}

	// Page 2Ah and each nexus for itself: b's ALLOW does not let a's go.
	if got := run(t, drive, a, "1a 00 2a 00 ff", nil); got[4+6] != 0x2B {
		t.Errorf("page 2A byte 6 = %02x; want locked", got[4+6])
	}
	walk(t, drive, b, step{prevent, "", nil}, step{allow, "", nil}, step{hostEject, "", scsi.ErrRemovalPrevented})
	walk(t, drive, a, step{allow, "", nil}, step{hostEject, "", nil}, step{hostLoad, "", nil})
	want := fmt.Sprint([]EventKind{EventReady, EventHeld, EventReleased, EventHostOut, EventHostIn, EventReady})
	if fmt.Sprint(events) != want {
		t.Errorf("events %v; want %v", events, want)
	}
}

func TestForce(t *testing.T) {
	o := testOptions
	o.SwapHold = -1
	drive := New(o)
	insert(t, drive, newDisc(1, 1000), "one")
	a := join(drive, "a")
	walk(t, drive, a, step{"1e 00 00 00 03", "", nil}, step{prevent, "", nil})
	if err := drive.Insert(t.Context(), Medium{Disc: newDisc(2, 1000), Name: "two"}, true); err != nil {
		t.Fatal(err)
	}
	if h := drive.Holders(); len(h) != 0 {
		t.Errorf("holders %v; want none", h)
	}
	walk(t, drive, a, step{gesn, newMedia, nil}, step{tur, "", changed}, step{prevent, "", nil})
	if err := drive.Eject(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	walk(t, drive, a, step{gesn, removedOpen, nil}, step{tur, "", emptyOpen})
}

// TestPersistentPrevent holds an empty tray too; a plain one does not.
func TestPersistentPrevent(t *testing.T) {
	drive := newDrive(t, nil)
	a := join(drive, "a")
	walk(t, drive, a, step{prevent, "", nil})
	if err := drive.Eject(t.Context(), false); err != nil {
		t.Errorf("eject of an empty tray: %v", err)
	}
	walk(t, drive, a, step{hostLoad, "", nil}, step{"1e 00 00 00 03", "", nil}, step{allow, "", nil})
	if _, ok := errors.AsType[*HeldError](drive.Eject(t.Context(), false)); !ok {
		t.Error("persistent prevention does not hold the empty tray")
	}
	walk(t, drive, a, step{"1e 00 00 00 02", "", nil})
	if err := drive.Eject(t.Context(), false); err != nil {
		t.Errorf("eject: %v", err)
	}
}

func TestPreventEndsWithNexusAndReset(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	a, b := join(drive, "a"), join(drive, "b")
	walk(t, drive, a, step{prevent, "", nil})
	drive.NexusLost(a)
	walk(t, drive, b, step{prevent, "", nil})
	drive.Reset()
	if err := drive.Eject(t.Context(), false); err != nil {
		t.Errorf("eject: %v", err)
	}
}

// TestLoadTime shows 2/04/01 with progress until the disc is ready.
func TestLoadTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions
		o.LoadTime = 2 * time.Second
		drive := New(o)
		a := join(drive, "a")
		go func() { _ = drive.Insert(t.Context(), Medium{Disc: newDisc(1, 1000), Name: "one"}, false) }()
		time.Sleep(time.Second)
		_, err := scsitest.DoNexus(t, drive, a, tur, nil)
		if s := scsi.SenseOf(err); !errors.Is(err, scsi.ErrBecomingReady) || s.SKS != [3]byte{0x80, 0x80, 0} {
			t.Errorf("TEST UNIT READY = %v, %x; want half way", err, s.SKS)
		}
		walk(t, drive, a, step{"03 00 00 00 12", "70 00 02 00 00 00 00 0a 00 00 00 00 04 01 00 80 80 00", nil})
		time.Sleep(1100 * time.Millisecond)
		walk(t, drive, a, step{tur, "", changed}, step{tur, "", nil})
	})
}

// TestLinuxEventAgreement is the rule of Linux's sr driver: after more than
// eight polls in a row at which GESN reports a change and TEST UNIT READY shows
// neither a unit attention nor another presence, it gives GESN up for good.
func TestLinuxEventAgreement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, newDisc(0, 1000))
		a := join(drive, "a")
		present := true
		mismatches := 0
		poll := func() {
			event := run(t, drive, a, gesn, nil)[4]
			_, err := scsitest.DoNexus(t, drive, a, tur, nil)
			now := !errors.Is(err, scsi.ErrMediumNotPresent) && scsi.SenseOf(err).Code>>8 != 0x3A
			shows := errors.Is(err, changed) || now != present
			if event != 0 && !shows {
				mismatches++
			}
			present = now
		}
		for i := range uint32(12) {
			switch i % 4 {
			case 0:
				insertLater(t, drive, i)
			case 1:
				run(t, drive, a, hostEject, nil)
				poll()
				run(t, drive, a, hostLoad, nil)
			case 2:
				_ = drive.Eject(t.Context(), false)
				insertLater(t, drive, i)
				_ = drive.Eject(t.Context(), false) // gone before it was seen
			case 3:
				insertLater(t, drive, i)
				time.Sleep(3 * time.Second)
			}
			poll()
			time.Sleep(2 * time.Second)
			poll()
		}
		if mismatches != 0 {
			t.Errorf("%d events that TEST UNIT READY contradicts", mismatches)
		}
	})
}

func insertLater(t *testing.T, drive *Drive, seed uint32) {
	go func() {
		_ = drive.Insert(t.Context(), Medium{Disc: newDisc(seed, 1000), Name: fmt.Sprint(seed)}, false)
	}()
	synctest.Wait()
}

// TestReadsDuringSwaps runs reads while discs change: every answer is of one
// disc, and each disc is closed once, after its last read.
func TestReadsDuringSwaps(t *testing.T) {
	o := testOptions
	o.SwapHold = -1
	drive := New(o)
	var discs []*fakeDisc
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for r := range 4 {
		n := join(drive, fmt.Sprint("host ", r))
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				in, err := scsitest.Execute(context.Background(), drive, n, scsitest.CDB(t, "28 00 00 00 00 00 00 00 20"), 1<<20, nil)
				if err != nil {
					if key := scsi.SenseOf(err).Key; key != scsi.NotReady && key != scsi.UnitAttention {
						t.Errorf("read: %v", err)
						return
					}
					continue
				}
				if seed := in.Data[3]; string(in.Data) != string(blocksOf(uint32(seed), 0, 32)) {
					t.Errorf("a read of disc %d holds bytes of another", seed)
					return
				}
			}
		})
	}
	for seed := range uint32(100) {
		d := newDisc(seed+1, 1000)
		discs = append(discs, d)
		insert(t, drive, d, fmt.Sprint("disc ", seed))
	}
	close(stop)
	readers.Wait()
	_ = drive.Close()
	for i, d := range discs {
		if d.closed.Load() != 1 {
			t.Errorf("disc %d closed %d times", i, d.closed.Load())
		}
	}
}
