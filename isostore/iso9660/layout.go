package iso9660

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"spindle/isostore/disc"
)

// systemArea is where the volume descriptors begin, in blocks (ECMA-119, 6.2.1).
const systemArea = 16

// A builder turns a tree into segments.
type builder struct {
	files    *files
	o        Options
	tree     *tree
	hash     [sha256.Size]byte
	label    string
	time     time.Time // of the volume
	warnings *warnings

	bios, efi *bootImage
	dirs      [2][]*node // in path table order
	segments  []segment
	end       int64 // blocks taken so far; in the end, of the volume
}

// take reserves blocks at the end and returns the first one.
func (b *builder) take(n int64) int64 {
	at := b.end
	b.end += n
	return at
}

// A plan says in which block each part of the metadata begins.
type plan struct {
	descriptors int64 // primary, boot record if any, supplementary, terminator
	tables      [2]table
	dirs        [2]int64
	more        int64 // continuation areas
	catalogue   int64
	data        int64 // the first block after the metadata
}

// layout gives every part its blocks, in this order:
//
//	system area, volume descriptors, path tables, directories, continuation
//	areas, boot catalogue, one empty block, files, FAT image for UEFI, GPT
func (b *builder) layout() error {
	p, err := b.plan()
	if err != nil {
		return err
	}
	b.placeFiles()
	b.placeFAT()
	if b.hybrid() {
		b.take(blocks(gptTail))
	}
	if b.end > math.MaxInt32 {
		return fmt.Errorf("%s: the files need %d blocks of %d bytes, and a disc has at most %d", b.tree.base, b.end, disc.BlockSize, math.MaxInt32)
	}
	meta := b.metadata(p)
	b.segments[0] = segment{off: 0, n: int64(len(meta)), mem: meta}
	if b.hybrid() {
		tail := b.gptBackup()
		b.segments = append(b.segments, segment{off: b.end*disc.BlockSize - int64(len(tail)), n: int64(len(tail)), mem: tail})
	}
	return nil
}

// plan takes the blocks of the metadata.
func (b *builder) plan() (*plan, error) {
	p := &plan{descriptors: systemArea}
	b.end = systemArea + 3
	if b.bootable() {
		b.end++
	}
	for view := range 2 {
		if err := b.order(view); err != nil {
			return nil, err
		}
		t := &p.tables[view]
		t.size = len(b.pathTable(view, binary.LittleEndian))
		t.lsb = b.take(blocks(int64(t.size)))
		t.msb = b.take(blocks(int64(t.size)))
	}
	for view := range 2 {
		dirs, more, err := b.measure(view)
		if err != nil {
			return nil, err
		}
		p.dirs[view] = b.take(dirs)
		if view == primary {
			p.more = b.take(more)
		}
		at := p.dirs[view]
		for _, d := range b.dirs[view] {
			d.dirs[view].block = uint32(at)
			at += int64(d.dirs[view].size) / disc.BlockSize
		}
		p.tables[view].root = b.tree.root.dirs[view]
	}
	if b.bootable() {
		p.catalogue = b.take(1)
	}
	p.data = b.take(1) + 1
	b.segments = append(b.segments, segment{}) // the metadata, when it is written
	return p, nil
}

// placeFiles gives the files their blocks. Files without data, and symbolic
// links, share the empty block, so that no record points outside the volume.
func (b *builder) placeFiles() {
	empty := b.end - 1
	for n := range b.tree.walk {
		data := n.data()
		switch {
		case n.isDir():
			continue
		case n.stamp.size == 0:
			data.block = empty
		case data.block == 0:
			data.block = b.take(blocks(data.stamp.size))
			b.mapFile(data)
		}
		n.block = data.block
	}
}

// mapFile maps the data of a file, with the boot information table laid over
// it where its boot image wants one.
func (b *builder) mapFile(n *node) {
	off, size := n.block*disc.BlockSize, n.stamp.size
	if i := b.bios; i == nil || !i.table || i.node.data() != n {
		b.segments = append(b.segments, segment{off: off, n: size, file: n})
		return
	}
	table := b.bios.infoTable()
	b.segments = append(b.segments,
		segment{off: off, n: tableStart, file: n},
		segment{off: off + tableStart, n: int64(len(table)), mem: table},
		segment{off: off + tableEnd, n: size - tableEnd, file: n, at: tableEnd})
}

// metadata returns all bytes before the files.
func (b *builder) metadata(p *plan) []byte {
	m := make([]byte, p.data*disc.BlockSize)
	at := func(block int64, data []byte) { copy(m[block*disc.BlockSize:], data) }
	if b.hybrid() {
		at(0, b.head())
	}
	next := p.descriptors
	put := func(d []byte) { at(next, d); next++ }
	put(b.volumeDescriptor(primary, p.tables[primary]))
	if b.bootable() {
		put(bootDescriptor(p.catalogue))
		at(p.catalogue, b.catalogue())
	}
	put(b.volumeDescriptor(joliet, p.tables[joliet]))
	put(terminator())
	for view := range 2 {
		at(p.tables[view].lsb, b.pathTable(view, binary.LittleEndian))
		at(p.tables[view].msb, b.pathTable(view, binary.BigEndian))
		b.write(view, m, p)
	}
	return m
}
