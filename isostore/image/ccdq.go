package image

import (
	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// fromQ completes the layout by sub-channel Q: pregaps and indexes of tracks of
// which the description has none, MCN and ISRCs. It looks at few sectors a
// track: boundaries are found by halving.
func (c *ccdBuilder) fromQ() {
	for i := range c.layout.Sessions {
		s := &c.layout.Sessions[i]
		for j := range s.Tracks {
			t, end := &s.Tracks[j], s.LeadOut
			if j+1 < len(s.Tracks) {
				end = s.Tracks[j+1].Start
			}
			more := c.sheet.tracks[t.Number]
			if j > 0 && t.Pregap == t.Start && (more == nil || !has(more.index, 0)) {
				t.Pregap = c.firstOf(i, t, s.Tracks[j-1].Start+1, t.Start, 0)
			}
			if more == nil || !has(more.index, 1) {
				c.indexes(i, t, end)
			}
			c.codes(i, t, end)
		}
	}
}

func has[K comparable, V any](m map[K]V, k K) bool {
	_, ok := m[k]
	return ok
}

// q returns sub-channel Q of a sector of session i, and whether it is good.
func (c *ccdBuilder) q(i int, lba disc.LBA) (sector.Q, bool) {
	var q sector.Q
	if lba < c.base[i] {
		return q, false
	}
	at := int64(lba-c.base[i]+c.first[i])*disc.SubSize + int64(len(q))
	n, _ := c.sub.ReadAt(q[:], at)
	return q, n == len(q) && q[0] != 0 && q.Valid()
}

// maxOdd is how many sectors together may say in Q something else than where
// they are.
const maxOdd = 4

// position returns the track and the index of a sector, from the first Q at or
// behind it and before end that says so.
func (c *ccdBuilder) position(i int, lba, end disc.LBA) (track, index int, ok bool) {
	for n := range disc.LBA(maxOdd) {
		if lba+n >= end {
			break
		}
		if q, ok := c.q(i, lba+n); ok && q[0]&0xF == 1 && q[1] <= 0x99 && q[2] <= 0x99 {
			return int(q[1]>>4*10 + q[1]&0xF), int(q[2]>>4*10 + q[2]&0xF), true
		}
	}
	return 0, 0, false
}

// firstOf returns the first sector from lo on and before hi that is of track t
// with that index or a later one, hi where there is none.
func (c *ccdBuilder) firstOf(i int, t *disc.Track, lo, hi disc.LBA, index int) disc.LBA {
	for end := hi; lo < hi; {
		mid := lo + (hi-lo)/2
		track, at, ok := c.position(i, mid, end)
		if ok && (track > int(t.Number) || track == int(t.Number) && at >= index) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return hi
}

// indexes finds where indexes 2 and up of t start.
func (c *ccdBuilder) indexes(i int, t *disc.Track, end disc.LBA) {
	for index := 2; index < 100; index++ {
		at := c.firstOf(i, t, t.Start+1, end, index)
		if track, got, ok := c.position(i, at, end); !ok || track != int(t.Number) || got != index {
			return
		}
		t.Indexes = append(t.Indexes, at)
	}
}

// codePeriod is how many sectors together have MCN and ISRC at least once each,
// when the disc has them (MMC-6, 4.2.4).
const codePeriod = 100

// codes finds the ISRC of t, and the MCN of the disc.
func (c *ccdBuilder) codes(i int, t *disc.Track, end disc.LBA) {
	for lba := t.Start; lba < min(end, t.Start+2*codePeriod); lba++ {
		if t.ISRC != "" && c.layout.MCN != "" {
			return
		}
		q, ok := c.q(i, lba)
		if !ok {
			continue
		}
		if isrc, ok := sector.ParseISRC(q); ok && t.ISRC == "" {
			t.ISRC = isrc
		}
		if mcn, ok := sector.ParseMCN(q); ok && c.layout.MCN == "" {
			c.layout.MCN = mcn
		}
	}
}
