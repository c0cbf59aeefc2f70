package mmcemu

import (
	"encoding/binary"
	"math"

	"spindle/isostore/disc"
	"spindle/scsi"
)

// shortBlock is the other block length: workstations and samplers of the years
// before MMC read CDs as disks of 512-byte blocks.
const shortBlock = 512

// blockLengthOK reports whether the drive can be switched to blocks of n bytes.
func blockLengthOK(n int) bool { return n == disc.BlockSize || n == shortBlock }

// blockLength returns the length in bytes of the blocks that READ, VERIFY,
// SEEK and READ CAPACITY count in, and INFORMATION of their sense. All other
// commands go on in blocks and sectors of the disc.
func (d *Drive) blockLength() uint32 { return d.block.Load() }

// setBlockLength switches the block length and reports whether it is another
// now.
func (d *Drive) setBlockLength(n uint32) bool { return d.block.Swap(n) != n }

// describesBlocks reports whether MODE SENSE has a block descriptor: hosts that
// want other blocks than those of a CD look into it, all others do without.
func (d *Drive) describesBlocks() bool {
	return d.blockLength() != disc.BlockSize || d.o.BlockLength != disc.BlockSize
}

// appendBlockDescriptor appends what MODE SENSE says of blocks, if it does:
// density code 0, their number or 0 where 24 bits do not hold it, 0, and their
// length. Source: SCSI-2, 8.3.3.
func (d *Drive) appendBlockDescriptor(b []byte, m *medium) []byte {
	size := d.blockLength()
	var count uint32
	if n := blocksOfLength(m, size); n < 1<<24 {
		count = uint32(n)
	}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, count), size)
}

// blocksOfLength returns how many blocks of size bytes a medium has, 0 for none.
func blocksOfLength(m *medium, size uint32) uint64 {
	if m == nil {
		return 0
	}
	return uint64(m.blocks()) * uint64(disc.BlockSize/size)
}

// checkBlocks returns LBA OUT OF RANGE with the first address that the medium
// does not have, in blocks of size bytes. A command for no blocks may stand at
// its end.
func checkBlocks(m *medium, size, lba, n uint32) error {
	if blocks := blocksOfLength(m, size); uint64(lba)+uint64(n) > blocks {
		return scsi.ErrLBAOutOfRange.At(uint32(min(max(uint64(lba), blocks), math.MaxUint32)))
	}
	return nil
}
