//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/cdrom.h and scsi/sg.h.
const (
	cdromEject       = 0x5309
	cdromCloseTray   = 0x5319
	cdromDriveStatus = 0x5326
	cdromLockDoor    = 0x5329
	sgReset          = 0x2284
	sgIO             = 0x2285
)

func ioctl(fd int, request, arg uintptr) (uintptr, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, arg)
	if errno != 0 {
		return 0, errno
	}
	return r, nil
}

func control(request, arg uintptr) func(int, []string) error {
	return func(fd int, _ []string) error {
		_, err := ioctl(fd, request, arg)
		return err
	}
}

func status(fd int, _ []string) error {
	const anySlot = 1<<31 - 1 // CDSL_CURRENT
	r, err := ioctl(fd, cdromDriveStatus, anySlot)
	if err != nil {
		return err
	}
	names := []string{"unknown", "empty", "open", "not-ready", "disc"}
	if int(r) >= len(names) {
		return fmt.Errorf("drive status %d", r)
	}
	fmt.Println(names[r])
	return nil
}

// eject unlocks first, as eject(1) does: the kernel locks the door at every open.
func eject(fd int, _ []string) error {
	if _, err := ioctl(fd, cdromLockDoor, 0); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	_, err := ioctl(fd, cdromEject, 0)
	return err
}

// reset has the kernel's driver reset the device, or what it is connected by.
func reset(fd int, args []string) error {
	kinds := map[string]int32{"device": 1, "bus": 2, "host": 3}
	kind, ok := kinds[args[0]]
	if !ok {
		return errUsage
	}
	_, err := ioctl(fd, sgReset, uintptr(unsafe.Pointer(&kind)))
	return err
}

// sgHeader is sg_io_hdr_t.
type sgHeader struct {
	interfaceID    int32
	direction      int32
	cdbLen         uint8
	senseMax       uint8
	iovecs         uint16
	length         uint32
	data           unsafe.Pointer
	cdb            unsafe.Pointer
	sense          unsafe.Pointer
	timeout        uint32 // ms
	flags          uint32
	packID         int32
	_              unsafe.Pointer
	status         uint8
	maskedStatus   uint8
	msgStatus      uint8
	senseLen       uint8
	hostStatus     uint16
	driverStatus   uint16
	residual       int32
	duration, info uint32
}

// cdbLen is the length that an opcode's group stands for; the kernel refuses less.
func cdbLen(opcode byte) int {
	return [8]int{6, 10, 10, 6, 16, 12, 6, 6}[opcode>>5]
}

func sgio(fd int, args []string) error {
	cdb, err := hex.DecodeString(strings.ReplaceAll(args[0], " ", ""))
	if err != nil || len(cdb) == 0 || len(cdb) > 16 {
		return errUsage
	}
	cdb = append(cdb, make([]byte, max(0, cdbLen(cdb[0])-len(cdb)))...)
	const none, toDevice, fromDevice = -1, -2, -3
	direction, n, data := int32(none), int64(0), make([]byte, 1)
	switch {
	case len(args) == 2:
		if n, err = number(args[1]); err != nil || n < 0 || n > 16<<20 {
			return errUsage
		}
		if n > 0 {
			direction, data = fromDevice, make([]byte, n)
		}
	case len(args) == 3 && args[1] == "out":
		data, err = hex.DecodeString(strings.ReplaceAll(args[2], " ", ""))
		if err != nil || len(data) == 0 {
			return errUsage
		}
		direction = toDevice
	case len(args) > 1:
		return errUsage
	}
	sense := make([]byte, 64)
	h := sgHeader{
		interfaceID: 'S', direction: direction, cdbLen: uint8(len(cdb)), senseMax: uint8(len(sense)),
		cdb: unsafe.Pointer(&cdb[0]), sense: unsafe.Pointer(&sense[0]), timeout: 30_000,
	}
	if direction != none {
		h.length, h.data = uint32(len(data)), unsafe.Pointer(&data[0])
	}
	if _, err := ioctl(fd, sgIO, uintptr(unsafe.Pointer(&h))); err != nil {
		return err
	}
	got := max(0, n-int64(h.residual))
	fmt.Printf("status=%02x host=%02x driver=%02x residual=%d sense=%x data=%x\n",
		h.status, h.hostStatus, h.driverStatus, h.residual, sense[:h.senseLen], data[:got])
	return nil
}

// pread reads by one system call at a time, from memory that O_DIRECT accepts.
func pread(fd int, args []string) error {
	offset, oerr := number(args[0])
	length, lerr := number(args[1])
	if oerr != nil || lerr != nil {
		return errUsage
	}
	p, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	hash := sha256.New()
	for length > 0 {
		n, err := unix.Pread(fd, p[:min(length, int64(len(p)))], offset)
		if err != nil {
			return fmt.Errorf("at %d: %w", offset, err)
		}
		if n == 0 {
			return fmt.Errorf("the device ends at %d", offset)
		}
		hash.Write(p[:n])
		offset, length = offset+int64(n), length-int64(n)
	}
	fmt.Printf("%x\n", hash.Sum(nil))
	return nil
}
