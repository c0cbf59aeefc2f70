package transcripttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"spindle/mmcemu"
	"spindle/scsi"
	"spindle/scsi/filter"
	"spindle/scsi/scsitest"
)

// A session is a drive with a recorder, hosts and an operator who do anything.
type session struct {
	t     *testing.T
	rand  *rand.Rand
	dir   string
	emu   *mmcemu.Drive
	rec   *filter.Recorder
	lu    scsi.LogicalUnit
	hosts []*scsi.Nexus
	came  int
}

// commands are what hosts send, often enough to see every state.
var commands = []string{
	"00", "00", "00", "4a 01 00 00 10 00 00 00 08", "4a 01 00 00 10 00 00 00 08", "03 00 00 00 12",
	"12 00 00 00 60", "12 01 83 00 ff", "25", "28 00 00 00 00 10 00 00 02", "28 00 00 00 00 2c 00 00 20", "28 00 00 00 00 5e 00 00 01",
	"be 00 00 00 00 10 00 00 01 f8", "43 02 00 00 00 00 00 04 00", "46 00 00 00 00 00 00 ff ff", "51 00 00 00 00 00 00 00 22",
	"1e 00 00 00 01", "1e 00 00 00 00", "1e 00 00 00 03", "1e 00 00 00 02", "1b 00 00 00 02", "1b 00 00 00 03", "1b 00 00 00 01",
	"5a 00 3f 00 00 00 00 02 00", "bb 00 02 c2 ff ff", "ee",
	"a6 00 00 00 03 00 00 00 01", "a6 01 00 00 03 00 00 00 00", "a6 00 00 00 02", "bd 00 00 00 00 00 00 00 00 20", "4e",
}

// act is what the operator does.
func (s *session) act(e filter.Entry) {
	_ = s.rec.Act(e, func() error { return act(s.t.Context(), s.emu, s.dir, e) })
}

func (s *session) step() {
	_ = scsitest.Pause(s.t.Context(), time.Duration(s.rand.Int64N(int64(400*time.Millisecond)))) // no timer ends at the same moment
	watcher, _ := scsi.As[scsi.NexusWatcher](s.lu)
	switch n := s.rand.IntN(40); {
	case n == 0 && len(s.hosts) < 3:
		s.came++
		h := scsitest.NewNexus(fmt.Sprintf("iqn.2026-11.net.example:%d", s.came%4)) // some come back
		if s.rand.IntN(2) == 0 {
			h.Raise(scsi.ErrPowerOn)
		}
		s.hosts = append(s.hosts, h)
		watcher.NexusJoined(h)
	case n == 1 && len(s.hosts) > 1:
		watcher.NexusLost(s.hosts[0])
		s.hosts = s.hosts[1:]
	case n == 2:
		reset, _ := scsi.As[scsi.Resetter](s.lu)
		reset.Reset()
		for _, h := range s.hosts {
			h.Raise(scsi.ErrPowerOn)
		}
	case n == 3:
		pace := mmcemu.Pace{Host: mmcemu.Hosts()[s.rand.IntN(len(mmcemu.Hosts()))]}
		text, err := json.Marshal(pace)
		if err != nil {
			s.t.Fatal(err)
		}
		s.act(filter.Entry{Event: filter.EventOptions, Options: text})
	case n == 4:
		s.act(filter.Entry{Event: []string{filter.EventAwait, filter.EventWithdraw}[s.rand.IntN(2)]})
	case n < 8:
		e := filter.Entry{Event: filter.EventEject, Force: s.rand.IntN(2) == 0}
		if n < 7 {
			name := []string{"boot.iso", "second.iso"}[s.rand.IntN(2)]
			e.Event, e.Medium = filter.EventInsert, &filter.Medium{Name: name, ID: "id of " + name, Kind: "CD"}
		}
		s.act(e)
	default:
		cdb, limit, out := commands[s.rand.IntN(len(commands))], int64(1<<s.rand.IntN(20)), []byte(nil)
		if n == 39 {
			cdb, limit, out = "55 10 00 00 00 00 00 00 1c", 0, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x01\x0a\x80\x05\x00\x00\x00\x00\x00\x00\x00\x00\x1a\x06\x00\x00\x00\x00\x00\x00")
		}
		_, _ = scsitest.Execute(s.t.Context(), s.lu, s.hosts[s.rand.IntN(len(s.hosts))], scsitest.CDB(s.t, cdb), limit, out)
	}
}

