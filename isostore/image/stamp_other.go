//go:build !linux

package image

import "os"

// A stamp is what a write changes in a file's metadata.
type stamp struct {
	size      int64
	sec, nsec int64
}

// stampOf returns the stamp of f.
func stampOf(f *os.File, _ int) (stamp, error) {
	fi, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	t := fi.ModTime()
	return stamp{fi.Size(), t.Unix(), int64(t.Nanosecond())}, nil
}

// inodeOf is 0: this system has no such numbers, and time and size must do.
func inodeOf(*os.File) uint64 { return 0 }
