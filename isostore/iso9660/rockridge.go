package iso9660

import (
	"encoding/binary"
	"io/fs"
	"strings"

	"spindle/isostore/disc"
)

// System use fields (SUSP 1.12, IEEE P1281) and what Rock Ridge makes of them
// (RRIP 1.12, IEEE P1282). Each starts with a two-letter signature, its length
// and a version.
const (
	ceSize   = 28           // of a CE field
	maxField = 255          // of any field
	nameMax  = maxField - 5 // bytes of a name in one NM field
	partMax  = maxField - 7 // bytes of a component in one SL field
)

// suspStart is the SP field, which the root directory's own record begins with.
var suspStart = []byte{'S', 'P', 7, 1, 0xBE, 0xEF, 0}

// rockRidge is the ER field that names the extension, in the words of RRIP
// 1991A, which every reader knows.
var rockRidge = extensionField("RRIP_1991A",
	"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
	"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION.")

func extensionField(id, description, source string) []byte {
	b := []byte{'E', 'R', byte(8 + len(id) + len(description) + len(source)), 1, byte(len(id)), byte(len(description)), byte(len(source)), 1}
	return append(b, id+description+source...)
}

// appendFields appends the system use fields of a record of n. The records "."
// and ".." have no name; self says that it is the root's ".".
func appendFields(b []byte, n *node, named, self bool) []byte {
	if self {
		b = append(b, suspStart...)
	}
	b = appendPosix(b, n)
	b = append(b, 'T', 'F', 12, 1, 2) // one time follows, that of modification
	b = appendTime7(b, n.modified())
	if self {
		b = append(b, rockRidge...)
	}
	if named {
		b = appendName(b, n.name)
		b = appendLink(b, n.link)
	}
	return b
}

// appendPosix appends a PX field (RRIP 4.1.1). Owners are 0, since those of this
// machine mean nothing on another, and so set-user-ID and set-group-ID go.
func appendPosix(b []byte, n *node) []byte {
	links := uint32(1)
	if n.isDir() {
		links = 2 + n.subdirs
	}
	b = append(b, 'P', 'X', 36, 1)
	for _, v := range []uint32{posixMode(n.mode), links, 0, 0} {
		b = both32(b, v)
	}
	return b
}

// posixMode is the st_mode of POSIX.
func posixMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	switch {
	case m.IsDir():
		return mode | 0o040000
	case m&fs.ModeSymlink != 0:
		return mode | 0o120000
	}
	return mode | 0o100000
}

// appendName appends NM fields (RRIP 4.1.4).
func appendName(b []byte, name string) []byte {
	for {
		part, flags := name[:min(len(name), nameMax)], byte(0)
		if name = name[len(part):]; name != "" {
			flags = 1 // continues
		}
		b = append(b, 'N', 'M', byte(5+len(part)), 1, flags)
		if b = append(b, part...); name == "" {
			return b
		}
	}
}

// appendLink appends SL fields (RRIP 4.1.3) for a target, none for "". A field is
// begun when the next component no longer fits.
func appendLink(b []byte, target string) []byte {
	if target == "" {
		return b
	}
	field := -1 // where the last field begins
	add := func(flags byte, text string) {
		if field < 0 || len(b)-field+2+len(text) > maxField {
			if field >= 0 {
				b[field+4] = 1 // continues
			}
			field = len(b)
			b = append(b, 'S', 'L', 5, 1, 0)
		}
		b = append(b, flags, byte(len(text)))
		b = append(b, text...)
		b[field+2] = byte(len(b) - field)
	}
	for part := range strings.SplitSeq(strings.Trim(target, "/"), "/") {
		switch part {
		case "":
		case ".":
			add(2, "")
		case "..":
			add(4, "")
		default:
			for ; len(part) > partMax; part = part[partMax:] {
				add(1, part[:partMax])
			}
			add(0, part)
		}
	}
	return b
}

// split returns how many bytes of fields, whole ones, go into room bytes: all
// of them, or as many as leave space for a CE field.
func split(fields []byte, room int) int {
	if len(fields) <= room {
		return len(fields)
	}
	n := 0
	for n+int(fields[n+2]) <= room-ceSize {
		n += int(fields[n+2])
	}
	return n
}

// continuation is where the fields go that fit into no record. An area never
// crosses a block's end, since Linux refuses that.
type continuation struct {
	buf   []byte
	block uint32 // of buf
}

// put stores fields and returns the CE field that leads to them (SUSP 5.1).
func (c *continuation) put(fields []byte) []byte {
	n := split(fields, disc.BlockSize)
	size := n
	if n < len(fields) {
		size += ceSize
	}
	if rest := disc.BlockSize - len(c.buf)%disc.BlockSize; size > rest {
		c.buf = append(c.buf, make([]byte, rest)...)
	}
	at := len(c.buf)
	c.buf = append(c.buf, fields[:n]...)
	if n < len(fields) {
		c.buf = append(c.buf, make([]byte, ceSize)...)
		next := c.put(fields[n:]) // may move buf
		copy(c.buf[at+n:], next)
	}
	ce := append(make([]byte, 0, ceSize), 'C', 'E', ceSize, 1)
	ce = both32(ce, c.block+uint32(at/disc.BlockSize))
	ce = both32(ce, uint32(at%disc.BlockSize))
	return both32(ce, uint32(size))
}

// both32 appends v in both byte orders (ECMA-119, 7.3.3).
func both32(b []byte, v uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, v), v)
}

// both16 appends v in both byte orders (ECMA-119, 7.2.3).
func both16(b []byte, v uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, v), v)
}
