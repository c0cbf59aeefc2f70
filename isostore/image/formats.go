package image

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"spindle/isostore/disc"
)

// A format opens one kind of image. open returns an error wrapping ErrFormat
// when the file is of another kind, and any other error when it is damaged; it
// does not name the image's own file. It fills in of the source's info what
// describe cannot know. What it opens is closed by the disc it returns or, when
// it fails, by its caller.
type format struct {
	name string
	exts []string // with the dot, in lower case
	open func(s *source) (disc.Disc, error)
}

// formats is in probing order: those with a magic number before those without.
var formats = []format{
	chdFormat,
	mdsFormat,
	nrgFormat,
	cdiFormat,
	csoFormat,
	iszFormat,
	dmgFormat,
	zstdFormat,
	ecmFormat,
	c2dFormat,
	cueFormat,
	tocFormat,
	ccdFormat,
	gdiFormat,
	packedFormat,
	isoFormat,
	rawFormat,
}

// foreign are formats that a person may well take for an image, by how they
// begin: the error says what to do.
var foreign = []struct{ magic, what, hint string }{
	{"PK\x03\x04", "a zip archive", "unpack it first"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"},
	{"QFI\xfb", "a qcow2 image", "convert it with qemu-img convert -O raw"},
	{"<!DOCTYPE html", "a web page", "download the image again"},
	{"<html", "a web page", "download the image again"},
}

// HasImageName reports whether name ends as the names of disc images do, so
// that a list of images need not open every file.
func HasImageName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(formats, func(f format) bool { return f.named(name) })
}

// named reports whether name, in lower case, ends as those of the format do.
func (f *format) named(name string) bool {
	return slices.ContainsFunc(f.exts, func(ext string) bool { return strings.HasSuffix(name, ext) })
}

// open tries the formats in order.
func open(s *source) (disc.Disc, error) {
	if s.size == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrFormat)
	}
	var reason, named error
	name := strings.ToLower(s.name)
	for i := range formats {
		d, err := formats[i].open(s)
		if !errors.Is(err, ErrFormat) {
			if s.info.Format == "" {
				s.info.Format = formats[i].name
			}
			return d, err
		}
		if reason = err; formats[i].named(name) {
			named = errors.Join(named, err)
		}
	}
	// What the formats miss that the name promises; of any other name, what
	// the last one misses, which takes most.
	return nil, foreignError(s.file, cmp.Or(named, reason))
}

// foreignError adds to reason what the file seems to be instead.
func foreignError(f *file, reason error) error {
	head := make([]byte, 16)
	n, _ := f.ReadAt(head, 0)
	for _, k := range foreign {
		if bytes.HasPrefix(head[:n], []byte(k.magic)) {
			return fmt.Errorf("%w: it holds %s (hint: %s)", ErrFormat, k.what, k.hint)
		}
	}
	if err := foreignImage(f); err != nil {
		return err
	}
	return reason
}
