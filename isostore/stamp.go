package isostore

import (
	"encoding/binary"
	"hash/fnv"
	"io/fs"
	"os"
	"path"
	"time"
)

// A stamp tells one state of a file from another: equal stamps are taken for
// equal bytes. A zero Inode is that of a system without them.
type stamp struct {
	Device   uint64 `json:"dev"`
	Inode    uint64 `json:"ino"`
	Size     int64  `json:"size"`
	Modified int64  `json:"mtime"` // ns since 1970
	Changed  int64  `json:"ctime"` // ns since 1970
}

// sameBytes reports whether a file that was s and is t was not written to or
// replaced meanwhile; a change of mode or of links does not count.
func (s stamp) sameBytes(t stamp) bool {
	s.Changed, t.Changed = 0, 0
	return s == t
}

// young reports whether the file changed, or came to its place, less than
// settleTime before now.
func (s stamp) young(now time.Time) bool {
	age := now.Sub(time.Unix(0, max(s.Modified, s.Changed)))
	return age < settleTime && age > -settleTime
}

// stampOf is the stamp of a file that was looked at.
func stampOf(fi fs.FileInfo) stamp {
	s := stamp{Size: fi.Size(), Modified: fi.ModTime().UnixNano()}
	s.Device, s.Inode, s.Changed = statOf(fi)
	return s
}

// maxDiscFiles bounds the files of a directory that is an image.
const maxDiscFiles = 100_000

// look returns the stamp of the file name below root, through a symbolic link
// that stays there. On a remote file system a file is opened for it: that
// makes the client ask its server.
func look(root *os.Root, name string, remote bool) (stamp, error) {
	fi, err := root.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	if fi.IsDir() {
		return lookDir(root, name, stampOf(fi)), nil
	}
	if remote && fi.Mode().IsRegular() {
		if f, err := openFile(root, name); err == nil {
			defer f.Close()
			if now, err := f.Stat(); err == nil {
				fi = now
			}
		}
	}
	return stampOf(fi), nil
}

// lookDir is the stamp of a directory with all that is in it: the size of all
// files, the latest times, and in place of the inode's number a hash of names
// and stamps.
func lookDir(root *os.Root, dir string, s stamp) stamp {
	h := fnv.New64a()
	n := 0
	s.Size = 0
	_ = fs.WalkDir(root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if n++; n > maxDiscFiles {
			return fs.SkipAll
		}
		if err != nil {
			return nil
		}
		fi, err := root.Lstat(name)
		if err != nil {
			return nil
		}
		t := stampOf(fi)
		_, _ = h.Write([]byte(name))
		_ = binary.Write(h, binary.LittleEndian, t)
		if fi.Mode().IsRegular() {
			s.Size += t.Size
		}
		s.Modified, s.Changed = max(s.Modified, t.Modified), max(s.Changed, t.Changed)
		return nil
	})
	s.Inode = h.Sum64()
	return s
}

// A companion is a file that an image needs besides its own.
type companion struct {
	Name  string `json:"name"` // relative to the image's directory
	Stamp stamp  `json:"stamp"`
}

// stampFiles looks at the files that the image name needs; one that is not
// there has a zero stamp.
func stampFiles(root *os.Root, name string, files []string) (list []companion) {
	for _, f := range files {
		s, err := look(root, besides(name, f), false)
		if err != nil {
			s = stamp{}
		}
		list = append(list, companion{f, s})
	}
	return list
}

// besides is the name in the library of a companion of the image name.
func besides(name, companion string) string { return path.Join(path.Dir(name), companion) }
