package mmcemu

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
	"spindle/scsi/scsitest/host"
)

// A breakage is a deliberately wrong drive and the rule by which hosts give up.
type breakage struct {
	hosts string // start of the names of the models
	rule  host.Rule
	spoil spoiler
	more  circumstances
}

// circumstances are what brings a breakage out beyond attaching to a CD.
type circumstances struct {
	disc  host.Kind // that is there at first, if not a CD
	empty bool      // there is none
	meets func(b *bench, m host.Model, h host.Host) error
	hides bool // see wrong
}

// swapsAtOnce puts a short disc in the place of another in a moment, and then
// lets the host poll, and read where only the old disc had blocks.
func swapsAtOnce(b *bench, _ host.Model, h host.Host) error {
	b.drive.SetPace(Pace{SwapHold: -1})
	if err := b.put(host.Audio, true); err != nil {
		return err
	}
	return errors.Join(h.Poll(b.t.Context()), verdictOf(h.Read(b.t.Context(), 50_000, 1)))
}

// verdictOf returns the verdict in the error of a read and nothing else.
func verdictOf(_ []byte, err error) error {
	if v, ok := errors.AsType[*host.GaveUp](err); ok {
		return v
	}
	return nil
}

// polls lets a host poll for a minute.
func polls(b *bench, m host.Model, h host.Host) error {
	var errs []error
	for range 60 {
		wait(max(m.Interval, time.Second))
		errs = append(errs, h.Poll(b.t.Context()))
	}
	return errors.Join(errs...)
}

// seesSwap polls over a swap to a DVD.
func seesSwap(b *bench, m host.Model, h host.Host) error {
	go b.putHeld(host.DVD)
	return polls(b, m, h)
}

// boots reads the boot record and what follows.
func boots(b *bench, _ host.Model, h host.Host) error {
	_, err := h.(host.Booter).Boot(b.t.Context())
	return err
}

// TestBrokenRules runs each wrong drive: the models of those hosts give up by
// that rule and by no other, and none does when the drive is right.
func TestBrokenRules(t *testing.T) {
	for _, row := range breakages {
		for _, m := range host.All() {
			if !strings.HasPrefix(m.Name, row.hosts) || !slices.Contains(m.Rules, row.rule) {
				continue
			}
			t.Run(m.Name+"/"+string(row.rule), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					if got := row.run(t, m, row.spoil, row.more.hides); len(got) != 1 || got[0] != row.rule {
						t.Errorf("broken rules: %q; want %q", got, row.rule)
					}
				})
				synctest.Test(t, func(t *testing.T) {
					if got := row.run(t, m, bootable, false); len(got) != 0 {
						t.Errorf("the right drive breaks %q", got)
					}
				})
			})
		}
	}
}

// run attaches a host to a drive that is wrong and returns the rules that it
// broke.
func (row breakage) run(t *testing.T, m host.Model, spoil spoiler, hides bool) (rules []host.Rule) {
	b := newBench(t)
	kind := row.more.disc
	if kind == "" && !row.more.empty {
		kind = host.CD
	}
	if err := b.put(kind, false); err != nil {
		t.Fatal(err)
	}
	b.lu = &wrong{LogicalUnit: b.lu, spoil: spoil, hides: hides}
	h := m.Connect(b.lu, "host")
	defer h.Detach()
	err := h.Attach(t.Context())
	if row.more.meets != nil {
		err = errors.Join(err, row.more.meets(b, m, h))
	}
	rules = verdicts(err)
	if seen := h.Seen().Broken; len(seen) != len(rules) {
		t.Errorf("the host keeps %q of %q", seen, rules)
	}
	return rules
}

