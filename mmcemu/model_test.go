package mmcemu

import (
	"time"

	"spindle/scsi"
)

// A model is what a drive and its hosts must be after any series of acts,
// written from the reference's media state machine (MMC-6 and what hosts do) and
// from the table of sequences, without a look at how the drive does it: it counts the
// times that a medium came and went, and keeps for each host up to which of
// them it was told.
type model struct {
	seq    sequence
	load   time.Duration
	remove bool // a host's eject takes the disc out for good

	now    time.Duration // since the start
	open   bool
	disc   string // in the drive or on the tray; empty for none
	coming string // inserted by an operator, and not yet in the drive

	turns   int           // how often a medium became ready, or ceased to be
	ready   bool          // the last turn brought one
	wentAt  time.Duration // when one last ceased to be
	placeAt time.Duration // when coming is put into the drive
	soonest time.Duration // when that is at the soonest: an eject may come that was asked for
	latest  time.Duration // when that is at the latest
	loading bool
	readyAt time.Duration

	awaited bool   // an operator waits for a host's eject
	ejector string // host whose eject left the disc on the tray
	hosts   map[string]*modelHost
	left    map[string]modelPort // hosts that are not connected
}

// A modelHost is what the drive owes to, and has of, a host.
type modelHost struct {
	reset   bool   // 29/xx is to be told
	changed bool   // 28/00 is to be told
	told    int    // turn that the last event told of
	knows   string // medium that it believes to be there
	asked   bool   // an eject request is to be told
	unaware bool   // that the last medium went
	owed    bool   // an event of a removal, since one that it knew went
	quiet   bool   // loaded its own disc: 28/00 comes with the event only

	prevent, persistent bool
}

type modelPort struct {
	knows string
	at    time.Duration
}

// memory is how long a host that left is known.
const memory = 5 * time.Minute

func newModel(o *Options) *model {
	seq := sequenceOf(o.Host)
	if o.SwapHold < 0 {
		seq.hold = 0
	}
	return &model{
		seq: seq, load: o.LoadTime, remove: o.RemoveOnEject, wentAt: -time.Hour,
		hosts: map[string]*modelHost{}, left: map[string]modelPort{},
	}
}

// pass lets time pass; what is due in it happens.
func (m *model) pass(d time.Duration) {
	end := m.now + d
	if m.coming != "" && m.placeAt <= end {
		m.now = m.placeAt
		m.place()
	}
	if m.loading && m.readyAt <= end {
		m.now = m.readyAt
		m.come()
	}
	m.now = end
}

// place puts what an operator inserted into the drive.
func (m *model) place() {
	m.disc, m.coming, m.open = m.coming, "", false
	m.spinUp()
}

func (m *model) spinUp() {
	if m.load == 0 {
		m.come()
		return
	}
	m.loading, m.readyAt = true, m.now+m.load
}

// come makes the medium ready: NewMedia and 28/00 for every host.
func (m *model) come() {
	m.loading, m.ready = false, true
	m.turns++
	for name, h := range m.hosts {
		h.unaware = false
		h.quiet = name == m.ejector && !m.seq.tellsOwnLoad
		if h.quiet {
			h.knows = m.disc
		} else {
			h.changed = true
		}
	}
	m.ejector = ""
}

// goes ends readiness: MediaRemoval for every host that knew of the medium, no
// unit attention, and 28/00 of what is gone is dropped.
func (m *model) goes() {
	m.loading = false
	for _, h := range m.hosts {
		h.asked = false // it was about what went
	}
	if !m.ready {
		return
	}
	m.ready, m.wentAt = false, m.now
	m.turns++
	for _, h := range m.hosts {
		h.changed, h.quiet = false, false
		h.unaware = h.knows != ""
		if h.owed = h.owed || h.unaware; !h.owed {
			h.told = m.turns
		}
	}
}

// out takes the disc away for good.
func (m *model) out() {
	m.goes()
	m.disc, m.ejector, m.awaited = "", "", false
}

// isHeld: a plain prevention holds a medium, a persistent one the closed tray.
func (m *model) isHeld() bool {
	for _, h := range m.hosts {
		if !m.open && (h.persistent || h.prevent && m.disc != "") {
			return true
		}
	}
	return false
}

// claim is an operator's hand at the tray.
func (m *model) claim(force bool) (refused bool) {
	if !m.isHeld() {
		return false
	}
	for _, h := range m.hosts {
		if force {
			h.prevent, h.persistent = false, false
		} else {
			h.asked = true
		}
	}
	return !force
}

func (m *model) insert(id string, force bool) (refused bool) {
	if m.claim(force) {
		return true
	}
	m.soonest, m.latest = m.now, m.now
	if m.awaited && !force && m.disc != "" && !m.open {
		m.soonest = m.now + 250*time.Millisecond
	}
	m.out()
	m.coming, m.open = id, false
	if m.anyUnaware() {
		m.latest = max(m.now, m.wentAt+m.seq.hold)
	}
	m.latest = max(m.latest, m.soonest)
	m.placeAt = m.latest
	m.pass(0)
	return false
}

