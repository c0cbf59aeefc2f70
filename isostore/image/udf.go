package image

import (
	"cmp"
	"encoding/binary"
	"io"
	"unicode/utf16"

	"spindle/isostore/disc"
)

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

// readUDF returns the label of a UDF volume, "" when it has none, and where its
// partitions end, in bytes, 0 when its descriptors cannot be read. It follows an
// anchor to the main volume descriptor sequence (ECMA-167, 3/8.4).
func readUDF(r io.ReaderAt, base, size int64) (label string, end int64) {
	d := make([]byte, disc.BlockSize)
	last := size/disc.BlockSize - 1
	for _, at := range []int64{base + 256, last, last - 256, base + 512} {
		if readTag(r, d, at) != 2 {
			continue
		}
		n := int64(binary.LittleEndian.Uint32(d[16:])) / disc.BlockSize
		start := int64(binary.LittleEndian.Uint32(d[20:]))
		if label, end = scanUDF(r, d, start, min(n, 64)); label != "" || end != 0 {
			return label, end
		}
	}
	return "", 0
}

// scanUDF looks through n blocks of a volume descriptor sequence.
func scanUDF(r io.ReaderAt, d []byte, start, n int64) (label string, end int64) {
	volumeID := ""
	for i := range n {
		switch readTag(r, d, start+i) {
		case 1: // primary volume descriptor, 3/10.1
			volumeID = dstring(d[24:56])
		case 5: // partition descriptor, 3/10.5
			first, blocks := binary.LittleEndian.Uint32(d[188:]), binary.LittleEndian.Uint32(d[192:])
			end = max(end, (int64(first)+int64(blocks))*disc.BlockSize)
		case 6: // logical volume descriptor, 3/10.6
			label = cmp.Or(label, dstring(d[84:212]))
		case 8: // terminating descriptor
			return cmp.Or(label, volumeID), end
		}
	}
	return cmp.Or(label, volumeID), end
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
