// Package client speaks to a spindle daemon: HTTP with JSON over a Unix socket.
// It imports nothing of ours, so that it builds on every system, and holds the
// types that both sides exchange.
package client

import (
	"net/http"
	"time"
)

// A Status is what the daemon is doing.
type Status struct {
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Config   string    `json:"config,omitempty"` // file; none when empty
	Library  []string  `json:"library"`          // image directories
	Portals  []string  `json:"portals"`          // addresses that initiators connect to
	Drives   []Drive   `json:"drives"`
	Sessions []Session `json:"sessions"`
	Gadgets  []Gadget  `json:"gadgets"`
	Alarms   []Alarm   `json:"alarms"`
	Tasks    []Task    `json:"tasks"` // long work that goes on
}

// Drive returns the drive of that name, or nil.
func (s *Status) Drive(name string) *Drive {
	for i := range s.Drives {
		if s.Drives[i].Name == name {
			return &s.Drives[i]
		}
	}
	return nil
}

// A Drive is one drive with what lies in it.
type Drive struct {
	Name    string   `json:"name"`
	State   string   `json:"state"`            // ready, changing, open or empty
	Disc    string   `json:"disc,omitempty"`   // also when it lies on the open tray
	Next    string   `json:"next,omitempty"`   // about to be inserted
	Medium  string   `json:"medium,omitempty"` // CD, DVD or BD
	Size    int64    `json:"size"`             // bytes that a host can read
	Target  string   `json:"target"`           // iSCSI name; the drive is its LUN 0
	Serial  string   `json:"serial"`
	Pending *Pending `json:"pending,omitempty"`
	Request *Request `json:"request,omitempty"`
	Holders []Holder `json:"holders,omitempty"`
	Hosts   []Host   `json:"hosts,omitempty"`
	Audio   *Audio   `json:"audio,omitempty"` // none when nothing plays
	Slots   []Slot   `json:"slots,omitempty"` // of a changer, by number from 0
	// Warnings are what is odd about the disc, as that it is truncated.
	Warnings []string `json:"warnings,omitempty"`
	// Redirect is host:port of the server that its hosts are sent to.
	Redirect string `json:"redirect,omitempty"`
}

// A Slot is a place of a changer for one disc.
type Slot struct {
	Disc    string `json:"disc,omitempty"` // that the configuration puts there
	Present bool   `json:"present"`        // it can be opened
	Loaded  bool   `json:"loaded"`         // it is in the drive, or on its tray
}

// A Pending is a change by configuration that waits for hosts to let go.
type Pending struct {
	Disc  string    `json:"disc"` // to insert; empty to eject
	Since time.Time `json:"since"`
}

