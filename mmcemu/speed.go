package mmcemu

import (
	"context"
	"encoding/binary"

	"spindle/scsi"
)

var speedCommands = []command{
	{0xAC, "GET PERFORMANCE", concurrent, alloc{}, checkPerformance, (*Drive).performance},
	{0xB6, "SET STREAMING", 0, alloc{}, checkStreaming, (*Drive).setStreaming},
	{0xA7, "SET READ AHEAD", 0, alloc{}, nil, (*Drive).setReadAhead},
	{0xBB, "SET CD SPEED", 0, alloc{}, nil, (*Drive).setSpeed},
}

// readSpeed returns the current read speed, in kB/s.
func (d *Drive) readSpeed(m *medium) int {
	d.mu.Lock()
	defer d.unlock()
	return d.clampSpeed(m, d.speed)
}

// keepSpeed keeps a speed that a host set, in kB/s; 0 is the fastest.
func (d *Drive) keepSpeed(speed int) {
	d.mu.Lock()
	defer d.unlock()
	d.speed = speed
}

// setSpeed answers SET CD SPEED. Nothing is slowed down: page 2Ah and GET
// PERFORMANCE show the speed, and that is all that hosts look at. It is that of
// the disc in the drive, until a reset: the next one is read at the fastest.
//
//	CDB  bytes 2-3 read speed in kB/s, FFFFh the fastest
//
// Source: MMC-6, SET CD SPEED.
func (d *Drive) setSpeed(_ context.Context, cmd *scsi.Command, _ *medium) error {
	speed := int(binary.BigEndian.Uint16(cmd.CDB[2:]))
	if speed == 0xFFFF {
		speed = 0
	}
	d.keepSpeed(speed)
	return nil
}

// setReadAhead answers SET READ AHEAD: there is nothing to read ahead of.
func (d *Drive) setReadAhead(context.Context, *scsi.Command, *medium) error { return nil }

// streamingLen is the length of the performance descriptor of SET STREAMING.
const streamingLen = 28

func checkStreaming(cdb *scsi.CDB) error {
	if cdb[8] != 0 {
		return scsi.FieldInCDB(8, -1)
	}
	return nil
}

// setStreaming answers SET STREAMING with a performance descriptor: bytes
// 12-15 are read KB, for each 16-19 ms; byte 0 bit 2 restores the defaults.
//
//	CDB  byte 8 type: 0; bytes 9-10 parameter list length: 28, or 0 for nothing
//
// Source: MMC-6, SET STREAMING.
func (d *Drive) setStreaming(_ context.Context, cmd *scsi.Command, _ *medium) error {
	n := int(binary.BigEndian.Uint16(cmd.CDB[9:]))
	list, err := parameterList(cmd, n)
	if err != nil || n == 0 {
		return err
	}
	if n < streamingLen {
		return scsi.ErrParameterListLength
	}
	speed := int64(0)
	if list[0]&4 == 0 {
		size, ms := binary.BigEndian.Uint32(list[12:]), binary.BigEndian.Uint32(list[16:])
		if ms == 0 {
			return scsi.FieldInParameterList(16, -1)
		}
		speed = max(1, int64(size)*1000/int64(ms))
	}
	d.keepSpeed(int(min(speed, 1<<20)))
	return nil
}

// Types of GET PERFORMANCE.
const (
	performanceType = 0
	writeSpeedType  = 3
)

func checkPerformance(cdb *scsi.CDB) error {
	if cdb[10] != performanceType && cdb[10] != writeSpeedType {
		return scsi.FieldInCDB(10, -1)
	}
	return nil
}

// performance answers GET PERFORMANCE: one speed for the whole medium. Of
// writing, of exceptions and of no medium it has nothing to say, which is a
// header alone: Windows asks, and refusing would cost it a time-out.
//
//	CDB  byte 1 bit 2 WRITE, bits 1-0 EXCEPT; bytes 8-9 most descriptors; byte
//	     10 type
//	data length (4), WRITE and EXCEPT, 3 zeros; start LBA, start kB/s, end LBA,
//	     end kB/s (4 each)
//
// Source: MMC-6, GET PERFORMANCE.
func (d *Drive) performance(_ context.Context, cmd *scsi.Command, m *medium) error {
	b := make([]byte, 8, 24)
	most := binary.BigEndian.Uint16(cmd.CDB[8:])
	if cmd.CDB[10] == performanceType {
		write, except := cmd.CDB[1]&4 != 0, cmd.CDB[1]&3 != 0
		if except {
			b[4] |= 0x01
		}
		if write {
			b[4] |= 0x02
		}
		if b[4] == 0 && m != nil {
			speed := uint32(d.readSpeed(m))
			for _, v := range []uint32{0, speed, lastLBA(m), speed} {
				b = binary.BigEndian.AppendUint32(b, v)
			}
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return cmd.In.Reply(b[:min(len(b), 8+16*int(most))])
}
