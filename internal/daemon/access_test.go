package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/internal/initiator"
	"spindle/mmcemu"
)

// Names of two hosts.
const (
	hostA = "iqn.2026-11.net.example:a"
	hostB = "iqn.2026-11.net.example:b"
)

// tryLogin logs a host in, with an ISID of its own for each drive.
func (r *rig) tryLogin(host, drive string) (*initiator.Conn, error) {
	r.t.Helper()
	s := r.status()
	c, err := initiator.Dial(s.Portals[0])
	r.must(err)
	r.t.Cleanup(func() { c.Close() })
	o := initiator.Options{Initiator: host}
	if drive != "" {
		o.Target = s.Drive(drive).Target
	}
	_, err = c.Login(o)
	return c, err
}

// refused checks that a login ends with that status.
func (r *rig) refused(status, host, drive string) {
	r.t.Helper()
	if _, err := r.tryLogin(host, drive); err == nil || !strings.Contains(err.Error(), "status "+status) {
		r.t.Errorf("login of %s to %s: %v; want status %s", host, drive, err, status)
	}
}

// sessions are who is logged in where, as "b at cd0".
func sessionsOf(s *client.Status) []string {
	var list []string
	for _, n := range s.Sessions {
		for _, d := range s.Drives {
			if d.Target == n.Target {
				list = append(list, n.Initiator[strings.LastIndex(n.Initiator, ":")+1:]+" at "+d.Name)
			}
		}
	}
	slices.Sort(list)
	return list
}

func (r *rig) awaitSessions(want ...string) {
	r.t.Helper()
	r.await("sessions "+strings.Join(want, ", "), func(s *client.Status) bool { return slices.Equal(sessionsOf(s), want) })
}

func (r *rig) drives() (list []*mmcemu.Drive) {
	r.t.Helper()
	r.must(r.d.loop.call(r.t.Context(), func() {
		for _, dr := range r.d.drives {
			list = append(list, dr.emu)
		}
	}))
	return list
}

// A reload that changes who may log in ends those sessions alone that may not
// be any more, and makes no drive anew.
func TestReloadAccess(t *testing.T) {
	r := newRig(t)
	r.must(os.WriteFile(r.path("alice"), []byte("correct horse\n"), 0o600))
	const (
		chap     = "[chap.alice]\nsecret_file = \"alice\"\n"
		cd1      = "[drive.cd1]\n[drive.cd1.iscsi]\nnetworks = [\"127.0.0.0/8\"]\n"
		onlyA    = cd0HasA + "[drive.cd0.iscsi]\ninitiators = [\"" + hostA + "\"]\n" + cd1
		all      = cd0HasA + "[drive.cd0.iscsi]\ninitiators = [\"iqn.2026-11.net.example:*\"]\n" + cd1
		onlyB    = cd0HasA + "[drive.cd0.iscsi]\ninitiators = [\"" + hostB + "\"]\n" + cd1
		withCHAP = all + "users = [\"alice\"]\n" + chap
	)
	r.unwatched = true
	r.start(onlyA)
	r.refused("0202", hostB, "cd0")
	for _, drive := range []string{"cd0", "cd1"} {
		_, err := r.tryLogin(hostA, drive)
		r.must(err)
	}
	before := r.drives()
	reload := func(file string) {
		r.t.Helper()
		r.write(file)
		r.must(r.reload())
	}
	reload(all)
	_, err := r.tryLogin(hostB, "cd0")
	r.must(err)
	r.awaitSessions("a at cd0", "a at cd1", "b at cd0")
	reload(onlyB)
	r.awaitSessions("a at cd1", "b at cd0")
	r.refused("0202", hostA, "cd0")
	reload(withCHAP) // cd1 asks for it now
	r.awaitSessions("b at cd0")
	if after := r.drives(); !slices.Equal(before, after) {
		t.Error("drives were made anew")
	}
	s := r.status()
	if got, want := s.Drive("cd0").Access+"; "+s.Drive("cd1").Access, "1 initiator; 1 network, CHAP"; got != want {
		t.Errorf("status says %q, want %q", got, want)
	}
	// A secret that is not good refuses the reload.
	r.must(os.Chmod(r.path("alice"), 0o644))
	r.write(withCHAP)
	if err := r.reload(); err == nil || !strings.Contains(err.Error(), "chap.alice.secret_file: "+r.path("alice")+" is open to other users") {
		t.Errorf("reload with a secret that all may read: %v", err)
	}
}

