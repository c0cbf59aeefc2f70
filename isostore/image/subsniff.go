package image

import (
	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// sniffSub says how the sub-channels lie behind the sectors of run r: whether
// Q's CRC agrees when they are taken as interleaved or channel by channel. Where
// it does not in either way, only R to W are kept, and nothing when all are
// zero. It looks at up to eight sectors.
func sniffSub(r *run) *subs {
	s := &subs{data: r.data, off: r.off + int64(forms[r.form].size), stride: r.stride}
	var p [disc.SubSize]byte
	interleaved, planar, some := 0, 0, false
	const looks = 8
	for i := range min(int64(r.n), looks) {
		at := s.off + i*max(1, int64(r.n)/looks)*r.stride
		if n, _ := r.data.ReadAt(p[:], at); n < len(p) {
			break
		}
		some = some || p != [disc.SubSize]byte{}
		if q := sector.QOf(p[:]); q[0] != 0 && q.Valid() {
			interleaved++
		}
		if q := sector.Q(p[12:24]); q[0] != 0 && q.Valid() {
			planar++
		}
	}
	switch {
	case interleaved >= planar && interleaved > 0:
		return s
	case planar > 0:
		s.planar = true
		return s
	case some:
		s.rw = true
		return s
	}
	return nil
}
