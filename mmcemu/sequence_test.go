package mmcemu

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
)

// newDriveFor returns a drive for a kind of host, with disc "one" in it.
func newDriveFor(t *testing.T, host string) *Drive {
	t.Helper()
	o := testOptions
	o.Host = host
	drive := New(o)
	t.Cleanup(func() { _ = drive.Close() })
	insert(t, drive, newDisc(1, 1000), "one")
	return drive
}

// TestSequences swaps under a host that polls as its kind does, and under one
// that does not: how long the drive is empty, and what the host then sees.
func TestSequences(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	tests := []struct {
		host  string
		polls []step        // 400 ms after the swap began
		told  time.Duration // what the swap then took
		blind time.Duration // what it takes without them
	}{
		{"generic", []step{{gesn, removedClosed, nil}, {tur, "", emptyClose}}, ms(650), ms(2500)},
		{"linux", []step{{gesn, removedClosed, nil}, {tur, "", emptyClose}}, ms(650), ms(2500)},
		{"windows", []step{{gesn, removedClosed, nil}}, ms(400), ms(1500)},
		{"macos", []step{{readFirst, "", emptyClose}, {tur, "", emptyClose}}, ms(2500), ms(2500)},
		{"firmware", nil, 0, 0},
		{"no such host", []step{{tur, "", emptyClose}}, ms(650), ms(2500)},
	}
	for _, tt := range tests {
		for _, polls := range []bool{true, false} {
			if polls && tt.polls == nil {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				drive := newDriveFor(t, tt.host)
				a := join(drive, "a")
				start, want := time.Now(), tt.blind
				if polls {
					want = tt.told
					time.AfterFunc(400*time.Millisecond, func() { walk(t, drive, a, tt.polls...) })
				}
				insert(t, drive, newDisc(2, 1000), "two")
				if took := time.Since(start); took != want {
					t.Errorf("%s, polling %v: the swap took %v; want %v", tt.host, polls, took, want)
				}
				walk(t, drive, a, step{gesn, newMedia, nil}, step{gesn, nothingDisc, nil}, step{tur, "", changed}, step{tur, "", nil})
			})
		}
	}
	for _, tt := range tests[:len(tests)-1] {
		if !slices.Contains(Hosts(), tt.host) {
			t.Errorf("Hosts() = %v; want %s in it", Hosts(), tt.host)
		}
	}
	if len(Hosts()) != len(tests)-1 {
		t.Errorf("Hosts() = %v: one is not tested", Hosts())
	}
}

// TestHostsOwnLoad: what an eject and a load by one host are to it, when it
// asks by TEST UNIT READY alone.
func TestHostsOwnLoad(t *testing.T) {
	for host, want := range map[string]error{
		"generic": nil, "linux": changed, "windows": changed, "macos": emptyOpen, "firmware": changed,
	} {
		synctest.Test(t, func(t *testing.T) { testOwnLoad(t, host, want) })
	}
}

func testOwnLoad(t *testing.T, host string, want error) {
	drive := newDriveFor(t, host)
	a, b := join(drive, "a"), join(drive, "b")
	walk(t, drive, a, step{hostEject, "", nil}, step{tur, "", emptyOpen}, step{hostLoad, "", nil}, step{tur, "", want})
	if host != "macos" {
		walk(t, drive, a, step{tur, "", nil})
		return
	}
	// Another host's load brings the disc back, and so does an insert.
	walk(t, drive, b, step{hostLoad, "", nil}, step{tur, "", changed})
	walk(t, drive, a, step{tur, "", changed}, step{hostEject, "", nil}, step{hostLoad, "", nil})
	insert(t, drive, newDisc(1, 1000), "one")
	walk(t, drive, a, step{tur, "", changed}, step{tur, "", nil})
}

// TestSetPace: a drive that is in use goes by another sequence from then on.
func TestSetPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDriveFor(t, "generic")
		a := join(drive, "a")
		for i, tt := range []struct {
			pace Pace
			want time.Duration
		}{
			{Pace{Host: "windows"}, 1500 * time.Millisecond},
			{Pace{Host: "windows", SwapHold: time.Second}, time.Second},
			{Pace{Host: "windows", SwapHold: -1}, 0},
			{Pace{Host: "firmware", LoadTime: 3 * time.Second}, 3 * time.Second},
			{Pace{SwapHold: time.Second, LoadTime: time.Second}, 2 * time.Second},
		} {
			drive.SetPace(tt.pace)
			start := time.Now()
			insert(t, drive, newDisc(uint32(i), 1000), string(rune('A'+i)))
			if took := time.Since(start); took != tt.want {
				t.Errorf("%+v: the swap took %v; want %v", tt.pace, took, tt.want)
			}
			walk(t, drive, a, step{tur, "", changed}, step{tur, "", nil})
		}
		// A load that runs ends when it said that it would.
		go func() { _ = drive.Insert(t.Context(), Medium{Disc: newDisc(9, 1000), Name: "nine"}, false) }()
		wait(1500 * time.Millisecond)
		drive.SetPace(Pace{LoadTime: time.Hour})
		walk(t, drive, a, step{"03 00 00 00 12", "70 00 02 00 00 00 00 0a 00 00 00 00 04 01 00 80 80 00", nil})
		wait(600 * time.Millisecond)
		walk(t, drive, a, step{tur, "", changed}, step{tur, "", nil})
	})
}

