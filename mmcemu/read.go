package mmcemu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"spindle/isostore/disc"
	"spindle/scsi"
)

var readCommands = []command{
	{0x08, "READ(6)", needsMedium | concurrent | stopsPlay, alloc{}, nil, (*Drive).read6},
	{0x28, "READ(10)", needsMedium | concurrent | stopsPlay, alloc{}, nil, (*Drive).read10},
	{0xA8, "READ(12)", needsMedium | concurrent | stopsPlay, alloc{}, nil, (*Drive).read12},
}

// read6 answers READ(6): an LBA of 21 bits, and 256 blocks for a length of 0.
func (d *Drive) read6(ctx context.Context, cmd *scsi.Command, m *medium) error {
	n := uint32(cmd.CDB[4])
	if n == 0 {
		n = 256
	}
	return d.read(ctx, cmd, m, binary.BigEndian.Uint32(cmd.CDB[0:])&0x1FFFFF, n)
}

// read10 answers READ(10): DPO and FUA mean nothing on a read-only disc, and
// the other bits of byte 1 hold a LUN in commands of old hosts.
//
//	CDB  bytes 2-5 LBA; bytes 7-8 transfer length in blocks
//
// Source: MMC-6, READ (10).
func (d *Drive) read10(ctx context.Context, cmd *scsi.Command, m *medium) error {
	return d.read(ctx, cmd, m, binary.BigEndian.Uint32(cmd.CDB[2:]), uint32(binary.BigEndian.Uint16(cmd.CDB[7:])))
}

// read12 answers READ(12): as READ(10), with the length in bytes 6-9.
func (d *Drive) read12(ctx context.Context, cmd *scsi.Command, m *medium) error {
	return d.read(ctx, cmd, m, binary.BigEndian.Uint32(cmd.CDB[2:]), binary.BigEndian.Uint32(cmd.CDB[6:]))
}

// read sends n blocks of user data from lba on, in chunks that the front end
// lends: nothing is copied after the disc wrote it, and nothing is read that
// the host does not take. It does not allocate unless it fails.
//
// A read in blocks of 512 bytes may begin within a block of the disc. The chunk
// that does is moved to its start before it is sent; all after it begin with a
// block.
func (d *Drive) read(ctx context.Context, cmd *scsi.Command, m *medium, lba, n uint32) error {
	return d.readBlocks(ctx, cmd, m, d.blockLength(), lba, n)
}

// readBlocks is read of blocks of size bytes.
func (d *Drive) readBlocks(ctx context.Context, cmd *scsi.Command, m *medium, size, lba, n uint32) error {
	if err := checkBlocks(m, size, lba, n); err != nil {
		return err
	}
	at := int64(lba) * int64(size) // byte of the disc
	take, err := cmd.In.Begin(int64(n) * int64(size))
	for err == nil && take > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var p []byte
		if p, err = cmd.In.Buffer(); err != nil {
			break
		}
		skip := int(at % disc.BlockSize)
		p = p[:min(len(p), blocksUp(take+int64(skip)))]
		good, rerr := m.disc.ReadBlocks(p, disc.LBA(at/disc.BlockSize))
		have := max(good*disc.BlockSize-skip, 0)
		if skip > 0 {
			copy(p, p[skip:skip+have])
		}
		sent := min(int64(have), take)
		err = cmd.In.Send(int(sent))
		if rerr == nil && good*disc.BlockSize < len(p) {
			rerr = io.ErrUnexpectedEOF
		}
		at, take = at+sent, take-sent
		if rerr != nil {
			return d.mediumError(m, uint32(at/int64(size)), rerr)
		}
	}
	return err
}

// checkRange is checkBlocks in blocks of the disc.
func checkRange(m *medium, lba, n uint32) error { return checkBlocks(m, disc.BlockSize, lba, n) }

// blocksUp is n bytes rounded up to whole blocks, at most what an int holds.
func blocksUp(n int64) int {
	const most = 1 << 30
	return int((min(n, most) + disc.BlockSize - 1) / disc.BlockSize * disc.BlockSize)
}

// mediumError makes sense of a disc's error, with lba as its INFORMATION. An image that cannot
// be read raises an alarm, once.
func (d *Drive) mediumError(m *medium, lba uint32, err error) error {
	var s scsi.Sense
	switch {
	case errors.Is(err, disc.ErrMode):
		s = scsi.ErrIllegalMode.At(lba)
		s.ILI = true
	case errors.Is(err, disc.ErrRange):
		s = scsi.ErrLBAOutOfRange.At(lba)
	default:
		s = scsi.ErrUnrecoveredRead.At(lba)
		if m.alarmed.CompareAndSwap(false, true) {
			d.tell(Event{Kind: EventAlarm, Medium: m.name, MediumID: m.id, Err: err})
		}
	}
	return fmt.Errorf("%s: %w (%w)", m.name, s, err)
}