// play records a session of so many steps.
func play(t *testing.T, seed uint64, steps int, o mmcemu.Options) []byte {
	t.Helper()
	var text bytes.Buffer
	dir := t.TempDir()
	for name, data := range Discs() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := &session{t: t, rand: rand.New(rand.NewPCG(seed, 0)), dir: dir}
		o.OnEvent = func(e mmcemu.Event) { s.rec.Event(filter.Entry{Event: string(e.Kind), By: e.Nexus}) }
		fill(o.Slots, dir)
		s.emu = mmcemu.New(o)
		defer s.emu.Close()
		s.rec, s.lu = filter.Record(s.emu)
		s.hosts = []*scsi.Nexus{scsitest.NewNexus("iqn.2026-11.net.example:first")}
		watcher, _ := scsi.As[scsi.NexusWatcher](s.lu)
		watcher.NexusJoined(s.hosts[0])
		for range steps {
			s.step()
		}
		enc := json.NewEncoder(&text)
		options, err := json.Marshal(s.emu.Options())
		if err == nil {
			err = enc.Encode(filter.Header{Version: filter.Version, Options: options})
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.rec.Read(t.Context(), false, func(list []filter.Entry) error {
			for i := range list {
				if err := enc.Encode(&list[i]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
	return text.Bytes()
}

// TestRoundTrip has hosts and an operator do anything with drives of several
// kinds, and replays what the recorder saw.
func TestRoundTrip(t *testing.T) {
	for name, o := range map[string]mmcemu.Options{
		"usual":        {Serial: "0123456789AB"},
		"no hold":      {SwapHold: -1, RemoveOnEject: true},
		"changer":      {Slots: []mmcemu.Slot{{Name: "boot.iso"}, {Name: "second.iso"}, {}}},
		"slow to load": {LoadTime: 3 * time.Second, Vendor: "ACME", Product: "SLOW"},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(4) {
				text := play(t, seed, 400, o)
				errs := Replay(t, bytes.NewReader(text))
				for _, err := range errs {
					t.Errorf("seed %d: %v", seed, err)
				}
				if len(errs) > 0 {
					return
				}
			}
		})
	}
}

// TestReplaySeesChanges spoils each command of the kept transcripts in turn,
// and checks that the replay says where.
func TestReplaySeesChanges(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(kept, "seabios.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	spoil := func(e *filter.Entry, i int) {
		switch {
		case len(e.Sense) > 0:
			e.Sense[12] ^= 1
		case len(e.Data) > 0 && i%2 == 0:
			e.Data[len(e.Data)-1] ^= 1
		case len(e.SHA256) > 0:
			e.SHA256[0] ^= 1
		default:
			e.Status = "BUSY"
		}
	}
	count := 0
	for i := 1; i < len(lines)-1; i++ {
		var e filter.Entry
		if err := json.Unmarshal(lines[i], &e); err != nil {
			t.Fatal(err)
		}
		if e.Event != "" {
			continue
		}
		count++
		spoil(&e, i)
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Join([][]byte{bytes.Join(lines[:i], nil), line, []byte("\n"), bytes.Join(lines[i+1:], nil)}, nil)
		errs := Replay(t, bytes.NewReader(changed))
		if want := fmt.Sprintf("entry %d, ", e.N); len(errs) != 1 || !bytes.HasPrefix([]byte(errs[0].Error()), []byte(want)) {
			t.Errorf("with entry %d spoilt: %v; want one error, of it", e.N, errs)
		}
	}
	if count < 10 {
		t.Errorf("only %d commands were spoilt", count)
	}
}
