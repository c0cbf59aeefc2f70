package mmcemu

import (
	"context"
	"encoding/binary"
	"math"

	"spindle/scsi"
)

var capacityCommands = []command{
	{0x25, "READ CAPACITY(10)", needsMedium | concurrent, alloc{}, nil, (*Drive).readCapacity10},
	{0x9E, "SERVICE ACTION IN(16)", needsMedium | concurrent, alloc32(10), checkServiceAction, (*Drive).readCapacity16},
	{0x23, "READ FORMAT CAPACITIES", concurrent, alloc16(7), nil, (*Drive).readFormatCapacities},
}

// readCapacity10 answers READ CAPACITY(10): the last LBA, which is the one
// before the last session's lead-out, and 2048, also for an audio disc: hosts
// cannot use another length. A drive that was switched to blocks of 512 bytes
// counts in those.
//
//	data last LBA (4), block length in bytes (4)
//
// Source: MMC-6, READ CAPACITY.
func (d *Drive) readCapacity10(_ context.Context, cmd *scsi.Command, m *medium) error {
	var b [8]byte
	size := d.blockLength()
	binary.BigEndian.PutUint32(b[0:], uint32(min(lastOf(m, size), math.MaxUint32)))
	binary.BigEndian.PutUint32(b[4:], size)
	return cmd.In.Reply(b[:])
}

func lastLBA(m *medium) uint32 { return max(m.blocks(), 1) - 1 }

// lastOf is the last address of a medium in blocks of size bytes.
func lastOf(m *medium, size uint32) uint64 { return max(blocksOfLength(m, size), 1) - 1 }

// readCapacityAction is the service action of READ CAPACITY(16).
const readCapacityAction = 0x10

func checkServiceAction(cdb *scsi.CDB) error {
	if cdb[1]&0x1F != readCapacityAction {
		return scsi.FieldInCDB(1, 4)
	}
	return nil
}

// readCapacity16 answers READ CAPACITY(16) with 32 bytes: last LBA (8), block
// length (4), and no more. Source: SBC-3, READ CAPACITY(16).
func (d *Drive) readCapacity16(_ context.Context, cmd *scsi.Command, m *medium) error {
	var b [32]byte
	size := d.blockLength()
	binary.BigEndian.PutUint64(b[0:], lastOf(m, size))
	binary.BigEndian.PutUint32(b[8:], size)
	return cmd.In.Reply(b[:])
}

// Descriptor types of READ FORMAT CAPACITIES.
const (
	formattedMedium = 2
	noMedium        = 3
)

// readFormatCapacities answers READ FORMAT CAPACITIES with the current
// capacity, and with the type for no medium when there is none.
//
//	data 4-byte header, blocks (4), type (1), block length (3)
//
// Source: MMC-6, READ FORMAT CAPACITIES.
func (d *Drive) readFormatCapacities(_ context.Context, cmd *scsi.Command, m *medium) error {
	size := d.blockLength()
	b := []byte{0, 0, 0, 8, 0x00, 0xFF, 0xFF, 0xFF, noMedium, 0, byte(size >> 8), 0}
	if m != nil {
		binary.BigEndian.PutUint32(b[4:], uint32(min(blocksOfLength(m, size), math.MaxUint32)))
		b[8] = formattedMedium
	}
	return cmd.In.Reply(b)
}
