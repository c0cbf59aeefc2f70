//go:build !linux

package isostore

import (
	"io/fs"
	"os"
)

// statOf knows of none of these here.
func statOf(fs.FileInfo) (dev, ino uint64, changed int64) { return 0, 0, 0 }

// remoteType knows of no remote file system here.
func remoteType(string) string { return "" }

// openFile opens a file below root.
func openFile(root *os.Root, name string) (*os.File, error) { return root.Open(name) }
