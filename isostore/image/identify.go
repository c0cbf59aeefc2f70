package image

import (
	"io"

	"spindle/isostore/disc"
)

// identify looks at what an opened disc holds: the file systems of the last
// session that has data, which is what hosts mount, and the system area.
func identify(d disc.Disc, info *Info) {
	r := blocksOf(d)
	if t := dataTrack(d.Layout()); t != nil {
		if len(info.FileSystems) == 0 {
			end := int64(d.Layout().End(t)) * disc.BlockSize
			if v, err := readVolume(r, int64(t.Start), end); err == nil {
				v.fill(info)
			}
		}
		area := io.NewSectionReader(r, int64(t.Start)*disc.BlockSize, 1<<20)
		info.FileSystems = append(info.FileSystems, readHFS(area)...)
		info.Hybrid = readHybrid(area)
	}
}

// dataTrack returns the first data track of the last session that has one.
func dataTrack(l *disc.Layout) *disc.Track {
	for i := len(l.Sessions) - 1; i >= 0; i-- {
		for j := range l.Sessions[i].Tracks {
			if t := &l.Sessions[i].Tracks[j]; t.IsData() {
				return t
			}
		}
	}
	return nil
}
