package image

import (
	"path"
	"slices"
	"strings"
)

// flatExts are the names of images that may be packed: those that are one
// file. Sheets and their files belong together and must be unpacked.
var flatExts = []string{".iso", ".img", ".bin", ".cdr", ".toast", ".raw", ".udf"}

// packedExts are the names of images packed as ext says, such as .iso.gz.
func packedExts(ext string) (list []string) {
	for _, e := range flatExts {
		list = append(list, e+ext)
	}
	return list
}

// innerName is what a packed image is packed of, as its name says: "iso".
func innerName(name string) string {
	inner := strings.ToLower(path.Ext(strings.TrimSuffix(name, path.Ext(name))))
	if slices.Contains(flatExts, inner) {
		return inner[1:]
	}
	return "iso"
}
