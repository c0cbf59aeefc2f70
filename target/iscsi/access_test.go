package iscsi_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"

	"spindle/internal/initiator"
	"spindle/target"
	"spindle/target/iscsi"
)

// dialFrom connects from an address of this machine.
func (b *bench) dialFrom(t testing.TB, ip string) *initiator.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	nc, err := d.DialContext(t.Context(), "tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return initiator.NewConn(nc)
}

// ruled returns a target of the one disk with rules.
func (b *bench) ruled(name string, r target.Rules) *target.Target {
	t := b.target(name)
	t.SetRules(map[uint16]target.Rules{0: r})
	return t
}

func only(names ...string) target.Rules { return target.Rules{Initiators: names} }

func from(networks ...string) (r target.Rules) {
	for _, n := range networks {
		r.Networks = append(r.Networks, netip.MustParsePrefix(n))
	}
	return r
}

// sendTargets returns the names that a session is told of.
func sendTargets(t testing.TB, c *initiator.Conn, value string) string {
	t.Helper()
	p := initiator.New(initiator.Text, 0x80).Put32(16, c.ITT).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
	p.Data = []byte("SendTargets=" + value + "\x00")
	if err := c.SendCommand(p); err != nil {
		t.Fatal(err)
	}
	var list []string
	for item := range strings.SplitSeq(string(recv(t, c).Data), "\x00") {
		if name, ok := strings.CutPrefix(item, "TargetName="); ok {
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

// Who may log in to what, by name and address, and what discovery says of it.
func TestAccess(t *testing.T) {
	j := &journal{}
	b := serve(t, iscsi.Options{Log: slog.New(slog.NewTextHandler(j, nil))})
	s := exported(
		b.ruled("iqn.t:all", target.Rules{}),
		b.ruled("iqn.t:hosts", only("iqn.2026-11.hosts:*")),
		b.ruled("iqn.t:near", from("127.0.0.2/32", "2001:db8::/32")),
		b.ruled("iqn.t:one", target.Rules{Initiators: only("iqn.2026-11.hosts:a").Initiators, Networks: from("127.0.0.0/30").Networks}),
	)
	s.Discovery.Rules = from("127.0.0.0/29")
	b.srv.Set(s)
	tests := []struct {
		name, address, sees string
	}{
		{"iqn.2026-11.hosts:a", "127.0.0.1", "iqn.t:all iqn.t:hosts iqn.t:one"},
		{"iqn.2026-11.hosts:a", "127.0.0.2", "iqn.t:all iqn.t:hosts iqn.t:near iqn.t:one"},
		{"iqn.2026-11.hosts:b", "127.0.0.2", "iqn.t:all iqn.t:hosts iqn.t:near"},
		{"iqn.2026-11.HOSTS:a", "127.0.0.5", "iqn.t:all iqn.t:hosts"},
		{"iqn.other", "127.0.0.3", "iqn.t:all"},
	}
	for i, tt := range tests {
		o := initiator.Options{Initiator: tt.name, ISID: [6]byte{0x80, byte(i)}}
		c := b.dialFrom(t, tt.address)
		if _, err := c.Login(o); err != nil {
			t.Fatal(err)
		}
		if got := sendTargets(t, c, "All"); got != tt.sees {
			t.Errorf("%s from %s is shown %q, want %q", tt.name, tt.address, got, tt.sees)
		}
		for _, e := range s.Exports {
			o.Target = e.Target.Name
			may := strings.Contains(tt.sees+" ", o.Target+" ")
			if got := sendTargets(t, c, o.Target); (got != "") != may {
				t.Errorf("%s from %s asks for %s and is shown %q", tt.name, tt.address, o.Target, got)
			}
			_, err := b.dialFrom(t, tt.address).Login(o) // a refusal may wait a little
			if may && err != nil || !may && (err == nil || !strings.Contains(err.Error(), "0202")) {
				t.Errorf("%s from %s logs in to %s: %v, want it to succeed: %v", tt.name, tt.address, o.Target, err, may)
			}
		}
	}
	if _, err := b.dialFrom(t, "127.0.0.8").Login(initiator.Options{}); err == nil || !strings.Contains(err.Error(), "0202") {
		t.Errorf("discovery from elsewhere: %v, want status 0202", err)
	}
	for _, want := range []string{"networks does not hold the address 127.0.0.8", `initiators does not list the name \"iqn.other\"`} {
		if len(j.lines(want)) == 0 {
			t.Errorf("the log lacks %q", want)
		}
	}
}

// Each target has its users, and discovery its own.
func TestUsersOfTargets(t *testing.T) {
	b := serve(t, iscsi.Options{})
	b.srv.Set(iscsi.Settings{
		Exports: []iscsi.Export{
			{Target: b.target("iqn.t:a"), Auth: &iscsi.Auth{Users: []iscsi.User{alice}}},
			{Target: b.target("iqn.t:b"), Auth: &iscsi.Auth{Users: []iscsi.User{bob}}},
			{Target: b.target("iqn.t:nobody"), Auth: &iscsi.Auth{}},
			{Target: b.target("iqn.t:open")},
		},
		Discovery: iscsi.Discovery{Auth: &iscsi.Auth{Users: []iscsi.User{bob}}},
	})
	tests := []struct {
		target string
		chap   initiator.CHAP
		want   error
	}{
		{"iqn.t:a", asAlice, nil},
		{"iqn.t:b", asBob, nil},
		{"iqn.t:open", initiator.CHAP{}, nil},
		{"", asBob, nil},
		{"iqn.t:a", asBob, initiator.Refused(0x0201)},
		{"iqn.t:b", asAlice, initiator.Refused(0x0201)},
		{"iqn.t:nobody", asAlice, initiator.Refused(0x0201)},
		{"", asAlice, initiator.Refused(0x0201)},
	}
	for i, tt := range tests {
		o := initiator.Options{Target: tt.target, ISID: [6]byte{0x80, byte(i)}}
		c := b.dialFrom(t, fmt.Sprintf("127.0.0.%d", 10+i)) // the first refusal of an address waits for nothing
		_, err := c.LoginCHAP(o, tt.chap)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s logs in to %q: %v, want %v", tt.chap.Name, tt.target, err, tt.want)
		}
		if tt.target == "" && err == nil {
			if got := sendTargets(t, c, "All"); got != "iqn.t:a iqn.t:b iqn.t:nobody iqn.t:open" {
				t.Errorf("discovery shows %q", got)
			}
		}
	}
	if _, err := b.dialFrom(t, "127.0.0.9").Login(initiator.Options{}); err == nil || !strings.Contains(err.Error(), "0201") {
		t.Errorf("discovery without CHAP: %v, want status 0201", err)
	}
}

// A reload ends the sessions that could not log in any more, and no other.
func TestReload(t *testing.T) {
	j := &journal{}
	b := serve(t, iscsi.Options{Log: slog.New(slog.NewTextHandler(j, nil))})
	closed, open := b.target("iqn.t:closed"), b.target("iqn.t:open")
	set := func(d iscsi.Discovery, users ...iscsi.User) {
		b.srv.Set(iscsi.Settings{Discovery: d, Exports: []iscsi.Export{
			{Target: closed, Auth: &iscsi.Auth{Users: users}}, {Target: open},
		}})
	}
	set(iscsi.Discovery{}, alice, bob)
	sessions := map[string]*initiator.Conn{}
	begin := func(what, name, target string, a initiator.CHAP) {
		t.Helper()
		c, err := b.chap(t, initiator.Options{Initiator: name, Target: target}, a)
		if err != nil {
			t.Fatal(err)
		}
		sessions[what] = c
		if target != "" {
			mustDo(t, c, cdb(opReady), 0, nil, 0)
		}
	}
	begin("alice", "iqn.a", closed.Name, asAlice)
	begin("bob", "iqn.b", closed.Name, asBob)
	begin("anyone", "iqn.a", open.Name, initiator.CHAP{})
	begin("another", "iqn.b", open.Name, initiator.CHAP{})
	begin("discovery", "iqn.a", "", initiator.CHAP{})
	// check has ended the sessions of that name, and them only
	check := func(why string, ended ...string) {
		t.Helper()
		for _, what := range ended {
			if p, err := sessions[what].Recv(); err == nil {
				t.Errorf("%s: the session of %s goes on with opcode %02x", why, what, p.Op())
			}
			delete(sessions, what)
		}
		for what, c := range sessions {
			if what == "discovery" {
				sendTargets(t, c, "All")
			} else if r, err := c.Do(cdb(opReady), 0, nil, 0); err != nil || r.Status != 0 {
				t.Errorf("%s: the session of %s ended: %v", why, what, err)
			}
		}
	}
	changed := iscsi.User{Name: "alice", Secret: []byte("another secret of hers")}
	set(iscsi.Discovery{}, bob, changed)
	check("a secret changed")
	if _, err := b.chap(t, initiator.Options{Initiator: "iqn.c", Target: closed.Name}, asAlice); !errors.Is(err, initiator.Refused(0x0201)) {
		t.Errorf("login with the secret of before: %v", err)
	}
	closed.SetRules(map[uint16]target.Rules{0: from("127.0.0.0/8")})
	set(iscsi.Discovery{}, bob, changed)
	check("rules changed that let them in")
	set(iscsi.Discovery{}, changed)
	check("a user went", "bob")
	open.SetRules(map[uint16]target.Rules{0: only("iqn.a")})
	set(iscsi.Discovery{}, changed)
	check("a name is refused", "another")
	set(iscsi.Discovery{Rules: from("192.0.2.0/24")}, changed)
	check("discovery is for others", "discovery")
	b.srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: closed}, {Target: open, Auth: &iscsi.Auth{Users: []iscsi.User{alice}}}}})
	check("CHAP is asked for", "anyone")
	closed.SetRules(map[uint16]target.Rules{0: from("192.0.2.0/24")})
	b.srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: closed}}})
	check("an address is refused", "alice")
	for _, want := range []string{"users does not list", "initiators does not list", "networks does not hold", "CHAP is asked for"} {
		j.await(t, want)
	}
}

