package image

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

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
	iso, joliet, rock, udf bool

	base     int64       // block at which the session starts
	size     int64       // of the image, in bytes
	root     extentOf    // of the ISO 9660 root directory
	label    string      // ISO 9660 volume identifier
	created  time.Time   // zero when not known
	publish  string      // publisher identifier
	udfEnd   int64       // where UDF partitions end, in bytes; 0 when not known
	udfLabel string      // UDF logical volume identifier, else its volume identifier
	space    int64       // ISO 9660 volume space size, in bytes; 0 when not known
	boot     []BootEntry // El Torito
	warnings []string
}

// readVolume reads the descriptors of an image of size bytes whose session
// starts at block base. It reads at most 64 KiB, a boot catalogue block, a UDF
// descriptor sequence of 64 blocks, and what find and readFAT say. Its error
// wraps ErrFormat when there are none.
func readVolume(r io.ReaderAt, base, size int64) (*volume, error) {
	start := base*disc.BlockSize + vrsStart
	if size <= start {
		return nil, fmt.Errorf("%w: byte %d: the file ends before the first volume descriptor", ErrFormat, size)
	}
	area := make([]byte, min(size-start, vrsBlocks*disc.BlockSize))
	n, err := r.ReadAt(area, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("byte %d: %w", start+int64(n), err)
	}
	area = area[:n]
	v := &volume{base: base, size: size}
	catalog := v.readISO(area)
	v.findUDF(area)
	if !v.iso && !v.udf {
		return nil, fmt.Errorf("%w: byte %d: no CD001 of ISO 9660 and no BEA01 of UDF (hint: an image of a hard disk or a USB stick is none of an optical disc)", ErrFormat, start)
	}
	if v.udf {
		v.udfLabel, v.udfEnd = readUDF(r, base, size)
	}
	if catalog != 0 {
		v.readBoot(r, catalog)
	}
	if v.iso {
		v.rock = hasRockRidge(r, v.root)
	}
	v.readArchitectures(r)
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
	v.root = extentOf{int64(binary.LittleEndian.Uint32(d[158:])), int64(binary.LittleEndian.Uint32(d[166:]))}
	v.created = isoTime(d[813:830])
	v.publish = printable(string(d[318:446]))
}

// isoTime decodes a date of 17 bytes (ECMA-119, 8.4.26.1): digits, and the
// offset from GMT in quarters of an hour. It is zero for one that is none.
func isoTime(b []byte) time.Time {
	zone := time.FixedZone("", int(int8(b[16]))*15*60)
	t, err := time.ParseInLocation("20060102150405", string(b[:14]), zone)
	if err != nil || t.Year() < 1970 {
		return time.Time{}
	}
	return t.UTC()
}

// end is where the file systems are known to end, in bytes, or 0.
func (v *volume) end() int64 {
	if v.space == 0 {
		return v.udfEnd
	}
	return max(v.base*disc.BlockSize+v.space, v.udfEnd)
}

// fill says in info what the volume says.
func (v *volume) fill(info *Info) {
	info.Label = cmp.Or(v.label, v.udfLabel)
	for _, fs := range []struct {
		is   bool
		name string
	}{{v.iso, "iso9660"}, {v.rock, "rockridge"}, {v.joliet, "joliet"}, {v.udf, "udf"}} {
		if fs.is {
			info.FileSystems = append(info.FileSystems, fs.name)
		}
	}
	if info.Publisher = v.publish; !v.created.IsZero() {
		info.Created = &v.created
	}
	info.Boot, info.BootBy = v.boot, v.bootBy()
	info.Warnings = append(info.Warnings, v.warnings...)
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
