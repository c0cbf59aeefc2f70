package daemon

import (
	"spindle/isostore"
)

// Sample returns the name of an image of the library for a first walk. When
// the library is empty it makes small ones in its first directory.
func Sample(dirs []string) (string, error) {
	lib, err := isostore.Open(dirs)
	if err != nil {
		return "", err
	}
	if lib.IsEmpty() {
		if _, err := isostore.MakeSample(dirs[0]); err != nil {
			return "", err
		}
	}
	first := ""
	for _, e := range lib.List() {
		if e.Name == isostore.SampleName {
			return e.Name, nil
		}
		if first == "" && e.Error == "" {
			first = e.Name
		}
	}
	return first, nil
}
