package mmcemu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

const (
	unload    = "a6 00 00 00 02 00 00 00 ff" // as Linux sends it
	stopLoad  = "a6 00 00 00 00"
	mechanism = "bd 00 00 00 00 00 00 00 01 00"
	readBlock = "28 00 00 00 00 10 00 00 01"
)

func loadOf(slot int) string      { return fmt.Sprintf("a6 00 00 00 03 00 00 00 %02x", slot) }
func loadImmed(slot int) string   { return fmt.Sprintf("a6 01 00 00 03 00 00 00 %02x", slot) }
func newMediaOf(slot int) string  { return fmt.Sprintf("00 06 04 10 02 02 %02x %02x", slot, slot) }
func removedFrom(slot int) string { return fmt.Sprintf("00 06 04 10 03 00 %02x %02x", slot, slot) }

// slotDisc is the disc of a slot: its seed is the slot's number plus 1.
func slotDisc(number int) *fakeDisc { return newDisc(uint32(number)+1, 1000) }

// openAt returns a slot with its disc in it.
func slotAt(number int) Slot {
	name := string(rune('a' + number))
	return Slot{name, func(context.Context) (Medium, error) {
		return Medium{Disc: slotDisc(number), Name: name, ID: name}, nil
	}}
}

// newChanger returns a drive of three slots and an empty one, with the disc of
// slot 0 in it.
func newChanger(t testing.TB, change func(o *Options)) *Drive {
	t.Helper()
	o := testOptions
	o.Slots = []Slot{slotAt(0), slotAt(1), slotAt(2), {Name: "gone"}}
	if change != nil {
		change(&o)
	}
	drive := New(o)
	t.Cleanup(func() { _ = drive.Close() })
	if err := drive.Insert(t.Context(), Medium{Disc: slotDisc(0), Name: "a", ID: "a", Slot: 1}, false); err != nil {
		t.Fatal(err)
	}
	return drive
}

// slotOf is the slot whose disc is read, or -1.
func slotOf(t testing.TB, drive *Drive, n *scsi.Nexus) int {
	t.Helper()
	got, err := scsitest.DoNexus(t, drive, n, readBlock, nil)
	if err != nil || len(got) != disc.BlockSize {
		t.Errorf("%s on %s = %d bytes, %v", readBlock, n.Initiator, len(got), err)
		return -1
	}
	return int(got[3]) - 1
}

func TestChangerVectors(t *testing.T) {
	drive := newChanger(t, nil)
	walk(
		t, drive, usb(),
		step{mechanism, "00 00 00 00 00 04 00 10 80 00 00 00 80 00 00 00 80 00 00 00 00 00 00 00", nil},
		step{"bd 00 00 00 00 00 00 00 00 08", "00 00 00 00 00 04 00 10", nil},
		step{"46 02 00 03 00 00 00 00 ff", "00 00 00 0c 00 00 00 08 00 03 0b 04 99 00 00 00", nil},
		step{"46 02 01 02 00 00 00 00 ff", "00 00 00 0c 00 00 00 08 01 02 03 04 04 00 00 03", nil},
		step{"46 00 01 01 00 00 00 00 10", "00 00 00 34 00 00 00 08 01 02 03 04 04 00 00 03", nil},
		step{"1a 00 2a 00 0e", "23 00 00 00 2a 1e 0b 00 71 7f 89 07 21 00", nil},
		step{gesn, nothingDisc, nil},
	)
	plain := newDrive(t, nil)
	walk(
		t, plain, usb(),
		step{mechanism, "00 00 00 00 00 00 00 00", nil},
		step{loadOf(0), "", scsi.ErrInvalidOpcode},
		step{"46 02 01 02 00 00 00 00 ff", "00 00 00 04 00 00 00 00", nil},
	)
	for _, f := range drive.features {
		for _, op := range f.commands {
			if drive.commands[op] == nil {
				t.Errorf("feature %04x promises command %02x", f.code, op)
			}
		}
	}
	many := New(Options{Slots: make([]Slot, 40)})
	defer many.Close()
	if got := run(t, many, usb(), mechanism, nil); len(got) != 8+4*MaxSlots || got[5] != MaxSlots {
		t.Errorf("of 40 slots %x", got)
	}
}