// A session that loses one of its logical units ends; one that gains some does
// not, and sees them at its next login.
func TestReloadOfUnits(t *testing.T) {
	b := serve(t, iscsi.Options{})
	tg := target.New(iqn, map[uint16]*target.Unit{0: b.unit, 1: target.NewUnit("cd1", &disk{}, target.UnitOptions{})})
	set := func(rules target.Rules) {
		tg.SetRules(map[uint16]target.Rules{1: rules})
		b.srv.Set(exported(tg))
	}
	report := func(c *initiator.Conn) int {
		t.Helper()
		return len(mustDo(t, c, cdb(0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 255), 255, nil, 0).Data)/8 - 1
	}
	set(only("iqn.other"))
	c := b.login(t)
	if n := report(c); n != 1 {
		t.Errorf("%d logical units are reported, want 1", n)
	}
	set(target.Rules{})
	if n := report(c); n != 1 {
		t.Errorf("%d logical units are reported to the session from before, want 1", n)
	}
	c = b.login(t)
	if n := report(c); n != 2 {
		t.Errorf("%d logical units are reported, want 2", n)
	}
	set(only("iqn.other"))
	if p, err := c.Recv(); err == nil {
		t.Errorf("a session with a unit that is refused goes on with opcode %02x", p.Op())
	}
	b.login(t)
}

