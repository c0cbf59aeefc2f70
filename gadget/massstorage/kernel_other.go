//go:build !linux

package massstorage

import (
	"os"

	"spindle/gadget"
)

func kernel(root string) system {
	fail := func(string) error { return gadget.ErrSystem }
	return system{root: root, mount: fail, unmount: fail, flock: func(*os.File) error { return gadget.ErrSystem }, mkdir: fail, rmdir: fail}
}
