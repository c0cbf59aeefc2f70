package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"

	"spindle/isostore/disc"
)

// vrsStart is where both ISO 9660 and UDF begin, in blocks and in bytes;
// vrsBlocks is how many blocks from there on are looked at.
const (
	vrsBlock  = 16
	vrsStart  = vrsBlock * disc.BlockSize
	vrsBlocks = 32
)

// A volume is what the descriptors of a flat image say. Its numbers come from
// the file: they are checked where they are used.
type volume struct {
	iso, joliet, udf bool

	label    string      // ISO 9660 volume identifier
	udfLabel string      // UDF logical volume identifier, else its volume identifier
	space    int64       // ISO 9660 volume space size, in bytes; 0 when not known
	boot     []BootEntry // El Torito
	warnings []string
}

// readVolume reads the descriptors of an image of size bytes. It reads at most
// 64 KiB, two boot catalogue blocks and a UDF descriptor sequence of 64 blocks.
// Its error wraps ErrFormat when there are none.
func readVolume(r io.ReaderAt, size int64) (*volume, error) {
	if size <= vrsStart {
		return nil, fmt.Errorf("%w: byte %d: the file ends before the first volume descriptor", ErrFormat, size)
	}
	area := make([]byte, min(size-vrsStart, vrsBlocks*disc.BlockSize))
	if n, err := r.ReadAt(area, vrsStart); err != nil && n < len(area) {
		return nil, fmt.Errorf("byte %d: %w", int64(vrsStart)+int64(n), err)
	}
	v := &volume{}
	catalog := v.readISO(area)
	v.findUDF(area)
	if !v.iso && !v.udf {
		return nil, fmt.Errorf("%w: byte %d: no CD001 of ISO 9660 and no BEA01 of UDF (hint: an image of a hard disk or a USB stick is none of an optical disc)", ErrFormat, vrsStart)
	}
	if v.udf {
		v.udfLabel = readUDFLabel(r, size)
	}
	if catalog != 0 {
		v.readBoot(r, catalog)
	}
	return v, nil
}

// readISO reads the ISO 9660 volume descriptor set (ECMA-119, 8) and returns
// the block of the El Torito boot catalogue, or 0.
func (v *volume) readISO(area []byte) (catalog uint32) {
	for ; len(area) >= disc.BlockSize; area = area[disc.BlockSize:] {
		d := area[:disc.BlockSize]
		if string(d[1:6]) != "CD001" {
			return catalog
		}
		switch d[0] {
		case 0:
			if bytes.HasPrefix(d[7:], []byte("EL TORITO SPECIFICATION")) {
				catalog = binary.LittleEndian.Uint32(d[71:])
			}
		case 1:
			if !v.iso {
				v.readPVD(d)
			}
		case 2:
			if e := d[88:91]; e[0] == '%' && e[1] == '/' && strings.IndexByte("@CE", e[2]) >= 0 {
				v.joliet = true
			}
		case 255:
			return catalog
		}
	}
	return catalog
}

// readPVD reads a primary volume descriptor (ECMA-119, 8.4).
func (v *volume) readPVD(d []byte) {
	v.iso = true
	v.label = printable(string(d[40:72]))
	blocks, big := binary.LittleEndian.Uint32(d[80:]), binary.BigEndian.Uint32(d[84:])
	if blocks != big {
		v.warnings = append(v.warnings, fmt.Sprintf("the volume space size is %d little-endian and %d big-endian blocks", blocks, big))
	}
	unit := int64(binary.LittleEndian.Uint16(d[128:]))
	if unit != 512 && unit != 1024 && unit != 2048 {
		v.warnings = append(v.warnings, fmt.Sprintf("the logical block size is %d bytes", unit))
		unit = disc.BlockSize
	}
	v.space = int64(max(blocks, big)) * unit
}

