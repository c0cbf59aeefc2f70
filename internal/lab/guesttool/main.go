//go:build linux

// Guesttool does what busybox cannot in a guest of package lab:
//
//	guesttool uevents                       print kernel uevents, one a line, until killed
//	guesttool status DEV                    CDROM_DRIVE_STATUS: disc, empty, open, not-ready
//	guesttool eject DEV                     unlock and open the tray
//	guesttool closetray DEV                 close the tray
//	guesttool lock DEV | unlock DEV         prevent or allow removal of the medium
//	guesttool sgio DEV HEXCDB [INLEN]       send a command, zero-padded; print status, residual, sense, data
//	guesttool sgio DEV HEXCDB out HEXDATA   send a command with data
//	guesttool reset DEV device|bus|host     SG_SCSI_RESET
//	guesttool pread DEV OFFSET LEN          read with O_DIRECT and print the SHA-256
//	guesttool blocks DEV                    read blocks and say whose they are, until killed; see blocks.go
//	guesttool hold DEV                      open the device, print "held", wait for end of input
//
// DEV is opened with O_NONBLOCK, so that a drive without a disc opens too and the
// kernel does not close the tray, but for pread and hold. The exit status is 1 when
// the kernel returns an error, and 2 for wrong usage.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A verb is one subcommand that works on an open device.
type verb struct {
	name  string
	flags int
	min   int // arguments behind the device
	run   func(fd int, args []string) error
}

var verbs = []verb{
	{"status", unix.O_RDONLY | unix.O_NONBLOCK, 0, status},
	{"eject", unix.O_RDONLY | unix.O_NONBLOCK, 0, eject},
	{"closetray", unix.O_RDONLY | unix.O_NONBLOCK, 0, control(cdromCloseTray, 0)},
	{"lock", unix.O_RDONLY | unix.O_NONBLOCK, 0, control(cdromLockDoor, 1)},
	{"unlock", unix.O_RDONLY | unix.O_NONBLOCK, 0, control(cdromLockDoor, 0)},
	{"sgio", unix.O_RDWR | unix.O_NONBLOCK, 1, sgio},
	{"reset", unix.O_RDONLY | unix.O_NONBLOCK, 1, reset},
	{"pread", unix.O_RDONLY | unix.O_DIRECT, 2, pread},
	{"hold", unix.O_RDONLY, 0, hold},
}

func main() {
	err := errUsage
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == "uevents":
		err = uevents(os.Stdout)
	case len(args) == 2 && args[0] == "blocks":
		err = blocks(os.Stdout, args[1])
	case len(args) >= 2:
		i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == args[0] })
		if i >= 0 && len(args)-2 >= verbs[i].min {
			err = verbs[i].device(args[1], args[2:])
		}
	}
	switch {
	case err == errUsage:
		fmt.Fprintln(os.Stderr, "guesttool: wrong usage; see the package's comment")
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "guesttool %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

var errUsage = fmt.Errorf("usage")

func (v verb) device(dev string, args []string) error {
	fd, err := unix.Open(dev, v.flags|unix.O_CLOEXEC, 0)
	if err == unix.EROFS || err == unix.EACCES { // sgio on a device that is read-only to the kernel
		fd, err = unix.Open(dev, v.flags&^unix.O_RDWR|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", dev, err)
	}
	defer unix.Close(fd)
	return v.run(fd, args)
}

func hold(int, []string) error {
	fmt.Println("held")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// uevents prints each event as ACTION@DEVPATH and its properties behind it.
func uevents(w io.Writer) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		return err
	}
	p := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, p)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		line := p[:n]
		for i, c := range line {
			if c == 0 {
				line[i] = ' '
			}
		}
		if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
			return err
		}
	}
}

// number reads a count in decimal or, with 0x, in hex.
func number(s string) (int64, error) { return strconv.ParseInt(s, 0, 64) }
