package isostore

import (
	"encoding/json"
	"errors"
	"os"
	"time"

	"spindle/isostore/disc"
	"spindle/isostore/image"
)

// identifyVersion is that of the code that identifies images, here and in
// package image: raise it when that finds out more, so that what the index has
// is found out anew.
const identifyVersion = 4

// A known is what was found out about an image, as the index keeps it, for the
// bytes that its stamps stand for. It is not changed once others see it.
type known struct {
	Stamp      stamp           `json:"stamp"`
	Companions []companion     `json:"companions,omitempty"`
	Version    int             `json:"version"`        // identifyVersion
	Info       json.RawMessage `json:"info,omitempty"` // image.Info without name and path
	Error      string          `json:"error,omitempty"`
	Passing    bool            `json:"-"`                // Error may be gone at the next try
	Packed     string          `json:"packed,omitempty"` // what the cache knows a packed image by
	Shut       bool            `json:"shut,omitempty"`   // it was not in the cache: Info is of its own file alone
	Truncated  bool            `json:"truncated,omitempty"`
	Implant    *implant        `json:"implant,omitempty"` // the checksum inside the image
	Digests    []digest        `json:"digests,omitempty"`
	Checked    time.Time       `json:"checked,omitzero"` // when Digests were made
	Used       int64           `json:"used"`             // day when it was last looked up, since 1970

	sum summary // of Info
}

// A digest is a checksum of one file of an image, as it was computed.
type digest struct {
	File string `json:"file,omitempty"` // a companion; empty for the image's own file
	Alg  string `json:"alg"`
	Hex  string `json:"hex"`
}

// A summary is what a list shows of an image.
type summary struct {
	Format      string          `json:"format"`
	Size        int64           `json:"size"` // of all its files
	Medium      string          `json:"medium"`
	Label       string          `json:"label"`
	FileSystems []string        `json:"filesystems"`
	Created     json.RawMessage `json:"created"`
	Publisher   string          `json:"publisher"`
	Truncated   bool            `json:"truncated"`
	Warnings    []string        `json:"warnings"`
	BootBy      []string        `json:"boot_by"`
	Files       []string        `json:"files"` // companions, relative to the image's directory
	Sessions    []struct {
		Tracks []struct{} `json:"tracks"`
	} `json:"sessions"`
}

// identified reports whether k says what the image is, by the code of today.
func (k *known) identified() bool {
	return k != nil && k.Version == identifyVersion && (k.Info != nil || k.Error != "")
}

// decode fills in what is not kept. It reports whether k makes sense; a field
// of another type than summary has is as one that is not there.
func (k *known) decode() bool {
	k.sum = summary{}
	if k.Info == nil {
		return true
	}
	err := json.Unmarshal(k.Info, &k.sum)
	_, otherType := errors.AsType[*json.UnmarshalTypeError](err)
	return err == nil || otherType
}

// digest returns the checksum of a file by an algorithm, "" when it was not
// computed.
func (k *known) digest(file, alg string) string {
	for _, d := range k.Digests {
		if d.File == file && d.Alg == alg {
			return d.Hex
		}
	}
	return ""
}

// identify finds out what the image name is. The error is that of looking at
// the file; that of opening it as an image is part of what is known.
func identify(root *os.Root, name string, o Options) (*known, error) {
	before, err := look(root, name, false)
	if err != nil {
		return nil, err
	}
	k := &known{Stamp: before, Version: identifyVersion}
	d, info, err := image.Open(root, name, o)
	switch {
	case err == nil:
		k.Implant, k.Truncated = lookInside(d)
		d.Close()
	case errors.Is(err, ErrPacked):
		k.Shut = true
	default:
		k.Error, k.Passing = err.Error(), !lasting(err)
	}
	k.Packed = info.CacheKey
	info.Name, info.Path = "", ""
	if k.Info, err = json.Marshal(info); err != nil {
		return nil, err
	}
	k.decode()
	k.Truncated = k.Truncated || k.sum.Truncated
	k.Companions = stampFiles(root, name, k.companions(name))
	if now, err := look(root, name, false); err != nil || now != before {
		return nil, errMoved
	}
	return k, nil
}

// companions are the files that an image needs besides its own.
func (k *known) companions(name string) []string {
	var list []string
	for _, f := range k.sum.Files {
		if besides(name, f) != name && len(list) < maxCompanions {
			list = append(list, f)
		}
	}
	return list
}

// maxCompanions bounds the files of an image: 99 tracks, each with its file,
// and some more.
const maxCompanions = 256

// pvdBlock is where an ISO 9660 primary volume descriptor is (ECMA-119, 6.7.1).
const pvdBlock = 16

// lookInside reads of an opened image what is for the library alone: the
// checksum that implantisomd5 wrote, and whether the file system claims more
// than the disc has.
func lookInside(d disc.Disc) (*implant, bool) {
	l := d.Layout()
	p := make([]byte, disc.BlockSize)
	if l.LeadOut() <= pvdBlock {
		return nil, false
	}
	if _, err := d.ReadBlocks(p, pvdBlock); err != nil {
		return nil, false
	}
	blocks, ok := pvdSpace(p)
	if !ok {
		return nil, false
	}
	return parseImplant(p), len(l.Sessions) == 1 && blocks > int64(l.LeadOut())
}