// findUDF looks for a volume recognition sequence (ECMA-167, 2/8.3): BEA01,
// then NSR02 or NSR03. Some writers leave other blocks before it.
func (v *volume) findUDF(area []byte) {
	begun := false
	for ; len(area) >= 6; area = area[min(disc.BlockSize, len(area)):] {
		switch string(area[1:6]) {
		case "BEA01":
			begun = true
		case "NSR02", "NSR03":
			v.udf = v.udf || begun
		case "TEA01":
			begun = false
		}
	}
}

// end is where the file system is known to end, in bytes, or 0.
func (v *volume) end() int64 { return v.space }

// fill says in info what the volume says.
func (v *volume) fill(info *Info) {
	info.Label = v.label
	if info.Label == "" {
		info.Label = v.udfLabel
	}
	for _, fs := range []struct {
		is   bool
		name string
	}{{v.iso, "iso9660"}, {v.joliet, "joliet"}, {v.udf, "udf"}} {
		if fs.is {
			info.FileSystems = append(info.FileSystems, fs.name)
		}
	}
	info.Boot = v.boot
	info.Warnings = append(info.Warnings, v.warnings...)
}

// readUDFLabel returns the label of a UDF volume, or "" when it has none or its
// descriptors cannot be read. It follows an anchor to the main volume
// descriptor sequence (ECMA-167, 3/8.4).
func readUDFLabel(r io.ReaderAt, size int64) string {
	d := make([]byte, disc.BlockSize)
	last := size/disc.BlockSize - 1
	for _, at := range []int64{256, last, last - 256, 512} {
		if readTag(r, d, at) != 2 {
			continue
		}
		n := int64(binary.LittleEndian.Uint32(d[16:])) / disc.BlockSize
		start := int64(binary.LittleEndian.Uint32(d[20:]))
		if label := scanUDF(r, d, start, min(n, 64)); label != "" {
			return label
		}
	}
	return ""
}

// scanUDF looks through n blocks of a volume descriptor sequence.
func scanUDF(r io.ReaderAt, d []byte, start, n int64) string {
	volumeID := ""
	for i := range n {
		switch readTag(r, d, start+i) {
		case 1: // primary volume descriptor, 3/10.1
			volumeID = dstring(d[24:56])
		case 6: // logical volume descriptor, 3/10.6
			if label := dstring(d[84:212]); label != "" {
				return label
			}
		case 8: // terminating descriptor
			return volumeID
		}
	}
	return volumeID
}

// readTag reads block lba into d and returns the identifier of its descriptor
// tag (ECMA-167, 3/7.2), 0 when the block is no descriptor.
func readTag(r io.ReaderAt, d []byte, lba int64) uint16 {
	if lba < 0 {
		return 0
	}
	if n, _ := r.ReadAt(d, lba*disc.BlockSize); n < len(d) {
		return 0
	}
	sum := byte(0)
	for i, b := range d[:16] {
		if i != 4 {
			sum += b
		}
	}
	if sum != d[4] || int64(binary.LittleEndian.Uint32(d[12:])) != lba {
		return 0
	}
	return binary.LittleEndian.Uint16(d)
}

// dstring decodes a UDF dstring (UDF 2.60, 2.1.3): the last byte is the length
// in use, the first one says 8 or 16 bits a character.
func dstring(b []byte) string {
	n := int(b[len(b)-1])
	if n < 2 || n >= len(b) {
		return ""
	}
	text := b[1:n]
	var u []uint16
	switch b[0] {
	case 8:
		for _, c := range text {
			u = append(u, uint16(c))
		}
	case 16:
		for ; len(text) >= 2; text = text[2:] {
			u = append(u, binary.BigEndian.Uint16(text))
		}
	}
	return printable(string(utf16.Decode(u)))
}

// printable makes text from an image fit for a terminal: what cannot be
// printed becomes a question mark, padding goes.
func printable(s string) string {
	s = strings.Trim(s, " \x00")
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
