package replaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
	"spindle/scsi/filter"
	"spindle/scsi/scsitest"
)

// A toy is a logical unit small enough to be got wrong in every way. Its
// opcodes are 12h answer, 28h two chunks, 55h data-out, 00h a medium's state.
type toy struct {
	answer  []byte
	chunk   byte // in the second chunk, beyond what a transcript holds
	sense   scsi.Sense
	takes   int64 // bytes of data-out
	ua      bool  // raised when a medium comes
	held    bool
	mu      sync.Mutex // guards nexuses
	nexuses map[*scsi.Nexus]bool
	ready   atomic.Bool
	resets  int
	slow    time.Duration // until a medium is ready
}

func newToy() *toy {
	return &toy{answer: []byte("toy"), chunk: 7, sense: scsi.ErrMediumNotPresentTrayClosed, takes: 4, ua: true, nexuses: map[*scsi.Nexus]bool{}}
}

func (d *toy) Execute(_ context.Context, cmd *scsi.Command) error {
	if s, ok := cmd.Nexus.Take(); ok {
		return s
	}
	switch cmd.CDB[0] {
	case 0x12:
		return cmd.In.Reply(d.answer)
	case 0x28:
		take, err := cmd.In.Begin(2 * 2048)
		for i := byte(0); take > 0 && err == nil; i++ {
			p, _ := cmd.In.Buffer()
			p = p[:min(2048, len(p))]
			clear(p)
			p[0] = i * d.chunk
			take, err = take-int64(len(p)), cmd.In.Send(len(p))
		}
		return err
	case 0x55:
		_, err := io.Copy(io.Discard, io.LimitReader(cmd.Out, d.takes))
		return err
	}
	if !d.ready.Load() {
		return d.sense
	}
	return nil
}

func (d *toy) NexusJoined(n *scsi.Nexus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nexuses[n] = true
}

func (d *toy) NexusLost(n *scsi.Nexus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.nexuses, n)
}

func (d *toy) Reset() { d.resets++ }

func (d *toy) act(e filter.Entry) error {
	if d.held && e.Event == filter.EventInsert {
		return errors.New("held")
	}
	ready := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		in := e.Event == filter.EventInsert
		for n := range d.nexuses {
			if in && d.ua {
				n.Raise(scsi.ErrMediumMayHaveChanged)
			}
		}
		d.ready.Store(in) // after the unit attention, as a drive has to
	}
	if d.slow > 0 {
		time.AfterFunc(d.slow, ready)
	} else {
		ready()
	}
	return nil
}

func (d *toy) rig() Rig { return Rig{d, d.act, d.ready.Load} }

