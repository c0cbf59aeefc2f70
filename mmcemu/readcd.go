package mmcemu

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"spindle/isostore/disc"
	"spindle/scsi"
)

var readCDCommands = []command{
	{0xBE, "READ CD", needsMedium | concurrent | stopsPlay, alloc{}, checkReadCD, (*Drive).readCD},
	{0xB9, "READ CD MSF", needsMedium | concurrent | stopsPlay, alloc{}, checkReadCDMSF, (*Drive).readCDMSF},
}

// Bits of READ CD, byte 9, that select fields of a sector. On the disc they
// come in this order, and so they are sent.
const (
	selectSync      = 0x80
	selectHeader    = 0x20
	selectSubheader = 0x40
	selectUserData  = 0x10
	selectEDC       = 0x08
	selectC2        = 0x06
	selectMain      = 0xF8
)

// A sectorType is the expected sector type of READ CD, and what a sector is.
type sectorType byte

const (
	anyType sectorType = iota
	cddaType
	mode1Type
	mode2Type
	form1Type
	form2Type
)

// checkReadCD refuses sub-channel data and C2 errors, which the drive does not
// claim, also for a length of 0: that is how tools probe for them.
func checkReadCD(cdb *scsi.CDB) error {
	switch {
	case sectorType(cdb[1]>>2&7) > form2Type:
		return scsi.FieldInCDB(1, 4)
	case cdb[9]&selectC2 != 0:
		return scsi.FieldInCDB(9, 2)
	case cdb[10]&7 != 0:
		return scsi.FieldInCDB(10, 2)
	}
	return nil
}

func checkReadCDMSF(cdb *scsi.CDB) error {
	for _, at := range []int{3, 6} {
		if cdb[at+1] >= 60 {
			return scsi.FieldInCDB(at+1, -1)
		}
		if cdb[at+2] >= 75 {
			return scsi.FieldInCDB(at+2, -1)
		}
	}
	if msfAt(cdb, 3).LBA() > msfAt(cdb, 6).LBA() {
		return scsi.FieldInCDB(6, -1)
	}
	return checkReadCD(cdb)
}

func msfAt(cdb *scsi.CDB, at int) disc.MSF { return disc.MSF{M: cdb[at], S: cdb[at+1], F: cdb[at+2]} }

// readCD answers READ CD.
//
//	CDB  byte 1 bits 4-2 expected sector type; bytes 2-5 LBA, signed; bytes 6-8
//	     length in sectors; byte 9 fields of a sector; byte 10 sub-channel
//
// User data is read from every medium. The other fields need an image with raw
// sectors: INVALID FIELD IN CDB without. A sector that is not of the expected
// type, or of another size than the first, is ILLEGAL MODE FOR THIS TRACK.
// Source: MMC-6, READ CD.
func (d *Drive) readCD(ctx context.Context, cmd *scsi.Command, m *medium) error {
	lba := disc.LBA(int32(binary.BigEndian.Uint32(cmd.CDB[2:])))
	return d.readSelected(ctx, cmd, m, lba, binary.BigEndian.Uint32(cmd.CDB[5:])&0xFFFFFF)
}

// readCDMSF answers READ CD MSF: as READ CD, with a start in bytes 3-5 and an
// end, which is not read, in bytes 6-8.
func (d *Drive) readCDMSF(ctx context.Context, cmd *scsi.Command, m *medium) error {
	start, end := msfAt(&cmd.CDB, 3).LBA(), msfAt(&cmd.CDB, 6).LBA()
	return d.readSelected(ctx, cmd, m, start, uint32(end-start))
}

func (d *Drive) readSelected(ctx context.Context, cmd *scsi.Command, m *medium, lba disc.LBA, n uint32) error {
	fields := cmd.CDB[9] & selectMain
	if fields == 0 || n == 0 {
		return nil
	}
	if end := int64(lba) + int64(n); end > int64(m.blocks()) {
		return scsi.ErrLBAOutOfRange.At(max(uint32(lba), m.blocks()))
	}
	want := sectorType(cmd.CDB[1] >> 2 & 7)
	raw, ok := m.disc.(disc.RawReader)
	_, track := m.layout.TrackAt(lba)
	if track == nil {
		return scsi.ErrLBAOutOfRange.At(uint32(lba))
	}
	plain := track.Mode == disc.Mode1 || track.Mode == disc.UserData
	if ok && m.layout.Kind == disc.CD && (fields != selectUserData || !plain) {
		return d.readRaw(ctx, cmd, m, raw, rawRead{lba, n, fields, want})
	}
	if fields != selectUserData {
		return scsi.FieldInCDB(9, 7)
	}
	if want != anyType && want != mode1Type {
		return illegalMode(lba)
	}
	if lba < 0 {
		return scsi.ErrLBAOutOfRange.At(uint32(lba))
	}
	return d.read(ctx, cmd, m, uint32(lba), n)
}

