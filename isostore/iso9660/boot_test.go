package iso9660

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
)

// findConfig is built into the loaders, whose shell has no if: it finds the disc
// by a file and goes on with bootConfig there.
const findConfig = `search --no-floppy --set=root --file /only-on-the-disc
normal ($root)/boot/grub/grub.cfg
`

// bootConfig checks the files of the disc by the firmware's own way to read it and
// hands back 0 when their hashes are right, else 1.
const bootConfig = `if sha256sum --check /SUMS --prefix ($root) ; then set r=16 ; else set r=17 ; fi
outb 0x501 $r
`

// modules are what the loaders need for it.
var modules = strings.Fields("normal iso9660 part_msdos part_gpt fat search search_fs_file echo test hashsum gcry_sha256 iorw minicmd configfile")

// bootFolder makes a folder of GRUB's parts that boots by BIOS and UEFI.
func bootFolder(t *testing.T) string {
	t.Helper()
	lab.Need(t, "grub-mkimage")
	data := strings.Repeat("data of the disc, read by the firmware\n", 5000)
	dir := plant(t, map[string]string{
		"only-on-the-disc":    "",
		"files/data of it":    data,
		"SUMS":                sum([]byte(data)) + "  files/data of it\n",
		"boot/grub/i386-pc/":  "",
		"boot/grub/grub.cfg":  bootConfig,
		"EFI/BOOT/readme.txt": "none",
	})
	config := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(config, []byte(findConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct{ format, out, more string }{
		{"i386-pc-eltorito", "boot/grub/i386-pc/eltorito.img", "biosdisk"},
		{"x86_64-efi", "EFI/BOOT/BOOTX64.EFI", "efi_gop"},
	} {
		tool(t, "grub-mkimage", append([]string{"-O", f.format, "-o", filepath.Join(dir, f.out), "-c", config, "-p", "/boot/grub", f.more}, modules...)...)
	}
	settle(t, dir)
	return dir
}

// TestBoot boots a created image: as a disc by both firmwares, and as a disk by
// UEFI, which finds it by its GPT.
func TestBoot(t *testing.T) {
	lab.Need(t, "ovmf", "grub-mkimage")
	t.Parallel()
	iso := created(t, bootFolder(t), Options{Label: "BOOTS", Hybrid: true})
	drive := "file=" + iso + ",if=none,id=disc,format=raw,readonly=on"
	disc := []string{"-drive", drive + ",media=cdrom", "-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=disc,bootindex=1"}
	for _, tt := range []struct {
		name string
		fw   lab.Firmware
	}{
		{"SeaBIOS disc", lab.Firmware{Args: disc}},
		{"OVMF disc", lab.Firmware{UEFI: true, Args: disc}},
		{"OVMF USB stick", lab.Firmware{UEFI: true, Args: []string{"-drive", drive, "-device", "qemu-xhci", "-device", "usb-storage,drive=disc,bootindex=1"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := lab.BootFirmware(t, tt.fw); r.Status != 0 {
				t.Errorf("status %d; want 0", r.Status)
			}
		})
	}
}

// TestSystemArea lets xorriso judge head and catalogue.
func TestSystemArea(t *testing.T) {
	lab.Need(t, "xorriso", "grub-mkimage")
	t.Parallel()
	iso := created(t, bootFolder(t), Options{Hybrid: true})
	report := tool(t, "xorriso", "-indev", iso, "-report_el_torito", "plain", "-report_system_area", "plain")
	img := volume(t, bootFolder(t), Options{Hybrid: true})
	boot := img.Boot()
	if len(boot) != 2 || boot[0].Platform != "BIOS" || !boot[0].InfoTable || boot[1].Platform != "EFI" || boot[1].Path != "" {
		t.Fatalf("Boot() = %+v", boot)
	}
	for _, want := range []string{
		fmt.Sprintf("El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4  %10d\n", boot[0].Block),
		fmt.Sprintf("El Torito boot img :   2  UEFI  y   none  0x0000  0x00 %6d  %10d\n", boot[1].Sectors, boot[1].Block),
		"El Torito img path :   1  /boot/grub/i386-pc/eltorito.img\n",
		"El Torito img opts :   1  boot-info-table",
		"System area summary: MBR protective-msdos-label cyl-align-off GPT\n",
		fmt.Sprintf("MBR partition      :   1   0x00  0xee            1 %12d\n", img.Size()/512-1),
		fmt.Sprintf("GPT start and size :   1  %d  %d\n", boot[1].Block*4, boot[1].Size/512),
		"GPT type GUID      :   1  28732ac11ff8d211ba4b00a0c93ec93b\n",
		fmt.Sprintf("GPT lba range      :      64  %d  %d\n", img.Size()/512-34, img.Size()/512-1),
	} {
		if !strings.Contains(report, want) {
			t.Errorf("xorriso's report lacks %q:\n%s", want, report)
		}
	}
	if strings.Contains(report, "GPT CRC") || strings.Contains(report, "wrong") {
		t.Errorf("xorriso finds fault:\n%s", report)
	}
}

// TestFAT reads the FAT image that is made of EFI/BOOT with mtools.
func TestFAT(t *testing.T) {
	lab.Need(t, "mcopy")
	t.Parallel()
	content := map[string]string{
		"efi/boot/bootx64.efi":              strings.Repeat("program", 100_000),
		"efi/boot/grub.cfg":                 "set",
		"efi/boot/a rather long name.conf":  "long",
		"efi/boot/a rather long name2.conf": "long 2",
		"efi/boot/empty":                    "",
		"efi/boot/more/Sub Directory/ünï":   strings.Repeat("x", 5000),
		"efi/other":                         "not in the image",
	}
	img := volume(t, plant(t, content), Options{})
	boot := img.Boot()
	if len(boot) != 1 || boot[0].Platform != "EFI" || boot[0].Path != "" {
		t.Fatalf("Boot() = %+v; want an image made of efi/boot", boot)
	}
	dir := t.TempDir()
	fat := filepath.Join(dir, "fat.img")
	if err := os.WriteFile(fat, bytesOf(t, img)[boot[0].Block*2048:][:boot[0].Size], 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, "mcopy", "-s", "-n", "-i", fat, "::/EFI", dir)
	n := 0
	for name, want := range content {
		below, ok := strings.CutPrefix(name, "efi/boot/")
		if !ok {
			continue
		}
		n++
		if got := mustRead(t, filepath.Join(dir, "EFI/BOOT", caseless(t, filepath.Join(dir, "EFI/BOOT"), below))); got != want {
			t.Errorf("%s has %d bytes in the image; want %d", name, len(got), len(want))
		}
	}
	found := 0
	if err := filepath.Walk(filepath.Join(dir, "EFI"), func(_ string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().IsRegular() {
			found++
		}
		return err
	}); err != nil || found != n {
		t.Errorf("%d files in the image, %v; want %d", found, err, n)
	}
}

// caseless finds a path below dir whose short names may be in capitals.
func caseless(t *testing.T, dir, name string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	first, rest, more := strings.Cut(name, "/")
	for _, p := range list {
		if b := filepath.Base(p); strings.EqualFold(b, first) {
			if more {
				return filepath.Join(b, caseless(t, p, rest))
			}
			return b
		}
	}
	return name
}
