package daemon

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"spindle/internal/api/client"
)

const (
	cd0     = "[drive.cd0]\nswap_hold = \"0s\"\n"
	cd0HasA = cd0 + "disc = \"a.iso\"\n"
	cd0HasB = cd0 + "disc = \"b.iso\"\n"
)

// The latest deliberate act wins: what file or verb said last is in the tray,
// also after a restart.
func TestLatestActWins(t *testing.T) {
	type step struct {
		do   string // insert X, eject, restart, file CONFIG
		want string
	}
	restart := func(c string) string { return "restart " + c }
	reload := func(c string) string { return "file " + c }
	tests := []struct {
		name  string
		steps []step
	}{
		{"verb after file", []step{{restart(cd0HasA), "ready a.iso"}, {"insert b.iso", "ready b.iso"}, {restart(cd0HasA), "ready b.iso"}}},
		{"file changed while stopped", []step{{restart(cd0HasA), "ready a.iso"}, {"insert c.iso", "ready c.iso"}, {restart(cd0HasB), "ready b.iso"}}},
		{"file changed while running", []step{{restart(cd0HasA), "ready a.iso"}, {"insert c.iso", "ready c.iso"}, {reload(cd0HasB), "ready b.iso"}, {restart(cd0HasB), "ready b.iso"}}},
		{"saved without a change", []step{{restart(cd0HasA), "ready a.iso"}, {"insert c.iso", "ready c.iso"}, {reload(cd0HasA + "# again\n"), "ready c.iso"}}},
		{"eject survives", []step{{restart(cd0HasA), "ready a.iso"}, {"eject", "open"}, {restart(cd0HasA), "empty"}}},
		{"disc taken out of the file", []step{{restart(cd0HasA), "ready a.iso"}, {reload(cd0), "open"}, {restart(cd0), "empty"}}},
		{"verb without file", []step{{restart(cd0), "empty"}, {"insert b.iso", "ready b.iso"}, {restart(cd0), "ready b.iso"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			for _, s := range tt.steps {
				act, arg, _ := strings.Cut(s.do, " ")
				switch act {
				case "restart":
					r.restart(arg)
				case "file":
					r.write(arg)
					r.must(r.reload())
				case "insert":
					r.must(r.insert(arg, false))
				case "eject":
					r.must(r.eject(false))
				}
				r.wants(s.want)
			}
		})
	}
}

func TestHeldTrayRefusesVerbs(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	h := r.newHost()
	h.prevent()
	for name, act := range map[string]func(force bool) error{
		"insert": func(force bool) error { return r.insert("b.iso", force) },
		"eject":  r.eject,
	} {
		err := act(false)
		e, ok := errors.AsType[*client.Error](err)
		if !ok || e.Status != http.StatusConflict || !e.Held() || e.Holders[0].Initiator != hostName || time.Since(e.Holders[0].Since) > time.Hour {
			t.Fatalf("%s of a held tray: %v; want a conflict that names %s and since when", name, err, hostName)
		}
		if !strings.Contains(e.Message, hostName) || !strings.Contains(e.Hint, "--force") {
			t.Errorf("%s: message %q, hint %q; want the holder and --force", name, e.Message, e.Hint)
		}
	}
	s := r.status()
	if d := s.Drive("cd0"); shown(d) != "ready a.iso" || len(d.Holders) != 1 {
		t.Errorf("after refusals: %+v; want a.iso and one holder", d)
	}
	r.must(r.insert("b.iso", true))
	r.wants("ready b.iso")
	h.prevent()
	r.must(r.eject(true))
	r.wants("open")
	h.leave()
}

func TestHeldTrayLetsFileWait(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"insert", cd0HasB, "ready b.iso"},
		{"eject", cd0, "open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.start(cd0HasA)
			h := r.newHost()
			h.prevent()
			r.write(tt.file) // seen by the watch
			s := r.await("pending", func(s *client.Status) bool { return s.Drive("cd0").Pending != nil })
			if d := s.Drive("cd0"); shown(d) != "ready a.iso" || !strings.Contains(tt.want, d.Pending.Disc) {
				t.Errorf("pending: %+v, %+v", d, d.Pending)
			}
			if h.ejectRequests() == 0 {
				t.Error("the host was not asked to let go")
			}
			h.allow()
			r.awaitDisc(tt.want)
			if p := r.status().Drives[0].Pending; p != nil {
				t.Errorf("still pending: %+v", p)
			}
			h.leave()
		})
	}
}

// ejectRequests counts eject requests that GET EVENT STATUS NOTIFICATION says.
func (h *host) ejectRequests() (n int) {
	h.t.Helper()
	for range 3 {
		b := h.ask("4a 01 00 00 10 00 00 00 08 00")
		if len(b) == 8 && b[4]&15 == 1 {
			n++
		}
	}
	return n
}

