package iso9660

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"spindle/isostore/disc"
)

// A GUID partition table (UEFI 2.10, 5.3), in sectors of 512 bytes, as a disk
// shows them. The primary one lies in the system area of the volume, which ISO
// 9660 leaves to others, and the backup at the end.
const (
	gptEntries    = 128
	gptEntrySize  = 128
	gptTable      = gptEntries * gptEntrySize // bytes
	gptTail       = gptTable + 512            // bytes of the backup: entries, then header
	gptFirst      = systemArea * disc.BlockSize / 512
	gptHeaderSize = 92
)

// espType is the type of an EFI system partition, C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
var espType = []byte{0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B}

// diskSectors is the size of the volume as a disk.
func (b *builder) diskSectors() int64 { return b.end * (disc.BlockSize / 512) }

// head returns the first sectors: protective MBR, primary header and entries.
func (b *builder) head() []byte {
	entries := b.gptEntries()
	h := append(b.mbr(), b.gptHeader(1, b.diskSectors()-1, 2, entries)...)
	return append(h, entries...)
}

// gptBackup returns the last sectors.
func (b *builder) gptBackup() []byte {
	entries, last := b.gptEntries(), b.diskSectors()-1
	return append(entries, b.gptHeader(last, 1, last-gptTable/512, entries)...)
}

// gptHeader returns a header, one sector (UEFI 2.10, table 5.5).
func (b *builder) gptHeader(self, other, table int64, entries []byte) []byte {
	h, le := make([]byte, 512), binary.LittleEndian
	copy(h, "EFI PART")
	le.PutUint32(h[8:], 0x10000)
	le.PutUint32(h[12:], gptHeaderSize)
	le.PutUint64(h[24:], uint64(self))
	le.PutUint64(h[32:], uint64(other))
	le.PutUint64(h[40:], gptFirst)
	le.PutUint64(h[48:], uint64(b.diskSectors()-1-gptTail/512))
	copy(h[56:], b.guid("disk"))
	le.PutUint64(h[72:], uint64(table))
	le.PutUint32(h[80:], gptEntries)
	le.PutUint32(h[84:], gptEntrySize)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:gptHeaderSize]))
	return h
}

// gptEntries returns the partition entries: one, for the boot image of UEFI.
func (b *builder) gptEntries() []byte {
	e, le := make([]byte, gptTable, gptTail), binary.LittleEndian
	first := b.efi.block() * (disc.BlockSize / 512)
	copy(e, espType)
	copy(e[16:], b.guid("partition"))
	le.PutUint64(e[32:], uint64(first))
	le.PutUint64(e[40:], uint64(first+sectors512(b.efi.size)-1))
	for i, c := range "EFI" {
		le.PutUint16(e[56+2*i:], uint16(c))
	}
	return e
}

// guid makes an identifier (RFC 9562, version 8) of the volume's content.
func (b *builder) guid(what string) []byte {
	h := sha256.Sum256(append(b.hash[:], what...))
	h[7] = h[7]&0x0F | 0x80
	h[8] = h[8]&0x3F | 0x80
	return h[:16]
}

// mbrCode is what a BIOS runs that takes the image for a disk: it writes the
// message behind it and lets the BIOS try the next device.
var mbrCode = []byte{
	0x31, 0xC0, // xor ax, ax
	0x8E, 0xD8, // mov ds, ax
	0xFC,             // cld
	0xBE, 0x1B, 0x7C, // mov si, message
	0xAC,       // next: lodsb
	0x84, 0xC0, // test al, al
	0x74, 0x09, // jz done
	0xB4, 0x0E, // mov ah, 0Eh
	0xBB, 0x07, 0x00, // mov bx, 7
	0xCD, 0x10, // int 10h
	0xEB, 0xF2, // jmp next
	0xCD, 0x18, // done: int 18h
	0xF4,       // halt: hlt
	0xEB, 0xFD, // jmp halt
}

const mbrMessage = "From a disk this image boots by UEFI only; as a disc, by BIOS too if it can.\r\n\x00"

// mbr returns a protective MBR (UEFI 2.10, 5.2.3).
func (b *builder) mbr() []byte {
	m := make([]byte, 512, 512+512+gptTable)
	copy(m, append(mbrCode[:len(mbrCode):len(mbrCode)], mbrMessage...))
	copy(m[446:], []byte{0, 0x00, 0x02, 0x00, 0xEE, 0xFF, 0xFF, 0xFF, 1})
	binary.LittleEndian.PutUint32(m[458:], uint32(min(b.diskSectors()-1, 1<<32-1)))
	m[510], m[511] = 0x55, 0xAA
	return m
}