func (m *model) eject(force bool) (refused bool) {
	if m.claim(force) {
		return true
	}
	m.out()
	m.coming, m.open = "", true
	return false
}

func (m *model) withdraw() {
	m.awaited = false
	for _, h := range m.hosts {
		h.asked = false
	}
}

func (m *model) anyUnaware() bool {
	for _, h := range m.hosts {
		if h.unaware {
			return true
		}
	}
	return false
}

// knowsEmpty is told to a host, and a swap goes on when all have been.
func (m *model) knowsEmpty(h *modelHost) {
	h.knows = ""
	if h.unaware {
		h.unaware = false
		m.hurry()
	}
}

func (m *model) hurry() {
	if m.coming != "" && m.seq.early && !m.anyUnaware() {
		m.placeAt = min(max(m.now+m.seq.settle, m.soonest), m.latest)
		m.pass(0)
	}
}

func (m *model) knowsNow(h *modelHost) {
	if m.ready {
		h.knows = m.disc
	}
}

// attention is the unit attention that h is to be told next.
func (m *model) attention(h *modelHost) error {
	var what error
	switch {
	case h.reset:
		h.reset, what = false, scsi.ErrPowerOn
	case h.changed:
		h.changed, what = false, scsi.ErrMediumMayHaveChanged
	default:
		return nil
	}
	m.knowsNow(h)
	return what
}

// access is a command that needs the medium, after unit attentions.
func (m *model) access(h *modelHost) error {
	switch {
	case m.ready:
		return nil
	case m.loading:
		return scsi.ErrBecomingReady
	}
	err := scsi.ErrMediumNotPresentTrayClosed
	if m.open {
		err = scsi.ErrMediumNotPresentTrayOpen
	}
	m.knowsEmpty(h) // which may be what a swap waits for
	return err
}

func (m *model) testUnitReady(h *modelHost) error {
	err := m.access(h)
	if err == nil && h.quiet {
		h.quiet, h.told = false, m.turns
	}
	return err
}

// event is what GET EVENT STATUS NOTIFICATION tells: event and status.
func (m *model) event(h *modelHost) (event, status byte) {
	switch {
	case m.open:
		status = 1
	case m.disc != "":
		status = 2
	}
	told := h.told
	h.told = m.turns
	switch {
	case told < m.turns && m.ready:
		event, h.owed = 2, false
		m.knowsNow(h)
		if h.quiet {
			h.quiet, h.changed = false, true
		}
	case told < m.turns:
		event, h.owed = 3, false
		m.knowsEmpty(h)
	case h.asked:
		event, h.asked = 1, false
	}
	return event, status
}

func (m *model) hostEject(name string) error {
	if m.open {
		return nil
	}
	for _, h := range m.hosts {
		if h.prevent || h.persistent {
			return scsi.ErrRemovalPrevented
		}
	}
	m.open = true
	switch {
	case m.disc == "":
	case m.remove || m.awaited:
		m.out()
	default:
		m.goes()
		m.ejector = name
	}
	return nil
}

func (m *model) hostLoad(name string) {
	if !m.open || m.disc != "" && m.ejector == name && m.seq.staysOut {
		return
	}
	m.open = false
	if m.disc == "" {
		return
	}
	if m.ejector != name {
		m.ejector = ""
	}
	m.spinUp()
}

// join: a host that is new is told of a power on; one that comes back, of a
// medium that is another than it knows.
func (m *model) join(name string) {
	h := &modelHost{told: m.turns}
	m.knowsNow(h)
	was, known := m.left[name]
	delete(m.left, name)
	if known = known && m.now-was.at <= memory; !known {
		h.reset = true
	} else if was.knows != h.knows {
		h.told, h.changed, h.unaware, h.knows = m.turns-1, m.ready, !m.ready, was.knows
		h.owed = !m.ready
	}
	m.hosts[name] = h
}

func (m *model) leave(name string) {
	m.left[name] = modelPort{m.hosts[name].knows, m.now}
	delete(m.hosts, name)
	if m.ejector == name {
		m.ejector = ""
	}
	m.hurry()
}

// logicalUnitReset clears prevention, and all hosts but the one that asked for
// it are told.
func (m *model) logicalUnitReset(by string) {
	for name, h := range m.hosts {
		h.prevent, h.persistent = false, false
		if name != by {
			h.reset, h.changed = true, false
		}
	}
}

// state is what status shows.
func (m *model) state() string {
	switch {
	case m.ready:
		return "ready"
	case m.coming != "" || m.loading:
		return "changing"
	case m.open:
		return "open"
	}
	return "empty"
}
