// Package disc is the disc model: what is on a disc and how its blocks and
// sectors are read. It imports nothing of this module.
//
// Terms are those of MMC-6 and ECMA-130.
package disc

import (
	"errors"
	"io"
)

// Sizes in bytes.
const (
	BlockSize  = 2048 // user data of a data block
	SectorSize = 2352 // raw CD sector: sync, header, data, EDC and ECC, or audio
	SubSize    = 96   // sub-channel of a sector, P to W, interleaved as READ CD sends it
)

// Errors of reading. A reader wraps them with the file and the offset; the
// drive makes sense of them.
var (
	// ErrMode: the sector has no 2048 bytes of user data (audio, Mode 2 Form 2).
	ErrMode = errors.New("sector holds no 2048-byte user data")
	// ErrRange: the address lies outside the disc's readable area.
	ErrRange = errors.New("address out of range")
	// ErrChanged: the image was truncated or written to while it was open. It
	// is never answered with data.
	ErrChanged = errors.New("image changed while open")
)

// A Disc is an opened image. All methods may be called concurrently, but for
// Close, which is called once, after the last read has returned.
type Disc interface {
	// Layout is complete and does not change. The caller must not modify it.
	Layout() *Layout

	// ReadBlocks reads len(p)/BlockSize blocks of user data from lba on; len(p)
	// is a multiple of BlockSize. It returns the count of good blocks, which
	// stand at the start of p, and the error that stopped it at block lba+n.
	ReadBlocks(p []byte, lba LBA) (n int, err error)

	io.Closer
}

// A RawReader is a disc whose image holds raw sectors.
type RawReader interface {
	// ReadSectors is as ReadBlocks for sectors of SectorSize bytes. Track 1's
	// pregap is read at negative addresses from -150 on where the image has it.
	ReadSectors(p []byte, lba LBA) (n int, err error)
}

// A SubReader is a disc whose image holds sub-channel data.
type SubReader interface {
	// ReadSub is as ReadBlocks for sub-channels of SubSize bytes.
	ReadSub(p []byte, lba LBA) (n int, err error)
}

// A SubHolder is a SubReader that knows whether it reads or makes what it gives.
type SubHolder interface {
	// HoldsSub reports whether the image holds sub-channels of any sector.
	HoldsSub() bool
}

// A StructureReader is a disc whose image holds disc structures of a DVD.
type StructureReader interface {
	// ReadStructure returns the structure of that format and layer as READ DISC
	// STRUCTURE sends it, but for the header of 4 bytes, and whether the image
	// holds it. The caller must not modify it.
	ReadStructure(format, layer byte) ([]byte, bool)
}
