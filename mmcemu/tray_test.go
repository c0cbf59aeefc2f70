package mmcemu

import (
	"errors"
	"fmt"
	"slices"
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

// TestOwnLoad: the host that ejected the disc and loads it again, and asks for
// no events, is not told of the disc that it knows; every other host is.
func TestOwnLoad(t *testing.T) {
	o := testOptions
	o.SwapHold = -1
	drive := New(o)
	insert(t, drive, newDisc(1, 1000), "one")
	a, b := join(drive, "a"), join(drive, "b")
	for range 2 {
		walk(
			t, drive, a,
			step{hostEject, "", nil}, step{tur, "", emptyOpen}, step{hostLoad, "", nil},
			step{tur, "", nil}, step{gesn, nothingDisc, nil}, step{readFirst, "", nil},
		)
		walk(t, drive, b, step{tur, "", changed}, step{tur, "", nil})
	}
	walk(t, drive, a, step{hostEject, "", nil})
	walk(t, drive, b, step{hostLoad, "", nil}, step{tur, "", changed})
	walk(t, drive, a, step{tur, "", changed}, step{tur, "", nil})
	insert(t, drive, newDisc(2, 1000), "two")
	walk(t, drive, a, step{tur, "", changed}, step{hostEject, "", nil})
	insert(t, drive, newDisc(3, 1000), "three")
	walk(t, drive, a, step{tur, "", changed}, step{tur, "", nil})
}

func TestRemoveOnEject(t *testing.T) {
	var events []Event
	o := testOptions
	o.RemoveOnEject, o.OnEvent = true, func(e Event) { events = append(events, e) }
	drive, d := New(o), newDisc(1, 1000)
	insert(t, drive, d, "one")
	a := join(drive, "a")
	walk(t, drive, a, step{hostEject, "", nil}, step{hostLoad, "", nil}, step{tur, "", emptyClose})
	if !d.isClosed() {
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
	if n := two.closed.Load(); n != 0 {
		t.Errorf("the refused disc, which is still the caller's, was closed %d times", n)
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

// TestHolders: who holds the tray, the longest first, and since when, which is not
// since it said so again, nor since one of two ways of holding it.
func TestHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, newDisc(1, 1000))
		start := time.Now()
		hosts := []*scsi.Nexus{join(drive, "c"), join(drive, "a"), join(drive, "b")}
		for _, cdb := range []string{prevent, "1e 00 00 00 03", prevent, allow} { // 03: persistent
			for _, n := range hosts {
				run(t, drive, n, cdb, nil)
				wait(time.Second)
			}
		}
		want := []Holder{{"c", "", start}, {"a", "", start.Add(time.Second)}, {"b", "", start.Add(2 * time.Second)}}
		if got := drive.Holders(); !slices.Equal(got, want) {
			t.Errorf("held by %v; want %v", got, want)
		}
	})
}

func TestRequestEject(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	a := join(drive, "a")
	drive.RequestEject()
	drive.RequestEject()
	walk(
		t, drive, a,
		step{"4a 01 00 00 10 00 00 00 04", "00 06 04 10", nil}, // no room for the event: it stays
		step{gesn, ejectRequested, nil}, step{gesn, nothingDisc, nil},
	)
}

func TestHeldErrorNamesHolder(t *testing.T) {
	err := &HeldError{[]Holder{{"iqn.a", "10.0.0.9:1234", time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC)}}}
	if want := "tray is held by iqn.a from 10.0.0.9:1234 since 2026-11-20 01:02:03"; err.Error() != want {
		t.Errorf("%q; want %q", err, want)
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
		wait(time.Second)
		_, err := scsitest.DoNexus(t, drive, a, tur, nil)
		if s := scsi.SenseOf(err); !errors.Is(err, scsi.ErrBecomingReady) || s.SKS != [3]byte{0x80, 0x80, 0} {
			t.Errorf("TEST UNIT READY = %v, %x; want half way", err, s.SKS)
		}
		walk(t, drive, a, step{"03 00 00 00 12", "70 00 02 00 00 00 00 0a 00 00 00 00 04 01 00 80 80 00", nil})
		wait(1100 * time.Millisecond)
		walk(t, drive, a, step{tur, "", changed}, step{tur, "", nil})
	})
}

// TestRequestEndsWithForce: what hosts were asked while the drive was not ready
// is not about the medium that came then.
func TestRequestEndsWithForce(t *testing.T) {
	drive := newDrive(t, nil)
	n := join(drive, "a")
	run(t, drive, n, "1e 00 00 00 03", nil)
	if _, held := errors.AsType[*HeldError](drive.Insert(t.Context(), Medium{Disc: newDisc(1, 1000)}, false)); !held {
		t.Fatal("persistent prevention does not hold the empty tray")
	}
	if err := drive.Insert(t.Context(), Medium{Disc: newDisc(1, 1000)}, true); err != nil {
		t.Fatal(err)
	}
	walk(t, drive, n, step{gesn, newMedia, nil}, step{tur, "", changed}, step{gesn, nothingDisc, nil})
	if drive.EjectRequested() {
		t.Error("hosts are still to be asked for an eject")
	}
}
