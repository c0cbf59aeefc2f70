//go:build linux

package e2e

import (
	"path/filepath"
	"testing"

	"spindle/internal/lab"
)

// driveModules are what a guest loads to be both ends of a cable with a drive
// of ours at one.
var driveModules = []string{"dummy_hcd is_super_speed=1", "usb-storage delay_use=0", "sr_mod", "sg", "isofs", "udf", "sd_mod", "libcomposite", "usb_f_fs", "usb_f_mass_storage"}

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
mkdir -p /run
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

// TestUSBDrive has the kernel's own drivers read three drives in one gadget,
// the larger ones in samples, and changes the disc in the first.
func TestUSBDrive(t *testing.T) {
	t.Parallel()
	dir := library(t, map[string]lab.Image{
		"a.iso": {Size: 3 << 20, Seed: 30},
		"b.iso": {Kind: lab.UDF, Size: 2 << 20, Seed: 31},
	})
	driveGuest(t, map[string]string{"/a.iso": filepath.Join(dir, "a.iso"), "/b.iso": filepath.Join(dir, "b.iso")}, `
		# large FILE MIB: a sparse image of this size with data here and there
		large() {
			cp /a.iso $1 && truncate -s $2M $1
			for at in $samples; do [ $at -ge $2 ] || dd if=/dev/urandom of=$1 bs=64k seek=$((at * 16)) count=1 conv=notrunc 2>/dev/null; done
		}
		# sampled FILE DEVICE
		sampled() {
			[ $(stat -c %s $1) = $(($(cat /sys/block/$2/size) * 512)) ] || fail size of $2
			for at in 0 $samples; do
				[ $(($at * 1048576)) -lt $(stat -c %s $1) ] || continue
				dd if=$1 of=/tmp/want bs=64k skip=$((at * 16)) count=1 2>/dev/null
				dd if=/dev/$2 bs=64k skip=$((at * 16)) count=1 2>/dev/null | cmp - /tmp/want || fail "$2 at $at MiB"
			done
		}
		samples="100 4095 4096 5000 8191 16384 24999"
		large /dvd.iso 5001
		large /bd.iso 25000
		step serve
		serve /a.iso /dvd.iso /bd.iso
		waitfor test -b /dev/sr2 || fail three drives
		[ $(dmesg | grep -c "scsi3-mmc drive") = 3 ] || fail not drives
		usbdrive status | grep "speed=super-speed host=true" || fail status
		same /a.iso
		files iso9660
		step samples
		sampled /dvd.iso sr1
		sampled /bd.iso sr2

		step swap
		before=$(enumerated)
		usbdrive insert /b.iso || fail insert
		files udf
		same /b.iso
		guesttool eject /dev/sr0 || fail eject
		usbdrive status | grep "^open /b.iso" || fail the disc should lie on the tray
		[ "$(guesttool status /dev/sr0)" = open ] || fail "status $(guesttool status /dev/sr0)"
		guesttool closetray /dev/sr0 || fail close
		same /b.iso
		step prevent
		mount -t udf -o ro /dev/sr0 /mnt || fail mount
		refused usbdrive eject | grep usb:g0 || fail the holder has no name
		refused usbdrive insert /a.iso
		usbdrive insert /a.iso force || fail force
		umount /mnt || fail umount
		same /a.iso
		usbdrive eject || fail eject
		[ "$(guesttool status /dev/sr0)" = open ] || fail "status $(guesttool status /dev/sr0)"
		[ $(enumerated) = $before ] && ! dmesg | grep "USB disconnect" || fail the device was enumerated again
		! dmesg | grep -i "i/o error" || fail errors
		step stop
		stop
		step end`)
}

// TestUSBRecovery does to a drive what cables, hosts and crashes do.
func TestUSBRecovery(t *testing.T) {
	t.Parallel()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: 1 << 20, Seed: 32}, "b.iso": {Size: 16 << 20, Seed: 33}})
	driveGuest(t, map[string]string{"/a.iso": filepath.Join(dir, "a.iso"), "/b.iso": filepath.Join(dir, "b.iso")}, `
		device() { dirname $(grep -l "optical drive" /sys/bus/usb/devices/*/product); }
		step high speed
		serve -speed=high-speed -mmc /a.iso
		usbdrive status | grep speed=high-speed || fail status
		cat $(device)/*/bInterfaceSubClass | grep 02 || fail subclass
		same /a.iso
		stop

		serve /a.iso /b.iso
		waitfor test -b /dev/sr1 || fail two drives
		step reset in the middle of data
		{ sha256sum /dev/sr1 >/tmp/sum; touch /tmp/done; } &
		for n in 1 2 3; do
			waitfor sh -c "set -- \$(cat /sys/block/sr1/stat); [ \$3 -gt $((n * 6000)) ]" || fail the read does not go on
			guesttool reset /dev/sr1 bus || fail reset
		done
		[ ! -e /tmp/done ] || fail the read ended too soon for this test
		waitfor test -e /tmp/done || fail the read hangs
		[ "$(cut -d' ' -f1 /tmp/sum)" = $(sha256sum /b.iso | cut -d' ' -f1) ] || fail the read is wrong
		grep -c "event=enable" /tmp/drive.log

		step deauthorise
		dev=$(device)
		echo 0 >$dev/authorized || fail deauthorise
		gone
		usbdrive status | grep host=false || fail status
		echo 1 >$dev/authorized || fail authorise
		appear
		same /a.iso

		step rebind
		echo >/sys/kernel/config/usb_gadget/spindle-g0/UDC || fail unbind
		gone
		echo dummy_udc.0 >/sys/kernel/config/usb_gadget/spindle-g0/UDC || fail bind
		appear
		same /a.iso

		step suspend
		resets=$(dmesg | grep -c "reset SuperSpeed")
		echo devices >/sys/power/pm_test && echo 1 >/sys/module/suspend/parameters/pm_test_delay
		# The drive is a process of the kernel that suspends, and freezes before
		# that kernel's own work does: a poll on its way then keeps it awake.
		echo -1 >/sys/block/sr0/events_poll_msecs && echo 2000 >/sys/power/pm_freeze_timeout
		waitfor sh -c "echo freeze >/sys/power/state" || fail suspend
		grep -q event=suspend /tmp/drive.log || fail the drive was not suspended
		same /a.iso
		[ $(dmesg | grep -c "reset SuperSpeed") -le $((resets + 1)) ] || fail the host had to reset what it resumed

		step kill
		kill -9 $drive
		gone
		serve /a.iso
		same /a.iso
		stop
		step end`)
}

