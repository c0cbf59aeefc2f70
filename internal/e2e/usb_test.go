//go:build linux

package e2e

import (
	"path/filepath"
	"testing"

	"spindle/internal/lab"
)

// driveModules are what a guest loads to be both ends of a cable with a drive
// of ours at one.
var driveModules = []string{"dummy_hcd is_super_speed=1", "usb-storage delay_use=0", "sr_mod", "sg", "isofs", "udf", "libcomposite", "usb_f_fs"}

// drivePrelude has functions for scripts with a drive of ours.
const drivePrelude = `
fail() {
	echo "FAILED: $*"
	tail -n 40 /tmp/drive.log
	exit 1
}
# serve ARGS... starts the drive and waits until the kernel has it.
serve() {
	usbdrive serve "$@" >>/tmp/drive.log 2>&1 &
	drive=$!
	appear
}
appear() {
	waitfor test -b /dev/sr0 || fail the kernel sees no drive
	echo 200 >/sys/block/sr0/events_poll_msecs
}
gone() { waitfor sh -c '! test -e /sys/block/sr0' || fail the drive did not go; }
stop() {
	kill $drive && wait $drive || fail "the drive ended with status $?"
	gone
	[ -z "$(ls /sys/kernel/config/usb_gadget)" ] || fail something is left in configfs
	! grep functionfs /proc/mounts || fail a mount is left
}
same() { # FILE: the device reads as the file
	cmp $1 /dev/sr0 || fail "the device is not $1"
	[ $(stat -c %s $1) = $(($(cat /sys/block/sr0/size) * 512)) ] || fail size
}
files() { # TYPE: mounts the disc and checks its files
	mount -t $1 -o ro /dev/sr0 /mnt && (cd /mnt && sha256sum -c SUMS) && umount /mnt || fail files of $1
}
refused() {
	! "$@" >/tmp/refusal 2>&1 || fail "$* was not refused"
	cat /tmp/refusal
}
enumerated() { dmesg | grep -c "new .* USB device"; }
step() { echo "STEP $(cut -d' ' -f1 /proc/uptime) $*"; }
dmesg -n 1
mount -t configfs none /sys/kernel/config
`

func driveGuest(t *testing.T, files map[string]string, script string) *lab.Result {
	t.Helper()
	lab.Need(t, "kernel", "xorriso")
	g := &lab.Guest{
		Modules:  driveModules,
		Binaries: []string{"guesttool"},
		Data:     map[string][]byte{"/bin/usbdrive": lab.GoBinary(t, "spindle/internal/e2e/usbdrive")},
		Files:    files,
		Script:   drivePrelude + script,
	}
	r := g.Run(t)
	if r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
	return r
}

func TestUSBDrive(t *testing.T) {
	t.Parallel()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: 3 << 20, Seed: 30}})
	driveGuest(t, map[string]string{"/a.iso": filepath.Join(dir, "a.iso")}, `
		step serve
		serve /a.iso
		step same
		same /a.iso
		step files
		files iso9660
		usbdrive status
		step stop
		stop
		step end`)
}