// FuzzReplay replays files of anybody: no panic, no end that does not come.
func FuzzReplay(f *testing.F) {
	const header = `{"spindle_transcript":1}` + "\n"
	f.Add([]byte(header + `{"n":1,"time":"2026-11-26T00:00:00Z","event":"nexus-joined","nexus":1,"host":{"initiator":"a","protocol":"usb","isid":"0102"},"pending":["6/29/00"]}
{"n":3,"time":"2027-11-26T00:00:00Z","nexus":1,"cdb":"120000002400","length":36,"status":"GOOD","total":3,"in":3,"data":"746f79","pending":["6/28/00"]}
{"n":2,"event":"insert","medium":{"name":"a"}}
{"n":4,"event":"ready"}
{"n":5,"nexus":7,"cdb":"5510","out":1,"out_data":"00","length":4096}
{"n":6,"event":"reset"}
{"n":7,"event":"nexus-lost","nexus":1}`))
	f.Add([]byte(header + `{"event":"lost","lost":3}
{"n":4,"event":"host-eject","base":true}
{"n":5,"cdb":"28","length":4096,"sense":"700006000000000a00000000290000000000","status":"CHECK CONDITION"}
{"n":6,"event":"lost","lost":3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tr, err := filter.ReadTranscript(bytes.NewReader(text))
		if err != nil || len(tr.Entries) > 1000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			d := newToy()
			if errs := Replay(t.Context(), tr, d.rig()); len(errs) > len(tr.Entries) {
				t.Errorf("%d errors of %d entries", len(errs), len(tr.Entries))
			}
		})
	})
}

// record has a host use the toy, and returns what a recorder made of it, as a
// file that was written and read. commands is how often it asks for the state.
func record(t *testing.T, d *toy, commands int) *filter.Transcript {
	t.Helper()
	rec, lu := filter.Record(d)
	n := scsitest.NewNexus("a")
	n.ISID = [6]byte{1, 2}
	w, _ := scsi.As[scsi.NexusWatcher](lu)
	r, _ := scsi.As[scsi.Resetter](lu)
	run := func(cdb string, out string) {
		limit := int64(1 << 20)
		if out != "" {
			limit = 0
		}
		_, _ = scsitest.Execute(t.Context(), lu, n, scsitest.CDB(t, cdb), limit, []byte(out))
	}
	n.Raise(scsi.ErrPowerOn)
	w.NexusJoined(n)
	run("00", "")
	run("00", "")
	r.Reset()
	n.Raise(scsi.ErrPowerOn)
	run("00", "")
	run("12", "")
	run("55", "data-out")
	e := filter.Entry{Event: filter.EventInsert}
	_ = rec.Act(e, func() error { return d.act(e) })
	_ = scsitest.Pause(t.Context(), d.slow)
	rec.Event(filter.Entry{Event: "ready"})
	run("00", "")
	for range commands {
		run("00", "")
	}
	run("28", "")
	w.NexusLost(n)
	h, err := json.Marshal(filter.Header{Version: filter.Version})
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.NewBuffer(append(h, '\n'))
	enc := json.NewEncoder(text)
	if err := rec.Read(t.Context(), false, func(list []filter.Entry) error {
		for i := range list {
			if err := enc.Encode(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	tr, err := filter.ReadTranscript(text)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestReplay replays on the same drive, and on drives that are wrong in one
// way each.
func TestReplay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wrong func(d *toy, tr *filter.Transcript)
		want  string // "" for no difference
	}{
		{"the same", func(*toy, *filter.Transcript) {}, ""},
		{"answer", func(d *toy, _ *filter.Transcript) { d.answer = []byte("tax") }, "entry 6, command [12 00 00 00 00 00]: data 74 61 78; in the transcript 74 6f 79"},
		{"long answer", func(d *toy, _ *filter.Transcript) { d.answer = []byte("toys") }, "an answer of 4 bytes; in the transcript 3"},
		{"beyond what is kept", func(d *toy, _ *filter.Transcript) { d.chunk = 8 }, "data with SHA-256"},
		{"sense", func(d *toy, _ *filter.Transcript) { d.sense = scsi.ErrMediumNotPresentTrayOpen }, "sense 2/3A/02"},
		{"status", func(d *toy, _ *filter.Transcript) { d.ready.Store(true) }, "status GOOD (<nil>); in the transcript CHECK CONDITION (2/3A/01"},
		{"data-out", func(d *toy, _ *filter.Transcript) { d.takes = 5 }, "5 bytes of data-out are read; in the transcript 4"},
		{"unit attention", func(d *toy, _ *filter.Transcript) { d.ua = false }, `unit attentions that wait: []; in the transcript ["6/28/00"]`},
		{"operator", func(d *toy, _ *filter.Transcript) { d.held = true }, `the operator gets held; in the transcript ""`},
		{"a little slower", func(d *toy, _ *filter.Transcript) { d.slow = time.Second }, ""},
		{"too slow", func(d *toy, _ *filter.Transcript) { d.slow = time.Minute }, "no medium became ready within 5 s"},
		{"gap", func(_ *toy, tr *filter.Transcript) {
			tr.Entries = append(tr.Entries[:4:4], append([]filter.Entry{{N: tr.Entries[4].N, Event: filter.EventGap, Lost: 3}}, tr.Entries[4:]...)...)
		}, "3 entries are missing: what comes later may differ"},
		{"much data", func(_ *toy, tr *filter.Transcript) { tr.Entries[1].Length = maxReplayed + 1 }, "its data cannot be replayed"},
		{"an aborted command", func(d *toy, tr *filter.Transcript) {
			d.answer = nil
			for i := range tr.Entries {
				tr.Entries[i].Aborted = tr.Entries[i].N == 6
			}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, d := record(t, newToy(), 1), newToy()
				tt.wrong(d, tr)
				errs := Replay(t.Context(), tr, d.rig())
				if text := errors.Join(errs...); tt.want == "" && text != nil || tt.want != "" && (text == nil || !strings.Contains(text.Error(), tt.want)) {
					t.Errorf("Replay = %v; want %q", text, tt.want)
				}
				if len(d.nexuses) != 0 || d.resets != 1 {
					t.Errorf("%d nexuses are left, %d resets", len(d.nexuses), d.resets)
				}
			})
		})
	}
}

// TestReplayAfterLoss replays what a ring holds whose beginning is gone: the
// drive is brought to where the rest begins.
func TestReplayAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := record(t, newToy(), filter.MaxEntries+100)
		if tr.Entries[0].Event != filter.EventGap || !tr.Entries[1].Base || !tr.Entries[2].Base {
			t.Fatalf("the transcript begins %+v", tr.Entries[:3])
		}
		for _, err := range Replay(t.Context(), tr, newToy().rig()) {
			t.Error(err)
		}
	})
}
