package image

import "time"

// Info is what an opened image says about itself, for people and for programs:
// its JSON form is part of the command line interface.
type Info struct {
	Name        string      `json:"name"`               // as it was asked for
	Path        string      `json:"path"`               // where it was found
	Format      string      `json:"format"`             // name of the image format, "iso"
	Medium      string      `json:"medium"`             // CD, DVD or BD
	Layers      int         `json:"layers"`             // recorded layers
	Blocks      int64       `json:"blocks"`             // blocks of 2048 bytes that a host can address
	Size        int64       `json:"size"`               // of the file, in bytes
	Modified    time.Time   `json:"modified"`           // of the file
	Label       string      `json:"label"`              // of the file system, ISO 9660 before UDF
	FileSystems []string    `json:"filesystems"`        // among iso9660, joliet, udf
	Sessions    []Session   `json:"sessions"`           // the layout
	Boot        []BootEntry `json:"boot,omitempty"`     // El Torito entries, in the catalogue's order
	Files       []string    `json:"files,omitempty"`    // others that the image consists of, below its library directory
	Truncated   bool        `json:"truncated,omitempty"` // a file is shorter than the image says
	Warnings    []string    `json:"warnings,omitempty"` // what is odd but does not prevent reading
}

// A Session is a disc.Session in JSON.
type Session struct {
	Number  int     `json:"number"`
	LeadOut int64   `json:"leadout"` // LBA where the lead-out starts
	Tracks  []Track `json:"tracks"`
}

// A Track is a disc.Track in JSON.
type Track struct {
	Number int    `json:"number"`
	Mode   string `json:"mode"`   // audio, mode1, mode2, mode2xa or data
	Start  int64  `json:"start"`  // LBA of index 1
	Blocks int64  `json:"blocks"` // to the track's end
}

