package filter

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"spindle/scsi"
)

// Version is that of the transcripts which are written, and the only one that
// is read.
const Version = 1

// A Header is the first line of a transcript: what there was when it was taken.
type Header struct {
	Version int             `json:"spindle_transcript"` // [Version]
	Program string          `json:"program"`            // version of spindle
	Taken   time.Time       `json:"taken"`
	Drive   string          `json:"drive"`             // name
	Options json.RawMessage `json:"options,omitempty"` // what the drive was made with, as its maker has it
}

// A Medium is what there is to know of a disc without its data.
type Medium struct {
	Name   string  `json:"name"`
	ID     string  `json:"id,omitempty"`
	Kind   string  `json:"kind,omitempty"`   // CD, DVD or BD
	Blocks int64   `json:"blocks,omitempty"` // of 2048 bytes
	Tracks []Track `json:"tracks,omitempty"`
	Slot   int     `json:"slot,omitempty"` // number of the slot of a changer that it is of, plus 1
}

// A Track is a track of a medium.
type Track struct {
	Number  int    `json:"number"`
	Session int    `json:"session"`
	Mode    string `json:"mode"`
	Start   int    `json:"start"` // LBA
	Length  int    `json:"length"`
}

// An Entry is a line of a transcript: a command, or an event. Entries stand in
// the order in which they ended; N is the order in which they began.
type Entry struct {
	N     uint64    `json:"n,omitempty"`
	Time  time.Time `json:"time,omitzero"` // when it began
	Event string    `json:"event,omitempty"`
	Nexus uint32    `json:"nexus,omitempty"` // number; the event "joined" says who that is

	// Of a command.
	CDB      Hex           `json:"cdb,omitempty"`     // as long as its group says
	Name     string        `json:"name,omitempty"`    // for people
	Pending  []string      `json:"pending,omitempty"` // unit attentions that waited: "6/29/00"; of "joined", too
	Length   int64         `json:"length,omitempty"`  // bytes that the host expected
	Status   string        `json:"status,omitempty"`
	Sense    Hex           `json:"sense,omitempty"`    // fixed format
	Error    string        `json:"error,omitempty"`    // sense in words; of an event, why it was refused
	Total    int64         `json:"total,omitempty"`    // bytes that the answer has
	In       int64         `json:"in,omitempty"`       // bytes of it that the host got
	Data     Hex           `json:"data,omitempty"`     // the first [MaxData] of them
	SHA256   Hex           `json:"sha256,omitempty"`   // of all of them; absent when it was not made
	Out      int64         `json:"out,omitempty"`      // bytes of data-out that were read
	OutData  Hex           `json:"out_data,omitempty"` // the first [MaxOut] of them
	Residual int64         `json:"residual,omitempty"` // Length less the answer or the data-out; negative when there is more
	Took     time.Duration `json:"took_ns,omitempty"`
	Running  bool          `json:"running,omitempty"` // it has not ended: what comes of it is not known
	Aborted  bool          `json:"aborted,omitempty"` // nothing was told to the host

	// Of an event.
	Host   *Host   `json:"host,omitempty"`
	Medium *Medium `json:"medium,omitempty"`
	By     string  `json:"by,omitempty"` // initiator that made it happen
	Force  bool    `json:"force,omitempty"`
	Base   bool    `json:"base,omitempty"` // happened before what is lost: the state in which the rest begins
	Lost   uint64  `json:"lost,omitempty"` // of "lost": number of entries that are not there

	Options json.RawMessage `json:"options,omitempty"` // what is so from now on, in the terms of Header.Options
}

// Events of a recorder's own.
const (
	EventJoined = "nexus-joined"
	EventLost   = "nexus-lost"
	EventReset  = "reset"
	EventGap    = "lost" // entries are missing here
)

// Events that move the tray: by an operator, and by a host's command.
const (
	EventInsert  = "insert" // Medium in place of what is there
	EventEject   = "eject"
	EventReopen  = "reopen" // the tray opens with the disc on it, as it was before a restart
	EventHostOut = "host-eject"
	EventHostIn  = "host-load"
)