// TestLoadUnload walks what one host sees that pages through its discs.
func TestLoadUnload(t *testing.T) {
	drive := newChanger(t, nil)
	n := join(drive, "a")
	field, gone := scsi.ErrInvalidFieldInCDB, scsi.ErrMediumNotPresent
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"the one in the drive", []step{{loadOf(0), "", nil}, {tur, "", nil}, {gesn, nothingDisc, nil}}},
		{"another", []step{{loadOf(1), "", nil}, {tur, "", changed}, {tur, "", nil}, {gesn, newMediaOf(1), nil}, {gesn, "00 06 04 10 00 02 01 01", nil}}},
		{"event first", []step{{loadOf(2), "", nil}, {gesn, newMediaOf(2), nil}, {readFirst, "", changed}, {readFirst, "", nil}}},
		{"its place in the table", []step{{mechanism, "02 00 00 00 00 04 00 10 80 00 00 00 80 00 00 00 80 00 00 00 00 00 00 00", nil}}},
		{"no such slot", []step{{loadOf(4), "", field}, {loadOf(255), "", field}, {loadImmed(4), "", field}, {"a6 00 00 00 01", "", field}, {tur, "", nil}}},
		{"empty slot", []step{{loadOf(3), "", gone}, {loadImmed(3), "", gone}, {tur, "", nil}}},
		{"unload", []step{{unload, "", nil}, {gesn, removedFrom(2), nil}, {tur, "", emptyClose}, {unload, "", nil}, {hostLoad, "", nil}, {tur, "", emptyClose}}},
		{"load after unload", []step{{loadOf(2), "", nil}, {tur, "", changed}, {tur, "", nil}}},
		{"onto the tray and back", []step{{hostEject, "", nil}, {tur, "", emptyOpen}, {loadOf(2), "", nil}, {tur, "", nil}}},
		{"another than on the tray", []step{{hostEject, "", nil}, {mechanism, "02 10 00 00 00 04 00 10 80 00 00 00 80 00 00 00 80 00 00 00 00 00 00 00", nil}, {loadOf(0), "", nil}, {tur, "", changed}, {tur, "", nil}}},
		{"prevented", []step{
			{prevent, "", nil},
			{loadOf(1), "", scsi.ErrRemovalPrevented},
			{loadImmed(1), "", scsi.ErrRemovalPrevented},
			{unload, "", scsi.ErrRemovalPrevented},
			{loadOf(0), "", nil},
			{allow, "", nil},
			{tur, "", nil},
		}},
		{"nothing to stop", []step{{stopLoad, "", nil}, {tur, "", nil}}},
	} {
		t.Run(tt.name, func(t *testing.T) { walk(t, drive, n, tt.steps...) })
	}
	for _, want := range []int{1, 2, 0, 1} {
		run(t, drive, n, loadOf(want), nil)
		run(t, drive, n, tur, changed)
		if got := slotOf(t, drive, n); got != want {
			t.Errorf("the disc of slot %d is read; want %d", got, want)
		}
		if s := drive.Status(); s.Slot != want || s.State != "ready" || len(s.Slots) != 4 || !s.Slots[2].Present || s.Slots[3].Present {
			t.Errorf("status %+v; want slot %d", s, want)
		}
	}
}

