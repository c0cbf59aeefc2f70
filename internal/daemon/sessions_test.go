package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi/scsitest"
)

// The first session that comes is saved at once, those of the next quarter of a
// second together, and the last is not forgotten.
func TestSessionsAreSavedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Daemon{loop: newLoop(), saver: newSaver(t.TempDir(), func(error) {})}
		storm := func(want int, dirty bool) {
			t.Helper()
			for range 100 {
				d.sessionsChanged()
			}
			turn(t, d, want, dirty)
		}
		storm(1, true)
		d.dirty, d.saved = false, time.Now() // as flush does
		storm(1, false)
		storm(0, false)
		scsitest.Pause(t.Context(), sessionsSave)
		synctest.Wait()
		turn(t, d, 1, true)
	})
}

// turn runs what the loop has, so many functions, and looks whether they want
// the state saved.
func turn(t *testing.T, d *Daemon, want int, dirty bool) {
	t.Helper()
	list := d.loop.take(false)
	for _, f := range list {
		f()
	}
	if len(list) != want || d.dirty != dirty {
		t.Errorf("%d functions, to be saved: %v; want %d, %v", len(list), d.dirty, want, dirty)
	}
}
