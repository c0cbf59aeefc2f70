package mmcemu

import (
	"context"
	"errors"
	"testing"
	"time"

	"spindle/scsi"
)

// A mutant is a drive that is wrong in one thing.
type mutant struct {
	*Drive
	execute func(d *Drive, ctx context.Context, cmd *scsi.Command) error
	joined  func(d *Drive, n *scsi.Nexus)
	lost    func(d *Drive, n *scsi.Nexus)
	reset   func(d *Drive)
	insert  func(d *Drive, ctx context.Context, in Medium, force bool) error
	eject   func(d *Drive, ctx context.Context, force bool) error
	nothing map[string]bool // methods that do nothing
}

func (m *mutant) Execute(ctx context.Context, cmd *scsi.Command) error {
	if m.execute != nil {
		return m.execute(m.Drive, ctx, cmd)
	}
	return m.Drive.Execute(ctx, cmd)
}

func (m *mutant) NexusJoined(n *scsi.Nexus) {
	if m.joined != nil {
		m.joined(m.Drive, n)
		return
	}
	m.Drive.NexusJoined(n)
}

func (m *mutant) NexusLost(n *scsi.Nexus) {
	if m.lost != nil {
		m.lost(m.Drive, n)
		return
	}
	m.Drive.NexusLost(n)
}

func (m *mutant) Reset() {
	if m.reset != nil {
		m.reset(m.Drive)
		return
	}
	m.Drive.Reset()
}

func (m *mutant) Insert(ctx context.Context, in Medium, force bool) error {
	if m.insert != nil {
		return m.insert(m.Drive, ctx, in, force)
	}
	return m.Drive.Insert(ctx, in, force)
}

func (m *mutant) Eject(ctx context.Context, force bool) error {
	if m.eject != nil {
		return m.eject(m.Drive, ctx, force)
	}
	return m.Drive.Eject(ctx, force)
}

func (m *mutant) AwaitEject() {
	if !m.nothing["AwaitEject"] {
		m.Drive.AwaitEject()
	}
}

func (m *mutant) WithdrawEject() {
	if !m.nothing["WithdrawEject"] {
		m.Drive.WithdrawEject()
	}
}

// onEvent is a drive that does something to the nexus after it was told an
// event of a kind.
func onEvent(kind byte, do func(st *nexus, n *scsi.Nexus)) *mutant {
	return &mutant{execute: func(d *Drive, ctx context.Context, cmd *scsi.Command) error {
		d.mu.Lock()
		st := d.nexus(cmd.Nexus)
		event := st.event
		if event == noEvent && st.ejectRequest {
			event = ejectRequestEvent
		}
		d.mu.Unlock()
		err := d.Execute(ctx, cmd)
		d.mu.Lock()
		defer d.unlock()
		if cmd.CDB[0] == 0x4A && event == kind {
			do(st, cmd.Nexus)
		}
		return err
	}}
}

// onSense is a drive that answers a sense by something else.
func onSense(s scsi.Sense, do func(d *Drive, ctx context.Context, cmd *scsi.Command) error) *mutant {
	return &mutant{execute: func(d *Drive, ctx context.Context, cmd *scsi.Command) error {
		err := d.Execute(ctx, cmd)
		if errors.Is(err, s) {
			return do(d, ctx, cmd)
		}
		return err
	}}
}

// onCDB is a drive that gets commands of an operation code changed.
func onCDB(op byte, change func(cdb *scsi.CDB)) *mutant {
	return &mutant{execute: func(d *Drive, ctx context.Context, cmd *scsi.Command) error {
		if cmd.CDB[0] == op {
			change(&cmd.CDB)
		}
		return d.Execute(ctx, cmd)
	}}
}

