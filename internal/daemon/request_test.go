package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spindle/config"
	"spindle/gadget/massstorage"
	"spindle/internal/api"
	"spindle/internal/api/client"
	"spindle/mmcemu"
)

// forLong is a wait that a test ends before its time.
const forLong = "10m"

// An asked is a verb under way.
type asked chan error

// ask starts a verb of a held tray and returns when it waits: insert X, or eject.
func (r *rig) ask(ctx context.Context, verb, wait string) asked {
	r.t.Helper()
	done := make(asked, 1)
	image, insert := strings.CutPrefix(verb, "insert ")
	go func() {
		var err error
		if insert {
			_, err = r.client.Insert(ctx, "cd0", client.InsertRequest{Image: image, Wait: wait})
		} else {
			_, err = r.client.Eject(ctx, "cd0", client.EjectRequest{Wait: wait})
		}
		done <- err
	}()
	r.await(verb+" to wait", func(s *client.Status) bool {
		q := s.Drive("cd0").Request
		return q != nil && (insert && q.Disc == image || !insert && q.Disc == "")
	})
	return done
}

func (a asked) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-a:
		return err
	case <-time.After(limit):
		t.Fatal("the verb does not end")
		return nil
	}
}

// holdA returns a rig with a.iso in cd0, held by a host, which it returns too.
func holdA(t *testing.T, more string) (*rig, *host) {
	r := newRig(t)
	r.start(cd0HasA + more)
	h := r.newHost()
	h.nexus.Address = "192.0.2.7:1234"
	h.prevent()
	return r, h
}

// A verb of a held tray is performed when the host lets go, in whatever way.
func TestRequestIsMet(t *testing.T) {
	for _, tt := range []struct {
		name string
		let  func(h *host)
	}{
		{"allows", (*host).allow},
		{"ejects", func(h *host) { h.allow(); h.eject() }}, // udev, Windows
		{"ejects and loads", func(h *host) { h.allow(); h.eject(); h.load() }},
		{"leaves", (*host).leave},
		{"is reset", func(h *host) { h.drive.Reset() }},
	} {
		for verb, want := range map[string]string{"insert b.iso": "ready b.iso", "eject": "out"} {
			t.Run(verb+", host "+tt.name, func(t *testing.T) {
				r, h := holdA(t, "")
				done := r.ask(t.Context(), verb, forLong)
				s := r.status()
				d := s.Drive("cd0")
				if q := d.Request; shown(d) != "ready a.iso" || q.Until.Sub(q.Since) != 10*time.Minute {
					t.Errorf("waiting: %+v, %+v", d, q)
				}
				if d.Holders[0].Initiator != hostName || d.Holders[0].Address != "192.0.2.7:1234" {
					t.Errorf("holders %+v; want who and where", d.Holders)
				}
				if n := h.ejectRequests(); n != 1 {
					t.Errorf("the host got %d eject requests; want 1", n)
				}
				tt.let(h)
				r.must(done.end(t))
				if want == "out" {
					// A load of the host does not bring the disc back, nor does a restart.
					h.load()
					r.wantsOut()
					r.restart(cd0HasA)
					r.wants("empty")
					return
				}
				r.wants(want)
			})
		}
	}
}

func (r *rig) wantsOut() {
	r.t.Helper()
	if d := r.status().Drives[0]; d.Disc != "" || d.State == "ready" || d.Request != nil {
		r.t.Errorf("cd0 is %+v; want no disc and no request", d)
	}
}

// A request that is not met lapses: it names who holds the tray, and nothing
// happens when that host lets go later.
func TestRequestLapses(t *testing.T) {
	for _, verb := range []string{"insert b.iso", "eject"} {
		t.Run(verb, func(t *testing.T) {
			r, h := holdA(t, "eject_wait = \"50ms\"\n")
			var err error
			if verb == "eject" {
				_, err = r.client.Eject(t.Context(), "cd0", client.EjectRequest{})
			} else {
				_, err = r.client.Insert(t.Context(), "cd0", client.InsertRequest{Image: "b.iso"})
			}
			e, ok := errors.AsType[*client.Error](err)
			if !ok || !e.Held() || e.Holders[0].Address == "" {
				t.Fatalf("%s: %v; want a conflict with holders", verb, err)
			}
			for _, want := range []string{hostName + " from 192.0.2.7:1234 since ", "within 50ms"} {
				if !strings.Contains(e.Message, want) || !strings.Contains(e.Hint, "--force") {
					t.Errorf("error %q, hint %q; want %q and --force", e.Message, e.Hint, want)
				}
			}
			if n := h.ejectRequests(); n != 0 {
				t.Errorf("%d eject requests are left", n)
			}
			h.allow()
			if s := r.status(); shown(s.Drive("cd0")) != "ready a.iso" || s.Drive("cd0").Request != nil {
				t.Errorf("after the host let go: %+v", s.Drive("cd0"))
			}
			// The host's eject is its own again.
			h.eject()
			h.load()
			r.wants("ready a.iso")
		})
	}
}

