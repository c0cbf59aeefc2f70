package massstorage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// What f_mass_storage serves as an optical disc (Linux, drivers/usb/gadget/
// function/storage_common.c, fsg_lun_open): a longer image it would cut off
// silently, a shorter one it refuses.
const (
	BlockSize = 2048          // bytes
	MinBlocks = 300           // the shortest track
	MaxBlocks = 256*60*75 - 1 // the last address in minutes, seconds and frames: 2.36 GB
)

// ErrImage is wrapped by the refusals of Check.
var ErrImage = errors.New("not for the kernel's drive")

// Limits are what a drive of the kernel's cannot do, a line each, for people.
func Limits() []string {
	return []string{
		fmt.Sprintf("images are flat (2048-byte blocks) and have at most %d blocks (2.36 GB)", MaxBlocks),
		"every disc is a CD-ROM with one data track; no DVD or BD, no audio, no recording",
		"a dozen commands: no events, no features, so hosts poll and players may refuse",
		"it is not known which host holds the tray; a host's eject takes the disc out for good",
		"no trace; over iSCSI, if it is, the same disc lies in a tray of its own",
	}
}

// Check says whether the kernel serves an image as it is, and returns its
// blocks. The error wraps ErrImage, or is of the file.
func Check(path string) (blocks int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd) // of a block device too
	if err != nil {
		return 0, err
	}
	refuse := func(format string, args ...any) (int64, error) {
		return 0, fmt.Errorf("%s is %w: %s", path, ErrImage, fmt.Sprintf(format, args...))
	}
	if why := container(f, size); why != "" {
		return refuse("%s", why)
	}
	blocks = size / BlockSize
	switch {
	case size%BlockSize != 0:
		return refuse("%d bytes are no multiple of %d", size, BlockSize)
	case blocks > MaxBlocks:
		return refuse("%d blocks are more than %d (2.36 GB), which it would cut off", blocks, MaxBlocks)
	case blocks < MinBlocks:
		return refuse("%d blocks are less than %d", blocks, MinBlocks)
	}
	if !hasVolume(f) {
		return refuse("no volume descriptor (CD001 or BEA01) at block 16, so not a flat image")
	}
	return blocks, nil
}

// container says why a file is not a flat image though a part of it may look
// so, or nothing.
func container(f io.ReaderAt, size int64) string {
	head := make([]byte, 16)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	sync := append(append([]byte{0}, bytes.Repeat([]byte{0xFF}, 10)...), 0) // ECMA-130, 14.2
	if bytes.HasPrefix(head, sync) {
		return "it holds raw sectors of 2352 bytes"
	}
	for _, magic := range []string{"MComprHD", "MEDIA DESCRIPTOR", "CISO", "ZISO", "IsZ!"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return "it is a container (" + magic + ")"
		}
	}
	tail := make([]byte, 12)
	if n, _ := f.ReadAt(tail, max(0, size-12)); n == len(tail) && (string(tail[:4]) == "NER5" || string(tail[4:8]) == "NERO") {
		return "it is a container (Nero)"
	}
	return ""
}

// hasVolume looks for a volume descriptor (ECMA-119, 8.1.2, or ECMA-167, part
// 2).
func hasVolume(f io.ReaderAt) bool {
	id := make([]byte, 5)
	if _, err := f.ReadAt(id, 16*BlockSize+1); err != nil {
		return false
	}
	return string(id) == "CD001" || string(id) == "BEA01"
}
