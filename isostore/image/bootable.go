package image

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"spindle/isostore/disc"
)

// architectures are the names by which UEFI firmware boots removable media
// (UEFI 2.10, 3.5.1.1).
var architectures = []struct{ file, name string }{
	{"BOOTX64.EFI", "x64"},
	{"BOOTIA32.EFI", "ia32"},
	{"BOOTAA64.EFI", "aa64"},
	{"BOOTARM.EFI", "arm"},
	{"BOOTIA64.EFI", "ia64"},
	{"BOOTRISCV64.EFI", "riscv64"},
	{"BOOTLOONGARCH64.EFI", "loongarch64"},
}

// readArchitectures looks which programs the EFI images of the boot catalogue
// hold. Where an image cannot be read the volume's own EFI/BOOT tells.
func (v *volume) readArchitectures(r io.ReaderAt) {
	for i := range v.boot {
		b := &v.boot[i]
		if b.Platform != "EFI" || !b.Bootable {
			continue
		}
		names := efiPrograms(r, b.LBA*disc.BlockSize)
		if len(names) == 0 {
			if dir, ok := lookUp(r, v.root, "EFI", "BOOT"); ok {
				readDirectory(r, dir, func(name string, _ bool, _ extentOf, _ []byte) bool {
					name, _, _ = strings.Cut(name, ";")
					names = append(names, name)
					return len(names) < 1024
				})
			}
		}
		for _, a := range architectures {
			if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, a.file) }) {
				b.Architectures = append(b.Architectures, a.name)
			}
		}
	}
}

// bootBy says in a word or two each who boots the volume.
func (v *volume) bootBy() (by []string) {
	add := func(s string) {
		if !slices.Contains(by, s) {
			by = append(by, s)
		}
	}
	for _, b := range v.boot {
		switch {
		case !b.Bootable:
		case b.Platform != "EFI":
			add(b.Platform)
		case len(b.Architectures) == 0:
			add("UEFI")
		}
		for _, a := range b.Architectures {
			add("UEFI " + a)
		}
	}
	return by
}

// readHybrid says which partition tables lie in the system area: with them the
// image boots from a disk or a USB stick too.
func readHybrid(r io.ReaderAt) (tables []string) {
	b := make([]byte, 4096)
	if n, _ := r.ReadAt(b, 0); n < len(b) {
		return nil
	}
	if b[510] == 0x55 && b[511] == 0xAA {
		for e := b[446:510]; len(e) > 0; e = e[16:] {
			if e[4] != 0 || e[0] == 0x80 || binary.LittleEndian.Uint32(e[12:]) != 0 {
				tables = append(tables, "mbr")
				break
			}
		}
	}
	if bytes.HasPrefix(b[512:], []byte("EFI PART")) || bytes.HasPrefix(b[2048:], []byte("EFI PART")) {
		tables = append(tables, "gpt")
	}
	if bytes.HasPrefix(b[512:], []byte("PM")) || bytes.HasPrefix(b[2048:], []byte("PM")) {
		tables = append(tables, "apm")
	}
	return tables
}

// readHFS says which file systems of Apple lie in the volume header block of
// the image itself or of its first HFS partition.
func readHFS(r io.ReaderAt) (systems []string) {
	at := int64(0)
	head := make([]byte, 16*512)
	if n, _ := r.ReadAt(head, 0); n == len(head) && string(head[:2]) == "ER" {
		for e := head[512:]; len(e) >= 512; e = e[512:] {
			if string(e[:2]) == "PM" && bytes.HasPrefix(e[48:80], []byte("Apple_HFS")) {
				at = int64(binary.BigEndian.Uint32(e[8:])) * 512
				break
			}
		}
	}
	b := make([]byte, 128)
	if n, _ := r.ReadAt(b, at+1024); n < len(b) {
		return nil
	}
	switch string(b[:2]) {
	case "BD":
		if systems = append(systems, "hfs"); string(b[124:126]) == "H+" {
			systems = append(systems, "hfsplus")
		}
	case "H+", "HX":
		systems = append(systems, "hfsplus")
	}
	return systems
}
