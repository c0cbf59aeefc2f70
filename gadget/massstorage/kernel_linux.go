package massstorage

import (
	"os"

	"golang.org/x/sys/unix"
)

func kernel(root string) system {
	return system{
		root: root,
		mount: func(dir string) error {
			return unix.Mount("none", dir, "configfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		},
		unmount: func(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) },
		flock:   func(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) },
		mkdir:   func(dir string) error { return os.Mkdir(dir, 0o755) },
		rmdir:   unix.Rmdir,
	}
}