func illegalMode(lba disc.LBA) error {
	s := scsi.ErrIllegalMode.At(uint32(lba))
	s.ILI = true
	return s
}

// A rawRead is what READ CD asks of an image with raw sectors.
type rawRead struct {
	lba    disc.LBA
	n      uint32 // sectors
	fields byte
	want   sectorType
}

// rawBuffers hold raw sectors, whose fields are picked out into the front
// end's memory.
var rawBuffers = sync.Pool{New: func() any { return new([16 * disc.SectorSize]byte) }}

func (d *Drive) readRaw(ctx context.Context, cmd *scsi.Command, m *medium, raw disc.RawReader, r rawRead) error {
	buffer := rawBuffers.Get().(*[16 * disc.SectorSize]byte)
	defer rawBuffers.Put(buffer)
	w := sectorWriter{in: cmd.In, sectors: r.n}
	for r.n > 0 && !w.full() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p := buffer[:min(int(r.n)*disc.SectorSize, len(buffer))]
		good, rerr := raw.ReadSectors(p, r.lba)
		if rerr == nil && good*disc.SectorSize < len(p) {
			rerr = io.ErrUnexpectedEOF
		}
		for i := range good {
			if err := w.write(m, p[i*disc.SectorSize:][:disc.SectorSize], r, r.lba+disc.LBA(i)); err != nil {
				return err
			}
		}
		if rerr != nil && !w.full() {
			if err := w.flush(); err != nil {
				return err
			}
			return d.mediumError(m, uint32(r.lba)+uint32(good), rerr)
		}
		r.lba, r.n = r.lba+disc.LBA(good), r.n-uint32(good)
	}
	return w.flush()
}

// A sectorWriter sends fields of sectors, all of one size, which the first of
// them decides.
type sectorWriter struct {
	in      scsi.DataIn
	sectors uint32
	size    int // of a sector's fields; 0 before the first
	begun   bool
	left    int64  // of what the host takes
	chunk   []byte // lent
	fill    int    // bytes of chunk that are set
}

// full reports whether the host takes no more.
func (w *sectorWriter) full() bool { return w.begun && w.left == 0 }

func (w *sectorWriter) write(m *medium, sector []byte, r rawRead, lba disc.LBA) error {
	if w.full() {
		return nil
	}
	kind, ok := typeOf(m, sector, lba)
	if !ok || r.want != anyType && r.want != kind {
		return w.stop(illegalMode(lba))
	}
	size := 0
	parts := partsOf(kind, r.fields)
	for _, p := range parts {
		size += p.end - p.start
	}
	if !w.begun {
		take, err := w.in.Begin(int64(size) * int64(w.sectors))
		if err != nil {
			return err
		}
		w.begun, w.size, w.left = true, size, take
	}
	if size != w.size {
		return w.stop(illegalMode(lba))
	}
	for _, p := range parts {
		if err := w.send(sector[p.start:p.end]); err != nil {
			return err
		}
	}
	return nil
}

// send copies p into chunks, and gives those that are full to the wire.
func (w *sectorWriter) send(p []byte) (err error) {
	p = p[:min(int64(len(p)), w.left)]
	for len(p) > 0 {
		if w.chunk == nil {
			if w.chunk, err = w.in.Buffer(); err != nil {
				return err
			}
		}
		n := copy(w.chunk[w.fill:], p)
		p, w.fill, w.left = p[n:], w.fill+n, w.left-int64(n)
		if w.fill == len(w.chunk) {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush sends the chunk that is begun.
func (w *sectorWriter) flush() error {
	if w.chunk == nil {
		return nil
	}
	n := w.fill
	w.chunk, w.fill = nil, 0
	return w.in.Send(n)
}

// stop sends the good sectors before one that fails with err.
func (w *sectorWriter) stop(err error) error {
	if ferr := w.flush(); ferr != nil {
		return ferr
	}
	return err
}
