package chd

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

// Tags of metadata.
const (
	TagTrack    = "CHT2" // a track of a CD
	TagTrackOld = "CHTR" // a track of a CD without pregap
	TagCDOld    = "CHCD" // tracks of a CD, binary
	TagGDROM    = "CHGD" // a track of a GD-ROM
	TagGDOld    = "CHGT" // the same, by older programs
	TagDVD      = "DVD " // the data is a DVD's
	TagDisk     = "GDDD" // the geometry of a hard disk
	TagLaser    = "AVAV" // the format of a laser disc
	TagSpindle  = "SPDL" // ours: what a track of a CD cannot say; see package image
)

// A Metadata is one entry of a CHD's list.
type Metadata struct {
	Tag    string // four characters
	Data   []byte
	Hashed bool // the data counts into the CHD's SHA-1
}

// Text is the data up to the NUL that ends it.
func (m *Metadata) Text() string {
	text, _, _ := strings.Cut(string(m.Data), "\x00")
	return text
}

// Bounds of metadata: a CD has at most 99 tracks and two of ours.
const (
	maxMetadata     = 1024
	maxMetadataSize = 1 << 20 // bytes of one entry, and of all together
	metadataHeader  = 16
)

// readMetadata follows the list from offset at on; 0 ends it.
func readMetadata(r io.ReaderAt, at, size int64) (list []Metadata, err error) {
	total := 0
	for at != 0 {
		var h [metadataHeader]byte
		if at < headerSize || at > size {
			return nil, damaged(at, "metadata outside the file")
		}
		if err := readFull(r, h[:], at); err != nil {
			return nil, err
		}
		n := int(binary.BigEndian.Uint32(h[4:]) & 0xFFFFFF)
		if total += n; len(list) == maxMetadata || total > maxMetadataSize {
			return nil, damaged(at, "more metadata than any disc has, or a list without an end")
		}
		if int64(n) > size-at {
			return nil, damaged(at, "metadata of %d bytes reach beyond the file", n)
		}
		m := Metadata{Tag: string(h[:4]), Hashed: h[4]&1 != 0, Data: make([]byte, n)}
		if err := readFull(r, m.Data, at+metadataHeader); err != nil {
			return nil, err
		}
		list = append(list, m)
		at = int64(binary.BigEndian.Uint64(h[8:]))
	}
	return list, nil
}

// Find returns the entries with any of the tags, in the file's order.
func (c *Reader) Find(tags ...string) (list []Metadata) {
	for _, m := range c.Metadata {
		if slices.Contains(tags, m.Tag) {
			list = append(list, m)
		}
	}
	return list
}

// appendMetadata appends entry m of a list, of which the next lies at next.
func appendMetadata(b []byte, m Metadata, next int64) []byte {
	length := uint32(len(m.Data))
	if m.Hashed {
		length |= 1 << 24
	}
	b = append(b, m.Tag[:4]...)
	b = binary.BigEndian.AppendUint32(b, length)
	b = binary.BigEndian.AppendUint64(b, uint64(next))
	return append(b, m.Data...)
}

// overallSHA1 is the SHA-1 of the data's SHA-1 and, sorted, of tag and SHA-1 of
// each entry that is hashed.
func overallSHA1(raw [20]byte, list []Metadata) [20]byte {
	var sums [][]byte
	for _, m := range list {
		if m.Hashed {
			sum := sha1.Sum(m.Data)
			sums = append(sums, append([]byte(m.Tag), sum[:]...))
		}
	}
	slices.SortFunc(sums, bytes.Compare)
	h := sha1.New()
	h.Write(raw[:])
	for _, s := range sums {
		h.Write(s)
	}
	return [20]byte(h.Sum(nil))
}
