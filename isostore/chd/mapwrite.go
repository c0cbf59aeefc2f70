package chd

import (
	"encoding/binary"
	"math/bits"
)

// encode is the map as it stands in a file: hunks that are not others lie one
// behind the other from offset first on. The types are not compressed but for
// runs: each takes four bits.
func (m hunkMap) encode(first int64) []byte {
	var w bitWriter
	var maxLength, maxSelf uint64
	for i := 0; i < len(m); i += entrySize {
		if e := getEntry(m[i:]); e.kind == typeSelf {
			maxSelf = max(maxSelf, uint64(e.off))
		} else {
			maxLength = max(maxLength, uint64(e.length))
		}
	}
	lengthBits, selfBits := bits.Len64(maxLength), bits.Len64(maxSelf)
	for range 16 {
		w.write(4, 4) // the length of each type's code; so a type is its own code
	}
	m.encodeTypes(&w)
	last := int64(0)
	for i := 0; i < len(m); i += entrySize {
		switch e := getEntry(m[i:]); {
		case e.kind < typeStored:
			w.write(uint32(e.length), uint(lengthBits))
			w.write(uint32(e.crc), 16)
		case e.kind == typeStored:
			w.write(uint32(e.crc), 16)
		case e.off != last:
			w.write(uint32(e.off), uint(selfBits))
			last = e.off
		}
	}
	body := w.bytes()
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 16+len(body)), uint32(len(body)))
	b = binary.BigEndian.AppendUint16(b, uint16(first>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(first))
	b = binary.BigEndian.AppendUint16(b, crc16(m))
	return append(append(b, byte(lengthBits), byte(selfBits), 0, 0), body...)
}

// encodeTypes writes the type of each hunk.
func (m hunkMap) encodeTypes(w *bitWriter) {
	last, self, run := entryType(255), int64(0), 0
	flush := func() {
		for run > 0 {
			n := min(run, 3+16+255)
			switch {
			case n < 3:
				n = 1
				w.write(uint32(last), 4)
			case n < 3+16:
				w.write(uint32(typeRepeat), 4)
				w.write(uint32(n-3), 4)
			default:
				w.write(uint32(typeRepeatMore), 4)
				w.write(uint32(n-19)>>4, 4)
				w.write(uint32(n-19), 4)
			}
			run -= n
		}
	}
	for i := 0; i < len(m); i += entrySize {
		e := getEntry(m[i:])
		if e.kind == typeSelf {
			if e.off == self {
				e.kind = typeSelfLast
			}
			self = e.off
		}
		if e.kind == last {
			run++
			continue
		}
		flush()
		w.write(uint32(e.kind), 4)
		last = e.kind
	}
	flush()
}
