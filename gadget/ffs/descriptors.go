// Package ffs is a mass storage interface in FunctionFS, Linux's way to write
// USB functions in user space: the descriptors and control requests of
// Bulk-Only Transport, and its two endpoints for package bot.
//
// What it decodes and encodes builds everywhere; the endpoints are Linux's.
package ffs

import "encoding/binary"

// Interface subclasses of USB mass storage (Mass Storage Overview 1.4, 2).
const (
	SubclassMMC  = 0x02 // SFF-8020i, MMC: drivers of old pad commands to 12 bytes
	SubclassSCSI = 0x06 // SCSI transparent, as most devices have
)

// Of linux/usb/functionfs.h, ch9.h and Bulk-Only Transport 1.0, 4.3.
const (
	descriptorsMagic = 3 // FUNCTIONFS_DESCRIPTORS_MAGIC_V2
	stringsMagic     = 2
	hasFull          = 1
	hasHigh          = 2
	hasSuper         = 4
	classStorage     = 0x08
	protocolBulkOnly = 0x50
	addressIn        = 0x81 // the kernel gives the real ones
	addressOut       = 0x02
	english          = 0x0409
)

// maxBurst is how many packets more than one a superspeed host may take or
// send at once: all that there are, as f_mass_storage does.
const maxBurst = 15

// appendDescriptors appends what is written to ep0 first: the interface with
// its endpoints, at full, high and super speed.
func appendDescriptors(b []byte, subclass byte) []byte {
	start := len(b)
	for _, v := range []uint32{descriptorsMagic, 0, hasFull | hasHigh | hasSuper, 3, 3, 5} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, speed := range []struct {
		packet uint16
		super  bool
	}{{64, false}, {512, false}, {1024, true}} {
		b = append(b, 9, 4, 0, 0, 2, classStorage, subclass, protocolBulkOnly, 1)
		for _, address := range []byte{addressIn, addressOut} {
			b = append(b, 7, 5, address, 2)
			b = binary.LittleEndian.AppendUint16(b, speed.packet)
			b = append(b, 0)
			if speed.super {
				b = append(b, 6, 0x30, maxBurst, 0, 0, 0)
			}
		}
	}
	binary.LittleEndian.PutUint32(b[start+4:], uint32(len(b)-start))
	return b
}

// appendStrings appends what is written to ep0 second: the interface's name.
func appendStrings(b []byte, name string) []byte {
	for _, v := range []uint32{stringsMagic, uint32(16 + 2 + len(name) + 1), 1, 1} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint16(b, english)
	return append(append(b, name...), 0)
}
