package iso9660

import (
	"encoding/binary"
	"math"

	"spindle/isostore/disc"
)

// Platforms of boot images (El Torito, 2.1; UEFI 2.10, 13.3.2.1).
const (
	platformBIOS = 0x00
	platformEFI  = 0xEF
)

// catalogue returns the boot catalogue (El Torito, 2): the validation entry, the
// initial entry, which is UEFI's when there is none for the BIOS, and else a
// section for UEFI.
func (b *builder) catalogue() []byte {
	c := make([]byte, 32, disc.BlockSize)
	c[0], c[30], c[31] = 1, 0x55, 0xAA
	first := b.bios
	if first == nil {
		first, c[1] = b.efi, platformEFI
	}
	copy(c[4:28], "SPINDLE")
	sum := uint16(0)
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(c[i:])
	}
	binary.LittleEndian.PutUint16(c[28:], -sum)
	c = b.appendBoot(c, first)
	if b.efi != nil && b.efi != first {
		c = append(c, 0x91, platformEFI, 1, 0) // the last section; of one entry
		c = append(c, make([]byte, 28)...)
		c = b.appendBoot(c, b.efi)
	}
	return c
}

// appendBoot appends an initial or a section entry (El Torito, 2.2 and 2.4).
func (b *builder) appendBoot(c []byte, i *bootImage) []byte {
	e := make([]byte, 32)
	e[0], e[1] = 0x88, i.media
	binary.LittleEndian.PutUint16(e[6:], b.sectors(i))
	binary.LittleEndian.PutUint32(e[8:], uint32(i.block()))
	return append(c, e...)
}

// sectors returns the count of 512-byte sectors to load. A loader with a table
// loads the rest of itself, and a floppy's boot sector is one; other BIOS images
// are loaded whole where memory allows. What is too long for the field is 0 on
// UEFI, which then takes what the file system says.
func (b *builder) sectors(i *bootImage) uint16 {
	n := sectors512(i.size)
	switch {
	case i == b.efi && n > math.MaxUint16:
		return 0
	case i == b.efi:
		return uint16(n)
	case i.media != 0:
		return 1
	case i.table || n > maxBIOSLoad:
		return disc.BlockSize / 512
	}
	return uint16(n)
}

// bootList describes the boot images.
func (b *builder) bootList() (list []Boot) {
	for _, i := range []*bootImage{b.bios, b.efi} {
		if i == nil {
			continue
		}
		e := Boot{Platform: "BIOS", Media: bootMedia[i.media].name, Block: i.block(), Size: i.size, Sectors: int(b.sectors(i)), InfoTable: i.table}
		if i == b.efi {
			e.Platform = "EFI"
		}
		if i.node != nil {
			e.Path = i.node.path()
		}
		list = append(list, e)
	}
	return list
}
