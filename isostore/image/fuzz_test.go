package image

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzOpenISO opens an image made of arbitrary bytes and reads what it opened.
// Each 216 bytes of them start a block from block 16 on, so that the fuzzer
// does not waste its time on the blocks' empty rest.
func FuzzOpenISO(f *testing.F) {
	const used = 216
	squeeze := func(b []byte) (s []byte) {
		for b = b[16*2048:]; len(b) > 0; b = b[2048:] {
			s = append(s, b[:used]...)
		}
		return s
	}
	f.Add(uint16(0), squeeze(isoImage(19, 19)))
	f.Add(uint16(7), squeeze(isoImage(18, 18)))
	f.Add(uint16(0), squeeze(udfImage(300, "L")[:20*2048]))
	f.Add(uint16(300), []byte("\x00CD001\x01EL TORITO SPECIFICATION"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, extra uint16, area []byte) {
		path := filepath.Join(dir, "x.iso")
		os.Remove(path) // some file systems flush a file that is written anew
		data := make([]byte, 16*2048, 64*1024)
		for ; len(area) > 0; area = area[min(used, len(area)):] {
			data = append(data, area[:min(used, len(area))]...)
			data = append(data, make([]byte, 2048-min(used, len(area)))...)
		}
		data = append(data, make([]byte, extra)...)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		d, info, err := OpenFile(path, Options{})
		if err != nil {
			return
		}
		defer d.Close()
		if info.Blocks*2048 < int64(len(data)) || info.Blocks*2048 >= int64(len(data))+2048 || len(info.Boot) > 64 {
			t.Errorf("%d bytes: %+v", len(data), info)
		}
		p := make([]byte, info.Blocks*2048)
		if n, err := d.ReadBlocks(p, 0); int64(n) != info.Blocks || err != nil || !bytes.Equal(p[:len(data)], data) {
			t.Errorf("ReadBlocks = %d of %d, %v", n, info.Blocks, err)
		}
	})
}

// FuzzFAT lists the boot programs of arbitrary bytes, a boot sector and what is
// behind it.
func FuzzFAT(f *testing.F) {
	boot := make([]byte, 512)
	copy(boot[11:], "\x00\x02\x01\x01\x00\x01\x10\x00\x40\x0B\xF0\x09\x00")
	copy(boot[510:], "\x55\xAA")
	rest := make([]byte, 20*512)
	copy(rest[9*512:], "EFI        \x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00")
	copy(rest[10*512:], "BOOT       \x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00")
	copy(rest[11*512:], "BOOTX64 EFI\x20")
	f.Add(boot, rest)
	f.Fuzz(func(t *testing.T, boot, rest []byte) {
		b := append(append([]byte(nil), boot...), rest...)
		if names := efiPrograms(bytes.NewReader(b), 0); len(names) > maxDirectory/32 {
			t.Errorf("%d programs", len(names))
		}
	})
}

// FuzzDirectory looks through an arbitrary ISO 9660 directory.
func FuzzDirectory(f *testing.F) {
	f.Add([]byte("\x22\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x01\x00\x00\x01\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		root := extentOf{0, int64(len(b))}
		hasRockRidge(bytes.NewReader(b), root)
		lookUp(bytes.NewReader(b), root, "EFI", "BOOT")
	})
}
