//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/usbdevice_fs.h.
const (
	usbControl   = 0xC0185500
	usbBulk      = 0xC0185502
	usbClaim     = 0x8004550F
	usbIoctl     = 0xC0105512
	usbReset     = 0x5514
	usbClearHalt = 0x80045515
	usbDetach    = 0x5516
	usbAttach    = 0x5517
	usbSpeed     = 0x551F
)

// patience is how long a transfer may take, in milliseconds. The kernel's own device
// is on this machine, and hangs now and then: it gets no more.
var patience uint32 = 1500

// muchPatience is for a device that never hangs, and may be a process of a machine
// that is busy.
const muchPatience = 20_000

// A device is a mass storage device, Bulk-Only, with its interface claimed.
type device struct {
	file     *os.File
	iface    byte
	subclass byte
	in, out  byte // endpoint addresses
	packet   int
	tag      uint32
	sum      uint32 // of the disc's first blocks
}

// find opens the first device with a Bulk-Only interface.
func find() (*device, error) {
	names, err := filepath.Glob("/dev/bus/usb/*/*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		d := &device{file: f}
		p := make([]byte, 4096)
		n, _ := f.Read(p)
		if d.parse(p[:n]) {
			return d, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("none of %d USB devices is Bulk-Only mass storage", len(names))
}

// parse looks for the interface 08/xx/50 in descriptors, and its endpoints.
func (d *device) parse(p []byte) bool {
	mine := false
	for ; len(p) >= 2 && p[0] >= 2 && int(p[0]) <= len(p); p = p[p[0]:] {
		switch {
		case p[1] == 4 && p[0] >= 9:
			if mine = p[5] == 8 && p[7] == 0x50; mine {
				d.iface, d.subclass = p[2], p[6]
			}
		case p[1] == 5 && p[0] >= 7 && mine && p[3]&3 == 2:
			if p[2]&0x80 != 0 {
				d.in = p[2]
			} else {
				d.out = p[2]
			}
			d.packet = int(binary.LittleEndian.Uint16(p[4:]))
		}
	}
	return d.in != 0 && d.out != 0
}

func (d *device) ioctl(request uintptr, arg unsafe.Pointer) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, d.file.Fd(), request, uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// interfaceIoctl is struct usbdevfs_ioctl.
type interfaceIoctl struct {
	iface, code int32
	data        unsafe.Pointer
}

// claim takes the interface from the kernel's driver.
func (d *device) claim() error {
	_, err := d.ioctl(usbIoctl, unsafe.Pointer(&interfaceIoctl{iface: int32(d.iface), code: usbDetach}))
	if err != nil && !errors.Is(err, unix.ENODATA) { // ENODATA: it has no driver
		return fmt.Errorf("detach: %w", err)
	}
	n := uint32(d.iface)
	if _, err := d.ioctl(usbClaim, unsafe.Pointer(&n)); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return nil
}

// release gives the interface back to the kernel's driver.
func (d *device) release() error {
	if err := d.file.Close(); err != nil { // releases the claim
		return err
	}
	f, err := os.OpenFile(d.file.Name(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	d.file = f
	defer f.Close()
	_, err = d.ioctl(usbIoctl, unsafe.Pointer(&interfaceIoctl{iface: int32(d.iface), code: usbAttach}))
	return err
}

// bulkTransfer is struct usbdevfs_bulktransfer.
type bulkTransfer struct {
	ep, length, timeout uint32
	data                unsafe.Pointer
}

func (d *device) bulk(ep byte, p []byte) (int, error) {
	b := bulkTransfer{ep: uint32(ep), length: uint32(len(p)), timeout: patience, data: unsafe.Pointer(unsafe.SliceData(p))}
	n, err := d.ioctl(usbBulk, unsafe.Pointer(&b))
	runtime.KeepAlive(p)
	return n, err
}

func (d *device) send(p []byte) error {
	n, err := d.bulk(d.out, p)
	if err == nil && n != len(p) {
		err = fmt.Errorf("%d of %d bytes went", n, len(p))
	}
	return err
}

// recv takes one transfer of n bytes at most.
func (d *device) recv(n int) ([]byte, error) {
	p := make([]byte, n)
	n, err := d.bulk(d.in, p)
	return p[:n], err
}

// controlTransfer is struct usbdevfs_ctrltransfer.
type controlTransfer struct {
	requestType, request byte
	value, index, length uint16
	timeout              uint32
	data                 unsafe.Pointer
}

func (d *device) control(requestType, request byte, value, index uint16, p []byte) (int, error) {
	c := controlTransfer{
		requestType: requestType, request: request, value: value, index: index,
		length: uint16(len(p)), timeout: patience, data: unsafe.Pointer(unsafe.SliceData(p)),
	}
	n, err := d.ioctl(usbControl, unsafe.Pointer(&c))
	runtime.KeepAlive(p)
	return n, err
}

// clear clears the halts of both endpoints.
func (d *device) clear() error {
	var errs []error
	for _, ep := range []byte{d.in, d.out} {
		n := uint32(ep)
		_, err := d.ioctl(usbClearHalt, unsafe.Pointer(&n))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// portReset resets the port, which takes the claim away: the kernel's driver
// is probed again.
func (d *device) portReset() error {
	if _, err := d.ioctl(usbReset, nil); err != nil {
		return fmt.Errorf("port reset: %w", err)
	}
	return d.claim()
}

// speed is the name of the device's speed.
func (d *device) speed() string {
	n, err := d.ioctl(usbSpeed, nil)
	names := map[int]string{1: "low", 2: "full", 3: "high", 5: "super"}
	if name := names[n]; err == nil && name != "" {
		return name
	}
	return fmt.Sprint(n, err)
}

// word says how a transfer ended: in one word that is the same each time.
func word(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, unix.EPIPE):
		return "stall"
	case errors.Is(err, unix.ETIMEDOUT):
		return "timeout"
	case errors.Is(err, unix.EOVERFLOW):
		return "babble"
	}
	return err.Error()
}
