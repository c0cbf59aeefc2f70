package mmcemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
)

var verifyCommands = []command{
	{0x2F, "VERIFY(10)", needsMedium | concurrent | stopsPlay, alloc{}, nil, (*Drive).verify10},
	{0x2B, "SEEK(10)", needsMedium | concurrent | stopsPlay, alloc{}, nil, (*Drive).seek10},
	{0x35, "SYNCHRONIZE CACHE(10)", 0, alloc{}, nil, (*Drive).synchronizeCache},
}

// errMiscompare is MISCOMPARE DURING VERIFY OPERATION.
var errMiscompare = scsi.Sense{Key: 0xE, Code: 0x1D00}

// seek10 answers SEEK(10): the head that it moves is that of audio play.
//
//	CDB  bytes 2-5 LBA
//
// Source: MMC-6, SEEK (10).
func (d *Drive) seek10(_ context.Context, cmd *scsi.Command, m *medium) error {
	lba := binary.BigEndian.Uint32(cmd.CDB[2:])
	length := d.blockLength()
	if err := checkBlocks(m, length, lba, 1); err != nil {
		return err
	}
	lba /= disc.BlockSize / length
	return d.withPlayer(cmd, m, func(p *player, now time.Time) error {
		p.seek(disc.LBA(lba), now)
		return nil
	})
}

// synchronizeCache answers SYNCHRONIZE CACHE: there is no cache to write.
// Windows and macOS send it on power transitions, also with no medium.
func (d *Drive) synchronizeCache(context.Context, *scsi.Command, *medium) error { return nil }

// verifyBuffers hold what VERIFY compares: a half for each side.
var verifyBuffers = sync.Pool{New: func() any { return new([2][16 * disc.BlockSize]byte) }}

// verify10 answers VERIFY(10): it reads the blocks, and with BYTCHK compares
// them with the data-out.
//
//	CDB  byte 1 bit 1 BYTCHK; bytes 2-5 LBA; bytes 7-8 length in blocks
//
// Blocks are those of READ(10).
//
// It fails as READ(10) does, and with MISCOMPARE DURING VERIFY OPERATION.
// Source: MMC-6, VERIFY (10); BYTCHK from SBC-3.
func (d *Drive) verify10(ctx context.Context, cmd *scsi.Command, m *medium) error {
	lba, n := binary.BigEndian.Uint32(cmd.CDB[2:]), uint32(binary.BigEndian.Uint16(cmd.CDB[7:]))
	compare := cmd.CDB[1]&2 != 0
	length := d.blockLength()
	if err := checkBlocks(m, length, lba, n); err != nil {
		return err
	}
	at, left := int64(lba)*int64(length), int64(n)*int64(length) // bytes of the disc
	buffers := verifyBuffers.Get().(*[2][16 * disc.BlockSize]byte)
	defer verifyBuffers.Put(buffers)
	for left > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		skip := int(at % disc.BlockSize)
		have := buffers[0][:min(blocksUp(left+int64(skip)), len(buffers[0]))]
		good, err := m.disc.ReadBlocks(have, disc.LBA(at/disc.BlockSize))
		if err == nil && good*disc.BlockSize < len(have) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			at = max(at, at/disc.BlockSize*disc.BlockSize+int64(good)*disc.BlockSize)
			return d.mediumError(m, uint32(at/int64(length)), err)
		}
		have = have[skip:min(int64(len(have)), int64(skip)+left)]
		if compare {
			if err := compareOut(cmd.Out, have, buffers[1][:len(have)]); err != nil {
				return err
			}
		}
		at, left = at+int64(len(have)), left-int64(len(have))
	}
	return nil
}

// compareOut compares data-out with what the disc holds.
func compareOut(out io.Reader, have, want []byte) error {
	_, err := io.ReadFull(out, want)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return scsi.FieldInCDB(7, -1) // the host sends less than it says
	case err != nil:
		return err
	case !bytes.Equal(have, want):
		return errMiscompare
	}
	return nil
}
