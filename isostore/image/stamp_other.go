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
