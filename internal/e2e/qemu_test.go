//go:build linux

package e2e

import (
	"testing"

	"spindle/internal/lab"
)

// TestPassThrough lets QEMU pass the commands of a guest's kernel through to us.
func TestPassThrough(t *testing.T) {
	lab.Need(t, "kernel", "xorriso")
	t.Parallel()
	iso := lab.ISO(t, lab.Image{Size: 3 << 20, Seed: 4})
	d := serve(t, iso)
	for _, device := range []string{"scsi-generic", "scsi-block"} {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			g := &lab.Guest{
				Modules:  lab.VirtioModules,
				Binaries: []string{"guesttool"},
				Args:     lab.SCSI(d.url(), device),
				Hooks:    map[string]lab.Hook{"same": sameAs(t, iso)},
				Script: `
					dmesg | grep "scsi3-mmc drive" || exit 1
					guesttool sgio /dev/sr0 "12 00 00 00 24 00" 36 | grep "data=.*5350494e444c45" || exit 2 # SPINDLE
					mount -t iso9660 -o ro /dev/sr0 /mnt && cd /mnt && sha256sum -c SUMS && cd / && umount /mnt || exit 3
					host same $(sha256sum /dev/sr0) || exit 4
					! dmesg | grep -i "i/o error"`,
			}
			if r := g.Run(t); r.Status != 0 {
				t.Errorf("status %d; want 0", r.Status)
			}
		})
	}
}

// sameAs is a hook that compares what sha256sum printed with a file.
func sameAs(t testing.TB, path string) lab.Hook {
	return func(args []string) (string, error) {
		if want := lab.SHA256(t, path); args[0] != want {
			t.Errorf("sha256 of %s is %s; want %s", args[1], args[0], want)
		}
		return "", nil
	}
}

// TestFirmware boots a disc that checks its own files.
func TestFirmware(t *testing.T) {
	lab.Need(t, "ovmf", "grub-mkrescue")
	t.Parallel()
	d := serve(t, lab.GrubISO(t))
	for _, tt := range []struct {
		name string
		fw   lab.Firmware
	}{
		{"OVMF virtio-scsi", lab.Firmware{UEFI: true, Args: lab.SCSI(d.url(), "scsi-generic")}},
		{"OVMF usb-bot", lab.Firmware{UEFI: true, Args: lab.USB(d.url(), "scsi-generic")}},
		{"SeaBIOS virtio-scsi", lab.Firmware{Args: lab.SCSI(d.url(), "scsi-generic")}},
		{"SeaBIOS usb-bot", lab.Firmware{Args: lab.USB(d.url(), "scsi-generic")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if r := lab.BootFirmware(t, tt.fw); r.Status != 0 {
				t.Errorf("status %d; want 0", r.Status)
			}
		})
	}
}