// TestLoadTellsOthers: another host sees the drive empty and then the new disc,
// by its own unit attention, and the load waits for it, though not for ever.
func TestLoadTellsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newChanger(t, nil)
		a, b, c := join(drive, "a"), join(drive, "b"), join(drive, "c")
		load := func(slot int) <-chan error {
			done := make(chan error, 1)
			go func() {
				_, err := scsitest.DoNexus(t, drive, a, loadOf(slot), nil)
				done <- err
			}()
			synctest.Wait()
			return done
		}
		done := load(1)
		walk(t, drive, b, step{gesn, removedFrom(0), nil}, step{tur, "", emptyClose}, step{mechanism, "20 00 00 00 00 04 00 10 80 00 00 00 80 00 00 00 80 00 00 00 00 00 00 00", nil})
		select {
		case err := <-done:
			t.Fatalf("the load ended with %v before everyone was told", err)
		default:
		}
		walk(t, drive, c, step{readFirst, "", emptyClose})
		began := time.Now()
		if err := <-done; err != nil || time.Since(began) != linuxSettle {
			t.Errorf("load: %v after %v", err, time.Since(began))
		}
		walk(t, drive, a, step{tur, "", changed}, step{tur, "", nil})
		walk(t, drive, b, step{gesn, newMediaOf(1), nil}, step{tur, "", changed}, step{tur, "", nil})
		walk(t, drive, c, step{readFirst, "", changed}, step{readFirst, "", nil})

		began = time.Now()
		if err := <-load(2); err != nil || time.Since(began) != 2500*time.Millisecond {
			t.Errorf("load under hosts that sleep: %v after %v", err, time.Since(began))
		}
		walk(t, drive, b, step{readFirst, "", changed}, step{readFirst, "", nil})
	})
}

// A slowSlot opens its disc when it is told to.
type slowSlot struct {
	disc *fakeDisc
	err  error
	open chan struct{}
}

func (s *slowSlot) slot() Slot {
	return Slot{"slow", func(ctx context.Context) (Medium, error) {
		select {
		case <-s.open:
			return Medium{Disc: s.disc, Name: "slow", ID: "slow"}, s.err
		case <-ctx.Done():
			return Medium{}, context.Cause(ctx)
		}
	}}
}

// TestLoadOfSlowStorage: while storage hangs, other hosts read on, and the
// command can be aborted; the disc in the drive stays.
func TestLoadOfSlowStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowSlot{disc: slotDisc(1), open: make(chan struct{})}
		drive := newChanger(t, func(o *Options) { o.Slots[1], o.SwapHold = slow.slot(), -1 })
		a, b := join(drive, "a"), join(drive, "b")
		load := func(ctx context.Context) <-chan error {
			done := make(chan error, 1)
			go func() {
				_, err := scsitest.Execute(ctx, drive, a, scsitest.CDB(t, loadOf(1)), 0, nil)
				done <- err
			}()
			synctest.Wait()
			return done
		}
		if !drive.Concurrent(scsitest.CDB(t, loadOf(1))) {
			t.Error("a load runs alone: other hosts wait for it")
		}
		aborted := errors.New("aborted")
		ctx, abort := context.WithCancelCause(t.Context())
		done := load(ctx)
		if got := slotOf(t, drive, b); got != 0 {
			t.Errorf("slot %d is read during a load that hangs; want 0", got)
		}
		abort(aborted)
		if err := <-done; !errors.Is(err, aborted) && !errors.Is(err, errLoadFailed) {
			t.Errorf("aborted load: %v", err)
		}
		walk(t, drive, a, step{tur, "", nil})

		done = load(t.Context())
		walk(t, drive, b, step{prevent, "", nil})
		slow.open <- struct{}{}
		if err := <-done; !errors.Is(err, scsi.ErrRemovalPrevented) {
			t.Errorf("load of a drive that is held meanwhile: %v", err)
		}
		if !slow.disc.isClosed() || slotOf(t, drive, b) != 0 {
			t.Error("a disc that was not loaded is not closed")
		}
		walk(t, drive, b, step{allow, "", nil})

		slow.disc, slow.err = nil, errors.New("damaged")
		done = load(t.Context())
		slow.open <- struct{}{}
		if err := <-done; !errors.Is(err, errLoadFailed) {
			t.Errorf("load of a damaged image: %v", err)
		}
		walk(t, drive, a, step{tur, "", nil})
	})
}

