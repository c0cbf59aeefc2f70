package iscsi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target"
	"spindle/target/iscsi"
)

// Users of these tests.
var (
	alice = iscsi.User{Name: "alice", Secret: []byte("the secret of alice")}
	bob   = iscsi.User{Name: "bob", Secret: []byte("the secret of bob!!")}
	self  = iscsi.User{Name: "drive", Secret: []byte("the secret of the drive")}

	asAlice = initiator.CHAP{Name: "alice", Secret: "the secret of alice"}
	asBob   = initiator.CHAP{Name: "bob", Secret: "the secret of bob!!"}
)

// A lineLog keeps what a server logs.
type lineLog struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed at the next line
}

func (j *lineLog) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.written != nil {
		close(j.written)
		j.written = nil
	}
	return j.text.Write(p)
}

// await returns when there is a line that holds what.
func (j *lineLog) await(t testing.TB, what string) {
	t.Helper()
	late := time.After(limit)
	for {
		j.mu.Lock()
		if j.written == nil {
			j.written = make(chan struct{})
		}
		written := j.written
		j.mu.Unlock()
		if len(j.lines(what)) > 0 {
			return
		}
		select {
		case <-written:
		case <-late:
			t.Errorf("the log lacks %q", what)
			return
		}
	}
}

// lines returns those that hold what.
func (j *lineLog) lines(what string) (list []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, what) {
			list = append(list, line)
		}
	}
	return list
}

// secured is a server whose target asks for auth, and what it logs.
func secured(t testing.TB, auth *iscsi.Auth) (*bench, *lineLog) {
	t.Helper()
	j := &lineLog{}
	b := serve(t, iscsi.Options{Log: slog.New(slog.NewTextHandler(j, nil))})
	b.srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: b.target(iqn), Auth: auth}}})
	return b, j
}

// target returns a target of the one disk.
func (b *bench) target(name string) *target.Target {
	return target.New(name, map[uint16]*target.Unit{0: b.unit})
}

// chap logs in to iqn.
func (b *bench) chap(t testing.TB, o initiator.Options, a initiator.CHAP) (*initiator.Conn, error) {
	t.Helper()
	c := b.dial(t)
	_, err := c.LoginCHAP(o, a)
	return c, err
}

// An initiator that does not believe the target, or that only looks whether the
// port is open, just goes: the log says so, and who it was.
func TestHangUpIsTold(t *testing.T) {
	b, j := secured(t, &iscsi.Auth{Users: []iscsi.User{alice}, Mutual: &self})
	b.dial(t).Close()
	j.await(t, `reason="the initiator closed it before it logged in"`)
	c := b.dial(t)
	o := initiator.Options{Target: iqn}
	if _, _, err := c.LoginStep(o, 0x00, append(o.Names(), "AuthMethod=CHAP")...); err != nil {
		t.Fatal(err)
	}
	c.Close()
	j.await(t, "name=iqn.2026-11.spindle:test target="+iqn+` reason="the initiator closed it in the middle of its login (hint:`)
}

func TestCHAP(t *testing.T) {
	b, _ := secured(t, &iscsi.Auth{Users: []iscsi.User{bob, alice}, Mutual: &self})
	for _, algorithms := range []string{"5", "6", "7", "8", "5,6,7,8"} {
		for _, a := range []initiator.CHAP{
			asAlice, asBob,
			{Name: "alice", Secret: asAlice.Secret, Base64: true},
			{Name: "alice", Secret: asAlice.Secret, TargetName: "drive", TargetSecret: string(self.Secret)},
			{Name: "bob", Secret: asBob.Secret, TargetName: "drive", TargetSecret: string(self.Secret), Base64: true},
		} {
			a.Algorithms = algorithms
			c, err := b.chap(t, initiator.Options{Target: iqn, Keys: []string{"HeaderDigest=CRC32C"}}, a)
			if err != nil {
				t.Errorf("%+v: %v", a, err)
				continue
			}
			if list := b.srv.Sessions(); len(list) != 1 || list[0].User != a.Name {
				t.Errorf("%+v: the sessions are %+v", a, list)
			}
			mustDo(t, c, cdb(opReady), 0, nil, 0)
		}
	}
	a := asAlice
	a.TargetName, a.TargetSecret = "drive", "what the drive does not have"
	if _, err := b.chap(t, initiator.Options{Target: iqn}, a); !errors.Is(err, initiator.ErrTarget) {
		t.Errorf("with another secret of the drive: %v", err)
	}
}

