package isostore

import (
	"path"
	"slices"
	"strings"

	"spindle/isostore/image"
)

// A kind is what a file of the library is to it, by its name.
type kind uint8

const (
	other   kind = iota
	picture      // named as an image: listed
	part         // a file that only another image refers to
	partial      // a download that goes on
	sums         // checksums
)

// partialSuffixes are what programs append to the name of a download that has
// not ended: browsers of Mozilla and Transmission, those of Chromium, qBittorrent.
var partialSuffixes = []string{".part", ".crdownload", ".!qB"}

// discSuffix ends the name of a directory that is an image itself.
const discSuffix = ".disc"

// sheets say which endings are those of a file that another one of the same
// stem describes: with that one there, it is no image of its own.
var sheets = map[string][]string{
	".bin": {".cue", ".toc"},
	".img": {".ccd", ".cue"},
	".sub": {".ccd"},
	".mdf": {".mds"},
}

// describers are the endings of sheets, each with those of what it describes.
var describers = func() map[string][]string {
	m := map[string][]string{".isz": nil}
	for data, list := range sheets {
		for _, sheet := range list {
			m[sheet] = append(m[sheet], data)
		}
	}
	return m
}()

// stem is name without its ending.
func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

func lowerExt(name string) string { return strings.ToLower(path.Ext(name)) }

// isDiscDir reports whether a directory of that name is an image.
func isDiscDir(name string) bool {
	return strings.EqualFold(path.Ext(name), discSuffix) && len(path.Base(name)) > len(discSuffix)
}

// discDirOf returns the image that name lies in or is, when that is a
// directory, and name otherwise.
func discDirOf(name string) string {
	for i, c := range name {
		if c == '/' && isDiscDir(name[:i]) {
			return name[:i]
		}
	}
	return name
}

// hidden reports whether a file or a directory on the way to it is a hidden one.
func hiddenName(name string) bool {
	return strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
}

// cutPartial returns what a download is named when it has ended.
func cutPartial(name string) (whole string, ok bool) {
	for _, s := range partialSuffixes {
		if n := len(name) - len(s); n > 0 && name[n-1] != '/' && strings.EqualFold(name[n:], s) {
			return name[:n], true
		}
	}
	return name, false
}

// kindOf says what a file is by its name.
func kindOf(name string) kind {
	if _, ok := cutPartial(name); ok {
		return partial
	}
	if _, ok := sumsNamed(name); ok {
		return sums
	}
	if image.HasImageName(name) {
		return picture
	}
	if ext := lowerExt(name); sheets[ext] != nil || isSplit(ext) {
		return part
	}
	return other
}

// isSplit reports whether an ending is that of the second or a later part of a
// split image: .i01 of an .isz.
func isSplit(ext string) bool {
	return len(ext) == 4 && ext[1] == 'i' && isDigit(ext[2]) && isDigit(ext[3])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// sheetNames are the names of the files that, where there is one, describe the
// file name.
func sheetNames(name string) (list []string) {
	ext := lowerExt(name)
	exts := sheets[ext]
	if isSplit(ext) {
		exts = []string{".isz"}
	}
	for _, e := range exts {
		list = append(list, stem(name)+e, stem(name)+strings.ToUpper(e))
	}
	return list
}

// partNames are the names of files that a sheet of that name most likely
// describes.
func partNames(name string) (list []string) {
	for _, e := range describers[lowerExt(name)] {
		list = append(list, stem(name)+e, stem(name)+strings.ToUpper(e))
	}
	return list
}

// partialNames are the names beside the image name that say that it is not
// whole yet: its own or its stem's with the ending of a download.
func partialNames(name string) (list []string) {
	for _, base := range slices.Compact([]string{name, stem(name)}) {
		if base == "" || strings.HasSuffix(base, "/") {
			continue
		}
		for _, s := range partialSuffixes {
			list = append(list, base+s)
		}
	}
	return list
}