// Who gives a verb up ends its wait.
func TestRequestIsGivenUp(t *testing.T) {
	r, h := holdA(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := r.ask(ctx, "eject", forLong)
	cancel()
	if err := done.end(t); !errors.Is(err, context.Canceled) {
		t.Errorf("the verb ended with %v", err)
	}
	r.await("the end of the request", func(s *client.Status) bool { return s.Drive("cd0").Request == nil })
	if n := h.ejectRequests(); n != 0 {
		t.Errorf("%d eject requests are left", n)
	}
	h.allow()
	r.wants("ready a.iso")
}

// A daemon that stops does not wait for the hosts that a verb waits for.
func TestRequestEndsWithDaemon(t *testing.T) {
	r, _ := holdA(t, "")
	done := r.ask(t.Context(), "insert b.iso", forLong)
	r.end()
	if err := done.end(t); err == nil {
		t.Error("the verb succeeded")
	}
	r.restart(cd0HasA)
	r.wants("ready a.iso")
}

// Of requests and other acts the latest stands.
func TestRequestIsSuperseded(t *testing.T) {
	for name, act := range map[string]func(r *rig) asked{
		"by a request": func(r *rig) asked { return r.ask(t.Context(), "insert c.iso", forLong) },
		"by force":     func(r *rig) asked { r.must(r.insert("c.iso", true)); return nil },
		"by the file": func(r *rig) asked {
			r.write(cd0 + "disc = \"c.iso\"\n")
			r.must(r.reload())
			return nil
		},
		"by a file that removes the drive": func(r *rig) asked {
			r.write("[drive.cd1]\n")
			r.must(r.reload())
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, h := holdA(t, "")
			first := r.ask(t.Context(), "insert b.iso", forLong)
			second := act(r)
			e, ok := errors.AsType[*client.Error](first.end(t))
			if !ok || e.Status != http.StatusConflict || e.Held() {
				t.Errorf("the first verb ended with %v; want superseded", e)
			}
			h.allow()
			if second != nil {
				r.must(second.end(t))
			}
			if !strings.Contains(name, "removes") {
				r.awaitDisc("ready c.iso")
			}
		})
	}
}

// A request while a changed file waits: when it lapses, the file still does.
func TestRequestBesidePending(t *testing.T) {
	r, h := holdA(t, "")
	r.write(cd0HasB)
	r.must(r.reload())
	_, err := r.client.Eject(t.Context(), "cd0", client.EjectRequest{Wait: "20ms"})
	if !isHeld(err) {
		t.Errorf("eject: %v; want held", err)
	}
	if n := h.ejectRequests(); n != 1 {
		t.Errorf("the host got %d requests; want that of the file", n)
	}
	h.allow()
	r.awaitDisc("ready b.iso")
}

// Two hosts hold the tray: both must let go.
func TestTwoHolders(t *testing.T) {
	r, a := holdA(t, "")
	b := r.newHost()
	b.nexus.Initiator = "iqn.2026-11.spindle:other"
	b.prevent()
	done := r.ask(t.Context(), "eject", forLong)
	if n, m := a.ejectRequests(), b.ejectRequests(); n != 1 || m != 1 {
		t.Errorf("eject requests: %d and %d; want one for each", n, m)
	}
	a.allow()
	if d := r.status().Drives[0]; d.Request == nil || len(d.Holders) != 1 || d.Holders[0].Initiator != b.nexus.Initiator {
		t.Errorf("one let go: %+v", d)
	}
	b.leave()
	r.must(done.end(t))
	r.wants("open")
	a.leave()
}

// An insert of what is in the drive moves no tray, held or not; nor does an
// eject of an empty one fail.
func TestVerbsAreIdempotent(t *testing.T) {
	r, h := holdA(t, "")
	r.must(r.insert("a.iso", false))
	r.must(r.insert("a.iso", true))
	if d := r.status().Drives[0]; len(d.Holders) != 1 || h.nexus.Pending() || h.ejectRequests() != 0 {
		t.Errorf("an insert of the same disc was seen by the host: %+v", d)
	}
	h.allow()
	h.eject()
	r.must(r.insert("a.iso", false)) // from the open tray, it is one
	r.wants("ready a.iso")
	h.must("00 00 00 00 00 00")
	for range 2 {
		r.must(r.eject(false))
		r.wants("open")
	}
	h.load()
	r.must(r.eject(false))
	r.wants("open")
	h.leave()
}

