package image

import (
	"encoding/binary"
	"io"
	"strings"

	"spindle/isostore/disc"
)

// An extentOf is where a file or directory of ISO 9660 lies: its first block
// and its length in bytes.
type extentOf struct{ lba, size int64 }

// maxDirectory bounds how much of a directory is read, in bytes.
const maxDirectory = 256 << 10

// readDirectory calls each for the records of a directory (ECMA-119, 9.1), with
// the name as it is stored and the system use area, until it returns false.
func readDirectory(r io.ReaderAt, at extentOf, each func(name string, dir bool, at extentOf, use []byte) bool) {
	b := make([]byte, min(at.size, maxDirectory))
	n, _ := r.ReadAt(b, at.lba*disc.BlockSize)
	b = b[:n]
	for len(b) >= 34 {
		size := int(b[0])
		if size == 0 { // the rest of the block is empty
			next := (n-len(b))/disc.BlockSize*disc.BlockSize + disc.BlockSize
			if next >= n {
				return
			}
			b = b[next-(n-len(b)):]
			continue
		}
		if size < 34 || size > len(b) || 33+int(b[32]) > size {
			return
		}
		rec := b[:size]
		use := rec[min(size, 33+int(rec[32])+(1-int(rec[32])%2)):]
		to := extentOf{int64(binary.LittleEndian.Uint32(rec[2:])), int64(binary.LittleEndian.Uint32(rec[10:]))}
		if !each(string(rec[33:33+int(rec[32])]), rec[25]&2 != 0, to, use) {
			return
		}
		b = b[size:]
	}
}

// lookUp returns where the entry of that path lies, names in any case and
// without version.
func lookUp(r io.ReaderAt, root extentOf, path ...string) (at extentOf, ok bool) {
	at = root
	for _, want := range path {
		ok = false
		readDirectory(r, at, func(name string, _ bool, to extentOf, _ []byte) bool {
			name, _, _ = strings.Cut(name, ";")
			if ok = strings.EqualFold(strings.TrimSuffix(name, "."), want); ok {
				at = to
			}
			return !ok
		})
		if !ok {
			return at, false
		}
	}
	return at, ok
}

// hasRockRidge reports whether the root directory's first record says SP, as
// SUSP 5.3 asks, and Rock Ridge's RR, PX or ER after it.
func hasRockRidge(r io.ReaderAt, root extentOf) (has bool) {
	readDirectory(r, root, func(_ string, _ bool, _ extentOf, use []byte) bool {
		for sp := false; len(use) >= 4 && int(use[2]) >= 4 && int(use[2]) <= len(use); use = use[use[2]:] {
			switch string(use[:2]) {
			case "SP":
				sp = true
			case "RR", "PX", "ER", "CE":
				has = has || sp
			}
		}
		return false
	})
	return has
}
