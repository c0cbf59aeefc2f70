package image

import (
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf16"
)

// A fat is a FAT file system of which directories are read: the EFI image of a
// boot catalogue (Microsoft FAT specification 1.03).
type fat struct {
	r         io.ReaderAt
	base      int64  // of the image, in bytes
	table     int64  // byte of the first FAT
	data      int64  // byte of cluster 2
	root      int64  // byte of the root directory, for FAT12 and FAT16
	rootSize  int64  // bytes of it
	rootStart uint32 // cluster of it, for FAT32
	cluster   int64  // bytes
	bits      int    // 12, 16 or 32
}

// maxClusters bounds how far a chain is followed.
const maxClusters = 256

// efiPrograms lists EFI/BOOT of the FAT image at byte at; nothing when there is
// none.
func efiPrograms(r io.ReaderAt, at int64) (names []string) {
	f, ok := openFAT(r, at)
	if !ok {
		return nil
	}
	dir := f.readRoot()
	for _, want := range []string{"EFI", "BOOT"} {
		next := []fatEntry(nil)
		for _, e := range dir {
			if e.dir && strings.EqualFold(e.name, want) {
				next = f.entries(f.chain(e.cluster))
				break
			}
		}
		dir = next
	}
	for _, e := range dir {
		names = append(names, e.name)
	}
	return names
}

// openFAT reads the boot sector at byte at.
func openFAT(r io.ReaderAt, at int64) (*fat, bool) {
	b := make([]byte, 512)
	if n, _ := r.ReadAt(b, at); n < len(b) || b[510] != 0x55 || b[511] != 0xAA {
		return nil, false
	}
	le := binary.LittleEndian
	sector, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 || perCluster == 0 || perCluster&(perCluster-1) != 0 {
		return nil, false
	}
	fatSize, total := int64(le.Uint16(b[22:])), int64(le.Uint16(b[19:]))
	if fatSize == 0 {
		fatSize = int64(le.Uint32(b[36:]))
	}
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	f := &fat{r: r, base: at, cluster: sector * perCluster, rootStart: le.Uint32(b[44:])}
	f.table = at + int64(le.Uint16(b[14:]))*sector
	f.root = f.table + int64(b[16])*fatSize*sector
	f.rootSize = int64(le.Uint16(b[17:])) * 32
	f.data = f.root + (f.rootSize+sector-1)/sector*sector
	switch clusters := (total - (f.data-at)/sector) / perCluster; {
	case clusters <= 0:
		return nil, false
	case clusters < 4085:
		f.bits = 12
	case clusters < 65525:
		f.bits = 16
	default:
		f.bits = 32
	}
	return f, true
}

// A fatEntry is an entry of a directory.
type fatEntry struct {
	name    string
	dir     bool
	cluster uint32
}

func (f *fat) readRoot() []fatEntry {
	if f.bits == 32 {
		return f.entries(f.chain(f.rootStart))
	}
	b := make([]byte, min(f.rootSize, 64<<10))
	n, _ := f.r.ReadAt(b, f.root)
	return f.entries(b[:n])
}

// chain reads the clusters of a file, up to maxClusters and 256 KiB.
func (f *fat) chain(cluster uint32) (b []byte) {
	p := make([]byte, min(f.cluster, 64<<10))
	for range maxClusters {
		if cluster < 2 || cluster >= 0x0FFFFFF7 || len(b) >= maxDirectory {
			break
		}
		n, _ := f.r.ReadAt(p, f.data+int64(cluster-2)*f.cluster)
		if b = append(b, p[:n]...); n < len(p) {
			break
		}
		cluster = f.next(cluster)
	}
	return b
}

// next returns the cluster after one; an end, in any of the three widths, is
// large.
func (f *fat) next(cluster uint32) uint32 {
	b := make([]byte, 4)
	at := f.table + int64(cluster)*int64(f.bits)/8
	if n, _ := f.r.ReadAt(b, at); n < len(b) {
		return 1<<32 - 1
	}
	v, end := binary.LittleEndian.Uint32(b), uint32(1)<<f.bits-9
	switch f.bits {
	case 12:
		v = v >> (4 * (cluster & 1)) & 0xFFF
	case 16:
		v &= 0xFFFF
	case 32:
		v, end = v&0x0FFFFFFF, 0x0FFFFFF7
	}
	if v >= end {
		return 1<<32 - 1
	}
	return v
}

// entries decodes a directory, with long names where they are.
func (f *fat) entries(b []byte) (list []fatEntry) {
	const deleted, volumeID, directory, longName = 0xE5, 0x08, 0x10, 0x0F
	var long []uint16
	for ; len(b) >= 32 && b[0] != 0; b = b[32:] {
		switch e := b[:32]; {
		case e[0] == deleted:
			long = nil
		case e[11]&0x3F == longName:
			part := make([]uint16, 0, 13+len(long))
			for _, r := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
				for i := r[0]; i < r[1]; i += 2 {
					if c := binary.LittleEndian.Uint16(e[i:]); c != 0 && c != 0xFFFF {
						part = append(part, c)
					}
				}
			}
			if long = append(part, long...); len(long) > 255 {
				long = nil
			}
		case e[11]&volumeID != 0:
			long = nil
		default:
			name := string(utf16.Decode(long))
			if name == "" {
				name = strings.TrimRight(string(e[:8]), " ")
				if ext := strings.TrimRight(string(e[8:11]), " "); ext != "" {
					name += "." + ext
				}
			}
			cluster := uint32(binary.LittleEndian.Uint16(e[26:])) | uint32(binary.LittleEndian.Uint16(e[20:]))<<16
			if f.bits != 32 {
				cluster &= 0xFFFF
			}
			list, long = append(list, fatEntry{name, e[11]&directory != 0, cluster}), nil
		}
	}
	return list
}
