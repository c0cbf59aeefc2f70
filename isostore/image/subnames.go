package image

import (
	"sort"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// readSubNames takes from stored sub-channels what the image says nowhere else:
// the media catalogue number, recording codes, and indexes from 2 on, which for
// images in 2448-byte sectors are there and only there. It reads a few hundred
// sub-channels a track.
func (d *cd) readSubNames() {
	for t := range d.layout.Tracks() {
		if r, _ := d.runAt(t.Start); r == nil || r.sub == nil {
			continue
		}
		end := d.layout.End(t)
		if d.layout.MCN == "" || t.ISRC == "" && !t.IsData() {
			d.readCodes(t, end)
		}
		if len(t.Indexes) == 0 {
			d.readIndexes(t, end)
		}
	}
}

// readCodes looks for the catalogue number and the track's recording code, each
// of which is in one of a hundred sectors at least (ECMA-130, 22.3.4).
func (d *cd) readCodes(t *disc.Track, end disc.LBA) {
	const looks = 300
	var p [100 * disc.SubSize]byte
	for lba := t.Start; lba < min(end, t.Start+looks); lba += disc.LBA(len(p) / disc.SubSize) {
		n, err := d.ReadSub(p[:min(len(p), int(end-lba)*disc.SubSize)], lba)
		for i := range n {
			q := sector.QOf(p[i*disc.SubSize:])
			if mcn, ok := sector.ParseMCN(q); ok && d.layout.MCN == "" && mcn != noMCN {
				d.layout.MCN = mcn
			}
			if isrc, ok := sector.ParseISRC(q); ok && t.ISRC == "" && isrc != noISRC {
				t.ISRC = isrc
			}
		}
		if err != nil || d.layout.MCN != "" && t.ISRC != "" {
			return
		}
	}
}

// What sub-channels hold that have no codes.
const (
	noMCN  = "0000000000000"
	noISRC = "000000000000"
)

// readIndexes looks for where indexes begin by halving, as their numbers only
// grow within a track.
func (d *cd) readIndexes(t *disc.Track, end disc.LBA) {
	last := byte(0)
	for lba := end - 1; last == 0 && lba > max(t.Start, end-10); lba-- {
		last = d.indexAt(t, lba, lba+1)
	}
	at := t.Start
	var indexes []disc.LBA
	for k := byte(2); k <= last; k++ {
		from := at + 1
		at = from + disc.LBA(sort.Search(int(end-from), func(i int) bool {
			return d.indexAt(t, from+disc.LBA(i), end) >= k
		}))
		if at >= end || d.indexAt(t, at, end) != k {
			return // they do not grow one by one
		}
		indexes = append(indexes, at)
	}
	t.Indexes = indexes
}

// indexAt returns the index that sub-channel Q has in track t at lba, or, where
// it carries another thing there, in one of the next sectors before end; 0 when
// they are not readable.
func (d *cd) indexAt(t *disc.Track, lba, end disc.LBA) byte {
	var p [disc.SubSize]byte
	for at := lba; at < min(end, lba+5); at++ {
		if n, _ := d.ReadSub(p[:], at); n != 1 {
			return 0
		}
		if q := sector.QOf(p[:]); q[0]&0xF == 1 && q.Valid() && fromBCD(q[1]) == t.Number {
			return fromBCD(q[2])
		}
	}
	return 0
}
