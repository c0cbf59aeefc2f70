package mmcemu

import (
	"context"
	"errors"
	"io"
	"sync"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
	"spindle/scsi"
)

// A rawRead is what READ CD asks of an image with raw sectors.
type rawRead struct {
	lba    disc.LBA
	n      uint32 // sectors
	want   sectorType
	fields fields
}

// rawBatch is how many sectors are read at once.
const rawBatch = 16

// rawBuffers hold raw sectors and their sub-channels, whose fields are picked
// out into the front end's memory.
type rawBuffers struct {
	sectors [rawBatch * disc.SectorSize]byte
	subs    [(rawBatch + sector.RWAhead) * disc.SubSize]byte
}

var rawPool = sync.Pool{New: func() any { return new(rawBuffers) }}

func (d *Drive) readRaw(ctx context.Context, cmd *scsi.Command, m *medium, raw disc.RawReader, r rawRead) error {
	b := rawPool.Get().(*rawBuffers)
	defer rawPool.Put(b)
	w := sectorWriter{in: cmd.In, sectors: r.n}
	for r.n > 0 && !w.full() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		good, rerr := b.fill(m, raw, r)
		for i := range good {
			s, sub := b.sectors[i*disc.SectorSize:][:disc.SectorSize], b.subs[i*disc.SubSize:]
			if err := w.write(m, s, sub, r, r.lba+disc.LBA(i)); err != nil {
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

// fill reads the next sectors of r, and their sub-channels where they are
// selected. It returns how many are good, and why the next is not.
func (b *rawBuffers) fill(m *medium, raw disc.RawReader, r rawRead) (int, error) {
	n := int(min(r.n, rawBatch))
	good, err := raw.ReadSectors(b.sectors[:n*disc.SectorSize], r.lba)
	if err == nil && good < n {
		err = io.ErrUnexpectedEOF
	}
	if r.fields.sub == subNone || good == 0 {
		return good, err
	}
	ahead := 0
	if r.fields.sub == subPacks {
		ahead = sector.RWAhead
	}
	if subs, serr := m.readSub(b.subs[:(good+ahead)*disc.SubSize], r.lba); serr != nil {
		return max(subs-ahead, 0), serr
	}
	return good, err
}

// readSub fills p with sub-channels from lba on. What the image does not hold
// is made from the layout. It returns how many are good, and why the next is not.
func (m *medium) readSub(p []byte, lba disc.LBA) (n int, err error) {
	r, ok := m.disc.(disc.SubReader)
	for total := len(p) / disc.SubSize; n < total; {
		rest := p[n*disc.SubSize:]
		if ok {
			got, err := r.ReadSub(rest, lba+disc.LBA(n))
			switch n += got; {
			case err == nil && n == total:
				return n, nil
			case err == nil:
				return n, io.ErrUnexpectedEOF
			case !errors.Is(err, disc.ErrRange):
				return n, err
			}
			rest = p[n*disc.SubSize:]
		}
		sector.Sub(rest, m.layout, lba+disc.LBA(n))
		n++
	}
	return n, nil
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

// write sends the selected fields of sector s, whose sub-channel and what
// follows it stand in sub.
func (w *sectorWriter) write(m *medium, s, sub []byte, r rawRead, lba disc.LBA) error {
	if w.full() {
		return nil
	}
	kind, ok := typeOf(m, s, lba)
	if !ok || r.want != anyType && r.want != kind {
		return w.stop(illegalMode(lba))
	}
	size := r.fields.size(kind)
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
	if err := w.main(kind, r.fields, s); err != nil {
		return err
	}
	return w.sub(r.fields.sub, sub)
}

// main sends fields of the main channel, and C2.
func (w *sectorWriter) main(kind sectorType, f fields, s []byte) error {
	main := f.mainOf(kind)
	for i, p := range sectorParts[kind] {
		if main&fieldBits[i] == 0 {
			continue
		}
		if err := w.send(s[p.start:p.end]); err != nil {
			return err
		}
	}
	return w.send(noErrors[:c2Sizes[f.c2]])
}

// sub sends a sub-channel as selected.
func (w *sectorWriter) sub(selected byte, sub []byte) error {
	switch selected {
	case subRaw:
		return w.send(sub[:disc.SubSize])
	case subQ:
		q := formattedQ(sub)
		return w.send(q[:])
	case subPacks:
		var packs [disc.SubSize]byte
		sector.RWPacks(packs[:], sub)
		return w.send(packs[:])
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
