package daemon

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"spindle/internal/api/client"
	"spindle/scsi"
)

const (
	changer3   = cd0 + "discs = [\"a.iso\", \"b.iso\", \"c.iso\"]\n"
	loadSlot   = "a6 00 00 00 03 00 00 00 0"
	unloadSlot = "a6 00 00 00 02"
	mechanism  = "bd 00 00 00 00 00 00 00 00 ff"
)

// slotsShown is the slots of cd0, as "a.iso [b.iso] c.iso?", of which the last
// is missing.
func slotsShown(s *client.Status) string {
	var list []string
	for _, slot := range s.Drive("cd0").Slots {
		text := slot.Disc
		if slot.Loaded {
			text = "[" + text + "]"
		}
		if !slot.Present {
			text += "?"
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func (r *rig) awaitSlots(want string) {
	r.t.Helper()
	r.await(want, func(s *client.Status) bool { return slotsShown(s) == want })
}

// TestOpeningIsBounded: a load waits for its place while storage holds those
// before it, and ends with its command.
func TestOpeningIsBounded(t *testing.T) {
	r := newRig(t)
	r.start(changer3)
	var dr *drive
	r.must(r.d.loop.call(t.Context(), func() { dr = r.d.drive("cd0") }))
	for range maxOpening {
		dr.changer.opening <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.d.slotOpener(dr, dr.cfg, 1)(ctx)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || len(dr.changer.opening) != maxOpening {
		t.Errorf("a load without a place: %v, %d are being opened", err, len(dr.changer.opening))
	}
	<-dr.changer.opening
	m, err := r.d.slotOpener(dr, dr.cfg, 1)(t.Context())
	if err != nil || m.Name != "b.iso" {
		t.Fatalf("with a place: %q, %v", m.Name, err)
	}
	m.Disc.Close()
}

// TestHostLoadsSlots: what a host loaded is in the drive, in status, and there
// again after a restart; a verb, and a changed disc of the file, come after it.
func TestHostLoadsSlots(t *testing.T) {
	r := newRig(t)
	r.start(changer3)
	r.wants("ready a.iso")
	h := r.newHost()
	h.must(loadSlot + "1")
	r.awaitDisc("ready b.iso")
	r.awaitSlots("a.iso [b.iso] c.iso")
	var path string
	r.must(r.d.loop.call(t.Context(), func() { path = r.d.drive("cd0").path }))
	if path != r.path("images/b.iso") {
		t.Errorf("path %q", path)
	}
	h.leave()
	r.restart(changer3)
	r.wants("ready b.iso")
	r.awaitSlots("a.iso [b.iso] c.iso")

	h = r.newHost()
	h.must("00") // after what it is told of the disc
	if got := h.ask(mechanism); got[0] != 1 || got[5] != 3 {
		t.Errorf("MECHANISM STATUS % x; want slot 1 of 3", got)
	}
	h.must(loadSlot + "1")
	h.must(unloadSlot)
	r.awaitDisc("empty")
	r.await("no warnings", func(s *client.Status) bool { return slotsShown(s) == "a.iso b.iso c.iso" })
	h.leave()
	r.restart(changer3)
	r.wants("empty")
	r.must(r.insert("c.iso", false))
	r.wants("ready c.iso")
	r.awaitSlots("a.iso b.iso [c.iso]")

	h = r.newHost()
	h.must(loadSlot + "0")
	r.awaitDisc("ready a.iso")
	h.leave()
	r.write(changer3 + "disc = \"b.iso\"\n")
	r.must(r.reload())
	r.wants("ready b.iso")
	r.restart(changer3 + "disc = \"\"\n")
	r.wants("empty")
}

// TestSlotMissing: an image that is not there leaves its slot empty with an
// alarm that names it, until it comes.
func TestSlotMissing(t *testing.T) {
	r := newRig(t)
	r.start(cd0 + "discs = [\"a.iso\", \"d.iso\", \"\"]\n")
	r.awaitSlots("[a.iso] d.iso? ?")
	s := r.status()
	if text := alarmAbout(&s, "cd0 discs"); !strings.Contains(text, `slot 1 is empty: image "d.iso": file does not exist`) {
		t.Errorf("alarm %q", text)
	}
	h := r.newHost()
	for _, slot := range []string{"1", "2"} {
		if err := h.do(loadSlot + slot); scsi.SenseOf(err).Code>>8 != 0x3A {
			t.Errorf("load of slot %s: %v; want no medium", slot, err)
		}
	}
	r.wants("ready a.iso")
	r.copyImage("b.iso", "d.iso")
	r.awaitSlots("[a.iso] d.iso ?")
	if s := r.status(); alarmAbout(&s, "cd0 discs") != "" {
		t.Errorf("alarms %v", s.Alarms)
	}
	h.must(loadSlot + "1")
	r.awaitDisc("ready d.iso")
	if err := os.Remove(r.path("images/a.iso")); err != nil {
		t.Fatal(err)
	}
	r.awaitSlots("a.iso? [d.iso] ?")
	h.leave()
	r.write(cd0 + "disc = \"b.iso\"\n")
	r.must(r.reload())
	r.awaitDisc("ready b.iso")
	if s := r.status(); len(s.Alarms) != 0 {
		t.Errorf("alarms of a drive without slots: %v", s.Alarms)
	}
}

// TestReloadOfSlots: another image in a slot leaves the disc in the drive and
// its sessions alone; one that is not there leaves all as it was; another number
// of slots makes the drive anew.
func TestReloadOfSlots(t *testing.T) {
	r := newRig(t)
	r.start(changer3)
	c := r.login("cd0")
	ready(c) // 29/00
	r.write(cd0 + "discs = [\"a.iso\", \"c.iso\", \"\"]\n")
	r.must(r.reload())
	r.awaitSlots("[a.iso] c.iso ?")
	if got := ready(c); got != "good" {
		t.Errorf("TEST UNIT READY after other discs came into slots: %s", got)
	}
	h := r.newHost()
	if got := h.ask(mechanism); !bytes.Equal(got[8:], []byte{0x80, 0, 0, 0, 0x81, 0, 0, 0, 1, 0, 0, 0}) {
		t.Errorf("slot table % x", got[8:])
	}
	h.leave()

	r.write(cd0 + "discs = [\"a.iso\", \"b.iso\", \"d.iso\"]\n")
	s := r.await("alarm", func(s *client.Status) bool { return alarmAbout(s, "config") != "" })
	if text := alarmAbout(&s, "config"); !strings.Contains(text, `spindle.toml:10: drive.cd0.discs: slot 2: image "d.iso": file does not exist`) {
		t.Errorf("alarm %q", text)
	}
	if got := slotsShown(&s); got != "[a.iso] c.iso ?" {
		t.Errorf("slots %s after a reload that is not good", got)
	}
	r.copyImage("b.iso", "d.iso") // the reload waits for it
	r.awaitSlots("[a.iso] b.iso d.iso")
	if got := ready(c); got != "good" {
		t.Errorf("TEST UNIT READY: %s", got)
	}

	r.write(cd0 + "discs = [\"a.iso\", \"b.iso\"]\n")
	r.must(r.reload())
	r.awaitSlots("[a.iso] b.iso")
	r.await("the end of the session", func(s *client.Status) bool { return len(s.Sessions) == 0 })
	r.write(cd0HasA)
	r.must(r.reload())
	r.awaitDisc("ready a.iso")
	r.awaitSlots("")
}

// TestDriveNames: what the file says of a drive is what hosts see.
func TestDriveNames(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA + "block_length = 512\nvendor = \"ACME\"\nproduct = \"DISC\"\nrevision = \"9\"\nserial = \"SERIAL000001\"\nmechanism = \"caddy\"\nspeed = 4\n")
	h := r.newHost()
	if got := string(h.ask("12 00 00 00 24")[8:]); got != "ACME    DISC            9   " {
		t.Errorf("INQUIRY %q", got)
	}
	if got := string(h.ask("12 01 80 00 ff")[4:]); got != "SERIAL000001" || r.status().Drives[0].Serial != got {
		t.Errorf("serial number %q", got)
	}
	h.must("00")
	if got := h.ask("25"); !slices.Equal(got[4:], []byte{0, 0, 2, 0}) {
		t.Errorf("READ CAPACITY % x", got)
	}
	if got := h.ask("1a 08 2a 00 ff")[4:]; got[6]>>5 != 0 || got[8] != 0x02 || got[9] != 0xC0 {
		t.Errorf("page 2Ah % x", got)
	}
	h.leave()
	r.write(cd0HasA)
	r.must(r.reload())
	r.awaitDisc("ready a.iso")
	h = r.newHost()
	if got := string(h.ask("12 00 00 00 24")[8:]); got != "SPINDLE VIRTUAL CD/DVD  1.0 " {
		t.Errorf("INQUIRY %q after the names went", got)
	}
	h.leave()
}