// A changed secret is for the next login; a user who is gone is gone at once.
func TestReloadSecret(t *testing.T) {
	r := newRig(t)
	r.unwatched = true
	secret := func(table, text string) { r.must(os.WriteFile(r.path(table), []byte(text+"\n"), 0o600)) }
	secret("alice", "correct horse")
	secret("bob", "battery staple")
	secret("self", "of the drive itself")
	config := func(users string) string {
		return cd0HasA + "[drive.cd0.iscsi]\nusers = [" + users + "]\nmutual = \"self\"\nalgorithms = [\"SHA-256\"]\n" +
			"[chap.alice]\nsecret_file = \"alice\"\n[chap.bob]\nname = \"Bob of the hill\"\nsecret_file = \"bob\"\n[chap.self]\nsecret_file = \"self\"\n"
	}
	r.start(config(`"alice", "bob"`))
	login := func(host, name, secret string) error {
		t.Helper()
		s := r.status()
		c, err := initiator.Dial(s.Portals[0])
		r.must(err)
		t.Cleanup(func() { c.Close() })
		_, err = c.LoginCHAP(initiator.Options{Initiator: host, Target: s.Drive("cd0").Target}, initiator.CHAP{
			Name: name, Secret: secret, Algorithms: "5,7", TargetName: "self", TargetSecret: "of the drive itself",
		})
		return err
	}
	r.must(login(hostA, "alice", "correct horse"))
	r.must(login(hostB, "Bob of the hill", "battery staple"))
	secret("alice", "zebra crossing")
	r.must(r.reload())
	r.awaitSessions("a at cd0", "b at cd0")
	const third = "iqn.2026-11.net.example:c"
	if err := login(third, "alice", "correct horse"); !errors.Is(err, initiator.Refused(0x0201)) {
		t.Errorf("login with the secret of before: %v; want 0201", err)
	}
	r.must(login(third, "alice", "zebra crossing"))
	r.write(config(`"bob"`))
	r.must(r.reload())
	r.awaitSessions("b at cd0")
	if s := r.status(); s.Sessions[0].User != "Bob of the hill" {
		t.Errorf("status has the session of user %q, want Bob's", s.Sessions[0].User)
	}
}

// Discovery has rules of its own, and its answer goes by those of the drives.
func TestDiscoveryRules(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA + "[drive.cd0.iscsi]\ninitiators = [\"" + hostA + "\"]\n[drive.cd1]\n" +
		"[iscsi]\nlisten = [\"127.0.0.1:0\"]\n[iscsi.discovery]\ninitiators = [\"*:a\", \"*:b\"]\n")
	r.refused("0202", "iqn.2026-11.net.example:c", "")
	for host, want := range map[string]string{hostA: "cd0 cd1", hostB: "cd1"} {
		c, err := r.tryLogin(host, "")
		r.must(err)
		var found []string
		s := r.status()
		for _, d := range s.Drives {
			if slices.Contains(r.sendTargets(c), "TargetName="+d.Target) {
				found = append(found, d.Name)
			}
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s finds %q, want %q", host, got, want)
		}
	}
}

// sendTargets asks for all targets and returns the answer's keys.
func (r *rig) sendTargets(c *initiator.Conn) []string {
	r.t.Helper()
	p := initiator.New(initiator.Text|initiator.Immediate, 0x80)
	p.Put32(16, c.ITT).Put32(20, ^uint32(0)).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
	p.Data = []byte("SendTargets=All\x00")
	r.must(c.SendCommand(p))
	answer, err := c.Recv()
	r.must(err)
	return strings.Split(string(answer.Data), "\x00")
}

// A logBuffer keeps a log. It is safe for all.
type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *logBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.String(), text)
}

