package image

import (
	"fmt"
	"io"

	"spindle/isostore/disc"
)

// cdiSizes are the bytes of a sector by the read mode of a track.
var cdiSizes = []int64{2048, 2336, disc.SectorSize, disc.SectorSize + pqSize, disc.SectorSize + disc.SubSize}

// cdiForms are how sectors are stored, by the mode of a track and their size;
// larger ones have the sub-channel behind them.
var cdiForms = []map[int64]form{
	0: {disc.SectorSize: audioForm},
	1: {disc.BlockSize: mode1Form, disc.SectorSize: rawForm},
	2: {disc.BlockSize: xa1Form, 2336: mode2Form, disc.SectorSize: rawForm},
}

// size is the bytes of a sector of the track in the file.
func (t *cdiTrack) size() (int64, error) {
	if int(t.mode) >= len(cdiForms) || t.stored >= uint32(len(cdiSizes)) {
		return 0, fmt.Errorf("mode %d, read mode %d", t.mode, t.stored)
	}
	size := cdiSizes[t.stored]
	if _, ok := cdiForms[t.mode][min(size, disc.SectorSize)]; !ok {
		return 0, fmt.Errorf("sectors of mode %d and %d bytes", t.mode, size)
	}
	return size, nil
}

// place puts the tracks into the layout. Within a session they stand one behind
// the other, pregaps too; only where a session begins their LBAs say.
func (c *cdi) place() (runs []run, err error) {
	c.layout.Kind = disc.CD
	at := disc.LBA(-leadInPregap)
	for i := range c.tracks {
		t := &c.tracks[i]
		if t.length <= 0 || t.length > disc.MaxCDBlocks || t.indexes[0] >= t.length {
			return nil, fmt.Errorf("track %d: %d sectors, and a pregap of %d", i+1, t.length, t.indexes[0])
		}
		gap := disc.LBA(t.indexes[0])
		if i > 0 && t.session != c.tracks[i-1].session {
			at = c.sessionStart(t) - gap
		} else if i == 0 {
			at = max(at, -gap)
		}
		if t.session == len(c.layout.Sessions) {
			c.layout.Sessions = append(c.layout.Sessions, disc.Session{})
		}
		s := &c.layout.Sessions[t.session]
		track := disc.Track{
			Number: byte(i + 1), Control: t.control, ISRC: t.isrc, Pregap: at, Start: at + gap,
			Mode: []disc.Mode{disc.Audio, disc.Mode1, disc.Mode2}[t.mode],
		}
		index := track.Start
		for k := 1; k+1 < len(t.indexes); k++ {
			if t.indexes[k] <= 0 || t.indexes[k] > t.length {
				return nil, fmt.Errorf("track %d: index %d has %d sectors of %d", i+1, k, t.indexes[k], t.length)
			}
			index += disc.LBA(t.indexes[k])
			track.Indexes = append(track.Indexes, index)
		}
		runs = append(runs, c.run(t, at))
		at += disc.LBA(t.length)
		if at > disc.MaxCDBlocks {
			return nil, fmt.Errorf("track %d ends at %d", i+1, at)
		}
		s.Tracks, s.LeadOut = append(s.Tracks, track), at
	}
	return runs, nil
}

// sessionStart is index 1 of the first track of a later session. Its LBA is that
// or, where that of the disc's first track is -150, that of index 0.
func (c *cdi) sessionStart(t *cdiTrack) disc.LBA {
	usual, gap := nextSession(&c.layout), disc.LBA(t.indexes[0])
	lba := max(0, t.lba)
	if lba+gap == usual || c.tracks[0].lba == -leadInPregap && lba != usual {
		lba += gap
	}
	if lba < c.layout.LeadOut()+gap || lba > disc.MaxCDBlocks {
		return usual
	}
	return lba
}

// run is where the sectors of a track lie, of which index 0 is at lba.
func (c *cdi) run(t *cdiTrack, lba disc.LBA) run {
	size := cdiSizes[t.stored]
	r := run{start: lba, n: disc.LBA(t.length), form: cdiForms[t.mode][min(size, disc.SectorSize)], data: c.source, off: t.offset}
	switch size {
	case disc.SectorSize + disc.SubSize:
		r.stride = size
		r.sub = &subs{data: c.source, off: t.offset + disc.SectorSize, stride: size}
	case disc.SectorSize + pqSize:
		r.stride = size
		r.sub = &subs{data: &pqSubs{c.source, t.offset + disc.SectorSize, size, t.length}, planar: true}
	}
	return r
}

// pqSize is the bytes of P and Q behind a sector, as READ CD sends them: Q, three
// zeros, and P in the highest bit of the last.
const pqSize = 16

// A pqSubs is P and Q behind sectors, as the sub-channels of which they are
// part: channel by channel, R to W zero.
type pqSubs struct {
	data   data
	off    int64 // of the first sector's
	stride int64
	n      int64 // sectors
}

// Size implements data.
func (s *pqSubs) Size() int64 { return s.n * disc.SubSize }

// ReadAt implements io.ReaderAt.
func (s *pqSubs) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		i, skip := (off+int64(n))/disc.SubSize, (off+int64(n))%disc.SubSize
		var pq [pqSize]byte
		var sub [disc.SubSize]byte
		if i >= s.n {
			return n, io.EOF
		}
		if got, err := s.data.ReadAt(pq[:], s.off+i*s.stride); got < len(pq) {
			return n, noEOF(err)
		}
		for k := range 12 {
			sub[k] = -(pq[pqSize-1] >> 7)
		}
		copy(sub[12:24], pq[:12])
		n += copy(p[n:], sub[skip:])
	}
	return n, nil
}
