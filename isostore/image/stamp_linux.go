package image

import (
	"os"
	"syscall"
)

// A stamp is what a write changes in a file's metadata. The change time is no
// part of it: a rename or a chmod changes that, and the image is still good.
type stamp struct {
	size      int64
	sec, nsec int64
}

// stampOf returns the stamp of f, whose descriptor is fd. It is os.File.Stat
// without its allocation.
func stampOf(f *os.File, fd int) (stamp, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Fstat(fd, &st)
		if err == nil {
			return stamp{st.Size, int64(st.Mtim.Sec), int64(st.Mtim.Nsec)}, nil
		}
		if err != syscall.EINTR {
			return stamp{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
		}
	}
}

// inodeOf returns the number of f's inode, which a file renamed over another
// does not share with it.
func inodeOf(f *os.File) uint64 {
	if fi, err := f.Stat(); err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			return st.Ino
		}
	}
	return 0
}
