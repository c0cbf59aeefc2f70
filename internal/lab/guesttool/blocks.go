//go:build linux

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const blockSize = 2048

// blocks reads random blocks of a device until it is killed, each by an open of its
// own, and past the page cache, with a pause of 50 ms between: an open locks the tray. It prints a line whenever what came of it is not
// what came of the read before: when the read began and ended, in seconds of the
// monotonic clock, and
//
//	open ERROR           the device did not open
//	error ERROR          the read failed
//	disc NAME            the block says that it is its disc's
//	other                the block says nothing
//	wrong BLOCK TEXT     the block is not the one that was asked for
//
// A block that says what it is begins with "disc NAME block N ", and N is its number
// less a number that is the same in the whole disc.
func blocks(w io.Writer, dev string) error {
	p, err := unix.Mmap(-1, 0, 1<<12, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	first := make(map[string]int64)
	last := ""
	for {
		time.Sleep(50 * time.Millisecond)
		began := monotonic()
		now := block(dev, p[:blockSize], first)
		if now == last || now == "other" && last != "" {
			continue
		}
		last = now
		if _, err := fmt.Fprintf(w, "%.3f %.3f %s\n", began, monotonic(), now); err != nil {
			return err
		}
	}
}

// block reads one block and says what came of it; first has the number of block 0
// in each disc.
func block(dev string, p []byte, first map[string]int64) string {
	fd, err := unix.Open(dev, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return "open " + unix.ErrnoName(err.(unix.Errno))
	}
	f := os.NewFile(uintptr(fd), dev)
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size < blockSize {
		return fmt.Sprintf("open size %d", size)
	}
	n := rand.Int64N(size / blockSize)
	if _, err := unix.Pread(fd, p, n*blockSize); err != nil {
		return "error " + unix.ErrnoName(err.(unix.Errno))
	}
	var name string
	var i int64
	if _, err := fmt.Sscanf(string(p[:100]), "disc %s block %d ", &name, &i); err != nil {
		return "other"
	}
	if at, ok := first[name]; ok && at != n-i {
		return fmt.Sprintf("wrong %d disc %s block %d", n, name, i)
	}
	first[name] = n - i
	return "disc " + name
}

func monotonic() float64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return float64(t.Nano()) / 1e9
}
