package image

import (
	"slices"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// english is the code of the language of CD-TEXT that says none.
const english = 0x09

// maxCDText bounds CD-TEXT: eight blocks of 256 packs.
const maxCDText = 8 * 256 * sector.PackSize

// addText makes the CD-TEXT of a layout from texts, where they say anything.
// What CD-TEXT cannot say becomes a warning.
func addText(s *source, l *disc.Layout, texts []sector.Text) {
	if !slices.ContainsFunc(texts, func(t sector.Text) bool { return len(t.Values)+len(t.Raw) > 0 || t.Genre != 0 }) {
		return
	}
	packs, err := sector.AppendText(nil, texts)
	if err != nil {
		s.warn("the disc has no CD-TEXT: %v", err)
		return
	}
	l.CDText = packs
}

// addPacks takes packs of CD-TEXT from an image. Those that are damaged stay as
// they are, and a warning says so.
func addPacks(s *source, l *disc.Layout, b []byte) {
	packs, err := sector.Packs(b)
	if len(packs) == 0 {
		packs = nil
	}
	if err == nil && len(packs) <= maxCDText {
		_, err = sector.ParseText(packs)
		l.CDText = packs
	}
	switch {
	case err != nil:
		s.warn("its CD-TEXT: %v", err)
	case len(packs) > maxCDText:
		s.warn("its CD-TEXT of %d bytes is longer than any: the disc has none", len(packs))
	}
}
