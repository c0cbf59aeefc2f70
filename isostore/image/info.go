package image

import "time"

// Info is what an opened image says about itself, for people and for programs:
// its JSON form is part of the command line interface.
type Info struct {
	Name        string      `json:"name"`                // as it was asked for
	Path        string      `json:"path"`                // where it was found
	Format      string      `json:"format"`              // name of the image format, "iso"
	Medium      string      `json:"medium"`              // CD, DVD or BD
	Layers      int         `json:"layers"`              // recorded layers
	Blocks      int64       `json:"blocks"`              // blocks of 2048 bytes that a host can address
	Size        int64       `json:"size"`                // of all its files, in bytes
	Modified    time.Time   `json:"modified"`            // of the file
	Label       string      `json:"label"`               // of the file system, ISO 9660 before UDF
	FileSystems []string    `json:"filesystems"`         // among iso9660, rockridge, joliet, udf, hfs, hfsplus
	Created     *time.Time  `json:"created,omitempty"`   // of the volume
	Publisher   string      `json:"publisher,omitempty"` // of the volume
	MCN         string      `json:"mcn,omitempty"`       // media catalogue number
	Title       string      `json:"title,omitempty"`     // of the disc, by CD-TEXT
	Performer   string      `json:"performer,omitempty"` // likewise
	Sessions    []Session   `json:"sessions"`            // the layout
	Boot        []BootEntry `json:"boot,omitempty"`      // El Torito entries, in the catalogue's order
	BootBy      []string    `json:"boot_by,omitempty"`   // who can boot it: BIOS, UEFI x64, UEFI aa64, …
	Hybrid      []string    `json:"hybrid,omitempty"`    // partition tables, for boot from a disk: mbr, gpt, apm
	Files       []string    `json:"files,omitempty"`     // others that the image consists of, relative to its directory
	ID          string      `json:"id,omitempty"`        // of the files as they are: changed ones are another medium
	Truncated   bool        `json:"truncated,omitempty"` // a file is shorter than the image says
	Warnings    []string    `json:"warnings,omitempty"`  // what is odd but does not prevent reading
	CacheKey    string      `json:"-"`                   // of a packed image, for [Cache.Holds]
}

// A Session is a disc.Session in JSON.
type Session struct {
	Number  int     `json:"number"`
	LeadOut int64   `json:"leadout"` // LBA where the lead-out starts
	Tracks  []Track `json:"tracks"`
}

// A Track is a disc.Track in JSON.
type Track struct {
	Number    int     `json:"number"`
	Mode      string  `json:"mode"`              // audio, mode1, mode2, mode2xa or data
	Control   int     `json:"control"`           // nibble of sub-channel Q: 4 data, 2 copy permitted, 1 pre-emphasis
	Pregap    int64   `json:"pregap"`            // LBA of index 0; that of index 1 when there is no pregap
	Start     int64   `json:"start"`             // LBA of index 1
	Blocks    int64   `json:"blocks"`            // from index 1 to the track's end
	Indexes   []int64 `json:"indexes,omitempty"` // LBAs of index 2 and up
	ISRC      string  `json:"isrc,omitempty"`
	Title     string  `json:"title,omitempty"` // by CD-TEXT
	Performer string  `json:"performer,omitempty"`
}