// The target's order of algorithms counts.
func TestCHAPAlgorithms(t *testing.T) {
	b, _ := secured(t, &iscsi.Auth{Users: []iscsi.User{alice}, Algorithms: []iscsi.Algorithm{iscsi.SHA1, iscsi.SHA256}})
	for offer, want := range map[string]string{"5,6,7,8": "6", "8,7": "7", "5,8": ""} {
		c := b.dial(t)
		o := initiator.Options{Target: iqn}
		if _, _, err := c.LoginStep(o, 0x00, append(o.Names(), "AuthMethod=None,CHAP")...); err != nil {
			t.Fatal(err)
		}
		got, _, err := c.LoginStep(o, 0x00, "CHAP_A="+offer)
		if got["CHAP_A"] != want || (err == nil) != (want != "") {
			t.Errorf("CHAP_A=%s is answered %v, %v; want %q", offer, got, err, want)
		}
	}
}

// A sayer makes the keys of a request of the keys that were answered so far.
type sayer func(got map[string]string) []string

func say(keys ...string) sayer { return func(map[string]string) []string { return keys } }

func names(more ...string) sayer {
	return say(append(initiator.Options{Target: iqn}.Names(), more...)...)
}

// response is alice's, as edit changes it, with further keys.
func response(edit func([]byte) string, more ...string) sayer {
	return func(got map[string]string) []string {
		challenge, _ := hex.DecodeString(strings.TrimPrefix(got["CHAP_C"], "0x"))
		r := initiator.Respond(got["CHAP_A"], got["CHAP_I"], string(alice.Secret), challenge)
		keys := []string{"CHAP_N=alice", "CHAP_R=" + edit(r)}
		for _, m := range more {
			keys = append(keys, strings.ReplaceAll(m, "THEIRS", got["CHAP_C"]))
		}
		return keys
	}
}

func asIs(r []byte) string    { return "0x" + hex.EncodeToString(r) }
func base64d(r []byte) string { return "0b" + base64.StdEncoding.EncodeToString(r) }

type move struct {
	flags byte
	say   sayer
	want  byte // flags of the response
}

