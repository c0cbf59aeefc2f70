//go:build linux

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/internal/lab"
)

// bothModules make a guest both ends of a cable and of a network.
var bothModules = append([]string{
	"dummy_hcd is_super_speed=1", "usb-storage delay_use=0", "libcomposite", "usb_f_fs",
}, lab.InitiatorModules...)

// bothPrelude runs the real daemon in the guest with one drive on both front
// ends, and logs in to it: sr0 is the drive on the cable, sr1 over iSCSI.
const bothPrelude = `
fail() {
	echo "FAILED: $*"
	spindle status
	tail -n 40 /tmp/spindle.log
	exit 1
}
changes() { grep -c DISK_MEDIA_CHANGE=1 /tmp/$1.events; }
dmesg -n 1
mount -t configfs none /sys/kernel/config
ip link set lo up
hostname lab
mkdir -p /lib/images /tmp/st && mv /*.iso /lib/images/
export SPINDLE_SOCKET=/tmp/s
cat >/tmp/c.toml <<EOF
[library]
dirs = ["/lib/images"]
[daemon]
state = "/tmp/st"
socket = "/tmp/s"
[drive.cd0]
disc = "a.iso"
[drive.cd0.iscsi]
target = "iqn.2026-11.lab:cd0"
[drive.cd0.usb]
gadget = "g0"
[gadget.g0]
EOF
spindle serve --config /tmp/c.toml >/tmp/spindle.log 2>&1 &
daemon=$!
waitfor test -b /dev/sr0 || fail no drive on the cable
iscsistart -i iqn.2026-11.lab:guest -t iqn.2026-11.lab:cd0 -g 1 -a 127.0.0.1 -p 3260 || fail login
waitfor test -b /dev/sr1 || fail no drive over the network
`

func bothGuest(t *testing.T, tools []string, script string) *lab.Result {
	t.Helper()
	lab.Need(t, append([]string{"kernel", "iscsistart", "xorriso", "genisoimage"}, tools...)...)
	dir := library(t, map[string]lab.Image{
		"a.iso": {Size: 4 << 20, Seed: 40, Label: "ONE"},
		"b.iso": {Size: 2 << 20, Seed: 41, Label: "TWO"},
	})
	g := &lab.Guest{
		Modules:  bothModules,
		Binaries: append([]string{"guesttool", "iscsistart"}, tools...),
		Data:     map[string][]byte{"/bin/spindle": lab.GoBinary(t, "spindle/cmd/spindle")},
		Files:    map[string]string{"/a.iso": filepath.Join(dir, "a.iso"), "/b.iso": filepath.Join(dir, "b.iso")},
		Script:   bothPrelude + script,
		Memory:   768,
	}
	r := g.Run(t)
	if r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
	return r
}

// TestUSBAndISCSI offers one drive on a cable and over iSCSI at once: both
// hosts see a swap, and what one prevents the other cannot eject.
func TestUSBAndISCSI(t *testing.T) {
	t.Parallel()
	bothGuest(t, nil, `
		guesttool uevents >/tmp/all.events &
		for d in sr0 sr1; do
			echo 200 >/sys/block/$d/events_poll_msecs
			cmp /lib/images/a.iso /dev/$d || fail "$d is not the image"
		done
		spindle status | grep "gadget: g0 with cd0 on dummy_udc.0, configured" || fail status
		enumerated=$(dmesg | grep -c "new .* USB device")

		echo STEP swap
		spindle insert cd0 b.iso || fail insert
		for d in sr0 sr1; do
			waitfor sh -c "grep -A20 'block/$d' /tmp/all.events | grep -q DISK_MEDIA_CHANGE=1" || fail "$d was not told"
			cmp /lib/images/b.iso /dev/$d || fail "$d is not the new image"
		done

		echo STEP prevent
		guesttool lock /dev/sr1 || fail lock
		guesttool sgio /dev/sr0 1b0000000200 0 >/tmp/eject.out 2>&1
		grep "sense=..0005.*5302" /tmp/eject.out || { cat /tmp/eject.out; fail "the cable ejects what the network holds"; }
		guesttool unlock /dev/sr1 || fail unlock
		guesttool lock /dev/sr0 || fail lock
		guesttool sgio /dev/sr1 1b0000000200 0 >/tmp/eject.out 2>&1
		grep "sense=..0005.*5302" /tmp/eject.out || { cat /tmp/eject.out; fail "the network ejects what the cable holds"; }
		! spindle eject cd0 --wait 0s 2>/tmp/refusal || fail an operator too
		grep usb: /tmp/refusal || { cat /tmp/refusal; fail "the holder has no name"; }
		guesttool unlock /dev/sr0 || fail unlock
		spindle eject cd0 || fail eject
		[ "$(guesttool status /dev/sr0)" = open ] && [ "$(guesttool status /dev/sr1)" = open ] || fail the tray
		[ $(dmesg | grep -c "new .* USB device") = $enumerated ] || fail enumerated again
		! dmesg | grep -i "i/o error" || fail errors

		echo STEP kill
		kill -9 $daemon
		waitfor sh -c '! test -e /sys/block/sr0' || fail the drive did not go with its daemon
		spindle serve --config /tmp/c.toml >>/tmp/spindle.log 2>&1 &
		daemon=$!
		waitfor test -b /dev/sr0 || fail the drive did not come back
		[ "$(guesttool status /dev/sr0)" = empty ] || fail "what was ejected is back: $(guesttool status /dev/sr0)"
		spindle insert cd0 a.iso || fail insert after the kill
		waitfor cmp /lib/images/a.iso /dev/sr0 || fail not the image after the kill

		echo STEP stop
		kill $daemon && wait $daemon || fail "the daemon ended with $?"
		[ -z "$(ls /sys/kernel/config/usb_gadget)" ] || fail something is left in configfs
		`)
}

