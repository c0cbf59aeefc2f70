package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"spindle/internal/api/client"
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

// Who is here is saved again and again while anybody is: a daemon that is killed
// after an hour knows them when it is back.
func TestPresenceIsSaved(t *testing.T) {
	r := newRig(t)
	r.start("[drive.cd0]\ndisc = \"a.iso\"\n")
	host := r.newReader("a.iso", r.status().Portals[0], TargetName("cd0"), 1)
	host.read()
	// saves returns how many times the state was saved since, when it was last
	// an hour ago
	saves := func() (n int) {
		t.Helper()
		for settled := false; !settled; scsitest.Pause(t.Context(), time.Millisecond) {
			r.must(r.d.loop.call(t.Context(), func() {
				if settled = !r.d.sessionsNew.Load() && !r.d.dirty; settled {
					n = r.d.saver.latest()
					r.d.saved = time.Now().Add(-time.Hour)
				}
			}))
		}
		r.must(r.d.loop.call(t.Context(), func() { n = r.d.saver.latest() - n }))
		return n
	}
	if n := saves(); n != 1 {
		t.Errorf("with a session: saved %d times, want once", n)
	}
	r.must(host.c.Logout())
	r.await("the session to end", func(s *client.Status) bool { return len(s.Sessions) == 0 })
	if n := saves(); n != 0 {
		t.Errorf("with nobody here: saved %d times", n)
	}
}
