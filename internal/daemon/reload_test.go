package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/api/client"
	"spindle/internal/initiator"
	"spindle/internal/lab"
)

// login opens a session with a drive's target and takes the unit attention of
// a first login.
func (r *rig) login(drive string) *initiator.Conn {
	r.t.Helper()
	s := r.status()
	c, err := initiator.Dial(s.Portals[0])
	r.must(err)
	r.t.Cleanup(func() { c.Close() })
	_, err = c.Login(initiator.Options{Target: s.Drive(drive).Target})
	r.must(err)
	return c
}

// ready sends TEST UNIT READY and returns the sense, as "key/asc/ascq".
func ready(c *initiator.Conn) string {
	res, err := c.Do(make([]byte, 16), 0, nil, 0)
	switch {
	case err != nil:
		return err.Error()
	case res.Status == 0:
		return "good"
	case len(res.Sense) < 14:
		return fmt.Sprintf("status %02x", res.Status)
	}
	return fmt.Sprintf("%x/%02x/%02x", res.Sense[2]&15, res.Sense[12], res.Sense[13])
}

// A reload drops no session that the change does not concern.
func TestReloadKeepsSessions(t *testing.T) {
	r := newRig(t)
	two := cd0HasA + "[drive.cd1]\n"
	r.start(two)
	c := r.login("cd0")
	ready(c) // 29/00
	for _, tt := range []struct{ name, file, want string }{
		{"drive added", two + "[drive.cd2]\n", "good"},
		{"drives removed", cd0HasA, "good"},
		{"on_reload changed", cd0HasA + "on_reload = \"force\"\n", "good"},
		{"address added", cd0HasA + "[iscsi]\nlisten = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\n", "good"},
		{"address removed", cd0HasA + "[iscsi]\nlisten = [\"127.0.0.2:0\"]\n", "good"},
		{"disc changed", cd0HasB + "[iscsi]\nlisten = [\"127.0.0.2:0\"]\n", "6/28/00"},
	} {
		r.write(tt.file)
		r.must(r.reload())
		r.d.loop.call(t.Context(), func() {})
		if got := ready(c); got != tt.want {
			t.Errorf("%s: TEST UNIT READY: %s, want %s", tt.name, got, tt.want)
		}
	}
	if s := r.status(); len(s.Sessions) != 1 || len(s.Portals) != 1 || !strings.HasPrefix(s.Portals[0], "127.0.0.2:") {
		t.Errorf("sessions %v, portals %v; want one session and 127.0.0.2", s.Sessions, s.Portals)
	}
	// This one does concern it.
	r.write(cd0HasB + "[drive.cd0.iscsi]\ntarget = \"iqn.2026-11.net.example:other\"\n[iscsi]\nlisten = [\"127.0.0.2:0\"]\n")
	r.must(r.reload())
	r.await("the end of the session", func(s *client.Status) bool { return len(s.Sessions) == 0 })
	if got := ready(c); got == "good" {
		t.Error("a session of a target that was renamed goes on")
	}
	if got := r.status().Drives[0].Target; got != "iqn.2026-11.net.example:other" {
		t.Errorf("target %s", got)
	}
}

func TestReloadRebuildsDrive(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	serial := r.status().Drives[0].Serial
	r.must(r.insert("b.iso", false))
	r.write(cd0HasA + "eject = \"remove\"\n")
	r.must(r.reload())
	r.awaitDisc("ready b.iso")
	if s := r.status(); s.Drives[0].Serial != serial {
		t.Errorf("serial %s, want %s", s.Drives[0].Serial, serial)
	}
	h := r.newHost()
	h.eject()
	r.wants("open")
	h.leave()
}

// A file that is not good changes nothing, is an alarm with file, line, reason
// and hint, and the next good one clears it.
func TestBadReloadKeepsLastGood(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"syntax", "[drive.cd0\n", "spindle.toml:9: expected"},
		{"unknown key", cd0HasA + "dics = \"a.iso\"\n", `spindle.toml:11: drive.cd0.dics: unknown key (hint: did you mean "disc"?)`},
		{"missing image", "[drive.cd0]\ndisc = \"d.iso\"\n", `spindle.toml:9: drive.cd0.disc: image "d.iso": file does not exist in`},
		{"address in use", cd0HasB + "[iscsi]\nlisten = [%q]\n", "in use"},
		{"another engine", cd0HasB + "[iscsi]\nengine = \"gotgt\"\nexperimental = true\n", "spindle.toml:10: iscsi.engine: which engine serves"},
		{"address of another machine", cd0HasB + "[iscsi]\nlisten = [\"192.0.2.1:3260\"]\n", "spindle.toml:10: iscsi.listen: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.start(cd0HasA)
			file := tt.file
			if strings.Contains(file, "%q") {
				file = fmt.Sprintf(file, r.status().Portals[0])
			}
			r.write(file)
			s := r.await("alarm", func(s *client.Status) bool { return alarmAbout(s, "config") != "" })
			if text := alarmAbout(&s, "config"); !strings.Contains(text, tt.want) || !strings.Contains(text, "not used") {
				t.Errorf("alarm %q; want %q", text, tt.want)
			}
			r.wants("ready a.iso")
			r.write(cd0HasB)
			r.awaitDisc("ready b.iso")
			if s := r.status(); len(s.Alarms) != 0 {
				t.Errorf("alarms %v after a good file", s.Alarms)
			}
		})
	}
}