// mutants are wrong drives, by what is wrong with them.
var mutants = map[string]func() *mutant{
	"NewMedia is told twice": func() *mutant {
		again := map[*scsi.Nexus]bool{}
		return onEvent(newMediaEvent, func(st *nexus, n *scsi.Nexus) {
			if again[n] = !again[n]; again[n] {
				st.event = newMediaEvent
			}
		})
	},
	"an eject request is told again": func() *mutant {
		return onEvent(ejectRequestEvent, func(st *nexus, _ *scsi.Nexus) { st.ejectRequest = true })
	},
	"MediaRemoval is not told": func() *mutant {
		return &mutant{execute: func(d *Drive, ctx context.Context, cmd *scsi.Command) error {
			d.mu.Lock()
			if st := d.nexus(cmd.Nexus); st.event == mediaRemovalEvent {
				st.event = noEvent
			}
			d.mu.Unlock()
			return d.Execute(ctx, cmd)
		}}
	},
	"an event of one host is taken from the other": func() *mutant {
		return &mutant{execute: func(d *Drive, ctx context.Context, cmd *scsi.Command) error {
			if err := d.Execute(ctx, cmd); err != nil || cmd.CDB[0] != 0x4A {
				return err
			}
			d.mu.Lock()
			defer d.unlock()
			for _, st := range d.nexuses {
				st.event = noEvent
			}
			return nil
		}}
	},
	"28/00 is lost": func() *mutant {
		return onSense(changed, (*Drive).Execute)
	},
	"28/00 is told twice": func() *mutant {
		var last *scsi.Nexus
		return onSense(changed, func(_ *Drive, _ context.Context, cmd *scsi.Command) error {
			if last != cmd.Nexus {
				cmd.Nexus.Raise(changed)
			}
			last = cmd.Nexus
			return changed
		})
	},
	"28/00 stays when the medium goes": func() *mutant {
		return &mutant{eject: func(d *Drive, ctx context.Context, force bool) error {
			var told []*scsi.Nexus
			d.mu.Lock()
			for n := range d.nexuses {
				if n.Pending() && d.cur.Load() != nil {
					told = append(told, n)
				}
			}
			d.unlock()
			err := d.Eject(ctx, force)
			for _, n := range told {
				n.Raise(changed)
			}
			return err
		}}
	},
	"a new host is told of a change": func() *mutant {
		return &mutant{joined: func(d *Drive, n *scsi.Nexus) { d.NexusJoined(n); n.Raise(changed) }}
	},
	"a host that comes back is not known": func() *mutant {
		return &mutant{lost: func(d *Drive, n *scsi.Nexus) { d.NexusLost(n); d.ports = nil }}
	},
	"a host that comes back late is known": func() *mutant {
		return &mutant{joined: func(d *Drive, n *scsi.Nexus) {
			for i := range d.ports {
				d.ports[i].Seen = time.Now()
			}
			d.NexusJoined(n)
		}}
	},
	"prevention is not kept": func() *mutant { return onCDB(0x1E, func(cdb *scsi.CDB) { cdb[4] &^= 1 }) },
	"persistent prevention is plain": func() *mutant {
		return onCDB(0x1E, func(cdb *scsi.CDB) { cdb[4] &= 1 })
	},
	"a host's eject ignores prevention": func() *mutant {
		return onSense(scsi.ErrRemovalPrevented, func(*Drive, context.Context, *scsi.Command) error { return nil })
	},
	"an operator ignores prevention": func() *mutant {
		return &mutant{eject: func(d *Drive, ctx context.Context, _ bool) error { return d.Eject(ctx, true) }}
	},
	"one host's ALLOW is for all": func() *mutant {
		return &mutant{execute: func(d *Drive, ctx context.Context, cmd *scsi.Command) error {
			err := d.Execute(ctx, cmd)
			if err == nil && cmd.CDB[0] == 0x1E && cmd.CDB[4]&1 == 0 {
				d.mu.Lock()
				for _, st := range d.nexuses {
					st.prevent = false
				}
				d.unlock()
			}
			return err
		}}
	},
	"prevention outlives its host": func() *mutant {
		return &mutant{
			lost: func(d *Drive, n *scsi.Nexus) {
				d.mu.Lock()
				held := d.nexuses[n].prevent
				d.unlock()
				d.NexusLost(n)
				if held {
					d.mu.Lock()
					d.nexuses[&scsi.Nexus{Initiator: "ghost"}] = &nexus{prevent: true, told: true}
					d.unlock()
				}
			},
		}
	},
	"prevention outlives a reset":  func() *mutant { return &mutant{reset: func(*Drive) {}} },
	"force leaves prevention":      func() *mutant { return &mutant{insert: insertKeepingPrevention} },
	"a request is never withdrawn": func() *mutant { return &mutant{nothing: map[string]bool{"WithdrawEject": true}} },
	"an awaited eject keeps the disc": func() *mutant {
		return &mutant{nothing: map[string]bool{"AwaitEject": true}}
	},
	"an open tray is told as closed": func() *mutant {
		return onSense(emptyOpen, func(*Drive, context.Context, *scsi.Command) error { return emptyClose })
	},
	"becoming ready is told as empty": func() *mutant {
		return onSense(scsi.ErrBecomingReady, func(*Drive, context.Context, *scsi.Command) error { return emptyClose })
	},
	"a load leaves the tray open": func() *mutant {
		return onCDB(0x1B, func(cdb *scsi.CDB) {
			if cdb[4] == 3 {
				cdb[4] = 0
			}
		})
	},
	"a swap holds too short": func() *mutant { return &mutant{insert: insertAtPace(Pace{SwapHold: 500 * time.Millisecond})} },
	"a swap holds although all know": func() *mutant {
		return &mutant{insert: func(d *Drive, ctx context.Context, in Medium, force bool) error {
			d.mu.Lock()
			d.seq.early = false
			d.unlock()
			return d.Insert(ctx, in, force)
		}}
	},
	"a swap ends at once when all know": func() *mutant {
		return &mutant{insert: func(d *Drive, ctx context.Context, in Medium, force bool) error {
			d.mu.Lock()
			d.seq.settle = 0
			d.unlock()
			return d.Insert(ctx, in, force)
		}}
	},
	"a swap does not wait for the eject that was asked for": func() *mutant {
		return &mutant{insert: func(d *Drive, ctx context.Context, in Medium, force bool) error {
			d.mu.Lock()
			d.requested = false
			d.unlock()
			return d.Insert(ctx, in, force)
		}}
	},
	"a disc is at once ready": func() *mutant {
		return &mutant{insert: func(d *Drive, ctx context.Context, in Medium, force bool) error {
			d.mu.Lock()
			d.loadTime = 0
			d.unlock()
			return d.Insert(ctx, in, force)
		}}
	},
	"the old disc is read": func() *mutant {
		var first Medium
		return &mutant{insert: func(d *Drive, ctx context.Context, in Medium, force bool) error {
			if first.Disc == nil {
				first = in
			}
			in.Disc.(*fakeDisc).seed = first.Disc.(*fakeDisc).seed
			return d.Insert(ctx, in, force)
		}}
	},
}

