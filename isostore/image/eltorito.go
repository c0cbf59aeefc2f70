package image

import (
	"encoding/binary"
	"fmt"
	"io"

	"spindle/isostore/disc"
)

// A BootEntry is a boot image of an El Torito catalogue.
type BootEntry struct {
	Platform string `json:"platform"` // BIOS, PPC, Mac, EFI, or its number in hex
	Bootable bool   `json:"bootable"`
	Media    string `json:"media"`   // none, 1.2M, 1.44M, 2.88M, disk: what is emulated
	LBA      int64  `json:"lba"`     // of the boot image
	Sectors  int    `json:"sectors"` // to load, of 512 bytes; 0 and 1 mean all on EFI
	// Architectures are those of the programs in an EFI image: x64, aa64, ….
	Architectures []string `json:"architectures,omitempty"`
}

var bootPlatforms = map[byte]string{0: "BIOS", 1: "PPC", 2: "Mac", 0xEF: "EFI"}

var bootMedia = []string{"none", "1.2M", "1.44M", "2.88M", "disk"}

// readBoot reads one block of the boot catalogue at block lba (El Torito 1.0,
// 2): a validation entry, the initial entry, then sections. One block holds 62
// entries, more than any image has.
func (v *volume) readBoot(r io.ReaderAt, lba uint32) {
	c := make([]byte, disc.BlockSize)
	n, _ := r.ReadAt(c, int64(lba)*disc.BlockSize)
	if n < len(c) || c[0] != 1 || c[30] != 0x55 || c[31] != 0xAA || wordSum(c[:32]) != 0 {
		v.warnings = append(v.warnings, fmt.Sprintf("the El Torito boot catalogue at block %d is not valid", lba))
		return
	}
	platform := c[1]
	v.addBoot(platform, c[32:64])
	left := 0
	for c = c[64:]; len(c) >= 32; c = c[32:] {
		switch {
		case left > 0 && (c[0] == 0x88 || c[0] == 0):
			v.addBoot(platform, c[:32])
			left--
		case left > 0 && c[0] == 0x44: // extension of the entry before
		case c[0] == 0x90 || c[0] == 0x91:
			platform, left = c[1], int(binary.LittleEndian.Uint16(c[2:]))
		default:
			return
		}
	}
}

func (v *volume) addBoot(platform byte, e []byte) {
	b := BootEntry{
		Platform: bootPlatforms[platform],
		Bootable: e[0] == 0x88,
		Media:    fmt.Sprintf("%#x", e[1]&0xF),
		LBA:      int64(binary.LittleEndian.Uint32(e[8:])),
		Sectors:  int(binary.LittleEndian.Uint16(e[6:])),
	}
	if b.Platform == "" {
		b.Platform = fmt.Sprintf("%#x", platform)
	}
	if m := int(e[1] & 0xF); m < len(bootMedia) {
		b.Media = bootMedia[m]
	}
	v.boot = append(v.boot, b)
}

// wordSum adds the little-endian 16-bit words of b.
func wordSum(b []byte) (sum uint16) {
	for ; len(b) >= 2; b = b[2:] {
		sum += binary.LittleEndian.Uint16(b)
	}
	return sum
}
