package iso9660

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"spindle/isostore/disc"
)

// A Boot is a boot image of the boot catalogue.
type Boot struct {
	Platform  string // BIOS or EFI
	Path      string // below the directory; "" for the FAT image made of EFI/BOOT
	Media     string // what is emulated: none, 1.2M, 1.44M or 2.88M
	Block     int64  // first block of the image
	Size      int64  // bytes
	Sectors   int    // sectors of 512 bytes to load; 0 is all, on EFI
	InfoTable bool   // a boot information table is laid over the file
}

// Where boot images usually are; the first one that exists is taken.
var (
	usualBIOS = []string{
		"isolinux/isolinux.bin", "boot/isolinux/isolinux.bin", "syslinux/isolinux.bin", "boot/syslinux/isolinux.bin",
		"boot/x86_64/loader/isolinux.bin", "isolinux.bin",
		"boot/grub/i386-pc/eltorito.img", "boot/grub2/i386-pc/eltorito.img", "images/eltorito.img", "boot/grub/eltorito.img", "boot/grub/bios.img",
		"boot/etfsboot.com", "boot/cdboot",
	}
	usualEFI = []string{
		"EFI/BOOT/efiboot.img", "boot/grub/efi.img", "boot/grub2/efi.img", "boot/grub/efiboot.img", "images/efiboot.img",
		"isolinux/efiboot.img", "EFI/archiso/efiboot.img", "efi/microsoft/boot/efisys.bin", "boot/x86_64/efi", "boot/efi.img", "efi.img",
	}
	// usualPrograms are what UEFI starts from a removable medium (UEFI 2.10,
	// 3.5.1.1), in EFI/BOOT.
	usualPrograms = []string{"BOOTX64.EFI", "BOOTAA64.EFI", "BOOTIA32.EFI", "BOOTARM.EFI", "BOOTRISCV64.EFI", "BOOTLOONGARCH64.EFI"}
)

// A bootImage is what El Torito boots: a file of the tree or a FAT image of ours.
type bootImage struct {
	node  *node
	fat   *fat // when node is nil
	size  int64
	media byte // index of bootMedia
	table bool // boot information table
	sum   uint32
}

// bootMedia are the media that a BIOS emulates (El Torito, table 3), by the
// size of their images. A hard disk's image is not told from another file.
var bootMedia = []struct {
	name string
	size int64
}{{"none", 0}, {"1.2M", 1228800}, {"1.44M", 1474560}, {"2.88M", 2949120}}

// Bounds of boot images.
const (
	maxTableImage = 16 << 20 // bytes of an image that is read for its checksum
	maxBIOSLoad   = 1216     // sectors from 7C00h to the end of conventional memory
	tableStart    = 8        // of the boot information table in an image
	tableEnd      = 64
)

// bootable says whether the volume has a boot catalogue.
func (b *builder) bootable() bool { return b.bios != nil || b.efi != nil }

// hybrid says whether the volume has a GPT. Without a boot image for UEFI it
// would lead to nothing.
func (b *builder) hybrid() bool { return b.o.Hybrid && b.efi != nil }

// findBoot finds the boot images and what each is.
func (b *builder) findBoot() error {
	n, err := b.bootNode(b.o.BootBIOS, usualBIOS)
	if err == nil && n != nil {
		err = b.setBIOS(n)
	}
	if err != nil {
		return err
	}
	if n, err = b.bootNode(b.o.BootEFI, usualEFI); err != nil {
		return err
	}
	if n != nil {
		if err := b.checkFAT(n); err == nil {
			b.efi = &bootImage{node: n, size: n.stamp.size}
		} else if b.o.BootEFI != "" || errors.Is(err, disc.ErrChanged) {
			return err
		} else {
			b.warnings.add("not taken for UEFI: %v", err)
		}
	}
	if b.efi == nil {
		b.makeFAT()
	}
	if b.o.Hybrid && b.efi == nil && b.bios != nil {
		b.warnings.add("no hybrid head: nothing in the folder boots by UEFI (hint: put a boot loader at EFI/BOOT/BOOTX64.EFI)")
	}
	return nil
}

// bootNode returns the file at the given path, which must exist, or, when it
// is empty, the first of the usual ones, or nil.
func (b *builder) bootNode(given string, usual []string) (*node, error) {
	if given == "" {
		for _, p := range usual {
			if n := b.tree.lookup(p); n != nil && n.isFile() && n.stamp.size > 0 {
				return n, nil
			}
		}
		return nil, nil
	}
	if p := path.Clean(given); path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../") {
		return nil, fmt.Errorf("boot image %s: not below %s (hint: name it as it is found on the disc, such as boot/eltorito.img)", given, b.tree.base)
	}
	n := b.tree.lookup(given)
	switch {
	case n == nil:
		return nil, fmt.Errorf("boot image %s: %w in %s", given, fs.ErrNotExist, b.tree.base)
	case !n.isFile():
		return nil, fmt.Errorf("boot image %s: not a regular file", given)
	case n.stamp.size == 0:
		return nil, fmt.Errorf("boot image %s: the file is empty", given)
	}
	return n, nil
}

