package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/target"
)

// A fakeCarrier notes what becomes of it.
type fakeCarrier struct {
	name string
	log  *usbLog
	end  chan error // what Serve returns before its context ends
}

type usbLog struct {
	mu     sync.Mutex
	events []string
}

func (l *usbLog) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, s)
}

func (l *usbLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.events
	l.events = nil
	return e
}

func (c *fakeCarrier) Serve(ctx context.Context) error {
	c.log.add("serve " + c.name)
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.end:
		return err
	}
}

func (c *fakeCarrier) Close() error {
	c.log.add("close " + c.name)
	return nil
}

func (c *fakeCarrier) Status() client.Gadget { return client.Gadget{UDC: "udc." + c.name} }

func gadgets(units map[string]*target.Unit, names ...string) (list []wanted) {
	for _, n := range names {
		list = append(list, wanted{cfg: config.NewGadget(n), drives: []string{"cd-" + n}, units: []*target.Unit{units[n]}})
	}
	return list
}

func TestUSB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &usbLog{}
		bad := map[string]error{}
		ends := map[string]chan error{}
		u := newUSB(func(w *wanted) (carrier, error) {
			n := w.cfg.Name
			if err := bad[n]; err != nil {
				return nil, err
			}
			log.add("open " + n)
			ends[n] = make(chan error, 1)
			return &fakeCarrier{n, log, ends[n]}, nil
		}, func(name string, err error) {
			if err != nil {
				log.add("alarm " + name + ": " + err.Error())
			}
		}, slog.New(slog.DiscardHandler))
		units := map[string]*target.Unit{"a": {}, "b": {}, "c": {}}
		check := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := log.take(); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}

		bad["b"] = errors.New("no controller")
		if err := u.start(gadgets(units, "a", "b")); err == nil || err.Error() != "gadget b: no controller" {
			t.Errorf("start = %v", err)
		}
		check("a start that fails leaves nothing", "open a", "close a")
		delete(bad, "b")

		if err := u.start(gadgets(units, "a", "b")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { u.run(ctx); close(done) }()
		synctest.Wait()
		slices.Sort(log.events)
		check("start", "open a", "open b", "serve a", "serve b")

		u.want(gadgets(units, "a", "b"))
		check("the same again")
		u.want(gadgets(units, "a", "c"))
		check("one goes, one comes", "close b", "open c", "serve c")
		units["c"] = &target.Unit{}
		u.want(gadgets(units, "a", "c"))
		check("another drive in it", "close c", "open c", "serve c")
		bad["b"] = errors.New("busy")
		u.want(gadgets(units, "a", "b", "c"))
		check("one that cannot be", "alarm b: busy")
		if s := u.status(); len(s) != 2 || s[0].Name != "a" || s[1].UDC != "udc.c" || s[1].Drives[0] != "cd-c" {
			t.Errorf("status %+v", s)
		}
		ends["a"] <- errors.New("unplugged")
		check("one that ends by itself", "alarm a: it ended: unplugged")
		delete(bad, "b")
		u.want(gadgets(units, "a", "c"))
		check("it is made again", "close a", "open a", "serve a")
		cancel()
		<-done
		check("stop", "close a", "close c")
	})
}

// USB alone opens no iSCSI port, and a gadget follows the configuration while
// the daemon runs. USB/IP is the kind that needs no hardware.
func TestGadgetFollowsConfiguration(t *testing.T) {
	r := newRig(t)
	usb := func(more string) string {
		return "[iscsi]\nlisten = []\n[drive.cd0]\ndisc = \"a.iso\"\n[drive.cd0.usb]\ngadget = \"g0\"\n[gadget.g0]\nusbip = \"127.0.0.1:0\"\n" + more
	}
	r.start(usb(""))
	s := r.status()
	if len(s.Gadgets) != 1 || len(s.Portals) != 0 || s.Gadgets[0].Drives[0] != "cd0" || s.Gadgets[0].State != "not attached" {
		t.Fatalf("gadgets %+v, portals %v", s.Gadgets, s.Portals)
	}
	first := s.Gadgets[0].UDC
	devices(t, first)

	r.write(usb("product = \"Another\"\n"))
	r.d.Reload()
	r.await("the gadget is another", func(s *client.Status) bool { return len(s.Gadgets) == 1 && s.Gadgets[0].UDC != first })
	devices(t, r.status().Gadgets[0].UDC)
	if c, err := net.Dial("tcp", first); err == nil {
		c.Close()
		t.Error("the gadget of before is there still")
	}

	r.write("[iscsi]\nlisten = []\n[drive.cd0]\ndisc = \"a.iso\"\n")
	r.d.Reload()
	r.await("the gadget went", func(s *client.Status) bool { return len(s.Gadgets) == 0 })
}

// A gadget that was composed while a disc came has an empty tray until it is
// handed that disc: no host has ejected it. One that a host empties later has.
func TestHostEjectOfAnotherGadget(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	on := func(f func()) {
		t.Helper()
		r.must(r.d.loop.call(t.Context(), f))
	}
	look := func() { r.d.followed = time.Time{}; r.d.followHosts() }
	k := &fakeFollower{fakeCarrier: fakeCarrier{"g0", &usbLog{}, nil}}
	g := &running{wanted: wanted{drives: []string{"cd0"}, images: []string{""}}, carrier: k}
	on(func() {
		g.units = []*target.Unit{r.d.drive("cd0").unit}
		r.d.usb.add(g)
		look()
	})
	r.wants("ready a.iso")
	r.d.gadgetReady(g)
	on(look)
	r.wants("ready a.iso")
	on(func() {
		if got := k.path(0); got != r.path("images/a.iso") {
			t.Errorf("the gadget has %q", got)
		}
		k.set(false, "")
		look()
	})
	r.wants("open")
}

// devices asks a USB/IP server what it has: one device.
func devices(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer := make([]byte, 12)
	c.Write([]byte{0x01, 0x11, 0x80, 0x05, 0, 0, 0, 0})
	if _, err := io.ReadFull(c, answer); err != nil || answer[11] != 1 {
		t.Errorf("OP_REP_DEVLIST %x, %v; want one device", answer, err)
	}
}