// TestUSBRefusals takes away what a drive needs, thing by thing: each is one
// line with its remedy, and nothing is left behind. It begins where somebody
// else composed the gadget, and where configfs is not mounted.
func TestUSBRefusals(t *testing.T) {
	t.Parallel()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: 1 << 20, Seed: 34}})
	driveGuest(t, map[string]string{"/a.iso": filepath.Join(dir, "a.iso")}, `
		gadgets=/sys/kernel/config/usb_gadget
		# refuses TEXT COMMAND...: one line with TEXT, and configfs as before
		refuses() {
			text=$1
			shift
			before=$(ls $gadgets 2>/dev/null)
			refused "$@" && grep -q "$text" /tmp/refusal || fail "no $text"
			[ $(wc -l </tmp/refusal) = 1 ] || fail more than a line
			[ "$(ls $gadgets 2>/dev/null)" = "$before" ] || fail something is left in configfs
			! grep spindle /proc/mounts || fail a mount is left
		}
		step composite
		mkdir $gadgets/theirs && cd $gadgets/theirs || fail mkdir
		echo 0x1d6b >idVendor
		echo 0x0104 >idProduct
		mkdir configs/c.1 functions/ffs.ours functions/mass_storage.0
		dd if=/dev/zero of=/tmp/disk bs=64k count=16 2>/dev/null
		echo /tmp/disk >functions/mass_storage.0/lun.0/file
		ln -s functions/mass_storage.0 configs/c.1/
		ln -s functions/ffs.ours configs/c.1/
		mkdir /ffs && mount -t functionfs ours /ffs || fail mount
		usbdrive serve -ffs=/ffs /a.iso >>/tmp/drive.log 2>&1 &
		drive=$!
		waitfor sh -c 'echo dummy_udc.0 >UDC' || fail bind
		appear
		waitfor test -b /dev/sda || fail no disk beside the drive
		same /a.iso
		guesttool reset /dev/sr0 bus || fail reset
		same /a.iso
		step busy
		refuses "remedy: echo > $gadgets/theirs/UDC" usbdrive serve /a.iso
		grep "dummy_udc.0 is taken by gadget theirs" /tmp/refusal || fail the holder has no name
		refuses "no USB device controller udc.9.*dummy_udc.0" usbdrive serve -udc=udc.9 /a.iso
		refuses "another process has it" usbdrive serve -ffs=/ffs /a.iso
		kill $drive && wait $drive || fail stop
		gone
		umount /ffs
		rm configs/c.1/*.*
		rmdir configs/c.1 functions/*
		cd / && rmdir $gadgets/theirs || fail rmdir

		step private configfs
		umount /sys/kernel/config
		serve /a.iso
		same /a.iso
		grep /run/spindle/configfs /proc/mounts || fail configfs is not mounted
		refused usbdrive serve /a.iso | grep "another process serves gadget spindle-g0" || fail a second one
		same /a.iso
		kill -9 $drive
		gone
		usbdrive serve /a.iso >>/tmp/drive.log 2>&1 &
		drive=$!
		appear
		kill $drive && wait $drive || fail stop
		gone
		! grep spindle /proc/mounts && [ -z "$(ls /run/spindle)" ] || fail a mount is left
		mount -t configfs none /sys/kernel/config

		step rights
		refuses "no rights.*remedy" usbdrive serve -uid=99 /a.iso
		[ -z "$(usbdrive check)" ] || fail "$(usbdrive check)"
		step modules
		rmmod dummy_hcd && usbdrive check | grep "remedy: modprobe dummy_hcd" || fail check
		refuses "no USB device controller.*remedy: modprobe dummy_hcd" usbdrive serve /a.iso
		rmmod usb_f_fs && usbdrive check | grep "remedy: modprobe usb_f_fs" || fail check
		refuses "remedy: modprobe usb_f_fs" usbdrive serve /a.iso
		rmmod usb_f_mass_storage libcomposite && usbdrive check | grep "remedy: modprobe libcomposite" || fail check
		refuses "remedy: modprobe libcomposite" usbdrive serve /a.iso
		step end`)
}
