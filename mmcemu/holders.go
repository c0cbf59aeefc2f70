package mmcemu

import (
	"slices"
	"strings"
	"time"

	"spindle/scsi"
)

// A Holder is a host that prevents removal of the medium.
type Holder struct {
	Name    string    // initiator
	Address string    // of it on the network; may be empty
	Since   time.Time // when it began to
}

// String is "NAME from ADDRESS since TIME".
func (h Holder) String() string {
	name := h.Name
	if h.Address != "" {
		name += " from " + h.Address
	}
	return name + " since " + h.Since.Format(time.DateTime)
}

// A HeldError says who prevents the tray from opening.
type HeldError struct{ Holders []Holder }

func (e *HeldError) Error() string {
	names := make([]string, len(e.Holders))
	for i, h := range e.Holders {
		names[i] = h.String()
	}
	return "tray is held by " + strings.Join(names, ", ")
}

// claim checks that an operator may open the tray. Refused, it asks the hosts
// to let go, as the button of a locked drive does; forced, it is the paper
// clip and clears what prevents.
func (d *Drive) claim(force bool) error {
	if !d.held() {
		return nil
	}
	if !force {
		d.requestEject()
		return &HeldError{d.holders()}
	}
	for _, st := range d.nexuses {
		st.prevent, st.persistent = false, false
	}
	return nil
}

// Held reports whether hosts keep an operator from opening the tray.
func (d *Drive) Held() bool {
	d.mu.Lock()
	defer d.unlock()
	return d.held()
}

// held reports whether the tray cannot be opened by its button: a plain
// prevention holds a medium, a persistent one the tray also when it is empty
// (MMC-6, PREVENT ALLOW MEDIUM REMOVAL).
func (d *Drive) held() bool {
	if d.open {
		return false
	}
	for _, st := range d.nexuses {
		if st.persistent || st.prevent && d.disc != nil {
			return true
		}
	}
	return false
}

// preventing counts the nexuses that prevent removal.
func (d *Drive) preventing() (count int) {
	for _, st := range d.nexuses {
		if st.prevent || st.persistent {
			count++
		}
	}
	return count
}

// released tells that nobody prevents removal any more, when it was held.
func (d *Drive) released(held bool, n *scsi.Nexus) {
	if held && d.preventing() == 0 {
		e := Event{Kind: EventReleased}
		if n != nil {
			e.Nexus = n.Initiator
		}
		d.emit(e)
	}
}

// HeldBy is the error that says who holds the tray; nil when nobody does.
func (d *Drive) HeldBy() *HeldError {
	d.mu.Lock()
	defer d.unlock()
	if !d.held() {
		return nil
	}
	return &HeldError{d.holders()}
}

// Holders returns the hosts that prevent removal, the longest first.
func (d *Drive) Holders() []Holder {
	d.mu.Lock()
	defer d.unlock()
	return d.holders()
}

func (d *Drive) holders() (h []Holder) {
	for n, st := range d.nexuses {
		if st.prevent || st.persistent {
			h = append(h, Holder{n.Initiator, n.Address, st.since})
		}
	}
	slices.SortFunc(h, func(a, b Holder) int { return a.Since.Compare(b.Since) })
	return h
}

// RequestEject asks every host to let go of the medium and eject it, as the
// button of the drive does while the tray is held. [Drive.Insert] and
// [Drive.Eject] do so when they are refused.
func (d *Drive) RequestEject() {
	d.mu.Lock()
	defer d.unlock()
	d.requestEject()
}

func (d *Drive) requestEject() {
	for _, st := range d.nexuses {
		st.ejectRequest = true
	}
}

// AwaitEject says that an operator waits for hosts to do what was requested:
// from now on a host's eject takes the disc out for good, since it was asked
// for. That ends with it, with an operator's act, and with [Drive.WithdrawEject].
func (d *Drive) AwaitEject() {
	d.mu.Lock()
	defer d.unlock()
	d.requested = true
}

// EjectRequested reports whether hosts are asked, or yet to be told, to let go.
func (d *Drive) EjectRequested() bool {
	d.mu.Lock()
	defer d.unlock()
	if d.requested {
		return true
	}
	for _, st := range d.nexuses {
		if st.ejectRequest {
			return true
		}
	}
	return false
}

// WithdrawEject takes back an eject request: from hosts that were not told of
// it, and what AwaitEject said.
func (d *Drive) WithdrawEject() {
	d.mu.Lock()
	defer d.unlock()
	d.requested = false
	for _, st := range d.nexuses {
		st.ejectRequest, st.slotRequest = false, 0
	}
}
