package lab

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoginToPeer(t *testing.T) {
	Need(t, "kernel", "tgtd", "iscsistart", "xorriso")
	t.Parallel()
	iso := ISO(t, Image{Size: 3 << 20, Seed: 2, Label: "HELLO"})
	peer := Tgtd(t, iso)
	g := &Guest{
		Modules:  InitiatorModules,
		Binaries: []string{"iscsistart"},
		Net:      true,
		Script: `
			iscsistart -i iqn.2026-11.lab:guest -t ` + peer.IQN + ` -g 1 -a 10.0.2.2 -p ` + peer.Port() + `
			waitfor test -b /dev/sr0 || exit 5
			host sum $(sha256sum /dev/sr0) || exit 2
			mount -t iso9660 -o ro /dev/sr0 /mnt || exit 3
			cd /mnt && sha256sum -c SUMS || exit 4`,
		Hooks: map[string]Hook{
			"sum": func(args []string) (string, error) {
				if want := SHA256(t, iso); args[0] != want {
					t.Errorf("sha256 of the device is %s; want %s", args[0], want)
				}
				return "", nil
			},
		},
	}
	if r := g.Run(t); r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
}

func TestGenericThroughQEMU(t *testing.T) {
	Need(t, "kernel", "tgtd", "genisoimage")
	t.Parallel()
	iso := ISO(t, Image{Kind: UDF, Size: 1 << 20, Seed: 3})
	g := &Guest{
		Modules:  VirtioModules,
		Binaries: []string{"guesttool"},
		Args:     SCSI(Tgtd(t, iso).URL(), "scsi-generic"),
		Script: `
			guesttool uevents >/tmp/uevents &
			guesttool status /dev/sr0
			guesttool sgio /dev/sr0 "12 00 00 00 24 00" 36
			guesttool sgio /dev/sr0 99
			a=$(guesttool pread /dev/sr0 32768 2048)
			b=$(dd if=/dev/sr0 bs=2048 skip=16 count=1 2>/dev/null | sha256sum)
			[ "$a  -" = "$b" ] || exit 4
			mount -t udf -o ro /dev/sr0 /mnt && cd /mnt && sha256sum -c SUMS || exit 2
			cd / && umount /mnt
			echo change >/sys/block/sr0/uevent
			guesttool eject /dev/sr0 || exit 3
			guesttool status /dev/sr0
			guesttool closetray /dev/sr0
			waitfor grep DISK_MEDIA_CHANGE=1 /tmp/uevents`,
	}
	r := g.Run(t)
	if r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
	for _, want := range []string{
		"\ndisc\n",
		hex.EncodeToString([]byte("VIRTUAL-CDROM")),                   // INQUIRY is the peer's, not QEMU's
		"status=02 host=00 driver=08 residual=0 sense=70000500000000", // so is the sense of an unknown opcode
		"DISK_MEDIA_CHANGE=1",
	} {
		if !strings.Contains(r.Log, want) {
			t.Errorf("the console lacks %q", want)
		}
	}
}

func TestBootFirmware(t *testing.T) {
	Need(t, "ovmf", "tgtd", "grub-mkrescue")
	t.Parallel()
	disc := GrubISO(t)
	good := Tgtd(t, disc).URL()
	bad := Tgtd(t, flipByte(t, disc)).URL()
	for _, tt := range []struct {
		name   string
		fw     Firmware
		status int
	}{
		{"SeaBIOS virtio-scsi", Firmware{Args: SCSI(good, "scsi-generic")}, 0},
		{"SeaBIOS virtio-scsi, wrong data", Firmware{Args: SCSI(bad, "scsi-generic")}, 1},
		{"OVMF usb-bot", Firmware{UEFI: true, Args: USB(good, "scsi-generic")}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := BootFirmware(t, tt.fw); r.Status != tt.status {
				t.Errorf("status %d; want %d", r.Status, tt.status)
			}
		})
	}
}

// flipByte copies a disc of writeData's making with one bit of its data changed.
func flipByte(t *testing.T, disc string) string {
	t.Helper()
	p, err := os.ReadFile(disc)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64)
	if _, err := io.ReadFull(seeded(1), data); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(p, data)
	if at < 0 {
		t.Fatal("the data is not on the disc in one piece")
	}
	p[at] ^= 1
	out := filepath.Join(t.TempDir(), "bad.iso")
	if err := os.WriteFile(out, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
