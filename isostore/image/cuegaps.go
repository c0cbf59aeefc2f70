package image

import (
	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// firstStart is where on the disc the files' first sector lies. Track 1 has a
// pregap of 2 s before LBA 0, which a PREGAP line may or may not mention: only
// what is beyond it counts. What files hold before index 1 of an audio track is
// a hidden track that starts at LBA 0; of a data track it is the pregap,
// because file systems have addresses that count from index 1, unless the
// first sector's header says otherwise.
func (b *cueBuilder) firstStart(t *cueTrack) disc.LBA {
	m, _ := t.mark(1)
	gap := m.at
	if t.marks[0].file != m.file {
		gap = 0
	}
	if t.kind.mode != disc.Audio && gap > 0 {
		if lba, ok := headerLBA(b.files[t.marks[0].file].data, 0); ok && t.kind.form == rawForm && lba >= -leadInPregap && lba <= 0 {
			return lba
		}
		if gap <= leadInPregap {
			return -gap
		}
	}
	return max(0, t.pregap-leadInPregap)
}

// headerLBA returns the address that the header of the raw sector at off says.
func headerLBA(d data, off int64) (disc.LBA, bool) {
	var h [16]byte
	if n, _ := d.ReadAt(h[:], off); n < len(h) || !sector.IsRaw(h[:]) {
		return 0, false
	}
	var v [3]byte
	for i, c := range h[12:15] {
		if c&0xF > 9 || c>>4 > 9 {
			return 0, false
		}
		v[i] = fromBCD(c)
	}
	if v[1] > 59 || v[2] > 74 {
		return 0, false
	}
	return disc.LBA((int(v[0])*60+int(v[1]))*75+int(v[2])) - leadInPregap, true
}
