// Package replaytest plays a transcript of a flight recorder again on a fresh
// drive, and says where that answers otherwise.
package replaytest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"spindle/scsi"
	"spindle/scsi/filter"
	"spindle/scsi/scsitest"
)

// A Rig is a fresh drive that a transcript is replayed on, as the daemon made
// the one of the transcript: with its serial number, so that answers which hold
// it are the same.
type Rig struct {
	LU scsi.LogicalUnit
	// Act does what an operator did: filter.EventInsert, EventEject,
	// EventReopen, EventAwait, EventWithdraw or EventOptions.
	Act func(e filter.Entry) error
	// Ready reports whether a medium is ready.
	Ready func() bool
}

// Replay sends the commands and events of a transcript to a drive, in the order
// in which they began and at the same times after the first, and returns what
// is different: unit attentions that waited, status, sense, lengths, data. How
// long a command takes is ignored, and how far a disc is that becomes ready.
//
// The unit attentions that a front end raises (29h, 2Fh and 3Fh) are taken from
// the transcript. Run it in a bubble of testing/synctest, where its waiting
// takes no time.
func Replay(ctx context.Context, tr *filter.Transcript, rig Rig) []error {
	p := &replayer{ctx: ctx, rig: rig, hosts: map[uint32]*replayed{}}
	list := slices.Clone(tr.Entries)
	slices.SortStableFunc(list, func(a, b filter.Entry) int {
		return cmp.Compare(a.N, b.N) // those from before a gap have the lowest
	})
	for i := range list {
		if err := p.entry(&list[i]); err != nil {
			p.errs = append(p.errs, fmt.Errorf("entry %d, %s: %w", list[i].N, nameOf(&list[i]), err))
		}
	}
	return p.errs
}

// nameOf is what people call an entry.
func nameOf(e *filter.Entry) string {
	if e.Event != "" {
		return e.Event
	}
	return fmt.Sprintf("%s [% x]", cmp.Or(e.Name, "command"), []byte(e.CDB))
}

// A replayer is one replay.
type replayer struct {
	ctx   context.Context
	rig   Rig
	hosts map[uint32]*replayed
	began time.Time // of the replay
	first time.Time // time of the first entry
	lost  bool      // entries are missing, and so the state is not known
	errs  []error
}

// A replayed is a nexus of the transcript.
type replayed struct {
	nexus  *scsi.Nexus
	unsure bool // the unit attentions that wait are not known
}

func (p *replayer) entry(e *filter.Entry) error {
	if e.Event == filter.EventGap {
		// At the beginning Base entries say what was before.
		if p.lost = true; !p.first.IsZero() {
			return fmt.Errorf("%d entries are missing: what comes later may differ", e.Lost)
		}
		return nil
	}
	if !e.Base {
		p.wait(e.Time)
	}
	switch e.Event {
	case "":
		return p.command(e)
	case filter.EventJoined:
		p.join(e)
	case filter.EventLost:
		h := p.host(e.Nexus)
		if w, ok := scsi.As[scsi.NexusWatcher](p.rig.LU); ok {
			w.NexusLost(h.nexus)
		}
		delete(p.hosts, e.Nexus)
	case filter.EventReset:
		if r, ok := scsi.As[scsi.Resetter](p.rig.LU); ok {
			r.Reset()
		}
	case filter.EventInsert, filter.EventEject, filter.EventReopen,
		filter.EventAwait, filter.EventWithdraw, filter.EventOptions:
		return p.act(e)
	case filter.EventHostOut:
		if e.Base {
			r := *e
			r.Event = filter.EventReopen
			return p.act(&r)
		}
	case eventReady:
		return p.ready()
	}
	return nil
}

// eventReady is what a drive tells when a medium became ready.
const eventReady = "ready"

// wait waits until the entry's time has come.
func (p *replayer) wait(at time.Time) {
	if p.first.IsZero() {
		p.began, p.first = time.Now(), at
	}
	if d := time.Until(p.began.Add(at.Sub(p.first))); d > 0 {
		_ = scsitest.Pause(p.ctx, d)
	}
}

