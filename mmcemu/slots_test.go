package mmcemu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// TestSlotsChangeDuringLoad: a load of what is no longer in the slot puts
// nothing into the drive.
func TestSlotsChangeDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowSlot{disc: slotDisc(1), open: make(chan struct{})}
		drive := newChanger(t, func(o *Options) { o.Slots[1] = slow.slot() })
		n := join(drive, "a")
		run(t, drive, n, loadImmed(1), nil)
		drive.SetSlots([]Slot{slotAt(0), slotAt(2)})
		slow.open <- struct{}{}
		synctest.Wait()
		walk(t, drive, n, step{tur, "", emptyClose}, step{mechanism, "00 00 00 00 00 04 00 10 80 00 00 00 81 00 00 00 01 00 00 00 00 00 00 00", nil})
		if !slow.disc.isClosed() {
			t.Error("the disc that was not loaded is not closed")
		}
		run(t, drive, n, loadOf(1), nil)
		run(t, drive, n, tur, changed)
		if got := slotOf(t, drive, n); got != 2 {
			t.Errorf("disc %d is read; want 2", got)
		}
	})
}

// TestInsertOfForeignDisc: an image of no slot lies in the drive alone, and is
// gone when a slot is loaded, also the one whose disc was there before.
func TestInsertOfForeignDisc(t *testing.T) {
	drive := newChanger(t, func(o *Options) { o.SwapHold = -1 })
	n := join(drive, "a")
	foreign := newDisc(9, 1000)
	insert(t, drive, foreign, "foreign")
	if s := drive.Status(); s.InSlot || s.Slot != 0 {
		t.Errorf("status %+v; want a disc of no slot", s)
	}
	walk(t, drive, n, step{tur, "", changed}, step{loadOf(0), "", nil}, step{tur, "", changed}, step{tur, "", nil})
	if !foreign.isClosed() || slotOf(t, drive, n) != 0 {
		t.Error("the disc of no slot is still there")
	}
	insert(t, drive, newDisc(9, 1000), "foreign")
	walk(t, drive, n, step{tur, "", changed}, step{unload, "", nil}, step{tur, "", emptyClose})
}

// TestLoadSupersedesInsert: a host's load during an operator's swap comes after
// it, and the operator is told.
func TestLoadSupersedesInsert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newChanger(t, nil)
		n, other := join(drive, "a"), join(drive, "b")
		done := make(chan error, 1)
		go func() {
			done <- drive.Insert(t.Context(), Medium{Disc: slotDisc(1), Name: "b", ID: "b", Slot: 2}, false)
		}()
		synctest.Wait() // for the hosts to notice
		walk(t, drive, n, step{tur, "", emptyClose}, step{loadOf(2), "", nil}, step{tur, "", changed}, step{tur, "", nil})
		if err := <-done; err != ErrSuperseded {
			t.Errorf("insert: %v; want %v", err, ErrSuperseded)
		}
		if got := slotOf(t, drive, n); got != 2 {
			t.Errorf("slot %d is read; want 2", got)
		}
		walk(t, drive, other, step{tur, "", scsi.ErrMediumMayHaveChanged}, step{tur, "", nil})
	})
}

// TestActsDuringLoad: a load whose image is slow to open does not undo what an
// operator did meanwhile, which is the later act. Slots that are set again as
// they were are none.
func TestActsDuringLoad(t *testing.T) {
	for _, tt := range []struct {
		name  string
		act   func(t *testing.T, drive *Drive, same []Slot)
		loads bool
	}{
		{"insert", func(t *testing.T, drive *Drive, _ []Slot) { insert(t, drive, newDisc(9, 1000), "nine") }, false},
		{"eject", func(t *testing.T, drive *Drive, _ []Slot) {
			if err := drive.Eject(t.Context(), false); err != nil {
				t.Error(err)
			}
		}, false},
		{"the same slots", func(_ *testing.T, drive *Drive, same []Slot) { drive.SetSlots(same) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := &slowSlot{disc: slotDisc(1), open: make(chan struct{})}
				same := []Slot{slotAt(0), slow.slot(), slotAt(2), {Name: "gone"}}
				drive := newChanger(t, func(o *Options) { o.Slots, o.SwapHold = same, -1 })
				n := join(drive, "a")
				done := make(chan error, 1)
				go func() {
					_, err := scsitest.DoNexus(t, drive, n, loadOf(1), nil)
					done <- err
				}()
				synctest.Wait()
				tt.act(t, drive, same)
				before := drive.Status().Medium
				slow.open <- struct{}{}
				if err := <-done; (err == nil) != tt.loads || err != nil && !errors.Is(err, errLoadFailed) {
					t.Errorf("the load ended with %v; loads: %v", err, tt.loads)
				}
				if after := drive.Status().Medium; (after == before) == tt.loads || slow.disc.isClosed() == tt.loads {
					t.Errorf("%q is in the drive after %q, and the disc of the slot is closed: %v", after, before, slow.disc.isClosed())
				}
			})
		})
	}
}

// TestAlarmOfSlot: an image that a host has loaded and that cannot be opened is an
// alarm, once a load; a load that was stopped is none.
func TestAlarmOfSlot(t *testing.T) {
	damaged := errors.New("damaged")
	var alarms []string
	drive := newChanger(t, func(o *Options) {
		o.Slots[1].Open = func(ctx context.Context) (Medium, error) {
			if ctx.Err() != nil {
				return Medium{}, ctx.Err()
			}
			return Medium{}, damaged
		}
		o.OnEvent = func(e Event) {
			if e.Kind == EventAlarm {
				alarms = append(alarms, fmt.Sprint(e.Medium, " ", e.Err))
			}
		}
	})
	n := join(drive, "a")
	run(t, drive, n, loadOf(1), damaged)
	if want := []string{"b damaged"}; !slices.Equal(alarms, want) {
		t.Errorf("alarms %q; want %q", alarms, want)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := scsitest.Execute(stopped, drive, n, scsitest.CDB(t, loadOf(1)), 0, nil); !errors.Is(err, errLoadFailed) || len(alarms) != 1 {
		t.Errorf("a load that is stopped: %v, alarms %q", err, alarms)
	}
}