// Two inserts of one image are one: the second waits for the first.
func TestInsertWhileItComes(t *testing.T) {
	r := newRig(t)
	r.start("[drive.cd0]\nspin_up = \"300ms\"\ndisc = \"a.iso\"\n")
	h := r.newHost()
	dr, act, o, _ := r.opening("b.iso")
	first := newAttempt(act, o, api.Way{Wait: -1})
	_, act, o, told := r.opening("b.iso")
	second := newAttempt(act, o, api.Way{Wait: -1})
	var next string
	r.must(r.d.loop.call(t.Context(), func() {
		r.d.attempt(dr, first)
		next = dr.emu.Status().Next
		r.d.attempt(dr, second)
	}))
	select {
	case <-told.closed:
	case <-time.After(limit):
		t.Fatal("the second insert does not wait for the first")
	}
	if next != "b.iso" {
		t.Errorf("between the two %q is coming; want b.iso", next)
	}
	r.must(<-first.done)
	r.must(<-second.done)
	r.wants("ready b.iso")
	h.leave()
}

// host, spin_up, swap_hold and eject_wait change under hosts that stay.
func TestPaceChangesLive(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	h := r.newHost()
	r.write("[drive.cd0]\nhost = \"firmware\"\nspin_up = \"2ms\"\neject_wait = \"1ms\"\nswap_hold = \"0s\"\ndisc = \"a.iso\"\n")
	r.must(r.reload())
	var same bool
	r.must(r.d.loop.call(t.Context(), func() { same = r.d.drive("cd0").emu == h.drive }))
	if !same {
		t.Error("the drive was made anew")
	}
	h.prevent()
	if _, err := r.client.Eject(t.Context(), "cd0", client.EjectRequest{}); !isHeld(err) || !strings.Contains(err.Error(), "within 1ms") {
		t.Errorf("eject: %v; want held for 1 ms", err)
	}
	h.leave()
}

func TestHostsAgree(t *testing.T) {
	if !slices.Equal(config.Hosts, mmcemu.Hosts()) {
		t.Errorf("package config has hosts %v, the drive %v", config.Hosts, mmcemu.Hosts())
	}
	c := config.NewDrive("x")
	for hold, want := range map[time.Duration]time.Duration{config.ByHost: 0, 0: -1, time.Second: time.Second} {
		c.SwapHold, c.Host, c.SpinUp = hold, "macos", time.Minute
		if got := paceOf(&c); got != (mmcemu.Pace{Host: "macos", SwapHold: want, LoadTime: time.Minute}) {
			t.Errorf("paceOf(hold %v) = %s", hold, fmt.Sprint(got))
		}
	}
}

// A fakeFollower is a carrier that answers for its drive by itself, as the
// kernel's does: it tells nothing, and has a host that may hold its tray.
type fakeFollower struct {
	fakeCarrier
	mu    sync.Mutex
	held  bool
	image string
}

func (f *fakeFollower) set(held bool, image string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.image = held, image
}

func (f *fakeFollower) insert(_ int, path string, _ bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held {
		return kernelError(massstorage.ErrHeld)
	}
	f.image = path
	return nil
}

func (f *fakeFollower) eject(lun int, force bool) error { return f.insert(lun, "", force) }

func (f *fakeFollower) path(int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.image
}

// TestRequestOfFollower: a carrier that tells nothing is asked again and again.
func TestRequestOfFollower(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	f := &fakeFollower{fakeCarrier: fakeCarrier{name: "g0", log: &usbLog{}}, held: true, image: "a"}
	r.d.usb.add(&running{wanted: wanted{drives: []string{"cd0"}}, carrier: f, handed: true})
	_, err := r.client.Eject(t.Context(), "cd0", client.EjectRequest{Wait: "10ms"})
	if !isHeld(err) || !strings.Contains(err.Error(), "holds the tray") || !strings.Contains(err.Error(), "within 10ms") {
		t.Errorf("eject: %v; want held", err)
	}
	done := r.ask(t.Context(), "insert b.iso", forLong)
	if d := r.status().Drives[0]; len(d.Holders) != 1 || d.Holders[0].Initiator != "the USB host" {
		t.Errorf("holders %+v; want the USB host", d.Holders)
	}
	f.set(false, "a")
	r.must(done.end(t))
	r.wants("ready b.iso")
	// Its host ejects, which the daemon has not seen yet: an insert is one.
	r.must(r.d.loop.call(t.Context(), func() { f.set(false, ""); r.d.followed = time.Now() }))
	r.must(r.insert("b.iso", false))
	if f.path(0) == "" {
		t.Error("the disc that the host ejected is not in its tray again")
	}
}