// ready waits for a medium whose timer ended a little earlier in the transcript.
func (p *replayer) ready() error {
	for range 500 {
		if p.rig.Ready() {
			return nil
		}
		if err := scsitest.Pause(p.ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("no medium became ready within 5 s")
}

// act does what the operator did, and compares whether it was refused.
func (p *replayer) act(e *filter.Entry) error {
	if err := p.rig.Act(*e); (err != nil) != (e.Error != "") {
		return fmt.Errorf("the operator gets %v; in the transcript %q", err, e.Error)
	}
	return nil
}

func (p *replayer) join(e *filter.Entry) {
	n := &scsi.Nexus{Initiator: e.Host.Initiator, Address: e.Host.Address, Since: time.Now(), Port: scsi.Port{
		Protocol: scsi.USB, Name: e.Host.Port, RelativeID: e.Host.PortID, Group: e.Host.Group,
	}}
	if e.Host.Protocol == "iscsi" {
		n.Port.Protocol = scsi.ISCSI
	}
	copy(n.ISID[:], e.Host.ISID)
	raise(n, e.Pending)
	p.hosts[e.Nexus] = &replayed{n, e.Base}
	if w, ok := scsi.As[scsi.NexusWatcher](p.rig.LU); ok {
		w.NexusJoined(n)
	}
}

// host returns the nexus of a number, of which the transcript may not say who
// it was.
func (p *replayer) host(id uint32) *replayed {
	h := p.hosts[id]
	if h == nil {
		h = &replayed{scsitest.NewNexus(fmt.Sprintf("iqn.2026-11.spindle:replay-%d", id)), p.lost}
		p.hosts[id] = h
	}
	return h
}

func raise(n *scsi.Nexus, texts []string) {
	for _, text := range texts {
		s, _ := filter.Attention(text) // ReadTranscript has checked it
		n.Raise(s)
	}
}

// byFrontEnd reports whether front ends raise a unit attention, not drives.
func byFrontEnd(s scsi.Sense) bool {
	switch s.Code >> 8 {
	case 0x29, 0x2F, 0x3F:
		return true
	}
	return false
}

// attentions brings the unit attentions of n to those of the transcript, and
// says when the drive's own are others.
func (p *replayer) attentions(h *replayed, e *filter.Entry) error {
	var got, want []string
	for s, ok := h.nexus.Take(); ok; s, ok = h.nexus.Take() {
		if !byFrontEnd(s) {
			got = append(got, s.Error()[:len("6/28/00")])
		}
	}
	raise(h.nexus, e.Pending)
	for _, text := range e.Pending {
		switch s, _ := filter.Attention(text); {
		case !byFrontEnd(s):
			want = append(want, text)
		case s.Code>>8 == 0x29: // it dropped those before it, at a time not known
			got = slices.DeleteFunc(got, func(text string) bool { return !slices.Contains(e.Pending, text) })
		}
	}
	unsure := h.unsure
	h.unsure = false
	if !unsure && !slices.Equal(got, want) {
		return fmt.Errorf("unit attentions that wait: %q; in the transcript %q", got, want)
	}
	return nil
}

// maxReplayed bounds the data-in of one command.
const maxReplayed = 16 << 20

// command sends a command and compares what comes.
func (p *replayer) command(e *filter.Entry) error {
	if e.Out > filter.MaxOut || e.Length > maxReplayed {
		return fmt.Errorf("its data cannot be replayed: %d bytes of data-out of which %d are there, transfer length %d of %d at most",
			e.Out, len(e.OutData), e.Length, maxReplayed)
	}
	h := p.host(e.Nexus)
	errs := []error{p.attentions(h, e)}
	in, data := &scsitest.DataIn{Limit: e.Length}, []byte(e.OutData)
	if e.Out > 0 { // there is more for a drive that reads more
		in.Limit, data = 0, append(data[:len(data):len(data)], make([]byte, max(0, e.Length-e.Out))...)
	}
	out := bytes.NewReader(data)
	cmd := &scsi.Command{Nexus: h.nexus, In: in, Out: out, Length: e.Length}
	copy(cmd.CDB[:], e.CDB)
	err := p.rig.LU.Execute(p.ctx, cmd)
	if e.Aborted || e.Running {
		return errors.Join(errs...) // the host saw nothing of it
	}
	errs = append(errs, in.Misuse, compareStatus(err, e), compareData(in, e))
	if got := int64(len(data) - out.Len()); got != e.Out {
		errs = append(errs, fmt.Errorf("%d bytes of data-out are read; in the transcript %d", got, e.Out))
	}
	return errors.Join(errs...)
}

func compareStatus(err error, e *filter.Entry) error {
	status, sense := scsi.StatusOf(err)
	if status.Error() != e.Status {
		return fmt.Errorf("status %v (%v); in the transcript %s (%s)", status, err, e.Status, e.Error)
	}
	if status != scsi.CheckCondition {
		return nil
	}
	got, want := sense.AppendFixed(nil), slices.Clone(e.Sense)
	if sense.Is(scsi.ErrBecomingReady) && len(want) == len(got) {
		copy(got[15:], want[15:]) // how far it is
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("sense %v [% x]; in the transcript %s [% x]", sense, got, e.Error, []byte(want))
	}
	return nil
}

func compareData(in *scsitest.DataIn, e *filter.Entry) error {
	data := in.Data[:min(len(in.Data), filter.MaxData)]
	sum := sha256.Sum256(in.Data)
	switch {
	case in.Total != e.Total:
		return fmt.Errorf("an answer of %d bytes; in the transcript %d", in.Total, e.Total)
	case int64(len(in.Data)) != e.In:
		return fmt.Errorf("%d bytes arrive; in the transcript %d", len(in.Data), e.In)
	case !bytes.Equal(data, e.Data):
		return fmt.Errorf("data % x; in the transcript % x", data, []byte(e.Data))
	case len(e.SHA256) > 0 && !bytes.Equal(sum[:], e.SHA256):
		return fmt.Errorf("data with SHA-256 %x; in the transcript %x", sum, []byte(e.SHA256))
	}
	return nil
}
