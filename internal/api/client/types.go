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
	Holders []Holder `json:"holders,omitempty"`
	Hosts   []Host   `json:"hosts,omitempty"`
}

// A Pending is a change by configuration that waits for hosts to let go.
type Pending struct {
	Disc  string    `json:"disc"` // to insert; empty to eject
	Since time.Time `json:"since"`
}

// A Holder is a host that prevents removal of the disc.
type Holder struct {
	Initiator string    `json:"initiator"`
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
	About string    `json:"about"` // config, state, library, storage or a drive's name
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// An Image is a file of the library.
type Image struct {
	Name     string    `json:"name"`
	Dir      string    `json:"dir"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Format   string    `json:"format,omitempty"`
	Medium   string    `json:"medium,omitempty"`
	Label    string    `json:"label,omitempty"`
	Error    string    `json:"error,omitempty"` // why it cannot be opened
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
	Files       []string      `json:"files,omitempty"`     // others that the image consists of
	Truncated   bool          `json:"truncated,omitempty"` // a file is shorter than the image says
	Warnings    []string      `json:"warnings,omitempty"`
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
}

// An InsertRequest asks for an image to be inserted.
type InsertRequest struct {
	Image string `json:"image"`
	Force bool   `json:"force,omitempty"` // also when a host holds the tray
}

// An EjectRequest asks for the tray to be opened.
type EjectRequest struct {
	Force bool `json:"force,omitempty"`
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
