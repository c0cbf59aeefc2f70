package scsi

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Nexus is the I_T_L nexus as one logical unit sees it: who speaks, through
// which target port, and the unit attentions that it has yet to be told.
type Nexus struct {
	Initiator string  // initiator port name, or the USB host's; shown to people
	ISID      [6]byte // iSCSI initiator session id; zero for other transports
	Port      Port    // target port
	Address   string  // network address of the initiator, for status; may be empty
	Since     time.Time

	mu      sync.Mutex
	ua      []Sense
	pending atomic.Int32 // len(ua), read without mu on every command
}

// A Port is a target port: the only thing in which two front ends of one drive
// differ to the logical unit.
type Port struct {
	Protocol   Protocol
	Name       string // target port name: for iSCSI "iqn…,t,0x0001"; empty for USB
	RelativeID uint16 // relative target port identifier, from 1
	Group      uint16 // target port group tag
}

// A Protocol is a transport protocol.
type Protocol byte

// Transport protocols.
const (
	ISCSI Protocol = iota + 1
	USB
)

// maxUnitAttentions bounds the queue of a host that never sends a command.
const maxUnitAttentions = 8

// Key identifies the initiator port across nexuses: the same host coming back
// has the same key (SAM-5, 4.8; RFC 7143, 4.4).
func (n *Nexus) Key() string {
	return fmt.Sprintf("%s,i,0x%x", n.Initiator, n.ISID)
}

// urgent are the additional sense codes that are told before others, the most
// urgent first: a reset, then what the target has, then the medium.
var urgent = []byte{0x29, 0x3F, 0x28, 0x2A}

// rank is the place of s among unit attentions; those of one rank keep their order.
func rank(s Sense) int {
	if i := slices.Index(urgent, byte(s.Code>>8)); i >= 0 {
		return i
	}
	return len(urgent)
}

// Raise queues a unit attention, behind those that are at least as urgent. The
// same one is not queued twice; a power on or reset (29h) drops those before it
// (SAM-5, 5.14).
func (n *Nexus) Raise(s Sense) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.Code>>8 == 0x29 {
		n.ua = n.ua[:0]
	}
	for _, have := range n.ua {
		if have.Is(s) {
			return
		}
	}
	if len(n.ua) < maxUnitAttentions {
		at := slices.IndexFunc(n.ua, func(have Sense) bool { return rank(have) > rank(s) })
		if at < 0 {
			at = len(n.ua)
		}
		n.ua = slices.Insert(n.ua, at, s)
	}
	n.pending.Store(int32(len(n.ua)))
}

// Take removes the unit attention to be told next and returns it.
func (n *Nexus) Take() (Sense, bool) {
	if n.pending.Load() == 0 {
		return Sense{}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.ua) == 0 {
		return Sense{}, false
	}
	s := n.ua[0]
	n.ua = append(n.ua[:0], n.ua[1:]...)
	n.pending.Store(int32(len(n.ua)))
	return s, true
}

// Drop removes the unit attention s from the queue, when what it says is no
// longer so.
func (n *Nexus) Drop(s Sense) {
	n.mu.Lock()
	defer n.mu.Unlock()
	keep := n.ua[:0]
	for _, have := range n.ua {
		if !have.Is(s) {
			keep = append(keep, have)
		}
	}
	n.ua = keep
	n.pending.Store(int32(len(n.ua)))
}

// Pending reports whether a unit attention waits to be told.
func (n *Nexus) Pending() bool { return n.pending.Load() > 0 }

// AppendPending appends the unit attentions that wait to be told, the oldest
// first, to s. There are eight at most.
func (n *Nexus) AppendPending(s []Sense) []Sense {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append(s, n.ua...)
}
