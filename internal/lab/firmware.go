package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Firmware is a boot without a kernel of ours: the firmware finds the boot loader
// on a disc, and that hands back the status.
type Firmware struct {
	UEFI    bool     // OVMF in place of SeaBIOS
	Args    []string // QEMU's drive and device lines, such as [SCSI] and [USB] make
	Timeout time.Duration
}

// SCSI returns QEMU's arguments for a drive behind virtio-scsi, by pass-through of
// every command to a logical unit at an iscsi:// URL. The device is "scsi-generic"
// or "scsi-block"; it is first in the boot order, but for a kernel, which QEMU boots as 0.
func SCSI(url, device string) []string {
	return []string{
		"-drive", "file=" + url + ",if=none,id=disc,format=raw,readonly=on",
		"-device", "virtio-scsi-pci,id=scsi",
		"-device", device + ",drive=disc,bus=scsi.0,bootindex=1",
	}
}

// USB is as SCSI, behind a USB Bulk-Only device of QEMU's own.
func USB(url, device string) []string {
	return []string{
		"-drive", "file=" + url + ",if=none,id=disc,format=raw,readonly=on",
		"-device", "qemu-xhci,id=usb", "-device", "usb-bot,id=bot,bus=usb.0",
		"-device", device + ",drive=disc,bus=bot.0,bootindex=1",
	}
}

// BootFirmware boots from what the arguments name and returns the status that the
// boot loader wrote. It fails the test when there is none.
func BootFirmware(t testing.TB, fw Firmware) *Result {
	t.Helper()
	Need(t, "qemu-system-x86_64")
	args := append([]string{"-m", "256", "-smp", "1"}, fw.Args...)
	if fw.UEFI {
		Need(t, "ovmf")
		vars := filepath.Join(t.TempDir(), "vars.fd")
		template, err := os.ReadFile(Tool(t, "OVMF_VARS_4M.fd"))
		if err == nil {
			err = os.WriteFile(vars, template, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "-M", "q35",
			"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+Tool(t, "OVMF_CODE_4M.fd"),
			"-drive", "if=pflash,format=raw,unit=1,file="+vars)
	}
	return boot(t, fw.Timeout, nil, append(args, accelerator()...)...)
}

// grubConfig checks the disc's files by the firmware's own way to read it, without
// any kernel, and hands back 0 when all hashes are equal, else 1.
const grubConfig = `serial --unit=0 --speed=115200
terminal_output serial
insmod gcry_sha256
insmod hashsum
insmod iorw
if sha256sum --check /SUMS --prefix ($root) ; then set r=16 ; else set r=17 ; fi
outb 0x501 $r
`

// grubModules are those that the disc needs: all of them would make it 44 MB, and the
// time of a boot goes by the bytes that are read.
const grubModules = "normal iso9660 part_msdos part_gpt serial terminal test echo configfile search search_fs_file search_fs_uuid " +
	"hashsum gcry_sha256 iorw fat minicmd"

// GrubISO returns the path of a small disc that boots in SeaBIOS and OVMF, checks
// the hashes of its own files and hands back 0 when they are right. It is made
// once for each version of the tools and kept in the cache: do not write to it.
func GrubISO(t testing.TB) string {
	t.Helper()
	Need(t, "grub-mkrescue", "xorriso", "mformat")
	versions := run(t, "grub-mkrescue", "--version") + run(t, "xorriso", "-version")
	key := sha256.Sum256([]byte(versions + grubConfig + grubModules))
	out := filepath.Join(Dir(), "grub-"+hex.EncodeToString(key[:6])+".iso")
	if _, err := os.Stat(out); err == nil {
		return out
	}
	dir := t.TempDir()
	root := tree(t, dir, Image{Size: 1 << 20, Seed: 1})
	if err := os.MkdirAll(filepath.Join(root, "boot", "grub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "boot", "grub", "grub.cfg"), []byte(grubConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(Dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.CreateTemp(Dir(), "tmp.*.iso")
	if err != nil {
		t.Fatal(err)
	}
	tmp.Close()
	defer os.Remove(tmp.Name())
	run(t, "grub-mkrescue", "-o", tmp.Name(), "--locales=", "--fonts=", "--themes=",
		"--install-modules="+strings.TrimSpace(grubModules), root, "--", "-volid", "GRUBLAB")
	if err := errors.Join(os.Chmod(tmp.Name(), 0o444), os.Rename(tmp.Name(), out)); err != nil {
		t.Fatal(err)
	}
	return out
}
