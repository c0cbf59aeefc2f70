package image

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity tells a file from others, and from what it was before its metadata
// changed: device, inode and change time.
func identity(fi fs.FileInfo, path string) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return path
	}
	return fmt.Sprintf("%d %d %d.%d", st.Dev, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
}
