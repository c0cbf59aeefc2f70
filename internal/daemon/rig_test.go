package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/isostore"
	"spindle/mmcemu"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leaks waits until all goroutines have ended, and says which do not. Those of the
// last test may be ending still.
func leaks() int {
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if err = goleak.Find(); err == nil { // it waits a moment by itself
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// limit is how long anything that must come may take.
const limit = 3 * time.Minute

// A rig is a daemon with a configuration file, a library of a.iso, b.iso and
// c.iso, and real sockets.
type rig struct {
	t      *testing.T
	dir    string
	d      *Daemon
	client *client.Client
	end    func()
	hold   func(stage string) // for Options

	unwatched bool         // the daemon reads the file when it is told to, and never by itself
	log       *slog.Logger // of the daemon; nil discards
}

// newRig makes the directories; start starts the daemon.
func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") // short: a socket is in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, end: func() {}}
	images := r.path("images")
	if _, err := isostore.MakeSample(images); err != nil {
		t.Fatal(err)
	}
	r.copyImage(isostore.SampleName, "a.iso")
	r.copyImage(isostore.SecondName, "b.iso")
	r.copyImage(isostore.SampleName, "c.iso")
	t.Cleanup(func() { r.end() })
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) copyImage(from, to string) {
	r.t.Helper()
	b, err := os.ReadFile(r.path("images/" + from))
	if err == nil {
		err = os.WriteFile(r.path("images/"+to), b, 0o644)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// write puts a configuration in the place of the old one, as editors do.
func (r *rig) write(drives string) {
	r.t.Helper()
	r.writeLibrary("", drives, r.path("images"))
}

// writeLibrary is write with more lines in [library], and those directories.
func (r *rig) writeLibrary(lines, drives string, dirs ...string) {
	r.t.Helper()
	text := "[library]\n" + lines + "dirs = [\"" + strings.Join(dirs, "\", \"") + "\"]\n"
	text += fmt.Sprintf("[daemon]\nstate = %q\nsocket = %q\n", r.path("state"), r.path("s"))
	if !strings.Contains(drives, "[iscsi]") {
		text += "[iscsi]\nlisten = [\"127.0.0.1:0\"]\n"
	}
	r.save(text + drives)
}

// save puts a file of that text in the place of the old one: who watches it never
// reads half of it.
func (r *rig) save(text string) {
	r.t.Helper()
	tmp := r.path("spindle.toml~")
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(tmp, r.path("spindle.toml")); err != nil {
		r.t.Fatal(err)
	}
}

// start writes the configuration and starts a daemon with it.
func (r *rig) start(drives string) {
	r.t.Helper()
	r.write(drives)
	if err := r.tryStart(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tryStart() error {
	d, err := Start(r.t.Context(), Options{
		Load:     r.load,
		Log:      r.log,
		StopTime: 100 * time.Millisecond,
		hold:     r.hold,
		hung:     limit, // a machine under load is not storage that hangs
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := d.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	r.d, r.client = d, client.New(r.path("s"))
	r.end = func() {
		r.client.Close()
		cancel()
		running.Wait()
		r.end = func() {}
	}
	return nil
}

// load returns the configuration that the file holds.
func (r *rig) load() (*config.Config, error) {
	c, err := config.Load(r.path("spindle.toml"))
	if err == nil && r.unwatched {
		c.Path = ""
	}
	return c, err
}

// reload has the daemon read the file now, and returns what came of it. The daemon
// alone does it, for its watch may have seen the file in that moment.
func (r *rig) reload() error {
	r.t.Helper()
	done := make(chan error, 1)
	r.d.reloads <- done
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return errors.New("the daemon does not read its configuration")
	}
}

// restart stops the daemon and starts one with the configuration drives.
func (r *rig) restart(drives string) {
	r.t.Helper()
	r.end()
	r.start(drives)
}

// await returns the first status that ok takes.
func (r *rig) await(what string, ok func(*client.Status) bool) client.Status {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	var last client.Status
	for s, err := range r.client.Events(ctx) {
		if err != nil {
			r.t.Fatalf("waiting for %s: %v; last %+v", what, err, last)
		}
		if last = s; ok(&s) {
			return s
		}
	}
	r.t.Fatalf("waiting for %s: it did not come; last %+v", what, last)
	return last
}

func (r *rig) status() client.Status {
	r.t.Helper()
	s, err := r.client.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// wants checks what is in cd0, as "STATE DISC".
func (r *rig) wants(want string) {
	r.t.Helper()
	s := r.status()
	if got := shown(s.Drive("cd0")); got != want {
		r.t.Errorf("cd0 is %q, want %q; alarms %v", got, want, s.Alarms)
	}
}

func shown(d *client.Drive) string { return strings.TrimSpace(d.State + " " + d.Disc) }

// awaitDisc waits for cd0 to be as want says.
func (r *rig) awaitDisc(want string) {
	r.t.Helper()
	r.await(want, func(s *client.Status) bool { return shown(s.Drive("cd0")) == want })
}

func (r *rig) insert(image string, force bool) error {
	_, err := r.client.Insert(r.t.Context(), "cd0", client.InsertRequest{Image: image, Force: force, Wait: "0s"})
	return err
}

func (r *rig) eject(force bool) error {
	_, err := r.client.Eject(r.t.Context(), "cd0", client.EjectRequest{Force: force, Wait: "0s"})
	return err
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// alarm returns the text of the alarm about something.
func alarmAbout(s *client.Status, about string) string {
	i := slices.IndexFunc(s.Alarms, func(a client.Alarm) bool { return a.About == about })
	if i < 0 {
		return ""
	}
	return s.Alarms[i].Text
}

// A host is an initiator beside the wire: a nexus of drive cd0.
type host struct {
	t     *testing.T
	drive *mmcemu.Drive
	nexus *scsi.Nexus
}

const hostName = "iqn.2026-11.spindle:host"

func (r *rig) newHost() *host {
	r.t.Helper()
	var emu *mmcemu.Drive
	r.must(r.d.loop.call(r.t.Context(), func() { emu = r.d.drive("cd0").emu }))
	h := &host{r.t, emu, scsitest.NewNexus(hostName)}
	h.nexus.Since = time.Now()
	emu.NexusJoined(h.nexus)
	return h
}

// do runs a command; the unit attentions before it are taken.
func (h *host) do(cdb string) error {
	h.t.Helper()
	for {
		_, err := scsitest.DoNexus(h.t, h.drive, h.nexus, cdb, nil)
		if scsi.SenseOf(err).Key != 6 || err == nil {
			return err
		}
	}
}

func (h *host) prevent() { h.t.Helper(); h.must("1e 00 00 00 01 00") }
func (h *host) allow()   { h.t.Helper(); h.must("1e 00 00 00 00 00") }
func (h *host) eject()   { h.t.Helper(); h.must("1b 00 00 00 02 00") }
func (h *host) load()    { h.t.Helper(); h.must("1b 00 00 00 03 00") }
func (h *host) leave()   { h.drive.NexusLost(h.nexus) }

func (h *host) must(cdb string) {
	h.t.Helper()
	if err := h.do(cdb); err != nil {
		h.t.Fatalf("%s: %v", cdb, err)
	}
}

// ask runs a command that answers.
func (h *host) ask(cdb string) []byte {
	h.t.Helper()
	b, err := scsitest.DoNexus(h.t, h.drive, h.nexus, cdb, nil)
	if err != nil {
		h.t.Fatalf("%s: %v", cdb, err)
	}
	return b
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