// TestLoadBehindTheCommand: with IMMED the drive is becoming ready until the
// disc is there, and empty when it does not come.
func TestLoadBehindTheCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		becoming := scsi.ErrBecomingReady
		slow := &slowSlot{disc: slotDisc(1), open: make(chan struct{})}
		var mu sync.Mutex
		var events []EventKind
		told := func() []EventKind {
			mu.Lock()
			defer mu.Unlock()
			list := events
			events = nil
			return list
		}
		drive := newChanger(t, func(o *Options) {
			o.Slots[1] = slow.slot()
			o.LoadTime = time.Second
			o.OnEvent = func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e.Kind)
			}
		})
		n := join(drive, "a")
		loading := "20 00 00 00 00 04 00 10 80 00 00 00 80 00 00 00 80 00 00 00 00 00 00 00"
		walk(t, drive, n, step{loadImmed(1), "", nil}, step{tur, "", becoming}, step{"03 00 00 00 12", "70 00 02 00 00 00 00 0a 00 00 00 00 04 01 00 00 00 00", nil},
			step{mechanism, loading, nil})
		if s := drive.Status(); s.State != "changing" {
			t.Errorf("state %q", s.State)
		}
		slow.open <- struct{}{}
		synctest.Wait()
		walk(t, drive, n, step{tur, "", becoming}) // it spins up
		wait(time.Second)
		synctest.Wait()
		walk(t, drive, n, step{tur, "", changed}, step{tur, "", nil}, step{gesn, newMediaOf(1), nil})

		walk(t, drive, n, step{loadOf(2), "", nil}, step{tur, "", changed})
		synctest.Wait() // for what is told of the second disc
		told()
		walk(t, drive, n, step{loadImmed(1), "", nil}, step{stopLoad, "", nil})
		synctest.Wait()
		walk(t, drive, n, step{tur, "", emptyClose}, step{gesn, nothingEmptyAt(2), nil})
		if got := told(); fmt.Sprint(got) != "[slot-unload]" {
			t.Errorf("events of a load that was stopped: %v", got)
		}

		slow.err = errors.New("damaged")
		run(t, drive, n, loadImmed(1), nil)
		slow.open <- struct{}{}
		synctest.Wait()
		walk(t, drive, n, step{tur, "", emptyClose})

		// An operator's insert comes before it, and so does another load.
		run(t, drive, n, loadImmed(1), nil)
		insert(t, drive, slotDisc(7), "other")
		walk(t, drive, n, step{tur, "", changed}, step{tur, "", nil})
		run(t, drive, n, loadImmed(1), nil)
		run(t, drive, n, loadOf(2), nil)
		run(t, drive, n, tur, changed)
		if got := slotOf(t, drive, n); got != 2 {
			t.Errorf("slot %d is read; want 2", got)
		}
		run(t, drive, n, loadImmed(1), nil)
		if err := drive.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait() // nothing is left running
	})
}

func nothingEmptyAt(slot int) string { return fmt.Sprintf("00 06 04 10 00 00 %02x %02x", slot, slot) }

// TestSlotRequest: under a tray that is held the operator's wish for another
// slot is told as MMC has it, and then as a request to eject, on which hosts act.
func TestSlotRequest(t *testing.T) {
	drive := newChanger(t, func(o *Options) { o.SwapHold = -1 })
	n := join(drive, "a")
	run(t, drive, n, prevent, nil)
	var held *HeldError
	err := drive.Insert(t.Context(), Medium{Disc: slotDisc(2), Name: "c", ID: "c", Slot: 3}, false)
	if !errors.As(err, &held) {
		t.Fatalf("insert under a held tray: %v", err)
	}
	walk(t, drive, n, step{gesn, "00 06 04 10 04 02 02 02", nil}, step{gesn, ejectRequested, nil}, step{gesn, nothingDisc, nil})
	run(t, drive, n, allow, nil)
	if err := drive.Insert(t.Context(), Medium{Disc: slotDisc(2), Name: "c", ID: "c", Slot: 3}, false); err != nil {
		t.Fatal(err)
	}
	walk(t, drive, n, step{gesn, newMediaOf(2), nil}, step{tur, "", changed}, step{gesn, "00 06 04 10 00 02 02 02", nil})
}