func TestMissingImageAtStart(t *testing.T) {
	r := newRig(t)
	r.start("[drive.cd0]\ndisc = \"d.iso\"\n[drive.cd1]\ndisc = \"a.iso\"\n")
	r.wants("empty")
	s := r.status()
	if text := alarmAbout(&s, "cd0"); !strings.Contains(text, "spindle.toml:9: drive.cd0.disc: image \"d.iso\"") || !strings.Contains(text, "(hint: ") {
		t.Errorf("alarm %q; want file, line and hint", text)
	}
	if got := shown(s.Drive("cd1")); got != "ready a.iso" {
		t.Errorf("cd1 is %q", got)
	}
	r.copyImage("a.iso", "d.iso")
	r.d.Reload() // SIGHUP tries again
	r.awaitDisc("ready d.iso")
	if s := r.status(); len(s.Alarms) != 0 {
		t.Errorf("alarms %v", s.Alarms)
	}
}

func TestMissingLibrary(t *testing.T) {
	r := newRig(t)
	r.start(cd0)
	r.must(os.Rename(r.path("images"), r.path("elsewhere")))
	r.must(r.reload())
	s := r.status()
	if text := alarmAbout(&s, "library"); !strings.Contains(text, r.path("images")) {
		t.Errorf("alarm %q; want the directory", text)
	}
	r.must(os.Rename(r.path("elsewhere"), r.path("images")))
	r.must(r.reload())
	if s := r.status(); len(s.Alarms) != 0 {
		t.Errorf("alarms %v", s.Alarms)
	}
}

func TestSocketMode(t *testing.T) {
	r := newRig(t)
	r.start(cd0)
	fi, err := os.Stat(r.path("s"))
	r.must(err)
	if fi.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, want 0660", fi.Mode())
	}
	r.end()
	if _, err := os.Stat(r.path("s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the stop: %v, want no socket", err)
	}
}

func TestStartErrors(t *testing.T) {
	r := newRig(t)
	r.unwatched = true // the files are of others
	r.start(cd0HasA)
	taken := r.status().Portals[0]
	config := func(state, socket, listen string) string {
		return fmt.Sprintf("[daemon]\nstate = %q\nsocket = %q\n[iscsi]\nlisten = [%q]\n[drive.cd0]\n", r.path(state), r.path(socket), listen)
	}
	r.must(os.WriteFile(r.path("file"), nil, 0o644))
	for _, tt := range []struct{ name, config, want, hint string }{
		{"state in use", config("state", "s2", "127.0.0.1:0"), "another spindle (process ", "--state"},
		{"state is a file", config("file", "s2", "127.0.0.1:0"), "state directory", "--state"},
		{"socket in use", config("state2", "s", "127.0.0.1:0"), "another spindle answers there", "--socket"},
		{"socket is a file", config("state2", "file", "127.0.0.1:0"), "a file is there", "--socket"},
		{"socket too long", config("state2", strings.Repeat("s", 110), "127.0.0.1:0"), "107", "--socket"},
		{"port in use", config("state2", "s2", taken), taken + ": bind: address already in use", "--listen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other := &rig{t: t, dir: r.dir, end: func() {}}
			t.Cleanup(func() { other.end() })
			r.save(tt.config)
			err := other.tryStart()
			if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.hint) {
				t.Errorf("%v; want one line with %q and a hint of %s", err, tt.want, tt.hint)
			}
		})
	}
	r.write(cd0HasA) // for the daemon that runs
}

// A state that cannot be saved is an alarm and no more.
func TestStateNotSaved(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	r.must(os.Rename(r.path("state"), r.path("gone")))
	r.must(r.insert("b.iso", false))
	s := r.await("alarm", func(s *client.Status) bool { return alarmAbout(s, "state") != "" })
	if text := alarmAbout(&s, "state"); !strings.Contains(text, "a restart forgets changes") {
		t.Errorf("alarm %q", text)
	}
	c := r.login("cd0")
	if got := ready(c); got != "6/29/00" {
		t.Errorf("first command: %s", got)
	}
	if got := ready(c); got != "good" {
		t.Errorf("TEST UNIT READY: %s, want good", got)
	}
	r.must(os.Rename(r.path("gone"), r.path("state")))
	r.must(r.insert("c.iso", false))
	r.await("no alarm", func(s *client.Status) bool { return len(s.Alarms) == 0 })
}

