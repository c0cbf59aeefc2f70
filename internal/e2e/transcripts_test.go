//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/internal/transcripttest"
)

// A taking is how a transcript is taken.
type taking struct {
	name  string
	quick bool // takes a second: taken anew each time, not only to be kept
	tools []string
	take  func(t *testing.T, r *traceRig)
}

// takings are the transcripts of testdata/transcripts.
var takings = []taking{
	{"seabios", true, nil, bootBy(false, func(r *traceRig) []string { return lab.SCSI(r.url(), "scsi-generic") })},
	{"seabios-usb", false, nil, bootBy(false, func(r *traceRig) []string { return lab.USB(r.url(), "scsi-generic") })},
	{"edk2", false, []string{"ovmf"}, bootBy(true, func(r *traceRig) []string { return lab.SCSI(r.url(), "scsi-generic") })},
	{"edk2-usb", false, []string{"ovmf"}, bootBy(true, func(r *traceRig) []string { return lab.USB(r.url(), "scsi-generic") })},
	{"qemu", true, nil, bootBy(false, func(r *traceRig) []string { return lab.SCSI(r.url(), "scsi-cd") })},
	{"ipxe", false, []string{"pxe-virtio.rom"}, bootBy(false, ipxe)},
	{"linux-iscsi", false, []string{"kernel", "iscsistart"}, takeLinux},
	{"linux-usb", false, []string{"kernel", "usbip"}, takeLinuxUSB},
}