// What is open to everybody who reaches this machine is said once in the log,
// and in status for as long as it is so.
func TestOpenToAll(t *testing.T) {
	r := newRig(t)
	const (
		beyond  = "[iscsi]\nlisten = [\"127.0.0.1:0\", \"0.0.0.0:0\"]\n"
		here    = "[iscsi]\nlisten = [\"127.0.0.1:0\"]\n"
		two     = "[drive.cd0]\n[drive.cd1]\n"
		ruled   = "[drive.cd0]\n[drive.cd0.iscsi]\nnetworks = [\"192.0.2.0/24\"]\n"
		meantSo = "[drive.cd0]\n[drive.cd0.iscsi]\ninitiators = [\"*\"]\n"
	)
	var log logBuffer
	r.unwatched, r.log = true, slog.New(slog.NewTextHandler(&log, nil))
	r.start(two + beyond)
	var port string
	for _, p := range r.status().Portals {
		if !strings.HasPrefix(p, "127.") {
			port = p
		}
	}
	want := "cd0, cd1 are open to whoever reaches " + port + " (hint: say in [drive.NAME.iscsi] who may log in"
	if n := log.count("level=WARN msg=\"" + want); n != 1 {
		t.Errorf("the log has it %d times at start, want once", n)
	}
	for _, tt := range []struct{ name, file, want string }{
		{"nothing changed", two + beyond, want},
		{"one drive has a rule", ruled + "[drive.cd1]\n" + beyond, "cd1 is open to whoever reaches " + port},
		{"each has", ruled + beyond, ""},
		{"one that lets in all", meantSo + beyond, ""},
		{"no rule again", two + beyond, want},
		{"this machine alone", two + here, ""},
		{"USB/IP beyond it", two + here + "[drive.cd0.usb]\ngadget = \"g0\"\n[gadget.g0]\nusbip = \"192.0.2.7:3240\"\n", "gadget g0 is open to whoever reaches 192.0.2.7:3240 (hint: USB/IP"},
		{"USB/IP here", two + here + "[drive.cd0.usb]\ngadget = \"g0\"\n[gadget.g0]\nusbip = \"127.0.0.1:0\"\n", ""},
		{"limits that are never met", two + here + "[iscsi.limits]\nsessions = 2000\n", "iscsi.limits: sessions = 2000 is never met"},
	} {
		r.write(tt.file)
		r.must(r.reload())
		got := strings.Join(r.status().Warnings, "\n")
		if (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: status warns %q, want %q", tt.name, got, tt.want)
		}
	}
	if n := log.count("msg=\"" + want); n != 2 {
		t.Errorf("the log has the warning %d times, want at start and when it came back", n)
	}
}

func TestLoopback(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tt := range []struct {
		addr net.Addr
		want bool
	}{
		{tcp("127.0.0.1:1"), true},
		{tcp("127.9.9.9:1"), true},
		{tcp("[::1]:1"), true},
		{tcp("[::ffff:127.0.0.1]:1"), true},
		{tcp("0.0.0.0:1"), false},
		{tcp("[::]:1"), false},
		{tcp(":1"), false},
		{tcp("192.0.2.7:1"), false},
		{tcp("[fe80::1]:1"), false},
		{&net.UnixAddr{Name: "x", Net: "vsock"}, false}, // whatever it is
	} {
		if got := loopback(tt.addr); got != tt.want {
			t.Errorf("%v is of this machine alone: %v, want %v", tt.addr, got, tt.want)
		}
	}
}

func TestAccessText(t *testing.T) {
	users := []string{"alice"}
	for _, tt := range []struct {
		a    config.Access
		want string
	}{
		{config.Access{}, "anyone"},
		{config.Access{Initiators: []string{"a", "b"}}, "2 initiators"},
		{config.Access{Users: users}, "CHAP"},
		{config.Access{Initiators: []string{"a"}, Users: users, Mutual: "self"}, "1 initiator, mutual CHAP"},
	} {
		if got := accessText(&tt.a); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.a, got, tt.want)
		}
	}
}
