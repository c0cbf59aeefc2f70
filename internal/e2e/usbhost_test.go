//go:build linux

package e2e

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/internal/lab"
)

// usbModules are what a guest loads to be both ends of a USB cable: a device
// controller behind a host controller, and the host's drivers.
var usbModules = []string{"dummy_hcd is_super_speed=1", "usb-storage delay_use=0", "sr_mod", "sd_mod", "libcomposite", "usb_f_mass_storage"}

// TestKernelGadget plays the raw host against the kernel's own f_mass_storage:
// the baseline, and the proof that the battery sees what there is to see.
func TestKernelGadget(t *testing.T) {
	t.Parallel()
	g := &lab.Guest{
		Modules: usbModules,
		Data:    map[string][]byte{"/bin/usbhost": lab.GoBinary(t, "spindle/internal/lab/guest/usbhost")},
		Script: `
fail() {
	echo "FAILED: $*"
	exit 1
}
dmesg -n 1 # its lines would run into ours
dd if=/dev/urandom of=/tmp/disc bs=64k count=16 2>/dev/null
dd if=/dev/zero of=/tmp/disk bs=64k count=16 2>/dev/null
mount -t configfs none /sys/kernel/config
cd /sys/kernel/config/usb_gadget && mkdir g && cd g || fail configfs
echo 0x1d6b >idVendor
echo 0x0104 >idProduct
mkdir configs/c.1 functions/mass_storage.0 functions/mass_storage.0/lun.1
f=functions/mass_storage.0
echo 1 >$f/lun.0/cdrom
echo 1 >$f/lun.0/ro
echo 1 >$f/lun.0/removable
echo /tmp/disc >$f/lun.0/file
echo /tmp/disk >$f/lun.1/file
play() { # NAME SPEED STALL
	echo $2 >max_speed
	echo $3 >$f/stall
	ln -s $f configs/c.1/
	echo dummy_udc.0 >UDC || fail bind
	waitfor test -b /dev/sr0 && waitfor test -b /dev/sda || fail the kernel sees no drive
	echo "usbhost| begin $1"
	usbhost write || fail usbhost
	waitfor test -b /dev/sr0 && cmp /dev/sr0 /tmp/disc || fail the kernel does not have its drive back
	echo >UDC
	rm configs/c.1/mass_storage.0
}
play super super-speed 1
play super-nostall super-speed 0
play high high-speed 1`,
	}
	r := g.Run(t)
	if r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
	checkHost(t, r.Log, "super", kernelAnswers, nil)
	checkHost(t, r.Log, "super-nostall", kernelAnswers, kernelNoStall)
	checkHost(t, r.Log, "high", kernelAnswers, answers(highSpeed+`
11 Ho>Do: data=0 halt=none csw=0 residue=1536 sense=-`))
}

// highSpeed is the line in which every drive differs at high speed.
const highSpeed = "device: speed=high packet=512 subclass=06"

// answers reads a table: a line is a case's name and what the host sees then.
func answers(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		name, result, _ := strings.Cut(strings.TrimSpace(line), ": ")
		m[name] = result
	}
	return m
}

// checkHost compares what usbhost printed behind the line "begin NAME" with a
// table, in which the differences replace lines.
func checkHost(t *testing.T, log, name string, table, differences map[string]string) {
	t.Helper()
	want := maps.Clone(table)
	maps.Copy(want, differences)
	_, part, found := strings.Cut(log, "usbhost| begin "+name+"\n")
	part, _, _ = strings.Cut(part, "usbhost| begin ")
	var lines strings.Builder
	for line := range strings.Lines(part) {
		if s, ok := strings.CutPrefix(line, "usbhost| "); ok {
			lines.WriteString(s)
		}
	}
	got := answers(lines.String())
	if !found || len(got) < 40 {
		t.Errorf("%s: %d cases; want 40 or more", name, len(got))
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			t.Errorf("%s: %s\n got %s\nwant %s", name, k, got[k], want[k])
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: %s: %s is in no table", name, k, v)
		}
	}
}

// TestDriveBattery plays the raw host against our drive behind FunctionFS.
func TestDriveBattery(t *testing.T) {
	lab.Need(t, "kernel", "xorriso")
	t.Parallel()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: 3 << 20, Seed: 33}, "b.iso": {Size: 1 << 20, Seed: 34}})
	g := &lab.Guest{
		Modules:  driveModules,
		Binaries: []string{"guesttool"},
		Data: map[string][]byte{
			"/bin/usbdrive": lab.GoBinary(t, "spindle/internal/e2e/usbdrive"),
			"/bin/usbhost":  lab.GoBinary(t, "spindle/internal/lab/guest/usbhost"),
		},
		Files: map[string]string{"/a.iso": filepath.Join(dir, "a.iso"), "/b.iso": filepath.Join(dir, "b.iso")},
		Script: drivePrelude + `
play() { # NAME FLAGS...
	name=$1
	shift
	serve "$@" /a.iso /b.iso
	waitfor test -b /dev/sr1 || fail the kernel sees one drive
	echo "usbhost| begin $name"
	usbhost select || fail usbhost
	appear
	same /a.iso
	stop
}
play super
play super-stall -stall
play high -speed=high-speed`,
	}
	r := g.Run(t)
	if r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
	checkHost(t, r.Log, "super", spindleAnswers, nil)
	checkHost(t, r.Log, "super-stall", spindleAnswers, spindleStall)
	checkHost(t, r.Log, "high", spindleAnswers, answers(highSpeed))
}