// verdicts are the rules in the errors of a tree, each once.
func verdicts(err error) (rules []host.Rule) {
	if v, ok := err.(*host.GaveUp); ok {
		return []host.Rule{v.Rule}
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			rules = append(rules, verdicts(err)...)
		}
	case interface{ Unwrap() error }:
		rules = verdicts(e.Unwrap())
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// TestEveryRuleCanFail: each rule of each model has a wrong drive.
func TestEveryRuleCanFail(t *testing.T) {
	for _, m := range host.All() {
		for _, rule := range m.Rules {
			if !slices.ContainsFunc(breakages, func(row breakage) bool {
				return row.rule == rule && strings.HasPrefix(m.Name, row.hosts)
			}) {
				t.Errorf("%s: no drive breaks %q", m.Name, rule)
			}
		}
	}
	for _, row := range breakages {
		if !slices.ContainsFunc(host.All(), func(m host.Model) bool {
			return strings.HasPrefix(m.Name, row.hosts) && slices.Contains(m.Rules, row.rule)
		}) {
			t.Errorf("%s has no rule %q", row.hosts, row.rule)
		}
	}
}

// tolerated are drives that go as far as a host allows.
var tolerated = []breakage{
	{"Linux", "a mode page of 128 bytes", mode2A(func(d []byte, header int) []byte {
		return withModeLength(append(d, make([]byte, 128-len(d))...), header)
	}), circumstances{}},
	{"Linux", "nine events that nothing confirms", first(18, opEvents, set(opEvents, 4, newMediaEvent)), circumstances{meets: polls}},
	{"Linux", "two unit attentions", first(2, opTUR, attentions(opTUR)), circumstances{}},
	{"Linux", "nine tries of a drive that becomes ready", first(9, opTOC, fail(opTOC, scsi.ErrBecomingReady, nil)), circumstances{}},
	{"Linux", "a feature for writing that is not there", on(opConfig, func(cdb scsi.CDB, d []byte) []byte {
		if cdb[2] == 0 && cdb[3] >= 0x20 && cdb[3] < 0x30 {
			d = lengthened(d[:8]) // no feature at all
		}
		return d
	}), circumstances{}},
	{"Windows", "32 events at once", first(33, opEvents, set(opEvents, 4, mediaRemovalEvent)), circumstances{}},
	{"Windows", "no GET PERFORMANCE", fail(opPerformance, scsi.ErrInvalidOpcode, nil), circumstances{meets: seesSwap}},
	{"Windows", "more data than an event has", set(opEvents, 0, 0, 8), circumstances{meets: polls}},
	{"macOS", "2/04/00", fail(opTUR, scsi.ErrNotReady, nil), circumstances{meets: polls}},
	{"macOS", "2/04/04", fail(opTUR, scsi.Sense{Key: scsi.NotReady, Code: 0x0404}, nil), circumstances{meets: polls}},
	{"macOS", "2/57/00", fail(opTUR, scsi.Sense{Key: scsi.NotReady, Code: 0x5700}, nil), circumstances{meets: polls}},
	{"macOS", "2/3A/02", fail(opTUR, scsi.ErrMediumNotPresentTrayOpen, nil), circumstances{meets: polls}},
	{"macOS", "8/64/00", fail(opTUR, scsi.Sense{Key: scsi.BlankCheck, Code: 0x6400}, nil), circumstances{meets: polls}},
	{"EDK2", "a minute to become ready", first(500, opTUR, fail(opTUR, scsi.ErrBecomingReady, nil)), circumstances{}},
	{"SeaBIOS", "30 s to become ready", first(300, opTUR, fail(opTUR, scsi.ErrBecomingReady, nil)), circumstances{}},
	{"iPXE", "nine unit attentions", first(9, opTUR, attentions(opTUR)), circumstances{}},
	{"QEMU", "no MODE SENSE", fail(0x1A, scsi.ErrInvalidOpcode, nil), circumstances{}},
}

// TestTolerated: a model is no stricter than its host.
func TestTolerated(t *testing.T) {
	for _, row := range tolerated {
		i := slices.IndexFunc(host.All(), func(m host.Model) bool { return strings.HasPrefix(m.Name, row.hosts) })
		m := host.All()[i]
		t.Run(m.Name+"/"+string(row.rule), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := row.run(t, m, row.spoil, false); len(got) != 0 {
					t.Errorf("it gives up by %q", got)
				}
			})
		})
	}
}

// FuzzHosts spoils answers at will: the models, which read what drives say, must
// come to a verdict or go on, and end. Each triple of the input is an operation
// code, a place in its answers and the byte to put there; beyond the answer's end
// the answer becomes as short as that byte says.
func FuzzHosts(f *testing.F) {
	f.Add([]byte{})
	for _, op := range []byte{opInquiry, opTOC, opConfig, opEvents, 0x1A, 0x5A, opCapacity} {
		f.Add([]byte{op, 1, 0xFF, op, 3, 0xFF, op, 0xFF, 5})
		f.Add([]byte{op, 0xFF, 1})
	}
	models := host.All()
	f.Fuzz(func(t *testing.T, triples []byte) {
		spoil := func(cdb scsi.CDB, d []byte, err error) ([]byte, error) {
			for i := 0; i+3 <= len(triples) && i < 30; i += 3 {
				op, at, b := triples[i], int(triples[i+1]), triples[i+2]
				switch {
				case op != cdb[0]:
				case at < len(d):
					d[at] = b
				default:
					d = d[:min(len(d), int(b))]
				}
			}
			return d, err
		}
		m := models[len(triples)%len(models)]
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			if err := b.put(host.CD, false); err != nil {
				t.Fatal(err)
			}
			b.lu = &wrong{LogicalUnit: b.lu, spoil: spoil}
			h := m.Connect(b.lu, "host")
			defer h.Detach()
			_ = h.Attach(t.Context())
			for range 3 {
				_ = h.Poll(t.Context())
			}
			_, _ = h.Read(t.Context(), 16, 1)
			_ = h.Mount(t.Context())
			if boot, ok := h.(host.Booter); ok {
				_, _ = boot.Boot(t.Context())
			}
			_ = h.Eject(t.Context())
		})
	})
}

// TestLinuxFindsTheLastSession: the old format field of READ TOC is how Linux
// learns where the file system of a disc with several sessions begins.
func TestLinuxFindsTheLastSession(t *testing.T) {
	b := newBench(t)
	d, name := b.make(host.CD)
	d.layout.Sessions = append(d.layout.Sessions, disc.Session{
		Number: 2, LeadOut: 250_000,
		Tracks: []disc.Track{{Number: 2, Control: 4, Mode: disc.Mode1, Pregap: 111_250, Start: 111_400}},
	})
	if err := b.drive.Insert(t.Context(), Medium{Disc: d, Name: name}, false); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"Linux, iSCSI", "Linux, USB"} {
		h := host.ByName(m).Connect(b.lu, m)
		if err := h.Attach(t.Context()); err != nil || h.Seen().Session != 111_400 {
			t.Errorf("%s: %v, the last session begins at %d; want 111400", m, err, h.Seen().Session)
		}
	}
}
