//go:build linux

package e2e

import (
	"path/filepath"
	"testing"

	"spindle/internal/lab"
)

// TestKernelDrive hands images to the kernel's f_mass_storage by package
// massstorage, under a kernel that looks on.
func TestKernelDrive(t *testing.T) {
	lab.Need(t, "kernel", "xorriso", "genisoimage")
	t.Parallel()
	dir := library(t, map[string]lab.Image{
		"a.iso": {Size: 3 << 20, Seed: 35},
		"b.iso": {Kind: lab.UDF, Size: 2 << 20, Seed: 36},
	})
	g := &lab.Guest{
		Modules:  append([]string{"udf", "isofs"}, usbModules...),
		Binaries: []string{"guesttool"},
		Data:     map[string][]byte{"/bin/testdrive": lab.GoBinary(t, "spindle/gadget/massstorage/testdrive")},
		Files:    map[string]string{"/a.iso": filepath.Join(dir, "a.iso"), "/b.iso": filepath.Join(dir, "b.iso")},
		Script: `
cp /a.iso /large.iso && truncate -s 3G /large.iso
cp /a.iso /odd.iso && truncate -s 3000001 /odd.iso
cat >/bin/detected <<'END'
dmesg | grep -c "USB Mass Storage device detected"
END
testdrive <<'END' || exit 1
waitfor test -b /dev/sr0
echo 200 >/sys/block/sr0/events_poll_msecs
insert /a.iso
status
waitfor cmp /a.iso /dev/sr0
[ $(stat -c %s /a.iso) = $(($(cat /sys/block/sr0/size) * 512)) ]
mount -t iso9660 -o ro /dev/sr0 /mnt && cd /mnt && sha256sum -c SUMS

! insert /b.iso
echo "$REFUSAL" | grep "holds the tray"
! eject
umount /mnt
insert /b.iso
waitfor cmp /b.iso /dev/sr0
mount -t udf -o ro /dev/sr0 /mnt && cd /mnt && sha256sum -c SUMS
force /a.iso
umount /mnt
waitfor cmp /a.iso /dev/sr0

! insert /large.iso
echo "$REFUSAL" | grep "1572864 blocks are more than 1151999"
! insert /odd.iso
echo "$REFUSAL" | grep "no multiple of 2048"
cmp /a.iso /dev/sr0

guesttool lock /dev/sr0
! eject
force
waitfor sh -c '! dd if=/dev/sr0 of=/dev/null count=1 2>/dev/null'
insert /b.iso
waitfor cmp /b.iso /dev/sr0
guesttool eject /dev/sr0
status
insert /a.iso
waitfor cmp /a.iso /dev/sr0
[ $(sh /bin/detected) = 1 ]
END
[ -z "$(ls /run/spindle)" ] && ! grep configfs /proc/mounts || exit 2

testdrive <<'END' && exit 3 # killed; the kernel serves on
insert /a.iso
kill -9 $PPID
END
waitfor cmp /a.iso /dev/sr0 || exit 4
echo "insert /b.iso
waitfor cmp /b.iso /dev/sr0" | testdrive || exit 5
[ -z "$(ls /run/spindle)" ] && ! grep configfs /proc/mounts || exit 6`,
	}
	if r := g.Run(t); r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
}
