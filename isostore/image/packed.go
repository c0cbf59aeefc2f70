package image

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"spindle/isostore/disc"
)

// ErrPacked: the file is a packed image, without an index by which a part of it
// could be read, and the cache does not have it unpacked. [Cache.Unpack] puts it
// there.
var ErrPacked = errors.New("packed image")

// packedFormat is a flat image packed as a whole. It is opened from the cache.
var packedFormat = format{
	name: "packed",
	exts: slices.Concat(packedExts(".gz"), packedExts(".xz"), packedExts(".bz2"), packedExts(".zst")),
	open: openPacked,
}

// flatExts are the names of such images. Sheets and their files belong together
// and must be unpacked.
var flatExts = []string{".iso", ".img", ".bin", ".cdr", ".toast", ".raw", ".udf"}

// packedExts are the names of images packed as ext says, such as .iso.gz.
func packedExts(ext string) (list []string) {
	for _, e := range flatExts {
		list = append(list, e+ext)
	}
	return list
}

// A packing is a way to pack a file.
type packing struct {
	ext   string
	magic string
	open  func(r io.Reader) (io.ReadCloser, error)
}

// packings take bounded memory, whatever the file asks for.
var packings = []packing{
	{".gz", "\x1f\x8b\x08", func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(bufio.NewReaderSize(r, 64<<10)) }},
	{".xz", xzMagic, func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(newXZ(r, xzMaxDict)), nil }},
	{".bz2", "BZh", func(r io.Reader) (io.ReadCloser, error) {
		return io.NopCloser(bzip2.NewReader(bufio.NewReaderSize(r, 64<<10))), nil
	}},
	{".zst", "", func(r io.Reader) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdMaxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}},
}

// packingOf returns how a file is packed, or nil.
func packingOf(r io.ReaderAt) *packing {
	var b [16]byte
	n, _ := r.ReadAt(b[:], 0)
	for i := range packings {
		p := &packings[i]
		if p.magic != "" && strings.HasPrefix(string(b[:n]), p.magic) || p.magic == "" && isZstd(b[:n]) {
			if p.ext != ".bz2" || n > 4 && b[3] >= '1' && b[3] <= '9' && (b[4] == 0x31 || b[4] == 0x17) {
				return p
			}
		}
	}
	return nil
}

// innerExt is what a packed image is, as its name says: "iso" of x.iso.gz. It
// fails for what is not a flat image.
func innerExt(name string) (string, error) {
	ext := strings.ToLower(path.Ext(name))
	if slices.ContainsFunc(packings, func(p packing) bool { return p.ext == ext }) {
		ext = strings.ToLower(path.Ext(strings.TrimSuffix(name, path.Ext(name))))
	}
	switch {
	case slices.Contains(flatExts, ext):
		return ext[1:], nil
	case slices.Contains(packedRefused, ext):
		return "", fmt.Errorf("%w: a %s file that is packed cannot be read (hint: unpack it first)", ErrFormat, ext)
	}
	return "iso", nil
}

// packedRefused are names of what is no flat image.
var packedRefused = []string{
	".tar", ".tgz", ".txz", ".tbz", ".tbz2",
	".cue", ".ccd", ".sub", ".mds", ".mdf", ".toc", ".gdi",
	".nrg", ".cdi", ".chd", ".cso", ".zso", ".isz", ".dmg", ".ecm", ".b5t", ".b6t", ".c2d", ".cif",
}

// openPacked opens a packed image from the cache.
func openPacked(s *source) (disc.Disc, error) {
	p := packingOf(s)
	if p == nil {
		return nil, fmt.Errorf("%w: byte 0: not packed", ErrFormat)
	}
	inner, err := innerExt(s.name)
	if err != nil {
		return nil, err
	}
	s.info.Format = inner + p.ext
	if s.info.CacheKey, err = cacheKey(s.file); err != nil {
		return nil, err
	}
	if s.options.Cache == nil {
		return nil, fmt.Errorf("%w: it must be unpacked to be read, and there is no cache for that (hint: unpack it)", ErrPacked)
	}
	f, release, err := s.options.Cache.acquire(s.file)
	if err != nil {
		return nil, err
	}
	flat := &source{
		file: f, path: s.path, root: s.root, name: strings.TrimSuffix(s.name, path.Ext(s.name)), options: s.options, info: s.info,
		others: []*file{s.file}, closers: []func(){release},
	}
	d, err := openISO(flat)
	if errors.Is(err, ErrFormat) {
		d, err = openRaw(flat)
	}
	if err != nil {
		f.Close()
		release()
	}
	return d, err
}
