package image

import (
	"path/filepath"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/iso9660"
)

// openFolder opens a directory as a disc of the files in it. Their data is read
// where it lies; a file that changes is [disc.ErrChanged] from then on, and the
// folder as it is then another medium.
func openFolder(s *source) (disc.Disc, error) {
	v, err := iso9660.New(s.root, s.name, iso9660.Options{Label: folderLabel(s.path)})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { v.Close() })
	s.info.Format, s.info.Size, s.info.ID = "folder", v.Size(), v.ID()
	s.info.Warnings = v.Warnings()
	return newFlat(s, v)
}

// folderLabel is the name of a folder without what says that it is a disc, ""
// where it does not say so: then the label is the folder's name.
func folderLabel(dir string) string {
	name := filepath.Base(dir)
	if ext := filepath.Ext(name); strings.EqualFold(ext, ".disc") {
		return strings.TrimSuffix(name, ext)
	}
	return ""
}
