//go:build !linux

package iso9660

import (
	"io/fs"
	"os"
)

// A stamp is what tells a file from itself after a write.
type stamp struct {
	size      int64
	sec, nsec int64 // of the last modification, since 1970
	ino       uint64
}

// An inode is a file of one machine.
type inode struct{ dev, ino uint64 }

func stampFrom(fi fs.FileInfo) stamp {
	t := fi.ModTime()
	return stamp{size: fi.Size(), sec: t.Unix(), nsec: int64(t.Nanosecond())}
}

// stampOf returns the stamp of f.
func stampOf(f *os.File, _ int) (stamp, error) {
	fi, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	return stampFrom(fi), nil
}

// linked knows nothing of hard links here: each name has its data.
func linked(fs.FileInfo) (inode, bool) { return inode{}, false }