// TestSpinUpEvents: while a disc becomes ready there is no event and no unit
// attention of it; the eject in between leaves none either.
func TestSpinUpEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions
		o.LoadTime = 2 * time.Second
		drive := New(o)
		a := join(drive, "a")
		go func() { _ = drive.Insert(t.Context(), Medium{Disc: newDisc(1, 1000), Name: "one"}, false) }()
		wait(time.Second)
		walk(
			t, drive, a, step{gesn, nothingDisc, nil}, step{tur, "", scsi.ErrBecomingReady}, step{readFirst, "", scsi.ErrBecomingReady},
			step{"46 02 00 00 00 00 00 00 08", "00 00 00 14 00 00 00 00", nil}, // profile 0
			step{hostEject, "", nil}, step{gesn, nothingOpen, nil}, step{tur, "", emptyOpen}, step{hostLoad, "", nil},
		)
		wait(1500 * time.Millisecond) // the first load would be over
		walk(t, drive, a, step{tur, "", scsi.ErrBecomingReady})
		wait(time.Second)
		walk(t, drive, a, step{gesn, newMedia, nil}, step{tur, "", changed}, step{tur, "", nil})
	})
}

// TestAwaitedEject: a host's eject that an operator waits for takes the disc
// out for good; one after the request lapsed does not.
func TestAwaitedEject(t *testing.T) {
	drive, d := newDriveFor(t, "generic"), newDisc(2, 1000)
	drive.SetPace(Pace{SwapHold: -1})
	a, b := join(drive, "a"), join(drive, "b")
	walk(t, drive, a, step{prevent, "", nil})
	if _, held := errors.AsType[*HeldError](drive.Eject(t.Context(), false)); !held || !drive.Held() {
		t.Fatal("the tray is not held")
	}
	drive.AwaitEject()
	walk(t, drive, a, step{gesn, ejectRequested, nil})
	drive.WithdrawEject()
	walk(t, drive, b, step{gesn, nothingDisc, nil}) // was not told before it lapsed
	walk(t, drive, a, step{allow, "", nil}, step{hostEject, "", nil}, step{hostLoad, "", nil}, step{tur, "", nil}, step{prevent, "", nil})

	drive.RequestEject()
	drive.AwaitEject()
	walk(t, drive, b, step{tur, "", changed}, step{gesn, newMedia, nil}, step{gesn, ejectRequested, nil})
	walk(
		t, drive, a, step{gesn, ejectRequested, nil}, step{allow, "", nil}, step{hostEject, "", nil},
		step{hostLoad, "", nil}, step{tur, "", emptyClose},
	)
	if s := drive.Status(); s.State != "empty" || s.Medium != "" || drive.Held() {
		t.Errorf("status %+v; want the disc out for good", s)
	}
	// The request was met: a later eject is the host's own.
	insert(t, drive, d, "two")
	walk(t, drive, a, step{tur, "", changed}, step{hostEject, "", nil}, step{hostLoad, "", nil}, step{tur, "", nil})
}

// TestObligingEject: the eject of a host that lets go since it was asked to does
// not hit the next medium, also when a swap holds nothing.
func TestObligingEject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDriveFor(t, "firmware")
		a := join(drive, "a")
		walk(t, drive, a, step{prevent, "", nil})
		drive.RequestEject()
		drive.AwaitEject()
		walk(t, drive, a, step{gesn, ejectRequested, nil}, step{allow, "", nil})
		start := time.Now()
		time.AfterFunc(100*time.Millisecond, func() { walk(t, drive, a, step{hostEject, "", nil}, step{tur, "", emptyOpen}) })
		insert(t, drive, newDisc(2, 1000), "two")
		if took := time.Since(start); took != oblige {
			t.Errorf("the swap took %v; want %v", took, oblige)
		}
		walk(t, drive, a, step{gesn, newMedia, nil}, step{tur, "", changed}, step{tur, "", nil})
	})
}
