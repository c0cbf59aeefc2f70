package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// openOther opens a flat image that is neither of ISO 9660 nor of UDF, which
// reason says: one of a file system that optical discs have too, or with the
// pregap of its track.
//
// Apple's are made of blocks of 512 bytes: what lacks in the last block of 2048
// reads as zeros.
func openOther(s *source, d data, reason error) (disc.Disc, error) {
	if !errors.Is(reason, ErrFormat) || sector.IsRaw(bytesAt(d, 0, 12)) {
		return nil, reason
	}
	if blocks := d.Size() / disc.BlockSize; d.Size()%disc.BlockSize == 0 && blocks > leadInPregap && blocks <= disc.MaxCDBlocks && hasISO(d, leadInPregap+vrsBlock) {
		layout, err := flatLayout(blocks-leadInPregap, disc.CD)
		if err != nil {
			return nil, err
		}
		return newCD(s, layout, []run{{start: -leadInPregap, n: disc.LBA(blocks), form: mode1Form, data: d}})
	}
	for _, v := range otherVolumes {
		if !v.has(d) {
			continue
		}
		if rest := d.Size() % disc.BlockSize; rest%512 != 0 {
			return nil, fmt.Errorf("%w: byte %d: the last block of this image of %s has %d bytes (hint: the file may be cut short; copy it again)",
				ErrDamaged, d.Size()-rest, v.name, rest)
		}
		return newFlat(s, d)
	}
	return nil, reason
}

// hasISO reports whether block n is a volume descriptor of ISO 9660.
func hasISO(d io.ReaderAt, n int64) bool {
	return string(bytesAt(d, n*disc.BlockSize+1, 5)) == "CD001"
}

// bytesAt returns n bytes of d, zeros where it has none.
func bytesAt(d io.ReaderAt, off int64, n int) []byte {
	p := make([]byte, n)
	d.ReadAt(p, off)
	return p
}

// An otherVolume is a kind of volume that optical discs have.
type otherVolume struct {
	name string
	has  func(d io.ReaderAt) bool
}

var otherVolumes = []otherVolume{
	{"High Sierra", func(d io.ReaderAt) bool { return string(bytesAt(d, vrsStart+9, 5)) == "CDROM" }},
	{"CD-i", func(d io.ReaderAt) bool { return string(bytesAt(d, vrsStart+1, 5)) == "CD-I " }},
	{"HFS", hasHFS},
	{"HFS Plus", hasHFSPlus},
	{"an Apple partition map", hasApplePartitions},
}

// hasHFS looks for a master directory block (Inside Macintosh: Files, 2) whose
// sizes can be.
func hasHFS(d io.ReaderAt) bool {
	b := bytesAt(d, 1024, 24)
	unit := binary.BigEndian.Uint32(b[20:])
	return string(b[:2]) == "BD" && binary.BigEndian.Uint16(b[18:]) > 0 && unit > 0 && unit%512 == 0
}

// hasHFSPlus looks for a volume header (Apple's technical note 1150) whose
// version and block size can be.
func hasHFSPlus(d io.ReaderAt) bool {
	b := bytesAt(d, 1024, 44)
	id, version, unit := string(b[:2]), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[40:])
	return (id == "H+" && version == 4 || id == "HX" && version == 5) && unit >= 512 && unit&(unit-1) == 0
}

// hasApplePartitions looks for a driver descriptor and, one of its blocks behind
// it, a partition map (Inside Macintosh: Devices, 3).
func hasApplePartitions(d io.ReaderAt) bool {
	b := bytesAt(d, 0, 4)
	unit := int64(binary.BigEndian.Uint16(b[2:]))
	if string(b[:2]) != "ER" || unit != 512 && unit != disc.BlockSize {
		return false
	}
	return string(bytesAt(d, 512, 2)) == "PM" || string(bytesAt(d, unit, 2)) == "PM"
}
