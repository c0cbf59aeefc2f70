//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
)

const block = 2048

func read(lba uint32, blocks byte) []byte {
	cdb := []byte{0x28, 0, 0, 0, 0, 0, 0, 0, blocks, 0}
	binary.BigEndian.PutUint32(cdb[2:], lba)
	return cdb
}

func inquiry(n byte) []byte { return []byte{0x12, 0, 0, 0, n, 0} }

// An output makes commands with data-out: the CDB that takes n units of so many
// bytes.
type output struct {
	lun  byte
	unit int
	cdb  func(n byte) []byte
}

func outputs(selects bool) output {
	if selects { // a list of zeros: a header alone, and nothing to set
		return output{0, 8, func(n byte) []byte { return []byte{0x55, 0x10, 0, 0, 0, 0, 0, 0, n * 8, 0} }}
	}
	return output{1, 512, func(n byte) []byte { return []byte{0x2A, 0, 0, 0, 0, 0, 0, 0, n, 0} }}
}

// A case is a command and its name.
type aCase struct {
	name string
	command
}

// cases are the thirteen, and those that fail.
func cases(selects bool) []aCase {
	out := outputs(selects)
	bad := []byte{0xE0, 0, 0, 0, 0, 0}
	return []aCase{
		{"1 Hn=Dn", tur(0)},
		{"2 Hn<Di", command{cdb: read(0, 1)}},
		{"3 Hn<Do", command{lun: out.lun, cdb: out.cdb(1)}},
		{"4 Hi>Dn", command{length: 512, in: true, cdb: testUnitReady}},
		{"5 Hi>Di, short packet", command{length: 512, in: true, cdb: inquiry(36)}},
		{"5 Hi>Di, full packets", command{length: 2 * block, in: true, cdb: read(0, 1)}},
		{"5 Hi>Di by one", command{length: block + 1, in: true, cdb: read(0, 1)}},
		{"6 Hi=Di", command{length: 2 * block, in: true, cdb: read(0, 2)}},
		{"6 Hi=Di, 64 blocks", whole},
		{"7 Hi<Di", command{length: block, in: true, cdb: read(0, 2)}},
		{"7 Hi<Di, odd", command{length: 100, in: true, cdb: read(0, 1)}},
		{"7 Hi<Di, INQUIRY", command{length: 8, in: true, cdb: inquiry(36)}},
		{"8 Hi<>Do", command{lun: out.lun, length: 512, in: true, cdb: out.cdb(1)}},
		{"9 Ho>Dn", command{length: 512, cdb: testUnitReady}},
		{"10 Ho<>Di", command{length: block, cdb: read(0, 1)}},
		{"11 Ho>Do", command{lun: out.lun, length: 2048, cdb: out.cdb(1)}},
		{"12 Ho=Do", command{lun: out.lun, length: out.unit, cdb: out.cdb(1)}},
		{"13 Ho<Do", command{lun: out.lun, length: out.unit, cdb: out.cdb(2)}},
		{"unknown command, in", command{length: 512, in: true, cdb: bad}},
		{"unknown command, out", command{length: 512, cdb: bad}},
		{"unknown command", command{cdb: bad}},
		{"LBA out of range", command{length: block, in: true, cdb: read(0xFFFFFF, 1)}},
		{"write to a disc", command{length: block, cdb: []byte{0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0}}},
	}
}

// commands plays cases. One that ends without a CSW is followed by reset
// recovery, as a host would do.
func (d *device) commands(list []aCase) error {
	for _, c := range list {
		o := d.run(c.command)
		sense := "-"
		switch o.status {
		case "0", "2":
		case "1":
			sense = d.sense(c.lun)
		default:
			if err := d.recover(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			sense = "after recovery csw=" + d.run(tur(0)).status
		}
		say(c.name, "%v sense=%s", o, sense)
	}
	return nil
}

// senseByUnit shows that what failed in one unit is not told by the other, nor
// lost by its commands.
func (d *device) senseByUnit() error {
	failed := d.run(command{cdb: []byte{0xE0, 0, 0, 0, 0, 0}})
	other := d.run(tur(1))
	say("sense by unit", "csw=%s other=%s sense=%s other=%s", failed.status, other.status, d.sense(0), d.sense(1))
	return nil
}

// requests plays the class requests as they should be and as they should not.
func (d *device) requests() error {
	p := make([]byte, 1)
	n, err := d.control(0xA1, 0xFE, 0, uint16(d.iface), p)
	say("GET MAX LUN", "%s, %d bytes, %d", word(err), n, p[0])
	_, err = d.control(0xA1, 0xFE, 1, uint16(d.iface), p)
	say("GET MAX LUN, wValue 1", "%s", word(err))
	_, err = d.control(0x21, 0xFF, 1, uint16(d.iface), nil)
	say("reset, wValue 1", "%s", word(err))
	_, err = d.control(0x21, 0xFD, 0, uint16(d.iface), nil)
	say("unknown class request", "%s", word(err))
	return nil
}
