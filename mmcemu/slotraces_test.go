package mmcemu

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// TestNexusGoesDuringLoad: a load behind its command, of a host that went since,
// leaves no trace of that host.
func TestNexusGoesDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowSlot{disc: slotDisc(1), open: make(chan struct{})}
		drive := newChanger(t, func(o *Options) { o.Slots[1], o.SwapHold = slow.slot(), -1 })
		a, b := join(drive, "a"), join(drive, "b")
		run(t, drive, a, loadImmed(1), nil)
		drive.NexusLost(a)
		slow.open <- struct{}{}
		synctest.Wait()
		if s := drive.Status(); len(s.Nexuses) != 1 || s.State != "ready" || s.Slot != 1 {
			t.Errorf("status %+v; want b alone, and slot 1", s)
		}
		walk(t, drive, b, step{tur, "", changed}, step{tur, "", nil})
	})
}

// TestEjectDuringLoad: a host's eject ends a load behind its command: the tray
// stays open, events and TEST UNIT READY say the same, and the daemon is told.
func TestEjectDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowSlot{disc: slotDisc(1), open: make(chan struct{})}
		out := 0
		drive := newChanger(t, func(o *Options) {
			o.Slots[1], o.SwapHold = slow.slot(), -1
			o.OnEvent = func(e Event) {
				if e.Kind == EventSlotOut {
					out++
				}
			}
		})
		n := join(drive, "a")
		walk(t, drive, n, step{loadImmed(1), "", nil}, step{hostEject, "", nil}, step{tur, "", emptyOpen})
		synctest.Wait()
		if s := drive.Status(); s.State != "open" || s.Medium != "" || out != 1 {
			t.Errorf("status %+v after %d slot-unload events; want it open after one", s, out)
		}
		walk(t, drive, n, step{loadOf(2), "", nil}, step{tur, "", changed}, step{tur, "", nil})
	})
}

// TestObligingUnload: the unload of a host that lets go because it was asked to
// does not end the insert for which it was asked.
func TestObligingUnload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newChanger(t, func(o *Options) { o.SwapHold = -1 })
		n := join(drive, "a")
		run(t, drive, n, prevent, nil)
		drive.RequestEject()
		drive.AwaitEject()
		run(t, drive, n, allow, nil)
		time.AfterFunc(oblige/2, func() { walk(t, drive, n, step{unload, "", nil}, step{tur, "", emptyClose}) })
		err := drive.Insert(t.Context(), Medium{Disc: slotDisc(2), Name: "c", ID: "c", Slot: 3}, false)
		if err != nil {
			t.Errorf("insert: %v", err)
		}
		walk(t, drive, n, step{tur, "", changed}, step{tur, "", nil})
		if got := slotOf(t, drive, n); got != 2 {
			t.Errorf("slot %d is read; want 2", got)
		}
	})
}

// TestSlotRequestEnds: a wish for a slot goes with the request to eject, and with
// a later wish for a disc of no slot.
func TestSlotRequestEnds(t *testing.T) {
	drive := newChanger(t, nil)
	n := join(drive, "a")
	run(t, drive, n, prevent, nil)
	ask := func(in Medium) {
		t.Helper()
		if _, held := errors.AsType[*HeldError](drive.Insert(t.Context(), in, false)); !held {
			t.Fatal("the tray is not held")
		}
	}
	wanted := Medium{Disc: slotDisc(2), Name: "c", ID: "c", Slot: 3}
	ask(wanted)
	drive.WithdrawEject()
	walk(t, drive, n, step{gesn, nothingDisc, nil})
	ask(wanted)
	ask(Medium{Disc: newDisc(9, 1000), Name: "foreign"})
	walk(t, drive, n, step{gesn, ejectRequested, nil}, step{gesn, nothingDisc, nil})
}

// TestSlotsThatAreNotThere: media of slots that the drive does not have, in it or
// on their way, are of no slot when the slots change.
func TestSlotsThatAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newChanger(t, nil)
		run(t, drive, join(drive, "a"), tur, nil)
		done := make(chan error, 1)
		go func() {
			done <- drive.Insert(t.Context(), Medium{Disc: slotDisc(7), Name: "h", ID: "h", Slot: 8}, false)
		}()
		synctest.Wait() // for the host to notice
		drive.SetSlots([]Slot{slotAt(1), slotAt(0), {}, {}, slotAt(7)})
		if err := <-done; err != nil {
			t.Error(err)
		}
		drive.SetSlots([]Slot{slotAt(0), slotAt(1)})
		if s := drive.Status(); s.InSlot || s.Medium != "h" {
			t.Errorf("status %+v; want a disc of no slot", s)
		}
	})
}

