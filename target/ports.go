package target

import (
	"slices"
	"time"

	"spindle/scsi"
)

// ReturnTime is how long an initiator port may be away and still be taken for
// one that comes back: it then gets no 29h unit attention.
const ReturnTime = 5 * time.Minute

// maxPorts bounds what is remembered of initiator ports that left.
const maxPorts = 64

// A PortRecord is an initiator port that a unit knows, and when it left.
type PortRecord struct {
	Key  string    `json:"key"` // scsi.Nexus.Key
	Left time.Time `json:"left"`
}

// portMemory remembers ports that left, oldest first.
type portMemory struct{ records []PortRecord }

func (m *portMemory) restore(r []PortRecord) {
	m.records = append(m.records, r[max(0, len(r)-maxPorts):]...)
}

func (m *portMemory) leave(key string, now time.Time) {
	m.forget(key)
	if len(m.records) == maxPorts {
		m.records = slices.Delete(m.records, 0, 1)
	}
	m.records = append(m.records, PortRecord{key, now})
}

// returns reports whether key left less than ReturnTime ago, and forgets it.
func (m *portMemory) returns(key string, now time.Time) bool {
	r, ok := m.forget(key)
	return ok && now.Sub(r.Left) < ReturnTime
}

func (m *portMemory) forget(key string) (PortRecord, bool) {
	for i, r := range m.records {
		if r.Key == key {
			m.records = slices.Delete(m.records, i, i+1)
			return r, true
		}
	}
	return PortRecord{}, false
}

// Ports returns the initiator ports that a restart should not forget: those
// that are here, as if they left now, and those that left lately.
func (u *Unit) Ports() []PortRecord {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	list := slices.Clone(u.ports.records)
	for n := range u.nexuses {
		list = append(list, PortRecord{n.Key(), now})
	}
	return list[max(0, len(list)-maxPorts):]
}

// join adds a nexus. An initiator port that comes back is told nothing: the
// drive itself says when the medium is another one.
func (u *Unit) join(n *scsi.Nexus) {
	u.mu.Lock()
	back := u.ports.returns(n.Key(), time.Now())
	if !back || u.opts.UAOnReturn {
		n.Raise(scsi.ErrPowerOn)
	}
	u.nexuses[n] = struct{}{}
	u.mu.Unlock()
	if w, ok := scsi.As[scsi.NexusWatcher](u.lu); ok {
		w.NexusJoined(n)
	}
}

// leave ends a nexus: its tasks first, then what the logical unit held for it.
// A task that storage holds for longer than AbortWait is not waited for.
func (u *Unit) leave(n *scsi.Nexus) {
	mine := func(t *Task) bool { return t.Nexus == n }
	if _, err := u.abort(mine); err != nil {
		u.opts.Log.Error("nexus left with tasks stuck in storage", "unit", u.Name, "initiator", n.Initiator)
	}
	u.mu.Lock()
	delete(u.nexuses, n)
	u.ports.leave(n.Key(), time.Now())
	u.mu.Unlock()
	if w, ok := scsi.As[scsi.NexusWatcher](u.lu); ok {
		w.NexusLost(n)
	}
}
