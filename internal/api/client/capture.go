package client

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Captured is what a capture file holds.
type Captured struct {
	Packets int    `json:"packets"`
	Bytes   int64  `json:"bytes"` // of the file
	Lost    uint64 `json:"lost"`  // PDUs that came faster than they were taken
}

// Blocks of pcapng, with lengths in bytes, and the option that we look for.
const (
	blockPacket    = 6
	blockStats     = 5
	blockHead      = 8
	blockLeast     = 12
	blockMost      = 1 << 20 // a packet has 64 KiB at most
	statsOptions   = 12      // where options begin behind a head
	statsDropped   = 5       // isb_ifdrop
	blockAlignment = 4
)

// CopyCapture copies a capture of [Client.TraceSession] block by block, so that
// what is written is a readable file whenever it ends. It returns without an
// error at the end of r, and with r's error where that broke off.
func CopyCapture(w io.Writer, r io.Reader) (c Captured, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		block, err := readBlock(in)
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return c, err
		}
		n, err := w.Write(block)
		c.Bytes += int64(n)
		if err != nil {
			return c, err
		}
		switch binary.LittleEndian.Uint32(block) {
		case blockPacket:
			c.Packets++
		case blockStats:
			c.Lost = dropped(block)
		}
	}
}

// readBlock returns the next block; io.EOF only between two.
func readBlock(r io.Reader) ([]byte, error) {
	var head [blockHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head[4:])
	if size < blockLeast || size > blockMost || size%blockAlignment != 0 {
		return nil, fmt.Errorf("the capture has a block of %d bytes (hint: client and daemon may be of different versions)", size)
	}
	block := append(make([]byte, 0, size), head[:]...)[:size]
	if _, err := io.ReadFull(r, block[blockHead:]); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return block, nil
}

// dropped returns the count of lost packets of an interface statistics block.
func dropped(block []byte) uint64 {
	options := block[min(blockHead+statsOptions, len(block)):]
	for len(options) >= 4 {
		code, n := binary.LittleEndian.Uint16(options), int(binary.LittleEndian.Uint16(options[2:]))
		options = options[4:]
		if code == 0 || n > len(options) {
			return 0
		}
		if code == statsDropped && n == 8 {
			return binary.LittleEndian.Uint64(options)
		}
		options = options[min(n+-n&(blockAlignment-1), len(options)):]
	}
	return 0
}
