package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"spindle/isostore/disc"
	"spindle/mmcemu"
	"spindle/scsi/filter"
)

// note records what the drive tells in its flight recorder.
func (dr *drive) note(e mmcemu.Event) {
	out := filter.Entry{Event: string(e.Kind), By: e.Nexus}
	if e.Medium != "" {
		out.Medium = &filter.Medium{Name: e.Medium, ID: e.MediumID}
	}
	if e.Err != nil {
		out.Error = e.Err.Error()
	}
	dr.rec.Event(out)
}

// insert is mmcemu's Insert, which begins only, with an entry in the recorder.
func (dr *drive) insert(o opened, force bool) error {
	medium := mmcemu.Medium{Disc: o.disc, Name: o.name, ID: o.id, Slot: dr.slotOf(o) + 1}
	e := filter.Entry{Event: filter.EventInsert, Force: force, Medium: traceMedium(o.name, o.id, o.disc.Layout())}
	e.Medium.Slot = medium.Slot
	return dr.rec.Act(e, func() error {
		err := dr.emu.Insert(begunOnly, medium, force)
		if errors.Is(err, errBegun) {
			return nil
		}
		return err
	})
}

// eject is mmcemu's Eject with an entry in the recorder.
func (dr *drive) eject(force bool) error {
	return dr.rec.Act(filter.Entry{Event: filter.EventEject, Force: force}, func() error {
		return dr.emu.Eject(begunOnly, force)
	})
}

// awaitEject is mmcemu's AwaitEject with an entry in the recorder.
func (dr *drive) awaitEject() {
	_ = dr.rec.Act(filter.Entry{Event: filter.EventAwait}, func() error { dr.emu.AwaitEject(); return nil })
}

// withdrawEject is mmcemu's WithdrawEject, with an entry in the recorder when
// there is something to withdraw.
func (dr *drive) withdrawEject() {
	if !dr.emu.EjectRequested() {
		return
	}
	_ = dr.rec.Act(filter.Entry{Event: filter.EventWithdraw}, func() error { dr.emu.WithdrawEject(); return nil })
}

// setPace is mmcemu's SetPace with an entry in the recorder.
func (dr *drive) setPace(p mmcemu.Pace) {
	dr.change(p, func() { dr.emu.SetPace(p) })
}

// setSlots is mmcemu's SetSlots with an entry in the recorder.
func (dr *drive) setSlots(slots []mmcemu.Slot) {
	dr.change(struct{ Slots []mmcemu.Slot }{slots}, func() { dr.emu.SetSlots(slots) })
}

// change is f with an entry in the recorder of the options that are others now.
func (dr *drive) change(options any, f func()) {
	text, err := json.Marshal(options)
	if err != nil {
		panic(err) // strings and numbers of ours
	}
	_ = dr.rec.Act(filter.Entry{Event: filter.EventOptions, Options: text}, func() error { f(); return nil })
}

// traceMedium describes a disc for whoever reads a trace without it.
func traceMedium(name, id string, l *disc.Layout) *filter.Medium {
	m := &filter.Medium{Name: name, ID: id, Kind: l.Kind.String(), Blocks: int64(l.LeadOut())}
	for i := range l.Sessions {
		s := &l.Sessions[i]
		for j := range s.Tracks {
			end := s.LeadOut
			if j+1 < len(s.Tracks) {
				end = s.Tracks[j+1].Start
			}
			t := &s.Tracks[j]
			m.Tracks = append(m.Tracks, filter.Track{
				Number: int(t.Number), Session: int(s.Number), Mode: modeNames[t.Mode],
				Start: int(t.Start), Length: int(end - t.Start),
			})
		}
	}
	return m
}

var modeNames = map[disc.Mode]string{
	disc.Audio: "audio", disc.Mode1: "mode 1", disc.Mode2: "mode 2", disc.Mode2XA: "mode 2 XA", disc.UserData: "user data",
}

// traceHeader says what the drive of a transcript is.
func (d *Daemon) traceHeader(dr *drive) (filter.Header, error) {
	h := filter.Header{Version: filter.Version, Program: d.o.Version, Taken: time.Now().UTC(), Drive: dr.cfg.Name}
	var err error
	h.Options, err = json.Marshal(dr.emu.Options())
	return h, err
}

// Trace implements api.Tray.
func (t *tray) Trace(ctx context.Context, follow bool, send func(lines ...any) error) error {
	h, err := t.d.traceHeader(t.dr)
	if err != nil {
		return err
	}
	if err := send(h); err != nil {
		return err
	}
	return t.dr.rec.Read(ctx, follow, func(list []filter.Entry) error {
		lines := make([]any, len(list))
		for i := range list {
			lines[i] = &list[i]
		}
		return send(lines...)
	})
}
