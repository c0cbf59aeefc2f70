package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"spindle/internal/api"
	"spindle/internal/api/client"
	"spindle/isostore/disc"
)

// A closeTold is a disc that tells of its end.
type closeTold struct {
	disc.Disc
	closed chan struct{}
}

func (d closeTold) Close() error {
	close(d.closed)
	return d.Disc.Close()
}

// opening begins an act on cd0 whose image has just been opened.
func (r *rig) opening(image string) (dr *drive, act uint64, o opened, told closeTold) {
	r.t.Helper()
	r.must(r.d.loop.call(r.t.Context(), func() { dr = r.d.drive("cd0"); act = dr.begin() }))
	o, err := r.d.open(dr.cfg, image)
	r.must(err)
	told = closeTold{o.disc, make(chan struct{})}
	o.disc = told
	return dr, act, o, told
}

// An insert whose image takes so long to open that a later verb waits by then
// closes it.
func TestLateInsertClosesItsImage(t *testing.T) {
	r, h := holdA(t, "")
	dr, act, o, told := r.opening("b.iso")
	later := r.ask(t.Context(), "insert c.iso", forLong)
	a := newAttempt(act, o, api.Way{Wait: -1})
	r.must(r.d.loop.call(t.Context(), func() { r.d.attempt(dr, a) }))
	if e, ok := errors.AsType[*client.Error](<-a.done); !ok || e.Held() {
		t.Errorf("the first insert ended with %v; want superseded", e)
	}
	select {
	case <-told.closed:
	case <-time.After(limit):
		t.Error("its image is open still")
	}
	h.allow()
	r.must(later.end(t))
	r.wants("ready c.iso")
}

// An act whose image was being opened while a reload made the drive anew is
// refused with that reason, and does nothing to the drive of the same name.
func TestLateActOnARetiredDrive(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	dr, act, o, told := r.opening("b.iso")
	r.write(cd0HasA + "vendor = \"ANOTHER\"\n")
	r.must(r.reload())
	for name, a := range map[string]*attempt{
		"insert": newAttempt(act, o, api.Way{Wait: -1}), "eject": newAttempt(act, opened{}, api.Way{Force: true}),
	} {
		r.must(r.d.loop.call(t.Context(), func() { r.d.attempt(dr, a) }))
		if err := <-a.done; err == nil || !strings.Contains(err.Error(), "made it anew") {
			t.Errorf("%s: %v; want that the drive was made anew", name, err)
		}
	}
	<-told.closed
	r.awaitDisc("ready a.iso")
}

// A verb that waits for a host when its drive is made anew is told why it ends.
func TestRequestOfARetiredDrive(t *testing.T) {
	r, _ := holdA(t, "")
	waiting := r.ask(t.Context(), "eject", forLong)
	r.write(cd0HasA + "vendor = \"ANOTHER\"\n")
	r.must(r.reload())
	if err := waiting.end(t); err == nil || !strings.Contains(err.Error(), "made it anew") {
		t.Errorf("the eject ended with %v; want that the drive was made anew", err)
	}
}

// A drive that a reload makes anew has its disc on the open tray, as after a
// restart, when a host had ejected it.
func TestOpenTrayOfADriveMadeAnew(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	h := r.newHost()
	h.must("00 00 00 00 00 00")
	h.eject()
	r.awaitDisc("open a.iso")
	r.write(cd0HasA + "vendor = \"ANOTHER\"\n")
	r.must(r.reload())
	r.awaitDisc("open a.iso")
	r.restart(cd0HasA)
	r.awaitDisc("open a.iso")
}