// Who may not ask at all is told so before it is asked for a secret.
func TestDiscoveryRulesFirst(t *testing.T) {
	b := serve(t, iscsi.Options{})
	b.srv.Set(iscsi.Settings{Discovery: iscsi.Discovery{Rules: only("iqn.other"), Auth: &iscsi.Auth{Users: []iscsi.User{alice}}}})
	if _, err := b.chap(t, initiator.Options{}, asAlice); !errors.Is(err, initiator.Refused(0x0202)) {
		t.Errorf("discovery by another: %v, want status 0202", err)
	}
	if _, err := b.chap(t, initiator.Options{Initiator: "iqn.other"}, asAlice); err != nil {
		t.Error(err)
	}
}

// A login that began before a reload is held against what is in force at its
// end.
func TestReloadDuringLogin(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(tg *target.Target) *iscsi.Auth
	}{
		{"rules", func(tg *target.Target) *iscsi.Auth {
			tg.SetRules(map[uint16]target.Rules{0: only("iqn.other")})
			return &iscsi.Auth{Users: []iscsi.User{alice}}
		}},
		{"users", func(*target.Target) *iscsi.Auth { return &iscsi.Auth{Users: []iscsi.User{bob}} }},
	} {
		b := serve(t, iscsi.Options{})
		tg := b.target(iqn)
		set := func(a *iscsi.Auth) {
			b.srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: tg, Auth: a}}})
		}
		set(&iscsi.Auth{Users: []iscsi.User{alice}})
		c := b.dial(t)
		got := map[string]string{}
		for i, m := range []move{{0x00, names("AuthMethod=CHAP"), 0}, {0x00, say("CHAP_A=5"), 0}, {0x81, response(asIs), 0}, {0x87, say(), 0}} {
			if i == 3 {
				set(tt.change(tg))
			}
			keys, _, err := c.LoginStep(initiator.Options{}, m.flags, m.say(got)...)
			if i < 3 && err != nil || i == 3 && !errors.Is(err, initiator.Refused(0x0202)) {
				t.Errorf("%s: move %d: %v", tt.name, i, err)
			}
			maps.Copy(got, keys)
		}
	}
}
