package daemon

import (
	"errors"
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

// An insert whose image takes so long to open that a later verb waits by then
// closes it.
func TestLateInsertClosesItsImage(t *testing.T) {
	r, h := holdA(t, "")
	var act uint64
	var dr *drive
	r.must(r.d.loop.call(t.Context(), func() { dr = r.d.drive("cd0"); act = dr.begin() }))
	o, err := r.d.open(dr.cfg, "b.iso")
	r.must(err)
	told := closeTold{o.disc, make(chan struct{})}
	o.disc = told
	later := r.ask(t.Context(), "insert c.iso", forLong)
	a := newAttempt(act, o, api.Way{Wait: -1})
	r.must(r.d.loop.call(t.Context(), func() { r.d.attempt(dr, a) }))
	if e, ok := errors.AsType[*client.Error](<-a.done); !ok || e.Held() {
		t.Errorf("the first insert ended with %v; want superseded", e)
	}
	select {
	case <-told.closed:
	case <-time.After(5 * time.Second):
		t.Error("its image is open still")
	}
	h.allow()
	r.must(later.end(t))
	r.wants("ready c.iso")
}
