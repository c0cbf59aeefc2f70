package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"spindle/internal/api/client"
	"spindle/isostore/disc"
	"spindle/mmcemu"
)

// status says what the daemon is doing. It runs on the loop.
func (d *Daemon) status() client.Status {
	s := client.Status{
		Version: d.o.Version, Started: d.started, Config: d.cfg.Path, Library: d.library.Load().Dirs(),
		Portals: d.portals(), Drives: []client.Drive{}, Sessions: []client.Session{}, Alarms: []client.Alarm{}, Gadgets: d.usb.status(),
		Tasks: tasksOf(d.library.Load()), Network: d.network(), Warnings: d.warned,
	}
	for _, dr := range d.drives {
		s.Drives = append(s.Drives, dr.status())
	}
	for _, n := range d.server.Sessions() {
		s.Sessions = append(s.Sessions, client.Session(n))
	}
	for _, about := range slices.Sorted(maps.Keys(d.alarms)) {
		s.Alarms = append(s.Alarms, d.alarms[about])
	}
	return s
}

func (dr *drive) status() client.Drive {
	e := dr.emu.Status()
	s := client.Drive{
		Name: dr.cfg.Name, State: e.State, Disc: e.Medium, Next: e.Next, Medium: e.Kind,
		Size: e.Blocks * disc.BlockSize, Target: dr.target.Name, Access: accessText(&dr.cfg.Access), Redirect: dr.cfg.Redirect, Serial: dr.serial,
		Holders: holdersOf(e.Holders),
	}
	s.Slots = slotsOf(e)
	if e.Medium != "" {
		s.Warnings = dr.odd
	}
	if a := e.Audio; a.State != "" {
		s.Audio = &client.Audio{State: a.State, Track: int(a.Track), At: int64(a.At), Late: a.Late}
	}
	if dr.pending != nil {
		s.Pending = &client.Pending{Disc: dr.pending.disc, Since: dr.pending.since}
	}
	if a := dr.request; a != nil {
		s.Request = &client.Request{Disc: a.o.name, Since: a.since, Until: a.until}
		if e, ok := errors.AsType[*client.Error](a.held); ok && len(s.Holders) == 0 {
			s.Holders = e.Holders // that the drive itself does not see
		}
	}
	for _, n := range e.Nexuses {
		s.Hosts = append(s.Hosts, client.Host(n))
	}
	slices.SortFunc(s.Hosts, func(a, b client.Host) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Initiator, b.Initiator))
	})
	return s
}

func holdersOf(list []mmcemu.Holder) []client.Holder {
	var out []client.Holder
	for _, h := range list {
		out = append(out, client.Holder{Initiator: h.Name, Address: h.Address, Since: h.Since})
	}
	return out
}

// alarm raises an alarm, in place of an older one about the same.
func (d *Daemon) alarm(about, text string) {
	if d.alarms[about].Text == text {
		return
	}
	d.alarms[about] = client.Alarm{About: about, Text: text, Since: time.Now()}
	d.touch()
}

func (d *Daemon) clearAlarm(about string) {
	if _, ok := d.alarms[about]; ok {
		delete(d.alarms, about)
		d.touch()
	}
}

// noteStuck says which drives answer BUSY, because storage holds a command that
// was aborted.
func (d *Daemon) noteStuck() {
	var stuck []string
	for _, dr := range d.drives {
		if n := dr.unit.Stuck(); n > 0 {
			stuck = append(stuck, fmt.Sprintf("%s (%s)", dr.cfg.Name, count(n, "command")))
		}
	}
	if len(stuck) == 0 {
		d.clearAlarm("storage")
		return
	}
	d.alarm("storage", "it does not answer, and these drives are busy until it does: "+strings.Join(stuck, ", "))
}

// summary is one line for systemd.
func (d *Daemon) summary() string {
	s := count(len(d.drives), "drive") + ", " + count(d.server.SessionCount(), "session")
	if n := len(d.alarms); n > 0 {
		s += ", " + count(n, "alarm")
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// A news is a channel that is closed when something changes.
type news struct {
	mu sync.Mutex
	ch chan struct{}
}

func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}