// start reads up to n bytes from the start of a file.
func (b *builder) start(n *node, size int64) ([]byte, error) {
	p := make([]byte, min(size, n.stamp.size))
	return p, b.files.readAt(n.data(), p, 0)
}

// setBIOS takes n for the BIOS. A floppy's image is told by its size and
// signature; a boot information table goes where a loader is known to want it.
func (b *builder) setBIOS(n *node) error {
	i := &bootImage{node: n, size: n.stamp.size}
	head, err := b.start(n, disc.BlockSize)
	if err != nil {
		return err
	}
	if len(head) >= 512 && head[510] == 0x55 && head[511] == 0xAA {
		for m, floppy := range bootMedia {
			if floppy.size == i.size {
				i.media = byte(m)
			}
		}
	}
	if wantsTable(head) && i.size <= maxTableImage {
		data, err := b.start(n, i.size)
		if err != nil {
			return err
		}
		i.table, i.sum = true, tableSum(data)
	}
	if !i.table && i.media == 0 && sectors512(i.size) > maxBIOSLoad {
		b.warnings.add("%s: a BIOS has no room for its %d bytes: only the first 2048 are loaded", n.path(), i.size)
	}
	b.bios = i
	return nil
}

// wantsTable tells the loaders that read a boot information table at byte 8 by
// their first block: ISOLINUX has a magic number behind the table, the one that
// isohybrid looks for, and GRUB's cdboot.img has its messages.
func wantsTable(head []byte) bool {
	if len(head) < disc.BlockSize {
		return false
	}
	isolinux := bytes.Equal(head[tableEnd:tableEnd+4], []byte{0xFB, 0xC0, 0x78, 0x70})
	grub := bytes.Contains(head, []byte("no boot info")) && bytes.Contains(head, []byte("cdrom read fails"))
	return isolinux || grub
}

// tableSum adds the 32-bit words of a boot image behind the table.
func tableSum(data []byte) (sum uint32) {
	for data = data[tableEnd:]; len(data) > 0; data = data[min(4, len(data)):] {
		var word [4]byte
		copy(word[:], data)
		sum += binary.LittleEndian.Uint32(word[:])
	}
	return sum
}

// infoTable returns bytes 8 to 63 of the boot image: block of the primary volume
// descriptor, block and length of the image, its sum, zeros.
func (i *bootImage) infoTable() []byte {
	t := binary.LittleEndian.AppendUint32(make([]byte, 0, tableEnd-tableStart), systemArea)
	t = binary.LittleEndian.AppendUint32(t, uint32(i.block()))
	t = binary.LittleEndian.AppendUint32(t, uint32(i.size))
	t = binary.LittleEndian.AppendUint32(t, i.sum)
	return t[:cap(t)]
}

// checkFAT says why n is not an image of a FAT file system: its BIOS parameter
// block has to make sense, since boot sectors of disks begin as those of FAT do.
func (b *builder) checkFAT(n *node) error {
	head, err := b.start(n, fatSector)
	switch {
	case err != nil:
		return err
	case bytes.HasPrefix(head, []byte("MZ")):
		return fmt.Errorf("boot image %s: an EFI program, not a FAT image (hint: put it at EFI/BOOT/BOOTX64.EFI and name no image: one is made)", n.path())
	case len(head) < 512 || head[510] != 0x55 || head[511] != 0xAA || !slices.Contains([]byte{0xEB, 0xE9}, head[0]):
		return fmt.Errorf("boot image %s: byte 0: no boot sector of a FAT file system", n.path())
	}
	sector, cluster, fats := int64(binary.LittleEndian.Uint16(head[11:])), head[13], head[16]
	if !slices.Contains([]int64{512, 1024, 2048, 4096}, sector) || cluster == 0 || cluster&(cluster-1) != 0 || fats < 1 || fats > 2 {
		return fmt.Errorf("boot image %s: byte 11: no FAT file system: sectors of %d bytes, clusters of %d sectors, %d FATs (hint: name the image of a partition, not of a disk)",
			n.path(), sector, cluster, fats)
	}
	total := int64(binary.LittleEndian.Uint16(head[19:]))
	if total == 0 {
		total = int64(binary.LittleEndian.Uint32(head[32:]))
	}
	if total == 0 || total*sector > n.stamp.size {
		return fmt.Errorf("boot image %s: its FAT file system has %d bytes, and the file %d (hint: is the copy complete?)", n.path(), total*sector, n.stamp.size)
	}
	return nil
}

func (i *bootImage) block() int64 {
	if i.node == nil {
		return i.fat.block
	}
	return i.node.data().block
}

// sectors512 returns how many sectors of 512 bytes n bytes need.
func sectors512(n int64) int64 { return (n + 511) / 512 }
