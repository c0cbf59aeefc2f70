package mmcemu

import (
	"context"
	"encoding/binary"

	"spindle/isostore/disc"
	"spindle/scsi"
)

var structureCommands = []command{
	{0xAD, "READ DISC STRUCTURE", concurrent, alloc16(8), checkDiscStructure, (*Drive).discStructure},
}

// Formats of READ DISC STRUCTURE. That of the control data zone in the lead-in is
// the physical format information of a pressed disc. The list needs no medium.
const (
	physicalFormat = 0x00
	controlData    = 0x10
	structureList  = 0xFF
)

// A structure is a format of READ DISC STRUCTURE.
type structure struct {
	kind   disc.Kind
	format byte
	length int // of its data, without the header of 4 bytes
	fill   func(l *disc.Layout, layer byte, b []byte)
}

var structures = []structure{
	{disc.DVD, physicalFormat, 2048, dvdPhysical},
	{disc.DVD, 0x01, 4, leaveZero}, // copyright: no protection, all regions
	{disc.DVD, 0x04, 2048, leaveZero},
	{disc.DVD, controlData, 2048, dvdPhysical},
	{disc.BD, 0x00, 4096, bdInformation},
}

func leaveZero(*disc.Layout, byte, []byte) {}

func checkDiscStructure(cdb *scsi.CDB) error {
	if cdb[1]&0x0F > 1 {
		return scsi.FieldInCDB(1, 3)
	}
	return nil
}

// discStructure answers READ DISC STRUCTURE.
//
//	CDB  byte 1 bits 3-0: 0 DVD, 1 BD; byte 6 layer; byte 7 format; bytes 8-9
//	     allocation length
//	data length (2), 2 zeros, the structure
//
// It fails with CANNOT READ MEDIUM, INCOMPATIBLE FORMAT for a CD, which tells
// hosts that it is no DVD, and for a DVD asked for as BD or the reverse.
// Source: MMC-6, READ DISC STRUCTURE; physical format ECMA-267.
func (d *Drive) discStructure(_ context.Context, cmd *scsi.Command, m *medium) error {
	kind := disc.DVD
	if cmd.CDB[1]&0x0F == 1 {
		kind = disc.BD
	}
	layer, format := cmd.CDB[6], cmd.CDB[7]
	if format == structureList {
		return cmd.In.Reply(withLength(listStructures(kind)))
	}
	if m == nil {
		return d.notReady(cmd.Nexus)
	}
	if m.layout.Kind != kind {
		return scsi.ErrIncompatibleMedium
	}
	for _, s := range structures {
		if s.kind == kind && s.format == format {
			if int(layer) >= layersOf(m.layout) {
				return scsi.FieldInCDB(6, -1)
			}
			b := make([]byte, 4+s.length)
			if !m.storedStructure(format, layer, b[4:]) &&
				(format != controlData || !m.storedStructure(physicalFormat, layer, b[4:])) {
				s.fill(m.layout, layer, b[4:])
			}
			return cmd.In.Reply(withLength(b))
		}
	}
	return scsi.FieldInCDB(7, -1)
}

// storedStructure fills b with what the disc's image holds of a structure, and
// reports whether it holds it.
func (m *medium) storedStructure(format, layer byte, b []byte) bool {
	r, ok := m.disc.(disc.StructureReader)
	if !ok {
		return false
	}
	stored, ok := r.ReadStructure(format, layer)
	if ok {
		copy(b, stored)
	}
	return ok
}

// withLength sets the length in the first two bytes of b.
func withLength(b []byte) []byte {
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

// listStructures is format FFh: format, bit 6 readable, length with header.
func listStructures(kind disc.Kind) []byte {
	b := make([]byte, 4, 32)
	for _, s := range structures {
		if s.kind == kind {
			b = append(b, s.format, 0x40)
			b = binary.BigEndian.AppendUint16(b, uint16(s.length+4))
		}
	}
	return append(b, structureList, 0x40, 0, 0)
}

// Physical sector numbers of block 0.
const (
	dvdFirstPSN = 0x030000
	bdFirstPSN  = 0x100000
)

// bdLayers are the blocks that a BD of one, two or three layers holds: 25, 50
// and 100 GB. BDXL has 33.4 GB a layer with three and 32 GB with four, which
// hold 128 GB: 62500864 blocks.
var bdLayers = [...]disc.LBA{12219392, 24438784, 48878592}

func layersOf(l *disc.Layout) int {
	if l.Kind != disc.BD {
		return l.Layers()
	}
	n := 1
	for _, blocks := range bdLayers {
		if l.LeadOut() > blocks {
			n++
		}
	}
	return n
}

// dvdPhysical is the physical format information of a DVD-ROM of 120 mm. Two
// layers are on opposite track paths: layer 1 counts back from the bitwise
// inverse of where layer 0 ends. Where that is not known it is the half, and the
// rest of an ECC block of 16.
func dvdPhysical(l *disc.Layout, _ byte, b []byte) {
	b[0] = 0x01 // DVD-ROM, part version 1
	b[1] = 0x02 // 120 mm, 10.08 Mbit/s
	b[2] = 0x01 // one layer, embossed
	binary.BigEndian.PutUint32(b[4:], dvdFirstPSN)
	blocks := uint32(l.LeadOut())
	if l.Layers() == 1 {
		binary.BigEndian.PutUint32(b[8:], dvdFirstPSN+blocks-1)
		return
	}
	b[2] = 0x31 // two layers, opposite, embossed
	layer0 := uint32(l.LayerBreak)
	if layer0 == 0 {
		layer0 = (blocks/2 + 15) / 16 * 16
	}
	end0 := dvdFirstPSN + layer0 - 1
	binary.BigEndian.PutUint32(b[8:], (^end0+blocks-layer0-1)&0xFFFFFF)
	binary.BigEndian.PutUint32(b[12:], end0)
}

// bdInformation is the disc information of a BD-ROM: one unit.
func bdInformation(l *disc.Layout, layer byte, b []byte) {
	const inUse = 32 // bytes
	last := bdFirstPSN + uint32(l.LeadOut()) - 1
	copy(b, "DI")
	b[2] = 1                         // format
	b[3] = 1<<3 | layer&7            // units in the block, layer
	b[6] = inUse                     // bytes in use
	copy(b[8:], "BDO")               // BD-ROM
	b[11] = 0x01                     // 120 mm, class 0, version 1
	b[12] = byte(layersOf(l))<<4 | 1 // layers; embossed
	binary.BigEndian.PutUint32(b[20:], last)
	binary.BigEndian.PutUint32(b[24:], bdFirstPSN/8) // address units
	binary.BigEndian.PutUint32(b[28:], last/8)
}
