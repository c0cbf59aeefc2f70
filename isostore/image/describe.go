package image

import "spindle/isostore/disc"

// modeNames are the names of sector modes in JSON.
var modeNames = map[disc.Mode]string{
	disc.Audio:    "audio",
	disc.Mode1:    "mode1",
	disc.Mode2:    "mode2",
	disc.Mode2XA:  "mode2xa",
	disc.UserData: "data",
}

// describe fills in what a layout says.
func describe(l *disc.Layout, info *Info) {
	info.Medium = l.Kind.String()
	info.Layers = l.Layers()
	info.Blocks = int64(l.LeadOut())
	info.MCN = printable(l.MCN)
	info.Sessions = nil
	for i := range l.Sessions {
		s := &l.Sessions[i]
		js := Session{Number: int(s.Number), LeadOut: int64(s.LeadOut)}
		for j := range s.Tracks {
			t := &s.Tracks[j]
			jt := Track{
				Number: int(t.Number), Mode: modeNames[t.Mode], Control: int(t.Control),
				Pregap: int64(t.Pregap), Start: int64(t.Start), Blocks: int64(l.End(t) - t.Start), ISRC: t.ISRC,
			}
			for _, i := range t.Indexes {
				jt.Indexes = append(jt.Indexes, int64(i))
			}
			js.Tracks = append(js.Tracks, jt)
		}
		info.Sessions = append(info.Sessions, js)
	}
}