// Events of an operator that move no tray, but change what hosts are told.
const (
	EventAwait    = "await-eject"    // hosts are waited for to let go
	EventWithdraw = "withdraw-eject" // and are not any more
	EventOptions  = "options"        // some of the drive's Options are others
)

var trayEvents = map[string]kind{
	EventInsert: kindTray, EventEject: kindTray,
	EventReopen: kindOpen, EventHostOut: kindOpen, EventHostIn: kindShut,
}

// A Host is the other end of a nexus, and the port that it came by.
type Host struct {
	Initiator string `json:"initiator"`
	ISID      Hex    `json:"isid,omitempty"`
	Address   string `json:"address,omitempty"`
	Protocol  string `json:"protocol"` // "iscsi" or "usb"
	Port      string `json:"port,omitempty"`
	PortID    uint16 `json:"port_id,omitempty"`
	Group     uint16 `json:"group,omitempty"`
}

var protocols = map[scsi.Protocol]string{scsi.ISCSI: "iscsi", scsi.USB: "usb"}

func hostOf(n *scsi.Nexus) *Host {
	h := &Host{
		Initiator: n.Initiator, Address: n.Address, Protocol: protocols[n.Port.Protocol],
		Port: n.Port.Name, PortID: n.Port.RelativeID, Group: n.Port.Group,
	}
	if n.ISID != [6]byte{} {
		h.ISID = n.ISID[:]
	}
	return h
}

// Hex is bytes as hex text in JSON.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// maxPending is how many unit attentions a nexus queues.
const maxPending = 8

// An attention is a unit attention that waits.
type attention struct {
	key  scsi.Key
	code uint16
}

func attentionsOf(n *scsi.Nexus) (list [maxPending]attention) {
	var room [maxPending]scsi.Sense
	for i, s := range n.AppendPending(room[:0]) {
		if i < maxPending {
			list[i] = attention{s.Key, s.Code}
		}
	}
	return list
}

// texts is the list as a transcript has it.
func texts(list [maxPending]attention) (out []string) {
	for _, a := range list {
		if a.key == 0 {
			break
		}
		out = append(out, fmt.Sprintf("%X/%02X/%02X", byte(a.key), a.code>>8, a.code&0xFF))
	}
	return out
}

// Attention is the unit attention that a text of [Entry.Pending] names.
func Attention(text string) (scsi.Sense, error) {
	var key, code, qualifier byte
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		if n, err := fmt.Sscanf(strings.Join(parts, " "), "%x %x %x", &key, &code, &qualifier); n == 3 && err == nil {
			return scsi.Sense{Key: scsi.Key(key), Code: uint16(code)<<8 | uint16(qualifier)}, nil
		}
	}
	return scsi.Sense{}, fmt.Errorf("%q is no unit attention: want KEY/CODE/QUALIFIER in hex, such as 6/29/00", text)
}

// command is a slot as an entry.
func (r *Recorder) command(s *slot, out []byte) Entry {
	e := Entry{
		N: s.n, Time: time.Unix(0, s.time).UTC(), Nexus: s.nexus,
		CDB: append(Hex(nil), s.cdb[:length(s.cdb[0])]...), Pending: texts(s.pending), Length: s.length, Status: s.status.Error(),
		Total: s.total, In: s.sent, Data: append(Hex(nil), s.data[:min(s.sent, MaxData)]...),
		Out: s.out, OutData: out, Residual: s.length - max(s.total, s.out), Took: s.took, Aborted: s.aborted,
	}
	if r.namer != nil {
		e.Name = r.namer.CommandName(s.cdb)
	}
	if s.status == scsi.CheckCondition {
		e.Sense, e.Error = s.sense.AppendFixed(nil), s.sense.Error()
	}
	if s.hashed {
		e.SHA256 = append(Hex(nil), s.sha[:]...)
	}
	return e
}