// sameTools are run against both front ends; extend the list with each tool
// whose answer must not depend on the way.
var sameTools = []string{
	"sg_inq DEV", "sg_inq -p 0x80 DEV", "sg_inq -p 0x83 DEV", "sg_vpd DEV",
	"sg_get_config DEV", "sg_modes DEV", "sg_modes -6 DEV", "sg_readcap DEV", "sg_turs DEV",
	"wodim -prcap dev=DEV", "xorriso -outdev DEV -toc", "cdrom_id DEV", "eject -T DEV", "eject -t DEV",
}

// mayDiffer is what the answers of a tool differ in, by what stands in the
// lines; a tool that is not here says the same of both. It is INQUIRY's version
// with what hangs on it (length, CMDQUE, version descriptors), the designators
// of iSCSI's target and port, and the interface of feature 0001.
var mayDiffer = map[string][]string{
	"sg_inq DEV": {"version=0x", "CmdQue=", "length=", "Clocking=", "ersion descriptors", "SAM-5", "iSCSI", "SPC-4", "MMC-6"},
	"sg_inq -p 0x83 DEV": {
		"Designation descriptor number ", "designator_type: SCSI name string", "SCSI name string:", "iqn.2026-11.lab:cd0,",
		"transport: Internet SCSI", "Relative target port", "Target port group", "associated with the ",
	},
	"sg_get_config DEV":    {"Physical interface standard: "},
	"wodim -prcap dev=DEV": {"Version        :", "Capabilities   :"},
}

// TestUSBAnswersAsISCSI compares what tools say of one drive on both ways.
func TestUSBAnswersAsISCSI(t *testing.T) {
	t.Parallel()
	var script strings.Builder
	for _, tool := range sameTools {
		for _, way := range [][2]string{{"/dev/sr0", "usb"}, {"/dev/sr1", "net"}} {
			script.WriteString("(" + strings.ReplaceAll(tool, "DEV", way[0]) + "; echo status $?) 2>&1 | sed 's#/dev/sr[01]#DEV#g; s/sr[01]/DEV/g' >/tmp/" + way[1] + ".out\n")
		}
		script.WriteString("echo 'TOOL " + tool + "'; head -n 3 /tmp/usb.out; sed -n 's/^status /STATUS /p' /tmp/usb.out /tmp/net.out; diff /tmp/usb.out /tmp/net.out | grep '^[-+][^-+]' | sed 's/^/DIFF /'; true\n")
	}
	tools := []string{"sg_inq", "sg_vpd", "sg_get_config", "sg_modes", "sg_readcap", "sg_turs", "wodim", "xorriso", "cdrom_id", "eject"}
	r := bothGuest(t, tools, script.String())
	tool, seen := "", 0
	met := map[string]bool{}
	for line := range strings.Lines(r.Log) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "TOOL "); ok {
			tool, seen = name, seen+1
		}
		if diff, ok := strings.CutPrefix(line, "DIFF "); ok {
			met[tool] = true
			if !expected(tool, diff) {
				t.Errorf("%s differs: %s", tool, diff)
			}
		}
		if status, ok := strings.CutPrefix(line, "STATUS "); ok && status != "0" {
			t.Errorf("%s ended with status %s", tool, status)
		}
	}
	if seen != len(sameTools) || len(met) != len(mayDiffer) {
		t.Errorf("%d tools ran, want %d; %d differed, want %d", seen, len(sameTools), len(met), len(mayDiffer))
	}
}

func expected(tool, diff string) bool {
	return slices.ContainsFunc(mayDiffer[tool], func(s string) bool { return strings.Contains(diff, s) })
}

