package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"spindle/internal/api/client"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/scsi"
	"spindle/target"
)

// A deaf logical unit returns when it is let go, whatever its context says.
type deaf chan struct{}

func (d deaf) Execute(context.Context, *scsi.Command) error { <-d; return nil }

type ownerOf chan struct{}

func (o ownerOf) Finish(error, bool) {}
func (o ownerOf) Release()           { close(o) }

// A command that storage holds makes its drive busy, and status shows it.
func TestStuckStorage(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	held, released := make(deaf), make(ownerOf)
	unit := target.NewUnit("cd0", held, target.UnitOptions{AbortWait: time.Millisecond})
	session := target.New("iqn.x", map[uint16]*target.Unit{0: unit}).Open(target.Initiator{Name: "iqn.a"}, [6]byte{}, scsi.Port{}, "")
	session.Submit(target.LUN{}, &target.Task{Owner: released})
	if err := session.AbortSet(target.LUN{}); !errors.Is(err, target.ErrStuck) {
		t.Fatalf("AbortSet = %v, want %v", err, target.ErrStuck)
	}
	r.must(r.d.loop.call(t.Context(), func() { r.d.drive("cd0").unit = unit }))
	s := r.await("alarm", func(s *client.Status) bool { return alarmAbout(s, "storage") != "" })
	if text := alarmAbout(&s, "storage"); !strings.Contains(text, "cd0 (1 command)") {
		t.Errorf("alarm %q", text)
	}
	close(held)
	<-released
	r.await("no alarm", func(s *client.Status) bool { return len(s.Alarms) == 0 })
	session.Close()
}

// A clinging disc closes when it is let go.
type clinging struct {
	disc.Disc
	closing, hold chan struct{}
}

func (c clinging) Close() error {
	close(c.closing)
	<-c.hold
	return nil
}

// Discs are closed beside the loop: one that storage holds keeps nobody waiting.
func TestStuckClose(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	hold := make(chan struct{})
	var closings []chan struct{}
	for _, act := range []func(dr *drive, o opened){
		func(dr *drive, o opened) { _ = r.d.place(dr, 0, o, false) }, // a later act came first
		func(dr *drive, o opened) { r.d.endPending(dr, &pending{}, o, nil) },
		func(dr *drive, o opened) { (&change{discs: map[string]opened{"cd0": o}}).discard() },
		func(dr *drive, o opened) {
			_ = r.d.place(dr, dr.begin(), o, true)
			_ = r.d.takeOut(dr, dr.begin(), true)
		},
	} {
		c := clinging{disctest.Synthetic(disctest.DataDisc(100)), make(chan struct{}), hold}
		closings = append(closings, c.closing)
		r.must(r.d.loop.call(t.Context(), func() { act(r.d.drive("cd0"), opened{disc: c, id: "x", name: "x"}) }))
	}
	for _, c := range closings {
		select {
		case <-c:
		case <-time.After(limit):
			t.Fatal("a disc is not closed")
		}
	}
	_, err := r.client.Status(t.Context())
	r.must(err)
	close(hold)
}