// TestSetSlots: what changed is seen in the table until it is loaded.
func TestSetSlots(t *testing.T) {
	drive := newChanger(t, nil)
	n := join(drive, "a")
	other := slotAt(1)
	other.Name = "z"
	for range 2 { // the second time nothing changes, and what did is still to be seen
		drive.SetSlots([]Slot{slotAt(0), other, {}, slotAt(3), slotAt(4)})
	}
	walk(t, drive, n, step{tur, "", nil}, step{mechanism, "00 00 00 00 00 04 00 10 80 00 00 00 81 00 00 00 01 00 00 00 81 00 00 00", nil},
		step{loadOf(3), "", nil}, step{tur, "", changed}, step{mechanism, "03 00 00 00 00 04 00 10 80 00 00 00 81 00 00 00 01 00 00 00 80 00 00 00", nil},
		step{loadOf(2), "", scsi.ErrMediumNotPresent})
	// A disc is of the slot that has its name, wherever it was put.
	drive.SetSlots([]Slot{slotAt(3), slotAt(0), {}, {}})
	walk(t, drive, n, step{loadOf(0), "", nil}, step{tur, "", nil}, step{loadOf(1), "", nil}, step{tur, "", changed}, step{tur, "", nil})
	if got := slotOf(t, drive, n); got != 0 {
		t.Errorf("disc %d is read; want 0", got)
	}
	drive.SetSlots([]Slot{slotAt(3), slotAt(2), {}, {}})
	walk(t, drive, n, step{loadOf(1), "", nil}, step{tur, "", changed}, step{tur, "", nil})
	if got := slotOf(t, drive, n); got != 2 {
		t.Errorf("disc %d is read; want 2", got)
	}
	drive.SetSlots(nil)
	run(t, drive, n, loadOf(0), scsi.ErrMediumNotPresent)
}

func TestPersonality(t *testing.T) {
	o := testOptions
	o.SwapHold = -1
	o.Personality = Personality{Mechanism: Caddy, Speeds: SpeedsUpTo(2)}
	drive := New(o)
	defer drive.Close()
	for _, tt := range []struct {
		blocks    uint32
		fastest   string
		mechanism Mechanism
	}{{1000, "01 60", Caddy}, {2000000, "0a d2", Caddy}, {20000000, "23 1e", Caddy}} {
		insert(t, drive, newDisc(1, tt.blocks), "disc")
		n := usb()
		run(t, drive, n, "bb 00 ff ff ff ff", nil)
		expect(t, drive, n, "1a 00 2a 00 14", "23 00 00 00 2a 1e 0b 00 71 7f 09 03"+tt.fastest+"01 00 08 00"+tt.fastest)
	}
	expect(t, drive, usb(), "46 02 00 03 00 00 00 00 ff", "00 00 00 0c 00 00 00 40 00 03 0b 04 09 00 00 00")
	o.Personality = Personality{Mechanism: PopUp, Speeds: SpeedsUpTo(8)}
	popUp := New(o)
	defer popUp.Close()
	expect(t, popUp, usb(), "1a 00 2a 00 0e", "23 00 00 00 2a 1e 0b 00 71 7f 49 03 05 80")
}

// TestContractOfChanger: a changer keeps the contract of a logical unit.
func TestContractOfChanger(t *testing.T) {
	scsitest.TestLogicalUnit(t, func() scsi.LogicalUnit { return newChanger(t, nil) })
}
