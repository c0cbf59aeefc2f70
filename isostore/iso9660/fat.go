package iso9660

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"spindle/isostore/disc"
)

// A fat is a FAT16 image (Microsoft FAT specification, 1.03) that holds EFI/BOOT of the
// tree: what describes it in memory, the files mapped. It is laid out so:
//
//	boot sector, two FATs, root directory, directories, files, each in one run
type fat struct {
	head  []byte // up to the files
	files []*fatNode
	size  int64
	block int64 // of the volume

	perCluster int // sectors
	perFAT     int // sectors
	count      int // clusters
}

// Sizes of FAT16. Fewer clusters would be FAT12, more FAT32.
const (
	fatSector     = 512
	fatRoot       = 512 // entries
	minClusters   = 4200
	maxClusters   = 65000
	maxPerCluster = 64

	maxFATBytes = 1 << 30
	maxFATFiles = 1000
	maxFATDepth = 8
)

// A fatNode is a file or a directory of the image.
type fatNode struct {
	node     *node // the root's and those above EFI/BOOT are directories of the tree too
	alias    string
	children []*fatNode
	parent   *fatNode
	cluster  int // first one; 0 for none, and for the root
	clusters int
}

// makeFAT makes an image for UEFI when EFI/BOOT holds a boot loader.
func (b *builder) makeFAT() {
	dir := b.tree.lookup("EFI/BOOT")
	if dir == nil || !dir.isDir() {
		return
	}
	found := false
	for _, p := range usualPrograms {
		n := b.tree.lookup("EFI/BOOT/" + p)
		found = found || n != nil && n.isFile()
	}
	if !found {
		return
	}
	f, err := newFAT(dir, binary.LittleEndian.Uint32(b.hash[:]))
	if err != nil {
		b.warnings.add("%s: no boot image for UEFI is made of it: %v", dir.path(), err)
		return
	}
	b.efi = &bootImage{fat: f, size: f.size}
}

// placeFAT gives the image its blocks and maps its files.
func (b *builder) placeFAT() {
	if b.efi == nil || b.efi.fat == nil {
		return
	}
	f := b.efi.fat
	f.block = b.take(blocks(f.size))
	start := f.block * disc.BlockSize
	b.segments = append(b.segments, segment{off: start, n: int64(len(f.head)), mem: f.head})
	for _, n := range f.files {
		if n.clusters > 0 {
			b.segments = append(b.segments, segment{off: start + f.offset(n.cluster), n: n.node.stamp.size, file: n.node.data()})
		}
	}
}

// offset is where a cluster begins, in bytes.
func (f *fat) offset(cluster int) int64 {
	before := 1 + 2*f.perFAT + fatRoot*32/fatSector
	return int64(before+(cluster-2)*f.perCluster) * fatSector
}

// newFAT lays out the image of directory boot, which is EFI/BOOT of the tree.
func newFAT(boot *node, serial uint32) (*fat, error) {
	efi := boot.parent
	root := &fatNode{node: efi.parent}
	root.parent = root
	top := &fatNode{node: efi, alias: "EFI", parent: root}
	inner := &fatNode{node: boot, alias: "BOOT", parent: top}
	root.children, top.children = []*fatNode{top}, []*fatNode{inner}
	f, dirs, total := &fat{}, []*fatNode{root, top}, int64(0)
	if err := f.gather(inner, 0, &dirs, &total); err != nil {
		return nil, err
	}
	need := 0
	for f.perCluster = 1; ; f.perCluster *= 2 {
		if need = f.assign(dirs); need <= maxClusters/2 || f.perCluster == maxPerCluster {
			break
		}
	}
	if need > maxClusters {
		return nil, fmt.Errorf("it needs more than %d clusters of FAT16", maxClusters)
	}
	f.count = max(need, minClusters)
	f.perFAT = (2*(f.count+2) + fatSector - 1) / fatSector
	f.size = f.offset(f.count + 2)
	f.write(dirs, serial)
	return f, nil
}

// gather collects the directories and files below d.
func (f *fat) gather(d *fatNode, depth int, dirs *[]*fatNode, total *int64) error {
	*dirs = append(*dirs, d)
	list := d.node.children[joliet] // without symbolic links
	if len(f.files)+len(*dirs)+len(list) > maxFATFiles || depth > maxFATDepth {
		return fmt.Errorf("more than %d files or %d levels", maxFATFiles, maxFATDepth)
	}
	aliases := fatCharacters.identifiers(list)
	for i, n := range list {
		c := &fatNode{node: n, alias: aliases[i], parent: d}
		d.children = append(d.children, c)
		if n.isDir() {
			if err := f.gather(c, depth+1, dirs, total); err != nil {
				return err
			}
			continue
		}
		if *total += n.stamp.size; *total > maxFATBytes || n.stamp.size > maxFATBytes {
			return fmt.Errorf("more than %d MiB", maxFATBytes>>20)
		}
		f.files = append(f.files, c)
	}
	return nil
}

