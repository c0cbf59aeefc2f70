package daemon

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/internal/initiator"
	"spindle/internal/lab"
)

// A stop is where a reload waits for the test.
type stop struct {
	stage string
	goOn  chan struct{}
}

// holdReloads has every reload wait at each of its stages, until the test ends
// that by release.
func (r *rig) holdReloads() (stops chan stop, release func()) {
	stops, released := make(chan stop), make(chan struct{})
	r.hold = func(stage string) {
		s := stop{stage, make(chan struct{})}
		select {
		case stops <- s:
			<-s.goOn
		case <-released:
		}
	}
	return stops, func() { close(released) }
}

// A reader reads the volume descriptor of a drive, and knows what it is.
type reader struct {
	t    *testing.T
	c    *initiator.Conn
	want []byte
}

func (r *rig) newReader(image, portal, target string, isid byte) *reader {
	r.t.Helper()
	c, err := initiator.Open(portal, initiator.Options{Target: target, ISID: [6]byte{0x80, isid}})
	r.must(err)
	r.t.Cleanup(func() { c.Close() })
	ready(c) // 29/00
	return &reader{r.t, c, []byte(readFile(r.t, r.path("images/"+image)))[16*2048:][:2048]}
}

func (d *reader) read() {
	d.t.Helper()
	res, err := d.c.Do([]byte{0x28, 0, 0, 0, 0, 16, 0, 0, 1, 0}, 2048, nil, 0)
	if err != nil || res.Status != 0 || !bytes.Equal(res.Data, d.want) {
		d.t.Fatalf("read: %v, %+v", err, res)
	}
}

// dropped checks that the session was ended in good order.
func (d *reader) dropped(what string) {
	d.t.Helper()
	p, err := d.c.Recv()
	if err != nil || p.Op() != initiator.Async || p.Header[36] != 3 {
		d.t.Errorf("%s: %+v, %v; want word that its session is dropped", what, p, err)
	}
	if _, err := d.c.Recv(); !errors.Is(err, io.EOF) {
		d.t.Errorf("%s: after the word: %v", what, err)
	}
}

// A reload that adds, changes and removes drives holds up no host of another
// drive, however slow each of its stages is.
func TestReloadHeldUp(t *testing.T) {
	const before = "[drive.cd0]\ndisc = \"a.iso\"\n[drive.cd1]\ndisc = \"b.iso\"\n[drive.cd2]\ndisc = \"c.iso\"\n"
	const after = "[drive.cd0]\ndisc = \"a.iso\"\n[drive.cd2]\ndisc = \"c.iso\"\nvendor = \"ANOTHER\"\n[drive.cd3]\ndisc = \"b.iso\"\n"
	r := newRig(t)
	stops, release := r.holdReloads()
	r.start(before)
	portal := r.status().Portals[0]
	kept := r.newReader("a.iso", portal, TargetName("cd0"), 1)
	gone := r.newReader("b.iso", portal, TargetName("cd1"), 1)
	changed := r.newReader("c.iso", portal, TargetName("cd2"), 1)
	r.write(after)
	for i, want := range []string{"reading", "prepared", "listeners", "drives", "targets"} {
		s := <-stops
		if s.stage != want {
			t.Fatalf("stage %q, want %q", s.stage, want)
		}
		for range 32 {
			kept.read()
		}
		// a host that comes now is served as well
		r.newReader("a.iso", portal, TargetName("cd0"), byte(2+i)).read()
		if want == "prepared" {
			gone.read() // nothing of the new configuration is in force
			changed.read()
		}
		close(s.goOn)
	}
	release()
	gone.dropped("the removed drive")
	changed.dropped("the changed drive")
	kept.read()
	r.newReader("b.iso", portal, TargetName("cd3"), 1).read()
	r.await("the changed drive", func(s *client.Status) bool { return shown(s.Drive("cd2")) == "ready c.iso" })
	r.newReader("c.iso", portal, TargetName("cd2"), 1).read()
	if _, err := initiator.Open(portal, initiator.Options{Target: TargetName("cd1")}); err == nil || !strings.Contains(err.Error(), "status 0204") {
		t.Errorf("login to the removed drive: %v; want status 0204", err)
	}
}

