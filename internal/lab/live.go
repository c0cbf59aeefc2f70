package lab

import (
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// liveScript is what the initramfs of a live disc does: it finds the disc, mounts
// the packed root on it below a file system in memory, and has that run programs.
const liveScript = `
waitfor mount -t iso9660 -o ro /dev/sr0 /mnt || exit 1
mkdir /ro /rw /new
mount -t squashfs -o ro,loop /mnt/live/filesystem.squashfs /ro || exit 2
mount -t tmpfs rw /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work root /new || exit 3
mount --bind /dev /new/dev
mount --bind /proc /new/proc
mount --bind /sys /new/sys
chroot /new /bin/sh -c '
	ls -lR /etc /usr/lib >/tmp/list
	for p in udevadm agetty findmnt lsblk fsck blkid iscsid iscsiadm xorriso sg_inq cd-info wodim lscpu login sed grep; do
		p=$(command -v $p) && timeout 10 $p --version </dev/null >/dev/null 2>&1
	done
	lsblk >/tmp/disks && sha256sum /usr/bin/s* >/tmp/sums' || exit 4
! dmesg | grep -i "i/o error"`

const liveConfig = `serial --unit=0 --speed=115200
terminal_output serial
linux /live/vmlinuz console=ttyS0 quiet panic=-1 mitigations=off nokaslr
initrd /live/initrd
boot
`

// LiveISO makes a disc as distributions publish them, in the test's temporary
// directory: GRUB loads Debian's kernel and an initramfs, which mounts a packed root
// from the disc and runs programs there. The machine hands back 0 when all went well;
// [BootFirmware] boots it behind [SCSI].
func LiveISO(t testing.TB) string {
	t.Helper()
	Need(t, "kernel", "root", "grub-mkrescue", "xorriso", "mformat")
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(root, "boot", "grub"), 0o755),
		os.MkdirAll(filepath.Join(root, "live"), 0o755),
		os.WriteFile(filepath.Join(root, "boot", "grub", "grub.cfg"), []byte(liveConfig), 0o644),
		liveInitrd(filepath.Join(root, "live", "initrd")),
	); err != nil {
		t.Fatal(err)
	}
	kernel, _, err := find("vmlinux")
	if err != nil {
		t.Fatal(err)
	}
	packed := "vmlinuz" + filepath.Base(kernel)[len("vmlinux"):]
	tools, _, err := find("root")
	if err != nil {
		t.Fatal(err)
	}
	// links would be outside of the disc
	run(t, "cp", filepath.Join(filepath.Dir(kernel), packed), filepath.Join(root, "live", "vmlinuz"))
	run(t, "cp", tools, filepath.Join(root, "live", "filesystem.squashfs"))
	out := filepath.Join(dir, "live.iso")
	run(t, "grub-mkrescue", "-o", out, "--locales=", "--fonts=", "--themes=",
		"--install-modules=normal linux iso9660 part_msdos part_gpt serial terminal search search_fs_file search_fs_uuid fat minicmd",
		root, "--", "-volid", "LIVELAB")
	return out
}

// liveInitrd writes the initramfs of a live disc, packed as Debian's is.
func liveInitrd(path string) error {
	g := &Guest{Modules: append([]string{"loop", "squashfs", "overlay"}, VirtioModules...), Script: liveScript}
	a, err := g.archive()
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	return errors.Join(a.write(z), z.Close(), f.Close())
}