func insertAtPace(p Pace) func(d *Drive, ctx context.Context, in Medium, force bool) error {
	return func(d *Drive, ctx context.Context, in Medium, force bool) error {
		d.SetPace(p)
		return d.Insert(ctx, in, force)
	}
}

func insertKeepingPrevention(d *Drive, ctx context.Context, in Medium, force bool) error {
	d.mu.Lock()
	was := map[*nexus]nexus{}
	for _, st := range d.nexuses {
		was[st] = *st
	}
	d.unlock()
	err := d.Insert(ctx, in, force)
	d.mu.Lock()
	defer d.unlock()
	for st, old := range was {
		st.prevent, st.persistent = old.prevent, old.persistent
	}
	return err
}

// TestModelFindsMutants: the model sees each of the wrong drives, within as
// many acts as a run of TestModel has; and the examples pass with a right one.
func TestModelFindsMutants(t *testing.T) {
	const runs = 60
	try := func(wrong func() *mutant) (found error) {
		for i := 0; i < runs && found == nil; i++ {
			o := modelOptions(i * 7)
			found = inBubble(t, func() error {
				m := &mutant{}
				if wrong != nil {
					m = wrong()
				}
				m.Drive = New(o)
				return (&check{drive: m, m: newModel(&o)}).run(acts.Example(i))
			})
		}
		return found
	}
	if err := try(nil); err != nil {
		t.Errorf("the right drive: %v", err)
	}
	for name, wrong := range mutants {
		if err := try(wrong); err == nil {
			t.Errorf("a drive in which %s passes", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