// TestLoadThatDoesNothing: a load that is refused, or is of the disc that is
// there, does not end its play; one of another disc does.
func TestLoadThatDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := newDrive(t, mixedCD())
		n := join(plain, "a")
		walk(t, plain, n, step{playCDB(1000, 7500), "", nil}, step{loadOf(0), "", scsi.ErrInvalidOpcode})
		wait(time.Second)
		isAt(t, plain, n, position{0x11, 0x10, 1, 1, 1075, 75})

		drive := newChanger(t, func(o *Options) { o.SwapHold = -1 })
		a := join(drive, "a")
		err := drive.Insert(t.Context(), Medium{Disc: mixedCD(), Name: "a", ID: "mixed", Slot: 1}, false)
		if err != nil {
			t.Fatal(err)
		}
		walk(
			t, drive, a, step{tur, "", changed}, step{playCDB(1000, 7500), "", nil}, step{loadOf(0), "", nil}, step{stopLoad, "", nil},
			step{loadOf(3), "", scsi.ErrMediumNotPresent}, step{prevent, "", nil}, step{loadOf(1), "", scsi.ErrRemovalPrevented}, step{allow, "", nil},
		)
		wait(time.Second)
		isAt(t, drive, a, position{0x11, 0x10, 1, 1, 1075, 75})
		walk(t, drive, a, step{loadOf(1), "", nil}, step{tur, "", changed})
		if s := drive.Status(); s.Audio.State != "" {
			t.Errorf("after the load of another disc it is %s", s.Audio.State)
		}
	})
}

// TestStoppedLoadStays: a load that was stopped brings no disc, though its image
// was opened in that moment.
func TestStoppedLoadStays(t *testing.T) {
	begun, open := make(chan struct{}), make(chan struct{})
	d := slotDisc(1)
	events := make(chan Event, 16)
	drive := newChanger(t, func(o *Options) {
		o.SwapHold = -1
		o.OnEvent = func(e Event) { events <- e }
		o.Slots[1].Open = func(context.Context) (Medium, error) {
			close(begun)
			<-open
			return Medium{Disc: d, Name: "b", ID: "b"}, nil
		}
	})
	n := join(drive, "a")
	<-events // the first disc is ready
	run(t, drive, n, loadImmed(1), nil)
	<-begun
	run(t, drive, n, stopLoad, nil)
	close(open)
	if e := <-events; e.Kind != EventSlotOut {
		t.Errorf("after a stop: event %s; want %s", e.Kind, EventSlotOut)
	}
	if s := drive.Status(); s.State != "empty" {
		t.Errorf("after a stop: %s with %q; want empty", s.State, s.Medium)
	}
}

// TestSlotRequestOfTheSame: a wish for the slot that is in the drive is a request to
// eject alone, and takes an earlier wish for another back.
func TestSlotRequestOfTheSame(t *testing.T) {
	drive := newChanger(t, nil)
	n := join(drive, "a")
	run(t, drive, n, prevent, nil)
	for _, slot := range []int{2, 0} {
		in := Medium{Disc: slotDisc(slot), Name: "other", Slot: slot + 1}
		if _, held := errors.AsType[*HeldError](drive.Insert(t.Context(), in, false)); !held {
			t.Fatal("the tray is not held")
		}
	}
	walk(t, drive, n, step{gesn, ejectRequested, nil}, step{gesn, nothingDisc, nil})
}

// TestSlotRequestOnce: of requests for events that overlap one alone is told of
// the operator's wish, and of the right slot.
func TestSlotRequestOnce(t *testing.T) {
	drive := newChanger(t, nil)
	n := join(drive, "a")
	run(t, drive, n, prevent, nil)
	for range 2000 {
		if _, held := errors.AsType[*HeldError](drive.Insert(t.Context(), Medium{Disc: slotDisc(2), Name: "c", Slot: 3}, false)); !held {
			t.Fatal("the tray is not held")
		}
		var told atomic.Int64
		var polls sync.WaitGroup
		for range 2 {
			polls.Go(func() {
				got, err := scsitest.DoNexus(t, drive, n, gesn, nil)
				if err == nil && got[4] == mediaChangedEvent {
					told.Add(1)
					if got[6] != 2 {
						t.Errorf("the wish is for slot %d; want 2", got[6])
					}
				}
			})
		}
		polls.Wait()
		if told.Load() != 1 {
			t.Fatalf("told %d times; want once", told.Load())
		}
	}
}
