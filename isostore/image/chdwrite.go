package image

import (
	"context"
	"fmt"
	"io"

	"spindle/isostore/chd"
	"spindle/isostore/disc"
)

// WriteCHD writes d as a CHD into w, which is empty. A CD keeps every sector
// from LBA 0 on whole, its layout, and the sub-channels of tracks of which d's
// image holds some; others are made again by whoever reads it. Gaps between
// sessions are not stored: to other readers they are postgaps.
//
// progress, which may be nil, is called now and then with the sectors done, and
// of all. When WriteCHD fails, w holds no CHD.
func WriteCHD(ctx context.Context, w io.WriterAt, d disc.Disc, progress func(done, total int64)) error {
	p := chdWriter{ctx: ctx, d: d, progress: progress}
	if p.progress == nil {
		p.progress = func(int64, int64) {}
	}
	if d.Layout().Kind == disc.CD {
		return p.cd(w)
	}
	return p.flat(w)
}

// chdBatch is how many sectors are read at once.
const chdBatch = 64

type chdWriter struct {
	ctx         context.Context
	d           disc.Disc
	progress    func(done, total int64)
	done, total int64
	out         *chd.Writer
}

// each calls write for batch after batch of sectors, as their first and count.
func (p *chdWriter) each(first, end disc.LBA, write func(lba disc.LBA, n int) error) error {
	for lba := first; lba < end; {
		n := int(min(chdBatch, end-lba))
		if err := context.Cause(p.ctx); err != nil {
			return err
		}
		if err := write(lba, n); err != nil {
			return err
		}
		lba += disc.LBA(n)
		p.done += int64(n)
		p.progress(p.done, p.total)
	}
	return nil
}

// flat writes a DVD or BD.
func (p *chdWriter) flat(w io.WriterAt) (err error) {
	if p.out, err = chd.Create(w, chd.DVDOptions()); err != nil {
		return err
	}
	end := p.d.Layout().LeadOut()
	p.total = int64(end)
	buffer := make([]byte, chdBatch*disc.BlockSize)
	err = p.each(0, end, func(lba disc.LBA, n int) error {
		if _, err := p.d.ReadBlocks(buffer[:n*disc.BlockSize], lba); err != nil {
			return err
		}
		_, err := p.out.Write(buffer[:n*disc.BlockSize])
		return err
	})
	if err != nil {
		return err
	}
	return p.out.Close([]chd.Metadata{{Tag: chd.TagDVD, Data: []byte{0}, Hashed: true}})
}

// chdNames are the types of the tracks that are written: sectors are whole.
var chdNames = map[disc.Mode]string{
	disc.Audio:   "AUDIO",
	disc.Mode1:   "MODE1_RAW",
	disc.Mode2:   "MODE2_RAW",
	disc.Mode2XA: "MODE2_RAW",
}

// cd writes a CD.
func (p *chdWriter) cd(w io.WriterAt) (err error) {
	if _, ok := p.d.(disc.RawReader); !ok {
		return fmt.Errorf("the image gives no whole sectors, which a CHD of a CD consists of")
	}
	if p.out, err = chd.Create(w, chd.CDOptions()); err != nil {
		return err
	}
	l := p.d.Layout()
	p.total = int64(l.LeadOut())
	var metadata []chd.Metadata
	var starts []disc.LBA
	for i := range l.Sessions {
		s := &l.Sessions[i]
		for j := range s.Tracks {
			t := &s.Tracks[j]
			first, end := max(0, t.Pregap), l.End(t)
			m := chd.Track{
				Number: int(t.Number), Type: chdNames[t.Mode], Subtype: "NONE", Frames: int(end - first),
				Pregap: int(t.Start - first), Stored: t.Start > first, PregapOf: chdNames[t.Mode],
			}
			if c, ok := p.d.(*cd); ok && c.storesSub(first, end) {
				m.Subtype = "RW_RAW"
			}
			m.PregapQ = m.Subtype
			if j+1 == len(s.Tracks) && i+1 < len(l.Sessions) {
				m.Postgap = int(l.Sessions[i+1].Tracks[0].Pregap - end)
			}
			if err := p.track(&m, first, end); err != nil {
				return err
			}
			metadata, starts = append(metadata, m.Metadata()), append(starts, first)
		}
	}
	ours := chd.Metadata{Tag: chd.TagSpindle, Data: []byte(chdText(l, starts) + "\x00"), Hashed: true}
	return p.out.Close(append(metadata, ours))
}

// storesSub reports whether the image holds sub-channels of the sectors.
func (d *cd) storesSub(first, end disc.LBA) bool {
	for i := range d.runs {
		if r := &d.runs[i]; r.sub != nil && r.start < end && r.end() > first {
			return true
		}
	}
	return false
}

// track writes the frames of a track, and those that fill it up.
func (p *chdWriter) track(m *chd.Track, first, end disc.LBA) error {
	sectors, subs := make([]byte, chdBatch*disc.SectorSize), make([]byte, chdBatch*disc.SubSize)
	frames := make([]byte, 0, chdBatch*chd.FrameSize)
	err := p.each(first, end, func(lba disc.LBA, n int) error {
		raw := sectors[:n*disc.SectorSize]
		if _, err := p.d.(disc.RawReader).ReadSectors(raw, lba); err != nil {
			return err
		}
		if m.Type == "AUDIO" {
			swapSamples(raw)
		}
		if m.Subtype != "NONE" {
			if _, err := p.d.(disc.SubReader).ReadSub(subs[:n*disc.SubSize], lba); err != nil {
				return err
			}
		}
		frames = frames[:0]
		for i := range n {
			frames = append(frames, raw[i*disc.SectorSize:][:disc.SectorSize]...)
			frames = append(frames, subs[i*disc.SubSize:][:disc.SubSize]...)
		}
		_, err := p.out.Write(frames)
		return err
	})
	if err != nil {
		return err
	}
	_, err = p.out.Write(make([]byte, (m.Padded()-m.Frames)*chd.FrameSize))
	return err
}
