package mmcemu

import (
	"context"
	"encoding/binary"

	"spindle/scsi"
)

var bufferCommands = []command{
	{0x3C, "READ BUFFER", concurrent, alloc{6, 3}, checkReadBuffer, (*Drive).readBuffer},
	{0x5C, "READ BUFFER CAPACITY", needsMedium | concurrent, alloc16(7), checkBufferCapacity, (*Drive).bufferCapacity},
}

// bufferSize is the size of the drive's buffer in bytes, as page 2Ah has it. A
// drive that is a program has none: it is what programs expect to be told.
const bufferSize = 2048 << 10

// bufferDescriptor is the mode of READ BUFFER that tells of the buffer.
const bufferDescriptor = 3

func checkReadBuffer(cdb *scsi.CDB) error {
	if cdb[1]&0x1F != bufferDescriptor {
		return scsi.FieldInCDB(1, 4)
	}
	return nil
}

// readBuffer answers READ BUFFER, mode descriptor: the buffer cannot be read.
//
//	CDB  byte 1 bits 4-0 mode; byte 2 buffer; bytes 6-8 allocation length
//	data offset boundary, capacity in bytes (3): zeros for a buffer that is not
//	     there
//
// Source: SPC-4, READ BUFFER.
func (d *Drive) readBuffer(_ context.Context, cmd *scsi.Command, _ *medium) error {
	var b [4]byte
	if cmd.CDB[2] == 0 {
		binary.BigEndian.PutUint32(b[:], bufferSize)
	}
	return cmd.In.Reply(b[:])
}

// checkBufferCapacity refuses BLOCK, which feature 0107h does not claim.
func checkBufferCapacity(cdb *scsi.CDB) error {
	if cdb[1]&1 != 0 {
		return scsi.FieldInCDB(1, 0)
	}
	return nil
}

// bufferCapacity answers READ BUFFER CAPACITY: the buffer is empty. It is part
// of feature 0107h, though only burners have a use for it.
//
//	CDB  byte 1 bit 0 BLOCK; bytes 7-8 allocation length
//	data length (2), 0, BLOCK; size and what of it is free in bytes (4 each)
//
// Source: MMC-6, READ BUFFER CAPACITY.
func (d *Drive) bufferCapacity(_ context.Context, cmd *scsi.Command, _ *medium) error {
	b := []byte{0, 10, 0, 0}
	b = binary.BigEndian.AppendUint32(b, bufferSize)
	b = binary.BigEndian.AppendUint32(b, bufferSize)
	return cmd.In.Reply(b)
}
