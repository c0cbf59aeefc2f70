package image

import (
	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// pregaps finds, by sub-channel Q, those pregaps of tracks that the description
// leaves out. It looks at few sectors a track: boundaries are found by halving.
func (c *ccdBuilder) pregaps() {
	for i := range c.layout.Sessions {
		s := &c.layout.Sessions[i]
		for j := 1; j < len(s.Tracks); j++ {
			t := &s.Tracks[j]
			more := c.sheet.tracks[t.Number]
			if t.Pregap == t.Start && (more == nil || !has(more.index, 0)) {
				t.Pregap = c.firstOf(i, t, s.Tracks[j-1].Start+1, t.Start)
			}
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

// trackAt returns the track of a sector, from the first Q at or behind it and
// before end that says so, 0 where none does.
func (c *ccdBuilder) trackAt(i int, lba, end disc.LBA) byte {
	for n := range disc.LBA(maxOdd) {
		if lba+n >= end {
			break
		}
		if q, ok := c.q(i, lba+n); ok && q[0]&0xF == 1 && q[1] <= 0x99 {
			return fromBCD(q[1])
		}
	}
	return 0
}

// firstOf returns the first sector from lo on and before hi that is of track t or
// a later one, hi where there is none.
func (c *ccdBuilder) firstOf(i int, t *disc.Track, lo, hi disc.LBA) disc.LBA {
	for end := hi; lo < hi; {
		mid := lo + (hi-lo)/2
		if c.trackAt(i, mid, end) >= t.Number {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return hi
}
