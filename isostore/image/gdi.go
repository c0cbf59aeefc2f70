package image

import (
	"fmt"

	"spindle/isostore/disc"
)

// gdiFormat is the description of a GD-ROM: known in order to be refused by
// name.
var gdiFormat = format{
	name: "gdi",
	exts: []string{".gdi"},
	open: openGDI,
}

// openGDI refuses what is named as a description of a GD-ROM.
func openGDI(s *source) (disc.Disc, error) {
	if !s.hasExt(".gdi") {
		return nil, fmt.Errorf("%w: not named as a description of a GD-ROM", ErrFormat)
	}
	return nil, errGDROM
}