// Logins without CHAP, with a wrong one, or in another order: each is refused
// with the status of RFC 7143, 11.13.5, one line of log, and no session.
func TestCHAPRefused(t *testing.T) {
	method := move{0x00, names("AuthMethod=CHAP,None"), 0x00}
	algorithm := move{0x00, say("CHAP_A=5"), 0x00}
	ended := func(s sayer) []move { return []move{method, algorithm, {0x81, s, 0}} }
	const mine = "CHAP_C=0x000102030405060708090a0b0c0d0e0f"
	tests := []struct {
		name   string
		moves  []move
		status uint16
		log    string
	}{
		{"operational at once", []move{{0x87, names(), 0}}, 0x0201, "does none"},
		{"operational at once, with CHAP", []move{{0x87, names("AuthMethod=CHAP"), 0}}, 0x0201, "does none"},
		{"no AuthMethod", []move{{0x81, names(), 0}}, 0x0201, "does none"},
		{"no AuthMethod, straight to full", []move{{0x83, names(), 0}}, 0x0201, "does none"},
		{"AuthMethod=None", []move{{0x81, names("AuthMethod=None"), 0}}, 0x0201, "asks for CHAP"},
		{"AuthMethod of others", []move{{0x00, names("AuthMethod=KRB5,SRP"), 0}}, 0x0201, "asks for CHAP"},
		{"AuthMethod=Reject", []move{{0x00, names("AuthMethod=Reject"), 0}}, 0x0201, "asks for CHAP"},
		{"transit in place of CHAP_A", []move{method, {0x81, say(), 0}}, 0x0201, "does none"},
		{"transit in place of CHAP_R", []move{method, algorithm, {0x83, say(), 0}}, 0x0201, "does none"},
		{"another stage in place of CHAP_R", []move{method, algorithm, {0x87, say(), 0}}, 0x0200, "stage"},
		{"CHAP_A with AuthMethod", []move{{0x00, names("AuthMethod=CHAP", "CHAP_A=5"), 0}}, 0x0200, "CHAP_A out of turn"},
		{"CHAP_A before AuthMethod", []move{{0x00, names("CHAP_A=5"), 0}}, 0x0200, "CHAP_A out of turn"},
		{"CHAP_A twice", []move{method, algorithm, algorithm}, 0x0200, "CHAP_A out of turn"},
		{"AuthMethod twice", []move{method, {0x00, say("AuthMethod=None"), 0}}, 0x0200, "AuthMethod out of turn"},
		{"CHAP_R before CHAP_A", []move{method, {0x81, say("CHAP_N=alice", "CHAP_R=0x00"), 0}}, 0x0200, "CHAP_N out of turn"},
		{"a key of another CHAP", ended(response(asIs, "CHAP_X=1")), 0x0200, "CHAP_X out of turn"},
		{"no algorithm of ours", []move{method, {0x00, say("CHAP_A=1,9,MD5"), 0}}, 0x0201, "offers 1, 9, MD5 in CHAP_A"},
		{"CHAP_N alone", ended(say("CHAP_N=alice")), 0x0207, "CHAP_R"},
		{"CHAP_R alone", ended(say("CHAP_R=0x00")), 0x0207, "CHAP_N"},
		{"unknown user", ended(say("CHAP_N=mallory", "CHAP_R=0x000102030405060708090a0b0c0d0e0f")), 0x0201, `no user \"mallory\"`},
		{"user in other case", ended(say("CHAP_N=Alice", "CHAP_R=0x000102030405060708090a0b0c0d0e0f")), 0x0201, "no user"},
		{"wrong response", ended(response(func(r []byte) string { r[0] ^= 1; return asIs(r) })), 0x0201, `the response of user \"alice\" is wrong`},
		{"short response", ended(response(func(r []byte) string { return asIs(r[:15]) })), 0x0201, "is wrong"},
		{"long response", ended(response(func(r []byte) string { return asIs(append(r, 0)) })), 0x0201, "is wrong"},
		{"empty response", ended(response(func([]byte) string { return "" })), 0x0201, "not a binary value"},
		{"response in decimal", ended(response(func([]byte) string { return "1234567890" })), 0x0201, "not a binary value"},
		{"response of 1026 bytes", ended(response(func([]byte) string { return base64d(make([]byte, 1026)) })), 0x0201, "longer than 1024"},
		{"response of 1026 bytes, hexadecimal", ended(response(func([]byte) string { return asIs(make([]byte, 1026)) })), 0x0200, "too long"},
		{"CHAP_I without CHAP_C", ended(response(asIs, "CHAP_I=1")), 0x0207, "go together"},
		{"CHAP_C without CHAP_I", ended(response(asIs, mine)), 0x0207, "go together"},
		{"CHAP_I of two bytes", ended(response(asIs, "CHAP_I=256", mine)), 0x0201, "CHAP_I"},
		{"CHAP_C of no bytes", ended(response(asIs, "CHAP_I=1", "CHAP_C=0x")), 0x0201, "CHAP_C"},
		{"CHAP_C of 1026 bytes", ended(response(asIs, "CHAP_I=1", "CHAP_C="+base64d(make([]byte, 1026)))), 0x0201, "CHAP_C"},
		{"reflected challenge", ended(response(asIs, "CHAP_I=1", "CHAP_C=THEIRS")), 0x0201, "made here"},
		{"reflected by a wrong one", ended(response(func([]byte) string { return "0x00" }, "CHAP_I=1", "CHAP_C=THEIRS")), 0x0201, "is wrong"},
		{"CHAP once more", append(ended(response(asIs)), move{0x87, say("AuthMethod=CHAP"), 0}), 0x0200, "AuthMethod out of turn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, j := secured(t, &iscsi.Auth{Users: []iscsi.User{alice}, Mutual: &self})
			b.mustRefuse(t, tt.moves, tt.status)
			line := j.lines("login refused")
			if len(line) != 1 || !strings.Contains(line[0], tt.log) || !strings.Contains(line[0], "127.0.0.1") ||
				!strings.Contains(line[0], "name=iqn.2026-11.spindle:test") || !strings.Contains(line[0], iqn) || !strings.Contains(line[0], "level=WARN") {
				t.Errorf("the log has %q, want one with %q", line, tt.log)
			}
			if all := j.lines("connection"); len(all) != 0 {
				t.Errorf("the log says it again: %q", all)
			}
		})
	}
}

// mustRefuse makes the moves, of which the last is to be refused.
func (b *bench) mustRefuse(t *testing.T, moves []move, status uint16) {
	t.Helper()
	c := b.dial(t)
	got := map[string]string{}
	for i, m := range moves {
		keys, r, err := c.LoginStep(initiator.Options{}, m.flags, m.say(got)...)
		maps.Copy(got, keys)
		if i < len(moves)-1 {
			if err != nil {
				t.Fatalf("move %d: %v", i, err)
			}
			continue
		}
		if !errors.Is(err, initiator.Refused(status)) || r.Header[1] != 0 || len(r.Data) != 0 {
			t.Errorf("move %d: %v, want status %04x", i, err, status)
		}
	}
	if _, err := c.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the refusal: %v, want the connection closed", err)
	}
	if list := b.srv.Sessions(); len(list) != 0 {
		t.Errorf("there are sessions: %+v", list)
	}
}