// TestTranscripts takes transcripts with the flight recorder of a daemon, of
// hosts that attach, boot, read and change discs, and replays each. With
// SPINDLE_RECORD=1 it takes all and keeps them in testdata/transcripts, where
// internal/transcripttest replays them; else the quick ones alone.
func TestTranscripts(t *testing.T) {
	record := os.Getenv("SPINDLE_RECORD") == "1"
	if !record { // what is kept is of a host that had the machine for itself
		t.Parallel()
	}
	for _, tt := range takings {
		if !tt.quick && !record {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			lab.Need(t, append([]string{"qemu-system-x86_64"}, tt.tools...)...)
			r := newTraceRig(t)
			tt.take(t, r)
			text := r.trace()
			for _, err := range transcripttest.Replay(t, bytes.NewReader(text)) {
				t.Error(err)
			}
			if record && !t.Failed() {
				name := filepath.Join("..", "..", "testdata", "transcripts", tt.name+".jsonl")
				if err := os.WriteFile(name, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A traceRig is a daemon with the discs of transcripts, boot.iso in the drive.
type traceRig struct{ *daemon }

func newTraceRig(t *testing.T) *traceRig {
	t.Helper()
	dir := t.TempDir()
	for name, data := range transcripttest.Discs() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(t.TempDir(), "spindle.toml")
	text := fmt.Sprintf(`[library]
dirs = [%q]
[drive.cd0]
disc = "boot.iso"
[drive.cd0.iscsi]
target = "iqn.2026-11.net.example:cd0"
[drive.cd0.usb]
gadget = "g0"
[gadget.g0]
usbip = "127.0.0.1:0"
`, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &traceRig{serve(t, "--config", config)}
	r.expect("ready", "boot.iso")
	return r
}

// trace returns what the drive's recorder holds, when every host has left.
func (r *traceRig) trace() (text []byte) {
	r.t.Helper()
	until(r.t, func() error {
		out, err := r.run("trace", "cd0", "--json")
		if err != nil {
			return err
		}
		joined, lost := strings.Count(out, `"event":"nexus-joined"`), strings.Count(out, `"event":"nexus-lost"`)
		if joined == 0 || joined != lost {
			return fmt.Errorf("%d hosts came and %d left", joined, lost)
		}
		text = []byte(out)
		return nil
	})
	return text
}

// bootBy boots boot.iso, which checks what it reads.
func bootBy(uefi bool, args func(*traceRig) []string) func(*testing.T, *traceRig) {
	return func(t *testing.T, r *traceRig) {
		if res := lab.BootFirmware(t, lab.Firmware{UEFI: uefi, Args: args(r)}); res.Status != 0 {
			t.Errorf("status %d; want 0", res.Status)
		}
	}
}

// ipxe has iPXE, in the ROM of a network card, boot over iSCSI by itself.
func ipxe(r *traceRig) []string {
	dir := r.t.TempDir()
	_, port, err := net.SplitHostPort(r.portal)
	if err == nil {
		script := fmt.Sprintf("#!ipxe\nsanboot iscsi:10.0.2.2::%s:0:%s\n", port, r.cd0().Target)
		err = os.WriteFile(filepath.Join(dir, "boot.ipxe"), []byte(script), 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return []string{
		"-netdev", "user,id=n,tftp=" + dir + ",bootfile=boot.ipxe",
		"-device", "virtio-net-pci,netdev=n", "-boot", "n",
	}
}

// linuxScript attaches, reads, has the disc swapped, and ejects and loads.
const linuxScript = `
fail() {
	echo "FAILED: $*"
	exit 1
}
guesttool uevents >/tmp/uevents &
attach || fail attach
waitfor test -b /dev/sr0 || fail no drive
echo 1000 >/sys/block/sr0/events_poll_msecs
same() { # DISC: compares the file of the mounted disc
	mount -t iso9660 -o ro /dev/sr0 /mnt || fail mount $1
	host data $1 $(sha256sum /mnt/data.bin) || fail $1
	umount /mnt || fail umount
}
same boot.iso
before=$(grep -c DISK_MEDIA_CHANGE=1 /tmp/uevents)
host insert second.iso || fail insert
waitfor sh -c "[ \$(grep -c DISK_MEDIA_CHANGE=1 /tmp/uevents) -gt $before ]" || fail no event
same second.iso
mount -t iso9660 -o ro /dev/sr0 /mnt || fail mount
host insert boot.iso && fail a held tray was opened
umount /mnt
guesttool eject /dev/sr0 || fail eject
guesttool closetray /dev/sr0 || fail load
waitfor test "$(guesttool status /dev/sr0)" = disc || fail the disc is not back
same second.iso
host eject || fail the operator cannot eject
! dmesg | grep -i "i/o error" || fail errors
detach
`

func (r *traceRig) linux(t *testing.T, g *lab.Guest, script string) {
	g.Binaries = append(g.Binaries, "guesttool")
	g.Net = true
	g.Script = script + linuxScript
	g.Hooks = map[string]lab.Hook{
		"insert": func(args []string) (string, error) { return r.run("insert", "cd0", args[0]) },
		"eject":  func([]string) (string, error) { return r.run("eject", "cd0") },
		"data": func(args []string) (string, error) {
			if want := transcripttest.DataSum(args[0]); args[1] != want {
				return "", fmt.Errorf("DATA.BIN of %s has SHA-256 %s; want %s", args[0], args[1], want)
			}
			return "", nil
		},
	}
	if res := g.Run(t); res.Status != 0 {
		t.Errorf("status %d; want 0", res.Status)
	}
}

func takeLinux(t *testing.T, r *traceRig) {
	_, port, err := net.SplitHostPort(r.portal)
	if err != nil {
		t.Fatal(err)
	}
	r.linux(t, &lab.Guest{Modules: lab.InitiatorModules, Binaries: []string{"iscsistart"}}, fmt.Sprintf(`
attach() { iscsistart -i %s -g 1 -a 10.0.2.2 -p %s -t %s; }
detach() { echo 1 >/sys/block/sr0/device/delete; }
`, guestName, port, r.cd0().Target))
}

func takeLinuxUSB(t *testing.T, r *traceRig) {
	_, port, err := net.SplitHostPort(r.status().Gadgets[0].UDC)
	if err != nil {
		t.Fatal(err)
	}
	r.linux(t, &lab.Guest{
		Modules:  []string{"vhci_hcd", "usb-storage delay_use=0", "sr_mod", "sg", "isofs"},
		Binaries: []string{"usbip"},
	}, fmt.Sprintf(`
mkdir -p /var/run
attach() { usbip --tcp-port %s attach -r 10.0.2.2 -b 1-1; }
detach() { usbip detach -p 0; }
`, port))
}