// A drive that is redirected sends its initiators on, those that are here too.
func TestReloadRedirects(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	c := r.login("cd0")
	ready(c)
	portal := r.status().Portals[0]
	r.write(cd0HasA + "[drive.cd0.iscsi]\nredirect = \"192.0.2.8:3260\"\nredirect_permanent = true\n")
	p, err := c.Recv()
	if err != nil || p.Op() != initiator.Async || p.Header[36] != 1 {
		t.Fatalf("%+v, %v; want a request to log out", p, err)
	}
	c.ExpStatSN++
	r.must(c.Send(initiator.New(initiator.Logout|initiator.Immediate, 0x80).Put32(16, c.ITT).Put32(24, c.CmdSN)))
	if p, err := c.Recv(); err != nil || p.Op() != initiator.LogoutResp {
		t.Fatalf("%+v, %v; want a response to the logout", p, err)
	}
	if s := r.status(); s.Drive("cd0").Redirect != "192.0.2.8:3260" {
		t.Errorf("status says that cd0 redirects to %q", s.Drive("cd0").Redirect)
	}
	again, err := initiator.Dial(portal)
	r.must(err)
	defer again.Close()
	r.must(again.Send(again.LoginRequest(initiator.Options{Target: TargetName("cd0")})))
	if p, err := again.Recv(); err != nil || p.U16(36) != initiator.MovedPermanently || string(p.Data) != "TargetAddress=192.0.2.8:3260\x00" {
		t.Errorf("%+v, %v; want to be sent to 192.0.2.8:3260 for good", p, err)
	}
	r.write(cd0HasA)
	r.must(r.reload())
	back, err := initiator.Open(portal, initiator.Options{Target: TargetName("cd0")})
	r.must(err)
	back.Close()
}

// What SendTargets says follows the configuration.
func TestReloadAdvertises(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	portal := r.status().Portals[0]
	name := TargetName("cd0")
	for _, tt := range []struct {
		iscsi string
		want  []string
	}{
		{"listen = [\"127.0.0.1:0\"]\n", []string{portal + ",1"}},
		{"listen = [\"127.0.0.1:0,3\"]\n", []string{portal + ",3"}},
		{
			"listen = [\"127.0.0.1:0,3\"]\nadvertise = [\"203.0.113.5:3260,3\", \"[2001:db8::1]:3260,3\"]\n",
			[]string{"203.0.113.5:3260,3", "[2001:db8::1]:3260,3"},
		},
	} {
		r.write(cd0HasA + "[iscsi]\n" + tt.iscsi)
		r.must(r.reload())
		list, err := initiator.Discover(portal)
		if err != nil || !slices.Equal(list[name], tt.want) {
			t.Errorf("%s: %v, %v; want %v", tt.iscsi, list[name], err, tt.want)
		}
	}
	c, err := initiator.Dial(portal)
	r.must(err)
	defer c.Close()
	if keys, err := c.Login(initiator.Options{Target: name}); err != nil || keys["TargetPortalGroupTag"] != "3" {
		t.Errorf("login: %v, %v; want group 3", keys, err)
	}
}

// Nobody is let in by an address that a reload adds before the rules of the same
// reload are in force.
func TestReloadServesAfterItsRules(t *testing.T) {
	r := newRig(t)
	addr := lab.FreeAddr(t)
	early := make(chan string, 8)
	r.hold = func(stage string) {
		c, err := initiator.Dial(addr)
		if err != nil {
			return // it does not listen yet
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Login(initiator.Options{}); err == nil && stage != "targets" {
			early <- stage
		}
	}
	r.start(cd0HasA)
	r.write(cd0HasA + "[iscsi]\nlisten = [\"" + addr + "\"]\n[iscsi.discovery]\ninitiators = [\"iqn.2026-11.net.example:none\"]\n")
	r.must(r.reload())
	select {
	case stage := <-early:
		t.Errorf("a login at stage %q was let in by the rules of before", stage)
	default:
	}
	c, err := initiator.Dial(addr)
	r.must(err)
	defer c.Close()
	if _, err := c.Login(initiator.Options{}); err == nil || !strings.Contains(err.Error(), "0202") {
		t.Errorf("afterwards: %v; want a refusal by the rules", err)
	}
}

// A socket of systemd's is in the group that the configuration says of its
// address.
func TestGroupOfPassedSocket(t *testing.T) {
	c := config.ISCSI{Listen: []string{":3260", "192.0.2.7:3261"}, Groups: map[string]uint16{":3260": 2, "192.0.2.7:3261": 3}}
	for _, tt := range []struct {
		passed bool
		addr   string
		want   uint16
	}{
		{true, "[::]:3260", 2},
		{true, "0.0.0.0:3260", 2},
		{true, "192.0.2.7:3261", 3},
		{true, "192.0.2.7:3260", 1},
		{true, "[::]:3261", 1},
		{false, ":3260", 2},
		{false, "[::]:3260", 1},
	} {
		d := &Daemon{cfg: &config.Config{ISCSI: c}, passed: tt.passed}
		if got := d.groupOf(tt.addr); got != tt.want {
			t.Errorf("%s, passed %v: group %d, want %d", tt.addr, tt.passed, got, tt.want)
		}
	}
}