// An initiator may ask to go on with every request; it goes on with the last.
func TestCHAPHurried(t *testing.T) {
	b, _ := secured(t, &iscsi.Auth{Users: []iscsi.User{alice}})
	for _, end := range []byte{0x81, 0x83} {
		c := b.dial(t)
		got := map[string]string{}
		for i, m := range []move{
			{end, names("AuthMethod=CHAP"), 0x00},
			{end, say("CHAP_A=7"), 0x00},
			{0x00, response(asIs), 0x00},
			{end, say(), end},
		} {
			keys, r, err := c.LoginStep(initiator.Options{}, m.flags, m.say(got)...)
			if err != nil || r.Header[1] != m.want {
				t.Fatalf("move %d: %v, flags %02x; want %02x", i, err, r.Header[1], m.want)
			}
			maps.Copy(got, keys)
		}
	}
}

// What somebody saw of a login, or of another, is of no use.
func TestCHAPReplayed(t *testing.T) {
	b, _ := secured(t, &iscsi.Auth{Users: []iscsi.User{alice}, Mutual: &self})
	start := func() (*initiator.Conn, map[string]string) {
		c := b.dial(t)
		o := initiator.Options{}
		if _, _, err := c.LoginStep(o, 0x00, names("AuthMethod=CHAP")(nil)...); err != nil {
			t.Fatal(err)
		}
		got, _, err := c.LoginStep(o, 0x00, "CHAP_A=8")
		if err != nil {
			t.Fatal(err)
		}
		return c, got
	}
	first, old := start()
	seen := response(asIs)(old)
	if _, _, err := first.LoginStep(initiator.Options{}, 0x81, seen...); err != nil {
		t.Fatal(err)
	}
	second, now := start()
	if now["CHAP_C"] == old["CHAP_C"] || now["CHAP_I"] == old["CHAP_I"] {
		t.Errorf("two logins are asked the same: %v and %v", old, now)
	}
	if _, _, err := second.LoginStep(initiator.Options{}, 0x81, seen...); !errors.Is(err, initiator.Refused(0x0201)) {
		t.Errorf("a response that was good once: %v", err)
	}
	third, now := start()
	keys := response(asIs, "CHAP_I=1", "CHAP_C="+old["CHAP_C"])(now)
	if _, _, err := third.LoginStep(initiator.Options{}, 0x81, keys...); !errors.Is(err, initiator.Refused(0x0201)) {
		t.Errorf("the challenge of another login: %v", err)
	}
}

// A target proves itself only with a secret of its own.
func TestCHAPMutualRefused(t *testing.T) {
	a := asAlice
	a.TargetName, a.TargetSecret = "drive", string(alice.Secret)
	for _, tt := range []struct {
		mutual *iscsi.User
		log    string
	}{
		{nil, "set mutual"},
		{&iscsi.User{Name: "drive", Secret: alice.Secret}, "secret of its own"},
	} {
		b, j := secured(t, &iscsi.Auth{Users: []iscsi.User{alice}, Mutual: tt.mutual})
		if _, err := b.chap(t, initiator.Options{Target: iqn}, a); !errors.Is(err, initiator.Refused(0x0201)) {
			t.Errorf("mutual %v: %v, want status 0201", tt.mutual, err)
		}
		if line := j.lines("login refused"); len(line) != 1 || !strings.Contains(line[0], tt.log) {
			t.Errorf("the log has %q, want one with %q", line, tt.log)
		}
		if _, err := b.chap(t, initiator.Options{Target: iqn}, asAlice); err != nil {
			t.Errorf("one-way: %v", err)
		}
	}
}

// Where no CHAP is asked for, an initiator that can do without logs in.
func TestCHAPUnasked(t *testing.T) {
	b, _ := secured(t, nil)
	b.mustRefuse(t, []move{{0x00, names("AuthMethod=CHAP"), 0}}, 0x0201)
	if _, err := b.chap(t, initiator.Options{Target: iqn}, asAlice); err != nil {
		t.Error(err)
	}
	if list := b.srv.Sessions(); len(list) != 1 || list[0].User != "" {
		t.Errorf("the sessions are %+v", list)
	}
}
