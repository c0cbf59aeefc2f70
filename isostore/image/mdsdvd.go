package image

import (
	"encoding/binary"
	"fmt"
	"io"

	"spindle/isostore/disc"
)

// Sizes of disc structures, in bytes, and where an MDS file has each of a layer.
const (
	dvdCopyrightSize     = 4
	dvdManufacturingSize = 2048
	dvdPhysicalSize      = 2048
	dvdLayerSize         = dvdCopyrightSize + dvdManufacturingSize + dvdPhysicalSize
)

// dvdFirstPSN is the physical sector number of LBA 0.
const dvdFirstPSN = 0x030000

// dvdStructures are the structures of a DVD's layers, one behind the other as
// an MDS file has them: copyright, manufacturing, physical.
type dvdStructures []byte

// of returns a structure by its format in READ DISC STRUCTURE.
func (d dvdStructures) of(format, layer byte) ([]byte, bool) {
	if int(layer) >= len(d)/dvdLayerSize {
		return nil, false
	}
	b := d[int(layer)*dvdLayerSize:][:dvdLayerSize]
	switch format {
	case 0x00:
		return b[dvdCopyrightSize+dvdManufacturingSize:], true
	case 0x01:
		return b[:dvdCopyrightSize], true
	case 0x04:
		return b[dvdCopyrightSize:][:dvdManufacturingSize], true
	}
	return nil, false
}

// layerBreak returns the first block of layer 1 of a disc with two layers, else
// 0: it lies behind where layer 0 ends, which is said apart where the layers are
// on opposite track paths (ECMA-267, 16).
func (d dvdStructures) layerBreak() disc.LBA {
	b, ok := d.of(0, 0)
	if !ok || b[2]>>5&3 != 1 {
		return 0
	}
	end := binary.BigEndian.Uint32(b[8:])
	if b[2]&0x10 != 0 {
		end = binary.BigEndian.Uint32(b[12:])
	}
	return disc.LBA(end&0xFFFFFF) - dvdFirstPSN + 1
}

// A structuredDVD is a DVD with its structures.
type structuredDVD struct {
	*flat
	structures dvdStructures
}

var _ disc.StructureReader = (*structuredDVD)(nil)

// ReadStructure implements disc.StructureReader.
func (d *structuredDVD) ReadStructure(format, layer byte) ([]byte, bool) {
	return d.structures.of(format, layer)
}

// dvd makes the disc of a DVD. Where a CD's track block has the place of its
// extra block, that of a DVD has its length in blocks.
func (m *mds) dvd() (disc.Disc, error) {
	t := &m.tracks[0]
	n := int64(t.extra)
	if n == 0 {
		n = (t.data.Size() - t.offset) / disc.BlockSize
	}
	if len(m.tracks) > 1 || t.size != disc.BlockSize || n <= 0 {
		return nil, fmt.Errorf("%w: a DVD of %d tracks, with %d blocks of %d bytes", ErrDamaged, len(m.tracks), n, t.size)
	}
	if held := max(0, t.data.Size()-t.offset) / disc.BlockSize; held < n {
		m.source.info.Truncated = true
		m.source.warn("the data files end before block %d, and the disc has %d: is the copy complete?", held, n)
	}
	if m.source.options.Kind == 0 && n <= disc.MaxDVDBlocks {
		m.source.options.Kind = disc.DVD
	}
	d, err := newFlat(m.source, io.NewSectionReader(t.data, t.offset, n*disc.BlockSize))
	if err != nil {
		return nil, err
	}
	plain, ok := d.(*flat)
	if !ok {
		return d, nil // taken for a CD
	}
	structures := m.structures()
	if at := structures.layerBreak(); at > 0 && at < plain.layout.LeadOut() && plain.layout.Kind == disc.DVD {
		plain.layout.LayerBreak = at
	} else if at != 0 {
		m.source.warn("layer 1 should begin at block %d of %d", at, n)
	}
	return &structuredDVD{plain, structures}, nil
}

// structures reads the structures of one layer, or of two where the first says
// that there are two.
func (m *mds) structures() dvdStructures {
	at := binary.LittleEndian.Uint32(m.header[64:])
	if at == 0 {
		return nil
	}
	b, err := m.read(at, dvdLayerSize)
	if err != nil {
		m.source.warn("the disc structures cannot be read: %v", err)
		return nil
	}
	if dvdStructures(b).layerBreak() != 0 {
		if both, err := m.read(at, 2*dvdLayerSize); err == nil {
			return both
		}
	}
	return b
}