// A Request is a verb's insert or eject that waits for hosts to let go of the
// tray, and lapses when they do not.
type Request struct {
	Disc  string    `json:"disc"` // to insert; empty to eject
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// A Holder is a host that prevents removal of the disc.
type Holder struct {
	Initiator string    `json:"initiator"`
	Address   string    `json:"address,omitempty"`
	Since     time.Time `json:"since"`
}

// A Host is an initiator that is connected to a drive.
type Host struct {
	Initiator string    `json:"initiator"`
	Address   string    `json:"address,omitempty"`
	Since     time.Time `json:"since"`
}

// A Session is an iSCSI session.
type Session struct {
	Initiator string `json:"initiator"`
	Address   string `json:"address"`
	Target    string `json:"target,omitempty"` // none in a discovery session
	TSIH      uint16 `json:"tsih"`
}

// A Gadget is a USB device that this machine is.
type Gadget struct {
	Name   string   `json:"name"`
	Mode   string   `json:"mode"`            // mmc or kernel
	UDC    string   `json:"udc,omitempty"`   // controller, or the address of a USB/IP server
	State  string   `json:"state,omitempty"` // of the controller: configured, not attached, …
	Speed  string   `json:"speed,omitempty"` // high-speed, super-speed, …
	Drives []string `json:"drives"`          // the first is LUN 0
	Limits []string `json:"limits,omitempty"`
}

// An Alarm is something that needs a person.
type Alarm struct {
	About string    `json:"about"` // config, state, library, library-watch, index, cache, storage or a drive's name
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// A Task is long work that goes on.
type Task struct {
	Kind  string `json:"kind"`            // identify, verify or unpack
	Image string `json:"image,omitempty"` // none of identify, which is for many
	Done  int64  `json:"done"`            // bytes; of identify, images
	Total int64  `json:"total"`
}

// An Image is a file of the library.
type Image struct {
	Name     string    `json:"name"`
	Dir      string    `json:"dir"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	State    string    `json:"state"`           // incomplete, identifying, ready, truncated, packed or error
	Error    string    `json:"error,omitempty"` // why it is incomplete, cannot be opened, or could not be unpacked

	Format      string   `json:"format,omitempty"`
	Medium      string   `json:"medium,omitempty"`
	Label       string   `json:"label,omitempty"`
	FileSystems []string `json:"filesystems,omitempty"`
	Sessions    int      `json:"sessions,omitempty"`
	Tracks      int      `json:"tracks,omitempty"`
	Boot        []string `json:"boot,omitempty"` // who can boot it: BIOS, UEFI x64, …
	Created     string   `json:"created,omitempty"`
	Publisher   string   `json:"publisher,omitempty"`
	Warnings    []string `json:"warnings,omitempty"`
	Checks      Checks   `json:"checks"`
	Info        *Info    `json:"info,omitempty"` // all of it, when that was asked for
}

// Checks say whether an image is what its checksums say.
type Checks struct {
	State  string    `json:"state"`            // unchecked, checking, ok, failed or none
	By     []string  `json:"by,omitempty"`     // files of checksums, and implantisomd5
	Detail string    `json:"detail,omitempty"` // what failed, or is missing
	SHA256 string    `json:"sha256,omitempty"` // of the image's own file, when known
	When   time.Time `json:"when,omitzero"`    // when it was read
	Done   int64     `json:"done,omitempty"`   // bytes read so far
	Total  int64     `json:"total,omitempty"`
}

// A VerifyRequest asks for an image to be compared with its checksums.
type VerifyRequest struct {
	Image string `json:"image"`
}

// A Verified is an image that was compared with its checksums.
type Verified struct {
	Name   string `json:"name"`
	Error  string `json:"error,omitempty"` // why it could not be; the daemon says it by the status of its answer
	Checks Checks `json:"checks"`
}

// An Info is what an image says about itself.
type Info struct {
	Name        string        `json:"name"`
	Path        string        `json:"path"`
	Format      string        `json:"format"`
	Medium      string        `json:"medium"`
	Layers      int           `json:"layers"`
	Blocks      int64         `json:"blocks"`
	Size        int64         `json:"size"`
	Modified    time.Time     `json:"modified"`
	Label       string        `json:"label"`
	FileSystems []string      `json:"filesystems"`
	Created     *time.Time    `json:"created,omitempty"` // of the volume
	Publisher   string        `json:"publisher,omitempty"`
	MCN         string        `json:"mcn,omitempty"`
	Title       string        `json:"title,omitempty"` // of the disc, by CD-TEXT
	Performer   string        `json:"performer,omitempty"`
	Sessions    []InfoSession `json:"sessions"`
	Boot        []InfoBoot    `json:"boot,omitempty"`
	BootBy      []string      `json:"boot_by,omitempty"`   // BIOS, UEFI x64, …
	Hybrid      []string      `json:"hybrid,omitempty"`    // mbr, gpt, apm
	Files       []string      `json:"files,omitempty"`     // others that the image consists of, relative to its directory
	Truncated   bool          `json:"truncated,omitempty"` // a file is shorter than the image says
	Warnings    []string      `json:"warnings,omitempty"`
	// What the library knows of it; none of a file that is in none.
	State  string  `json:"state,omitempty"`
	Checks *Checks `json:"checks,omitempty"`
}

// An InfoSession is a session of a disc.
type InfoSession struct {
	Number  int         `json:"number"`
	LeadOut int64       `json:"leadout"`
	Tracks  []InfoTrack `json:"tracks"`
}

// An InfoTrack is a track of a disc. Places are LBAs.
type InfoTrack struct {
	Number    int     `json:"number"`
	Mode      string  `json:"mode"`
	Control   int     `json:"control"`
	Pregap    int64   `json:"pregap"`
	Start     int64   `json:"start"`
	Blocks    int64   `json:"blocks"`
	Indexes   []int64 `json:"indexes,omitempty"`
	ISRC      string  `json:"isrc,omitempty"`
	Title     string  `json:"title,omitempty"`
	Performer string  `json:"performer,omitempty"`
}

// An InfoBoot is an El Torito entry.
type InfoBoot struct {
	Platform      string   `json:"platform"`
	Bootable      bool     `json:"bootable"`
	Media         string   `json:"media"`
	LBA           int64    `json:"lba"`
	Sectors       int      `json:"sectors"`
	Architectures []string `json:"architectures,omitempty"`
}

// A Converted is an image that was made of another.
type Converted struct {
	Format string   `json:"format"`
	Files  []string `json:"files"` // the first is the image, the others belong to it
	Size   int64    `json:"size"`  // of all, in bytes
	Lost   []string `json:"lost,omitempty"`
	// Warnings say what is odd about the source.
	Warnings []string `json:"warnings,omitempty"`
}

// An InsertRequest asks for an image to be inserted.
type InsertRequest struct {
	Image string `json:"image"`
	Force bool   `json:"force,omitempty"` // also when a host holds the tray
	Wait  string `json:"wait,omitempty"`  // for hosts to let go, as "10s"; the drive's eject_wait when empty
}

// An EjectRequest asks for the tray to be opened.
type EjectRequest struct {
	Force bool   `json:"force,omitempty"`
	Wait  string `json:"wait,omitempty"` // as of an InsertRequest
}

// An Error is an answer that is not the one hoped for.
type Error struct {
	Status  int      `json:"-"` // of HTTP
	Message string   `json:"error"`
	Hint    string   `json:"hint,omitempty"`
	Holders []Holder `json:"holders,omitempty"` // who holds the tray
}

func (e *Error) Error() string {
	if e.Hint != "" {
		return e.Message + " (hint: " + e.Hint + ")"
	}
	return e.Message
}

// Held reports whether a host holds the tray.
func (e *Error) Held() bool { return e.Status == http.StatusConflict && len(e.Holders) > 0 }