func TestHeldTrayForcedByFile(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	h := r.newHost()
	h.prevent()
	r.write(cd0HasB + "on_reload = \"force\"\n")
	r.awaitDisc("ready b.iso")
	h.leave()
}

func TestPendingOutlivesRestart(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	h := r.newHost()
	h.prevent()
	r.write(cd0HasB)
	r.must(r.reload())
	if r.status().Drives[0].Pending == nil {
		t.Fatal("nothing is pending")
	}
	r.restart(cd0HasB)
	r.wants("ready b.iso")
}

// A host that answers the request by an eject gets the next disc too.
func TestPendingActsOnHostEject(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	h := r.newHost()
	h.prevent()
	r.write(cd0HasB)
	r.must(r.reload())
	h.allow()
	h.eject()
	r.awaitDisc("ready b.iso")
	h.leave()
}

// A host that hangs up holds nothing any more.
func TestPendingActsOnNexusLoss(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	c := r.login("cd0")
	ready(c) // 29/00
	if res, err := c.Do([]byte{0x1E, 4: 1, 15: 0}, 0, nil, 0); err != nil || res.Status != 0 {
		t.Fatalf("PREVENT ALLOW MEDIUM REMOVAL: %+v, %v", res, err)
	}
	r.write(cd0HasB)
	s := r.await("pending", func(s *client.Status) bool { return s.Drives[0].Pending != nil })
	if d := s.Drives[0]; len(d.Holders) != 1 || len(d.Hosts) != 1 || d.Hosts[0].Address == "" || len(s.Sessions) != 1 {
		t.Errorf("status %+v; want a holder and where it is", s)
	}
	c.Close()
	r.awaitDisc("ready b.iso")
}

// A file that asks for what is in the drive moves no tray, and ends what waits.
func TestFileAsksForWhatIsThere(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	h := r.newHost()
	h.prevent()
	for _, file := range []string{cd0HasB, cd0HasA} {
		r.write(file)
		r.must(r.reload())
		if waits := r.status().Drives[0].Pending != nil; waits != (file == cd0HasB) {
			t.Errorf("pending is %v after\n%s", waits, file)
		}
	}
	h.allow()
	r.must(r.insert("b.iso", false))
	h.must("00 00 00 00 00 00") // takes 28/00
	r.write(cd0HasB + "# and\n")
	r.must(r.reload())
	if h.nexus.Pending() {
		t.Error("the host was told of a change that is none")
	}
	r.wants("ready b.iso")
	h.leave()
	r.restart(cd0HasB)
	r.wants("ready b.iso")
}

func TestVerbTakesPlaceOfPending(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	h := r.newHost()
	h.prevent()
	r.write(cd0HasB)
	r.must(r.reload())
	r.must(r.insert("c.iso", true))
	h.leave()
	if p := r.status().Drives[0].Pending; p != nil {
		t.Errorf("still pending: %+v", p)
	}
	r.wants("ready c.iso")
}

func TestHostEject(t *testing.T) {
	for _, tt := range []struct{ eject, out, loaded, restarted string }{
		{"keep", "open a.iso", "ready a.iso", "open a.iso"},
		{"remove", "open", "empty", "empty"},
	} {
		t.Run(tt.eject, func(t *testing.T) {
			r := newRig(t)
			file := cd0HasA + "eject = \"" + tt.eject + "\"\n"
			r.start(file)
			h := r.newHost()
			h.eject()
			r.wants(tt.out)
			h.load()
			r.wants(tt.loaded)
			h.eject()
			r.wants(tt.out)
			h.leave()
			r.restart(file)
			r.wants(tt.restarted)
			if tt.eject == "keep" {
				h = r.newHost()
				h.load()
				r.wants("ready a.iso")
				h.leave()
				r.restart(file)
				r.wants("ready a.iso")
			}
		})
	}
}

func TestInsertErrors(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	r.must(os.WriteFile(r.path("images/bad.iso"), []byte("no disc"), 0o644))
	for _, tt := range []struct {
		image  string
		status int
		text   string
	}{
		{"aa.iso", http.StatusNotFound, `did you mean "a.iso"?`},
		{"../spindle.toml", http.StatusBadRequest, "outside the library"},
		{r.path("spindle.toml"), http.StatusBadRequest, "outside the library"},
		{"bad.iso", http.StatusUnprocessableEntity, "bad.iso"},
		{"", http.StatusBadRequest, "missing"},
	} {
		err := r.insert(tt.image, false)
		e, ok := errors.AsType[*client.Error](err)
		if !ok || e.Status != tt.status || !strings.Contains(e.Error(), tt.text) {
			t.Errorf("insert %q: %v; want status %d and %q", tt.image, err, tt.status, tt.text)
		}
	}
	r.wants("ready a.iso")
	_, err := r.client.Eject(t.Context(), "cd9", client.EjectRequest{})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != http.StatusNotFound || !strings.Contains(e.Hint, "cd0") {
		t.Errorf("eject of no drive: %v; want not found, and the drives", err)
	}
}
