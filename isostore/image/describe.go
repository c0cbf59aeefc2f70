package image

import (
	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

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
	text := textOf(l)
	info.Title, info.Performer = printable(text.Get(sector.PackTitle, 0)), printable(text.Get(sector.PackPerformer, 0))
	info.Sessions = nil
	for i := range l.Sessions {
		s := &l.Sessions[i]
		js := Session{Number: int(s.Number), LeadOut: int64(s.LeadOut)}
		for j := range s.Tracks {
			t := &s.Tracks[j]
			jt := Track{
				Number: int(t.Number), Mode: modeNames[t.Mode], Control: int(t.Control),
				Pregap: int64(t.Pregap), Start: int64(t.Start), Blocks: int64(l.End(t) - t.Start), ISRC: printable(t.ISRC),
				Title:     printable(text.Get(sector.PackTitle, int(t.Number))),
				Performer: printable(text.Get(sector.PackPerformer, int(t.Number))),
			}
			for _, i := range t.Indexes {
				jt.Indexes = append(jt.Indexes, int64(i))
			}
			js.Tracks = append(js.Tracks, jt)
		}
		info.Sessions = append(info.Sessions, js)
	}
}

// textOf returns the first language of the disc's CD-TEXT, which is empty where
// there is none.
func textOf(l *disc.Layout) *sector.Text {
	texts, _ := sector.ParseText(l.CDText)
	if len(texts) == 0 {
		return &sector.Text{}
	}
	return &texts[0]
}
