package mmcemu

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// A wrong is a drive that is ours but for the answers that spoil changes.
type wrong struct {
	scsi.LogicalUnit
	spoil spoiler
	hides bool // unit attentions and events of a change of medium
}

// A spoiler changes an answer, before the allocation length cuts it.
type spoiler func(cdb scsi.CDB, data []byte, err error) ([]byte, error)

// Unwrap is for scsi.As.
func (w *wrong) Unwrap() scsi.LogicalUnit { return w.LogicalUnit }

func (w *wrong) Execute(ctx context.Context, cmd *scsi.Command) error {
	cdb, most := whole(cmd.CDB)
	in, err := scsitest.Execute(ctx, w.LogicalUnit, cmd.Nexus, cdb, 1<<20, nil)
	if w.hides && errors.Is(err, changed) {
		in, err = scsitest.Execute(ctx, w.LogicalUnit, cmd.Nexus, cdb, 1<<20, nil)
	}
	data := slices.Clone(in.Data)
	if w.hides && cmd.CDB[0] == opEvents && len(data) == 8 {
		data[4] = 0
	}
	if w.spoil != nil {
		data, err = w.spoil(cmd.CDB, data, err)
	}
	if len(data) > 0 {
		if err := cmd.In.Reply(data[:min(len(data), most)]); err != nil {
			return err
		}
	}
	return err
}

// whole returns the command with the greatest allocation length, and its own.
func whole(cdb scsi.CDB) (scsi.CDB, int) {
	at, ok := map[byte]int{opInquiry: 3, opTOC: 7, opConfig: 7, opEvents: 7, 0x5A: 7}[cdb[0]]
	if !ok {
		return cdb, 1 << 20
	}
	most := int(binary.BigEndian.Uint16(cdb[at:]))
	cdb[at], cdb[at+1] = 0xFF, 0xFF
	return cdb, most
}

// Operation codes that are spoiled.
const (
	opTUR         = 0x00
	opInquiry     = 0x12
	opStartStop   = 0x1B
	opCapacity    = 0x25
	opRead        = 0x28
	opTOC         = 0x43
	opConfig      = 0x46
	opEvents      = 0x4A
	opPerformance = 0xAC
	opStructure   = 0xAD
)

// on spoils the answers of one command by changing their data.
func on(op byte, change func(cdb scsi.CDB, d []byte) []byte) spoiler {
	return func(cdb scsi.CDB, d []byte, err error) ([]byte, error) {
		if cdb[0] == op && err == nil {
			d = change(cdb, d)
		}
		return d, err
	}
}

// fail makes a command fail, when the CDB is one of those.
func fail(op byte, s scsi.Sense, when func(cdb scsi.CDB) bool) spoiler {
	return func(cdb scsi.CDB, d []byte, err error) ([]byte, error) {
		if cdb[0] == op && (when == nil || when(cdb)) {
			return nil, s
		}
		return d, err
	}
}

// set changes bytes of an answer that is long enough.
func set(op byte, at int, b ...byte) spoiler {
	return on(op, func(_ scsi.CDB, d []byte) []byte {
		if len(d) >= at+len(b) {
			copy(d[at:], b)
		}
		return d
	})
}

// both spoils by one and then the other.
func both(a, b spoiler) spoiler {
	return func(cdb scsi.CDB, d []byte, err error) ([]byte, error) {
		d, err = a(cdb, d, err)
		return b(cdb, d, err)
	}
}

// standard is a standard INQUIRY, pages one for VPD.
func standard(change func(d []byte) []byte) spoiler {
	return on(opInquiry, func(cdb scsi.CDB, d []byte) []byte {
		if cdb[1]&1 == 0 {
			return change(d)
		}
		return d
	})
}

func inquiryByte(at int, b byte) spoiler {
	return standard(func(d []byte) []byte { d[at] = b; return d })
}

// mode2A changes page 2Ah, which both forms of MODE SENSE give.
func mode2A(change func(d []byte, header int) []byte) spoiler {
	return func(cdb scsi.CDB, d []byte, err error) ([]byte, error) {
		switch {
		case cdb[2]&0x3F != capabilitiesPage || err != nil:
		case cdb[0] == 0x1A:
			d = change(d, 4)
		case cdb[0] == 0x5A:
			d = change(d, 8)
		}
		return d, err
	}
}

// attentions answers a command with a unit attention always.
func attentions(op byte) spoiler { return fail(op, scsi.ErrPowerOn, nil) }

// blockLength makes blocks of another length.
func blockLength(n uint32) spoiler {
	return set(opCapacity, 4, binary.BigEndian.AppendUint32(nil, n)...)
}

// addFeature appends a feature that is current to whatever includes it.
func addFeature(code uint16) spoiler {
	return on(opConfig, func(cdb scsi.CDB, d []byte) []byte {
		start := binary.BigEndian.Uint16(cdb[2:])
		if start > code || cdb[1]&3 == oneFeature && start != code {
			return d
		}
		f := binary.BigEndian.AppendUint16(nil, code)
		f = append(f, 1, 4, 0, 0, 0, 1)
		d = slices.Insert(d, 8+before(d[8:], code), f...)
		binary.BigEndian.PutUint32(d, uint32(len(d)-4))
		return d
	})
}

// before is where a feature of the code stands among others.
func before(d []byte, code uint16) (at int) {
	for at+4 <= len(d) && binary.BigEndian.Uint16(d[at:]) < code {
		at += 4 + int(d[at+3])
	}
	return min(at, len(d))
}

// bootable gives the drive's disc a boot record and a catalogue.
var bootable = on(opRead, func(cdb scsi.CDB, d []byte) []byte {
	switch binary.BigEndian.Uint32(cdb[2:]) {
	case 16:
		copy(d, "\x01CD001\x01")
	case 17:
		copy(d, append([]byte("\x00CD001\x01EL TORITO SPECIFICATION"), make([]byte, 41)...))
		binary.LittleEndian.PutUint32(d[71:], 20)
	case 20:
		clear(d)
		d[0] = 1
		copy(d[28:], []byte{0xAA, 0x55, 0x55, 0xAA, 0x88})
		binary.LittleEndian.PutUint32(d[40:], 24)
	}
	return d
})

func blockIs(lba uint32) func(cdb scsi.CDB) bool {
	return func(cdb scsi.CDB) bool { return binary.BigEndian.Uint32(cdb[2:]) == lba }
}

// first spoils so many answers to the operation code, and then no more.
func first(n int, op byte, spoil spoiler) spoiler {
	return func(cdb scsi.CDB, d []byte, err error) ([]byte, error) {
		if cdb[0] != op || n <= 0 {
			return d, err
		}
		n--
		return spoil(cdb, d, err)
	}
}