// TestKernelMode has the daemon hand its images to the kernel's own mass
// storage function, which says what it cannot do and refuses what it would cut.
func TestKernelMode(t *testing.T) {
	t.Parallel()
	lab.Need(t, "kernel", "xorriso", "genisoimage")
	dir := library(t, map[string]lab.Image{
		"a.iso": {Size: 4 << 20, Seed: 42},
		"b.iso": {Size: 2 << 20, Seed: 43},
	})
	g := &lab.Guest{
		Modules:  []string{"dummy_hcd is_super_speed=1", "usb-storage delay_use=0", "sr_mod", "isofs", "libcomposite", "usb_f_mass_storage"},
		Binaries: []string{"guesttool"},
		Data:     map[string][]byte{"/bin/spindle": lab.GoBinary(t, "spindle/cmd/spindle")},
		Files:    map[string]string{"/lib/images/a.iso": filepath.Join(dir, "a.iso"), "/lib/images/b.iso": filepath.Join(dir, "b.iso")},
		Script: `
		fail() { echo "FAILED: $*"; spindle status; tail -n 40 /tmp/spindle.log; exit 1; }
		dmesg -n 1
		mount -t configfs none /sys/kernel/config
		export SPINDLE_SOCKET=/tmp/s
		cat >/tmp/c.toml <<EOF
[library]
dirs = ["/lib/images"]
[iscsi]
listen = []
[daemon]
state = "/tmp/st"
socket = "/tmp/s"
[drive.cd0]
disc = "a.iso"
[drive.cd0.usb]
gadget = "g0"
[gadget.g0]
mode = "kernel"
EOF
		spindle serve --config /tmp/c.toml >/tmp/spindle.log 2>&1 &
		daemon=$!
		waitfor test -b /dev/sr0 || fail no drive
		cmp /lib/images/a.iso /dev/sr0 || fail not the image
		spindle status | grep "limit: g0: .*2.36 GB" || fail the limits are not said
		cp /lib/images/a.iso /lib/images/large.iso && truncate -s 3G /lib/images/large.iso
		waitfor sh -c "! spindle insert cd0 large.iso 2>/tmp/refusal && grep 'cut off' /tmp/refusal" || fail a large image is not refused # once it is complete
		grep "hint: " /tmp/refusal || fail the refusal
		cmp /lib/images/a.iso /dev/sr0 || fail a refusal took the disc away
		spindle insert cd0 b.iso || fail insert
		echo 200 >/sys/block/sr0/events_poll_msecs
		waitfor cmp /lib/images/b.iso /dev/sr0 || fail not the new image
		mount -t iso9660 -o ro /dev/sr0 /mnt || fail mount
		! spindle eject cd0 --wait 0s 2>/tmp/refusal || fail held
		grep -i "holds the tray" /tmp/refusal || { cat /tmp/refusal; fail the refusal; }

		echo STEP pending
		sed -i 's/a.iso/large.iso/' /tmp/c.toml && kill -HUP $daemon
		waitfor sh -c "spindle status | grep 'alarm: .*cut off'" || fail "a large image of the file is not refused"
		sed -i 's/large.iso/b2.iso/' /tmp/c.toml && cp /lib/images/a.iso /lib/images/b2.iso && kill -HUP $daemon
		waitfor sh -c 'spindle status | grep "^pending: cd0 waits to insert b2.iso"' || fail "a changed disc is not pending"
		umount /mnt
		waitfor cmp /lib/images/b2.iso /dev/sr0 || fail "the changed disc did not come when the host let go"

		echo STEP reload
		sed -i 's/^disc = .*/&\nua_on_return = true/' /tmp/c.toml && kill -HUP $daemon
		waitfor sh -c 'grep -c "msg=gadget " /tmp/spindle.log | grep -q 2' || fail "the gadget is not made again"
		waitfor cmp /lib/images/b2.iso /dev/sr0 || fail "the disc is lost when a gadget is made again"

		echo STEP force and host
		spindle insert cd0 b.iso || fail insert
		waitfor cmp /lib/images/b.iso /dev/sr0 || fail not the image
		guesttool eject /dev/sr0 || fail eject of the host
		waitfor sh -c 'spindle status | grep -E "^cd0 +(open|empty)"' || fail "a host's eject is not seen"
		spindle insert cd0 b.iso || fail insert again
		mount -t iso9660 -o ro /dev/sr0 /mnt || fail mount
		spindle eject cd0 --force || fail force
		umount /mnt
		kill $daemon && wait $daemon || fail "the daemon ended with $?"
		[ -z "$(ls /sys/kernel/config/usb_gadget)" ] || fail something is left in configfs
		`,
	}
	if r := g.Run(t); r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
}
