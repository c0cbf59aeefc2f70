package iso9660

import (
	"encoding/binary"
	"fmt"
	"time"

	"spindle/isostore/disc"
)

// The first and last time that a directory record can say: its year is a byte
// from 1900 on (ECMA-119, 9.1.5).
var (
	firstTime = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(1900+255, 12, 31, 23, 59, 59, 0, time.UTC)
)

// clampTime moves a time into what the volume can say, in UTC.
func clampTime(t time.Time) time.Time {
	switch t = t.UTC(); {
	case t.Before(firstTime):
		return firstTime
	case t.After(lastTime):
		return lastTime
	}
	return t
}

// appendTime7 appends a time of seven bytes (ECMA-119, 9.1.5).
func appendTime7(b []byte, t time.Time) []byte {
	t = clampTime(t)
	return append(b, byte(t.Year()-1900), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0)
}

// appendTime17 appends a time of sixteen digits and an offset (ECMA-119, 8.4.26.1).
func appendTime17(b []byte, t time.Time) []byte {
	t = clampTime(t)
	return append(append(b, t.Format("20060102150405")+fmt.Sprintf("%02d", t.Nanosecond()/1e7)...), 0)
}

// A table is where a view's path tables and root directory lie.
type table struct {
	size     int   // bytes of a path table
	lsb, msb int64 // block of each one
	root     extent
}

// volumeDescriptor returns the primary or supplementary volume descriptor
// (ECMA-119, 8.4 and 8.5), one block.
func (b *builder) volumeDescriptor(view int, t table) []byte {
	d := make([]byte, 0, disc.BlockSize)
	d = append(d, byte(1+view), 'C', 'D', '0', '0', '1', 1, 0)
	d = b.text(d, view, "", 32)
	d = b.text(d, view, b.label, 32)
	d = append(d, make([]byte, 8)...)
	d = both32(d, uint32(b.end))
	escape := make([]byte, 32)
	if view == joliet {
		copy(escape, "%/E") // UCS-2 level 3
	}
	d = append(d, escape...)
	d = both16(d, 1)
	d = both16(d, 1)
	d = both16(d, disc.BlockSize)
	d = both32(d, uint32(t.size))
	d = binary.LittleEndian.AppendUint32(d, uint32(t.lsb))
	d = binary.LittleEndian.AppendUint32(d, 0)
	d = binary.BigEndian.AppendUint32(d, uint32(t.msb))
	d = binary.BigEndian.AppendUint32(d, 0)
	root := record{"\x00", t.root.block, t.root.size, flagDirectory, b.tree.root.modified()}
	d = root.append(d, nil)
	for _, f := range []struct {
		text string
		n    int
	}{
		{"", 128}, {b.o.Publisher, 128}, {"", 128}, {"SPINDLE", 128}, // volume set, publisher, preparer, application
		{"", 37}, {"", 37}, {"", 37}, // files of copyright, abstract and bibliography
	} {
		d = b.text(d, view, f.text, f.n)
	}
	d = appendTime17(d, b.time) // created
	d = appendTime17(d, b.time) // modified
	for range 2 {               // expires, effective: not specified
		d = append(append(d, "0000000000000000"...), 0)
	}
	return append(d, 1)[:disc.BlockSize]
}

// text appends a text as n bytes, padded with spaces. In the primary descriptor
// it is printable ASCII: more than the standard's a-characters, since boot
// loaders look for labels of small letters and every system shows them.
func (b *builder) text(d []byte, view int, s string, n int) []byte {
	if view == joliet {
		t := ucs2(cutUTF16(cleanJoliet(s), n/2))
		for d = append(d, t...); len(t)+2 <= n; t += "\x00 " {
			d = append(d, 0, ' ')
		}
		return append(d, make([]byte, n%2)...)
	}
	t := make([]byte, 0, n)
	for _, r := range s {
		if r < ' ' || r > '~' {
			r = '_'
		}
		t = append(t, byte(r))
	}
	t = t[:min(n, len(t))]
	for d = append(d, t...); n > len(t); n-- {
		d = append(d, ' ')
	}
	return d
}

// bootDescriptor returns the boot record of El Torito (1.0, 2.0), which points
// to the boot catalogue.
func bootDescriptor(catalogue int64) []byte {
	d := make([]byte, disc.BlockSize)
	copy(d, "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(d[71:], uint32(catalogue))
	return d
}

// terminator returns the volume descriptor set terminator (ECMA-119, 8.3).
func terminator() []byte {
	d := make([]byte, disc.BlockSize)
	copy(d, "\xFFCD001\x01")
	return d
}
