package image

import (
	"spindle/isostore/disc"
	"spindle/isostore/iso9660"
)

// openFolder opens a directory as a disc of the files in it. Their data is read
// where it lies; a file that changes is [disc.ErrChanged] from then on, and the
// folder as it is then another medium.
func openFolder(s *source) (disc.Disc, error) {
	v, err := iso9660.New(s.root, s.name, iso9660.Options{})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { v.Close() })
	s.info.Format, s.info.Size, s.info.ID = "folder", v.Size(), v.ID()
	s.info.Warnings = v.Warnings()
	return newFlat(s, v)
}
