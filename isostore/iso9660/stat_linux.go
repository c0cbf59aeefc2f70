package iso9660

import (
	"io/fs"
	"os"
	"syscall"
)

// A stamp is what tells a file from another one and from itself after a write.
type stamp struct {
	size      int64
	sec, nsec int64 // of the last modification, since 1970
	ino       uint64
}

// An inode is a file of one machine.
type inode struct{ dev, ino uint64 }

func stampFrom(fi fs.FileInfo) stamp {
	t := fi.ModTime()
	s := stamp{size: fi.Size(), sec: t.Unix(), nsec: int64(t.Nanosecond())}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.ino = st.Ino
	}
	return s
}

// stampOf returns the stamp of f, whose descriptor is fd. It is os.File.Stat
// without its allocation.
func stampOf(f *os.File, fd int) (stamp, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Fstat(fd, &st)
		if err == nil {
			return stamp{st.Size, int64(st.Mtim.Sec), int64(st.Mtim.Nsec), st.Ino}, nil
		}
		if err != syscall.EINTR {
			return stamp{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
		}
	}
}

// linked returns the inode of a file that has more than one name.
func linked(fi fs.FileInfo) (inode, bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return inode{}, false
	}
	return inode{uint64(st.Dev), st.Ino}, true
}
