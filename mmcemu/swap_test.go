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

// TestSwap passes through empty until every nexus knows, 2.5 s at most.
func TestSwap(t *testing.T) {
	for _, tt := range []struct {
		name    string
		polling []string // one command each for hosts a and b, a second after the swap began; empty: none
		took    time.Duration
	}{
		{"nobody polls", []string{"", ""}, 2500 * time.Millisecond},
		{"one polls", []string{gesn, ""}, 2500 * time.Millisecond},
		{"both poll", []string{gesn, tur}, time.Second + linuxSettle},
		{"a read tells as well", []string{readFirst, readFirst}, time.Second + linuxSettle},
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
				wait(time.Second)
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
		if time.Since(start) != time.Second+linuxSettle {
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
		if err := <-results; !errors.Is(err, ErrSuperseded) || !two.isClosed() {
			t.Errorf("first insert: %v, closed %d times; want superseded", err, two.closed.Load())
		}
		if err := drive.Eject(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if err := <-results; !errors.Is(err, ErrSuperseded) || !three.isClosed() {
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
		wait(2 * time.Second)
		if s := drive.Status(); s.State != "ready" || s.Medium != "four" {
			t.Errorf("status = %+v; want the change completed all the same", s)
		}
	})
}

// TestLinuxEventAgreement is the rule of Linux's sr driver: after more than
// eight polls in a row at which GESN reports a change and TEST UNIT READY shows
// neither a unit attention nor another presence, it gives GESN up for good.
func TestLinuxEventAgreement(t *testing.T) {
	for _, kind := range Hosts() {
		t.Run(kind, func(t *testing.T) { testEventAgreement(t, kind) })
	}
}

func testEventAgreement(t *testing.T, kind string) {
	synctest.Test(t, func(t *testing.T) {
		drive := newDrive(t, newDisc(0, 1000))
		drive.SetPace(Pace{Host: kind})
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
				wait(3 * time.Second)
			}
			poll()
			wait(2 * time.Second)
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
		if !d.isClosed() {
			t.Errorf("disc %d closed %d times", i, d.closed.Load())
		}
	}
}