// assign gives directories, then files, their clusters, and returns how many
// there are.
func (f *fat) assign(dirs []*fatNode) int {
	bytes, next := int64(f.perCluster*fatSector), 2
	give := func(n *fatNode, size int64) {
		n.clusters = int((size + bytes - 1) / bytes)
		if n.cluster = 0; n.clusters > 0 {
			n.cluster = next
		}
		next += n.clusters
	}
	for _, d := range dirs[1:] { // the root has a place of its own
		give(d, int64(len(d.entries())))
	}
	for _, n := range f.files {
		give(n, n.node.stamp.size)
	}
	return next - 2
}

// write makes the head.
func (f *fat) write(dirs []*fatNode, serial uint32) {
	end := f.offset(2)
	for _, d := range dirs[1:] {
		end = f.offset(d.cluster + d.clusters)
	}
	f.head = make([]byte, end)
	f.bootSector(serial)
	table := f.head[fatSector : fatSector*(1+f.perFAT)]
	copy(table, []byte{0xF8, 0xFF, 0xFF, 0xFF})
	for _, n := range append(dirs[1:len(dirs):len(dirs)], f.files...) {
		for i := range n.clusters {
			next := uint16(0xFFFF)
			if i+1 < n.clusters {
				next = uint16(n.cluster + i + 1)
			}
			binary.LittleEndian.PutUint16(table[2*(n.cluster+i):], next)
		}
	}
	copy(f.head[fatSector*(1+f.perFAT):], table)
	copy(f.head[fatSector*(1+2*f.perFAT):], dirs[0].entries())
	for _, d := range dirs[1:] {
		copy(f.head[f.offset(d.cluster):], d.entries())
	}
}

// bootSector writes the BIOS parameter block (3.1 and 3.2).
func (f *fat) bootSector(serial uint32) {
	s, le := f.head[:fatSector], binary.LittleEndian
	copy(s, "\xEB\x3C\x90SPINDLE ")
	le.PutUint16(s[11:], fatSector)
	s[13] = byte(f.perCluster)
	le.PutUint16(s[14:], 1) // reserved: this sector
	s[16] = 2               // FATs
	le.PutUint16(s[17:], fatRoot)
	if total := f.size / fatSector; total < 1<<16 {
		le.PutUint16(s[19:], uint16(total))
	} else {
		le.PutUint32(s[32:], uint32(total))
	}
	s[21] = 0xF8
	le.PutUint16(s[22:], uint16(f.perFAT))
	le.PutUint16(s[24:], 32) // sectors a track
	le.PutUint16(s[26:], 64) // heads
	s[36], s[38] = 0x80, 0x29
	le.PutUint32(s[39:], serial)
	copy(s[43:], "NO NAME    FAT16   ")
	copy(s[62:], "\xCD\x18\xF4\xEB\xFD") // int 18h: try the next device; hlt
	s[510], s[511] = 0x55, 0xAA
}

// entries returns the directory entries of d (6 and 7).
func (d *fatNode) entries() []byte {
	var b []byte
	if d.parent != d {
		b = d.appendEntry(b, ".          ")
		b = d.parent.appendEntry(b, "..         ")
	}
	for _, c := range d.children {
		base, ext, _ := strings.Cut(c.alias, ".")
		short := fmt.Sprintf("%-8s%-3s", base, ext)
		if name := c.node.name; c.parent.parent != c.parent && !strings.EqualFold(name, c.alias) {
			b = appendLong(b, name, short)
		}
		b = c.appendEntry(b, short)
	}
	return b
}

// appendEntry appends the entry of n under a name of 11 bytes.
func (d *fatNode) appendEntry(b []byte, short string) []byte {
	attributes, size := byte(0x20), uint32(d.node.stamp.size)
	if d.node.isDir() {
		attributes, size = 0x10, 0
	}
	date, clock := fatTime(d.node.modified())
	b = append(b, short...)
	b = append(b, attributes, 0, 0)
	for _, v := range []uint16{clock, date, date, 0, clock, date, uint16(d.cluster)} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, size)
}

// fatTime encodes a time of 1980 to 2107.
func fatTime(t time.Time) (date, clock uint16) {
	switch {
	case t.Year() < 1980:
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 2107:
		t = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	return uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()),
		uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}

// appendLong appends the entries of a long name, the last part first (7).
func appendLong(b []byte, name, short string) []byte {
	sum := byte(0)
	for _, c := range []byte(short) {
		sum = sum>>1 | sum<<7
		sum += c
	}
	u := utf16.Encode([]rune(cleanJoliet(name)))
	parts := (len(u) + 12) / 13
	if len(u)%13 != 0 {
		u = append(u, 0)
	}
	for len(u) < parts*13 {
		u = append(u, 0xFFFF)
	}
	for i := parts; i > 0; i-- {
		e := make([]byte, 32)
		e[0], e[11], e[13] = byte(i), 0x0F, sum
		if i == parts {
			e[0] |= 0x40
		}
		for k, c := range u[(i-1)*13 : i*13] {
			binary.LittleEndian.PutUint16(e[longAt[k]:], c)
		}
		b = append(b, e...)
	}
	return b
}

// longAt says where the thirteen characters of an entry of a long name stand.
var longAt = [13]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}
