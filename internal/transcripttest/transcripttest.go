// Package transcripttest replays transcripts on drives of ours: those that are
// kept in testdata/transcripts, of hosts that attached, booted and changed
// discs, and those of bug reports.
package transcripttest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"spindle/isostore/disc"
	"spindle/isostore/image"
	"spindle/mmcemu"
	"spindle/scsi"
	"spindle/scsi/filter"
	"spindle/scsi/scsitest/replaytest"
	"spindle/testdata/fixture"
)

// Discs are the media that kept transcripts name, as images.
var Discs = sync.OnceValue(func() map[string][]byte {
	return map[string][]byte{
		"boot.iso":   fixture.BootDisc("SPINDLE_BOOT"),
		"second.iso": fixture.BootDisc("SPINDLE_SECOND"),
	}
})

// Replay makes the drive that a transcript is of, replays it there, and returns
// each difference, or what is wrong with the transcript.
func Replay(t *testing.T, r io.Reader) (errs []error) {
	t.Helper()
	tr, err := filter.ReadTranscript(r)
	if err != nil {
		return []error{err}
	}
	var o mmcemu.Options
	if err := json.Unmarshal(tr.Header.Options, &o); err != nil {
		return []error{fmt.Errorf("options of the header: %w", err)}
	}
	dir := t.TempDir()
	for name, data := range Discs() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return []error{err}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		fill(o.Slots, dir)
		var told events
		o.OnEvent = told.tell
		d := mmcemu.New(o)
		defer d.Close()
		errs = replaytest.Replay(t.Context(), tr, replaytest.Rig{
			LU:    d,
			Act:   func(e filter.Entry) error { return act(t.Context(), d, dir, e) },
			Ready: func() bool { return d.Status().State == "ready" },
		})
		synctest.Wait()
		errs = append(errs, told.compare(tr)...)
	})
	return errs
}

// events are what a drive told, each with the host that did it, and how often.
type events struct {
	mu    sync.Mutex
	count map[string]int
}

func (l *events) tell(e mmcemu.Event) { l.add(string(e.Kind), e.Nexus, 1) }

func (l *events) add(kind, by string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = make(map[string]int)
	}
	l.count[fmt.Sprintf("%q by %q", kind, by)] += n
}

// compare returns what was told more often than in the transcript, or less. Where
// entries are missing, or a command of which nothing is known, so may events be.
func (l *events) compare(tr *filter.Transcript) (errs []error) {
	told := []mmcemu.EventKind{
		mmcemu.EventReady, mmcemu.EventEjected, mmcemu.EventHostOut, mmcemu.EventHostIn, mmcemu.EventSlotIn,
		mmcemu.EventSlotOut, mmcemu.EventHeld, mmcemu.EventReleased, mmcemu.EventAlarm,
	}
	for _, e := range tr.Entries {
		if e.Event == filter.EventGap || e.Aborted || e.Running {
			return nil
		}
		if slices.Contains(told, mmcemu.EventKind(e.Event)) {
			l.add(e.Event, e.By, -1)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.count)) {
		if n := l.count[name]; n > 0 {
			errs = append(errs, fmt.Errorf("the drive tells event %s %d times too often", name, n))
		} else if n < 0 {
			errs = append(errs, fmt.Errorf("the drive tells event %s %d times too few", name, -n))
		}
	}
	return errs
}

// act does on d what an operator did.
func act(ctx context.Context, d *mmcemu.Drive, dir string, e filter.Entry) error {
	begun, end := context.WithCancel(ctx)
	end() // an insert begins only
	switch e.Event {
	case filter.EventEject:
		return d.Eject(begun, e.Force)
	case filter.EventAwait:
		d.AwaitEject()
		return nil
	case filter.EventWithdraw:
		d.WithdrawEject()
		return nil
	case filter.EventOptions:
		return change(d, dir, e.Options)
	case filter.EventReopen:
		n := &scsi.Nexus{Initiator: "spindle"}
		defer d.NexusLost(n)
		return d.Execute(ctx, &scsi.Command{Nexus: n, CDB: scsi.CDB{0x1B, 4: 2}})
	}
	dd, err := open(dir, e.Medium)
	if err != nil {
		return err
	}
	err = d.Insert(begun, mmcemu.Medium{Disc: dd, Name: e.Medium.Name, ID: e.Medium.ID, Slot: e.Medium.Slot}, e.Force)
	if _, held := errors.AsType[*mmcemu.HeldError](err); held {
		dd.Close() // it is the caller's still
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// change sets those of a drive's options that text has.
func change(d *mmcemu.Drive, dir string, text []byte) error {
	var o struct {
		*mmcemu.Pace
		Slots []mmcemu.Slot
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	if o.Pace != nil {
		d.SetPace(*o.Pace)
	}
	if o.Slots != nil {
		fill(o.Slots, dir)
		d.SetSlots(o.Slots)
	}
	return nil
}

// fill lets discs be loaded into the drive from slots, which name them.
func fill(slots []mmcemu.Slot, dir string) {
	for i := range slots {
		if name := slots[i].Name; name != "" {
			slots[i].Open = func(context.Context) (mmcemu.Medium, error) {
				dd, err := open(dir, &filter.Medium{Name: name})
				return mmcemu.Medium{Disc: dd, Name: name, ID: name}, err
			}
		}
	}
}

// open opens the disc that a transcript names.
func open(dir string, m *filter.Medium) (disc.Disc, error) {
	if m == nil {
		return nil, errors.New("an insert without a medium")
	}
	name := filepath.Base(m.Name)
	if _, ok := Discs()[name]; !ok {
		return nil, fmt.Errorf("disc %q is not known (hint: the discs are %s; make a small one that shows the bug, and add it to Discs)",
			m.Name, strings.Join(slices.Sorted(maps.Keys(Discs())), ", "))
	}
	kind, _ := disc.ParseKind(cmp.Or(m.Kind, "CD"))
	d, _, err := image.OpenFile(filepath.Join(dir, name), image.Options{Kind: kind})
	return d, err
}

// DataSum returns the SHA-256 of the file DATA.BIN of a disc, as hex text.
func DataSum(name string) string {
	sum := sha256.Sum256(fixture.BootData(Discs()[name]))
	return hex.EncodeToString(sum[:])
}
