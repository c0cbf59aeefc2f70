//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"golang.org/x/sys/unix"
)

// A command is one command as the host claims it: what the device makes of
// the CDB may be another thing.
type command struct {
	lun    byte
	length int
	in     bool
	cdb    []byte
	out    []byte // data-out; zeros to the length when shorter
}

func (c command) cbw(tag uint32) []byte {
	b := append([]byte("USBC"), make([]byte, 27)...)
	binary.LittleEndian.PutUint32(b[4:], tag)
	binary.LittleEndian.PutUint32(b[8:], uint32(c.length))
	if c.in {
		b[12] = 0x80
	}
	b[13], b[14] = c.lun, byte(len(c.cdb))
	copy(b[15:], c.cdb)
	return b
}

// An outcome is what the host saw of a command.
type outcome struct {
	data    int
	halt    string // which phases met a stall: "data", "csw", "data+csw"
	status  string // of the CSW, or why there is none
	residue uint32
	sum     uint32 // CRC of data-in
}

func (o outcome) String() string {
	halt := o.halt
	if halt == "" {
		halt = "none"
	}
	return fmt.Sprintf("data=%d halt=%s csw=%s residue=%d", o.data, halt, o.status, o.residue)
}

// run plays a command as a host does (Bulk-Only Transport, 6.7, and figure 2):
// a stall ends the data phase and is cleared, a stalled CSW is read again.
func (d *device) run(c command) (o outcome) {
	d.tag++
	if err := d.send(c.cbw(d.tag)); err != nil {
		o.status = "none, CBW " + word(err)
		return o
	}
	var err error
	switch {
	case c.length > 0 && c.in:
		var p []byte
		p, err = d.recv(c.length)
		o.data, o.sum = len(p), crc32.ChecksumIEEE(p)
	case c.length > 0:
		p := make([]byte, c.length)
		copy(p, c.out)
		err = d.send(p)
	}
	if errors.Is(err, unix.EPIPE) {
		o.halt = "data"
		d.clear()
	} else if err != nil {
		o.status = "none, data " + word(err)
		return o
	}
	o.readCSW(d)
	return o
}

// anotherTag is the status of a CSW that is not this command's.
const anotherTag = "of another tag"

func (o *outcome) readCSW(d *device) {
	const size = 13
	p, err := d.recv(size)
	if errors.Is(err, unix.EPIPE) {
		if o.halt != "" {
			o.halt += "+"
		}
		o.halt += "csw"
		d.clear()
		p, err = d.recv(size)
	}
	switch {
	case err != nil:
		o.status = "none, " + word(err)
	case len(p) != size || string(p[:4]) != "USBS":
		o.status = fmt.Sprintf("bad, %x", p)
	case binary.LittleEndian.Uint32(p[4:]) != d.tag:
		o.status = anotherTag
	default:
		o.residue, o.status = binary.LittleEndian.Uint32(p[8:]), fmt.Sprint(p[12])
	}
}

// sense asks what failed: key, code and qualifier in hex.
func (d *device) sense(lun byte) string {
	d.tag++
	c := command{lun: lun, length: 18, in: true, cdb: []byte{0x03, 0, 0, 0, 18, 0}}
	if err := d.send(c.cbw(d.tag)); err != nil {
		return "none, CBW " + word(err)
	}
	p, err := d.recv(18)
	var o outcome
	o.readCSW(d)
	if err != nil || len(p) < 14 || o.status != "0" {
		return fmt.Sprintf("none, %d bytes, %s, csw=%s", len(p), word(err), o.status)
	}
	return fmt.Sprintf("%x/%02X/%02X", p[2]&15, p[12], p[13])
}

// recover is reset recovery (Bulk-Only Transport, 5.3.4).
func (d *device) recover() error {
	if _, err := d.control(0x21, 0xFF, 0, uint16(d.iface), nil); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	return d.clear()
}

var testUnitReady = []byte{0, 0, 0, 0, 0, 0}

func tur(lun byte) command { return command{lun: lun, cdb: testUnitReady} }

// settle brings the device to where every unit is ready: it takes what unit
// attentions there are.
func (d *device) settle(luns int) error {
	if err := d.recover(); err != nil {
		return err
	}
	for lun := range byte(luns) {
		var o outcome
		for range 8 {
			if o = d.run(tur(lun)); o.status != "1" {
				break
			}
			d.sense(lun)
		}
		if o.status != "0" {
			return fmt.Errorf("LUN %d does not become ready: %v", lun, o)
		}
	}
	return nil
}
