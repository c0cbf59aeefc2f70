package mmcemu

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi/scsitest"
)

// TestComingBack: a host that returns is told of a medium that changed, and of
// nothing else; one that returns late is new.
func TestComingBack(t *testing.T) {
	tests := []struct {
		name    string
		away    time.Duration
		change  func(t *testing.T, drive *Drive)
		restart bool // the daemon's
		event   string
		err     error
	}{
		{"nothing happened", time.Minute, func(*testing.T, *Drive) {}, false, nothingDisc, nil},
		{"nothing happened, restart", time.Minute, func(*testing.T, *Drive) {}, true, nothingDisc, nil},
		{"another disc", time.Minute, swapTo("two"), false, newMedia, changed},
		{"another disc, restart", time.Minute, swapTo("two"), true, newMedia, changed},
		{"another disc and back", time.Minute, func(t *testing.T, drive *Drive) {
			swapTo("two")(t, drive)
			swapTo("one")(t, drive)
		}, false, nothingDisc, nil},
		{"gone", time.Minute, func(t *testing.T, drive *Drive) { _ = drive.Eject(t.Context(), false) }, false, removedOpen, emptyOpen},
		{"another disc, too late", 6 * time.Minute, swapTo("two"), false, nothingDisc, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				drive := New(testOptions)
				swapTo("one")(t, drive)
				drive.NexusLost(join(drive, "a"))
				wait(tt.away)
				tt.change(t, drive)
				if tt.restart {
					o := testOptions
					o.Ports = drive.Ports()
					id := drive.Status().MediumID
					drive = New(o)
					swapTo(id)(t, drive)
				}
				a := join(drive, "a")
				walk(t, drive, a, step{gesn, tt.event, nil}, step{tur, "", tt.err})
				if _, err := scsitest.DoNexus(t, drive, join(drive, "b"), gesn, nil); err != nil {
					t.Error(err)
				}
				walk(t, drive, join(drive, "c"), step{"03 00 00 00 12", "70 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00", nil})
			})
		})
	}
}

func swapTo(id string) func(*testing.T, *Drive) {
	return func(t *testing.T, drive *Drive) { insert(t, drive, newDisc(1, 1000), id) }
}

// TestComingBackUntold: a host that left before it was told of a change is
// told of it when it returns; one that a power on told of it, is not.
func TestComingBackUntold(t *testing.T) {
	o := testOptions
	o.SwapHold = -1
	drive := New(o)
	swapTo("one")(t, drive)
	a, b := join(drive, "a"), join(drive, "b")
	swapTo("two")(t, drive)
	walk(t, drive, b, step{tur, "", changed})
	drive.NexusLost(a)
	drive.NexusLost(b)
	walk(t, drive, join(drive, "a"), step{tur, "", changed}, step{tur, "", nil})
	walk(t, drive, join(drive, "b"), step{tur, "", nil})
}

func TestPortsAreBounded(t *testing.T) {
	drive := newDrive(t, nil)
	for i := range 3 * maxPorts {
		drive.NexusLost(join(drive, fmt.Sprint("host ", i)))
	}
	ports := drive.Ports()
	if len(ports) != maxPorts || ports[maxPorts-1].Key != scsitest.NewNexus(fmt.Sprint("host ", 3*maxPorts-1)).Key() {
		t.Errorf("%d records, the last %v", len(ports), ports[len(ports)-1])
	}
}