func TestDamagedState(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	serial := r.status().Drives[0].Serial
	r.end()
	for _, name := range []string{stateFile, identityFile} {
		r.must(os.WriteFile(filepath.Join(r.path("state"), name), []byte("{garbage"), 0o644))
	}
	r.start(cd0HasA)
	s := r.status()
	if alarmAbout(&s, "identity") == "" || s.Drives[0].Serial == serial {
		t.Errorf("alarms %v, serial %s; want an alarm and a new serial", s.Alarms, s.Drives[0].Serial)
	}
	if text := alarmAbout(&s, "state-file"); !strings.Contains(text, "state is lost") {
		t.Errorf("alarm %q; want that the state is lost", text)
	}
	r.wants("ready a.iso")
	if _, err := os.Stat(filepath.Join(r.path("state"), stateFile+".damaged")); errors.Is(err, os.ErrNotExist) {
		t.Error("the damaged state is not kept")
	}
}

func TestIdentity(t *testing.T) {
	var seen []string
	for range 2 {
		r := newRig(t)
		r.start(cd0HasA + "[drive.cd1]\n")
		first := r.status()
		r.restart(cd0HasA + "[drive.cd1]\n")
		for i, d := range r.status().Drives {
			if d.Serial != first.Drives[i].Serial || len(d.Serial) < 12 || strings.Trim(d.Serial, "0123456789ABCDEF") != "" {
				t.Errorf("serial %s after a restart, %s before; want 12 hex digits or more", d.Serial, first.Drives[i].Serial)
			}
			for _, other := range seen {
				if d.Serial == other {
					t.Errorf("serial %s of two drives", other)
				}
			}
			seen = append(seen, d.Serial)
		}
		r.end()
	}
	if _, naa := (identity{1}).of("cd0"); naa>>60 != 3 {
		t.Errorf("NAA %016x is not locally assigned", naa)
	}
}

// An initiator that comes back after a restart is told nothing while the disc
// is the same, and of another disc otherwise.
func TestComingBackAfterRestart(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	c := r.login("cd0")
	if got := ready(c); got != "6/29/00" {
		t.Errorf("first login: %s, want 6/29/00", got)
	}
	ready(c)
	r.restart(cd0HasA)
	if got := ready(r.login("cd0")); got != "good" {
		t.Errorf("after a restart: %s, want good", got)
	}
	r.restart(cd0HasB)
	if got := ready(r.login("cd0")); got != "6/28/00" {
		t.Errorf("after a restart with another disc: %s, want 6/28/00", got)
	}
	r.restart(cd0HasB + "ua_on_return = true\n")
	if got := ready(r.login("cd0")); got != "6/29/00" {
		t.Errorf("with ua_on_return: %s, want 6/29/00", got)
	}
}

// An address that overlaps one of the daemon's own is told as such: no other
// program has the port.
func TestReloadToOverlappingAddress(t *testing.T) {
	_, port, _ := net.SplitHostPort(lab.FreeAddr(t))
	r := newRig(t)
	r.start(cd0HasA + "[iscsi]\nlisten = [\"127.0.0.1:" + port + "\"]\n")
	r.write(cd0HasA + "[iscsi]\nlisten = [\"0.0.0.0:" + port + "\"]\n")
	s := r.await("alarm", func(s *client.Status) bool { return alarmAbout(s, "config") != "" })
	if text := alarmAbout(&s, "config"); !strings.Contains(text, "this daemon has that port already, on 127.0.0.1:"+port+" (hint: restart") {
		t.Errorf("alarm %q", text)
	}
}

// A damaged identity is put aside, and one that cannot be read stays.
func TestIdentityNotRead(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		spoil      func(path string) error
		kept       string
	}{
		{"damaged", "is damaged", func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }, ".damaged"},
		{"not readable", "cannot be read", func(path string) error { return os.Mkdir(path, 0o700) }, ""},
	} {
		path := filepath.Join(t.TempDir(), identityFile)
		if err := tt.spoil(path); err != nil {
			t.Fatal(err)
		}
		id, err := loadIdentity(filepath.Dir(path))
		if id == (identity{}) || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %x, %v; want %q", tt.name, id, err, tt.want)
		}
		if _, err := os.Stat(path + tt.kept); err != nil {
			t.Errorf("%s: what was there is gone: %v", tt.name, err)
		}
	}
}
