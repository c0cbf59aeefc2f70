package image

import (
	"errors"
	"fmt"
	"math"

	"spindle/isostore/disc"
)

// isoFormat is the flat image of 2048-byte blocks.
var isoFormat = format{
	name: "iso",
	exts: []string{".iso", ".cdr", ".toast", ".img", ".udf", ".dvd", ".hfs", ".hfv"},
	open: openISO,
}

// openISO opens a flat image of 2048-byte blocks: one session, one data track.
// It must hold an ISO 9660 volume descriptor set at block 16 (ECMA-119, 8.1)
// or a UDF volume recognition sequence there (ECMA-167, part 2), or what
// [openOther] knows.
//
// A partial last block is an error, unless the volume is known to end before
// it: then the rest of the block reads as zeros, and a warning says so.
func openISO(s *source) (disc.Disc, error) { return openBlocks(s, s.file) }

// openBlocks is openISO for data that may be packed.
func openBlocks(s *source, d data) (disc.Disc, error) {
	size := d.Size()
	v, err := readVolume(d, 0, size)
	if err != nil {
		return openOther(s, d, err)
	}
	v.fill(s.info)
	whole, rest := size/disc.BlockSize, size%disc.BlockSize
	if end := v.end(); end > size {
		s.info.Truncated = true
		s.warn("the file is shorter than its file system, %d of %d bytes: is the download complete?", size, end)
	}
	if rest != 0 {
		if end := v.end(); end == 0 || end > whole*disc.BlockSize {
			return nil, fmt.Errorf("%w: byte %d: the last block has %d of %d bytes (hint: the file may be cut short; download it again)",
				ErrDamaged, whole*disc.BlockSize, rest, disc.BlockSize)
		}
		s.warn("the last block has %d of %d bytes, beyond the file system's end: the rest reads as zeros", rest, disc.BlockSize)
	}
	return newFlat(s, d)
}

// openContent opens what a compressed image holds, blocks or raw sectors, as
// the formats of flat files would.
func openContent(s *source, d data) (inner disc.Disc, err error) {
	for _, open := range []func(*source, data) (disc.Disc, error){openBlocks, openSectors} {
		if inner, err = open(s, d); !errors.Is(err, ErrFormat) {
			break
		}
	}
	return inner, err
}

// openInner is openContent for what is certain to be an image of a disc: without
// a file system that we know it is one all the same.
func openInner(s *source, d data) (disc.Disc, error) {
	inner, err := openContent(s, d)
	if errors.Is(err, ErrFormat) {
		s.warn("no file system that is known here is in it")
		return newFlat(s, d)
	}
	return inner, err
}

// newFlat returns a disc with one data track whose block n is at byte n*2048 of
// d. A partial last block is filled up with zeros.
func newFlat(s *source, d data) (disc.Disc, error) {
	n := (d.Size() + disc.BlockSize - 1) / disc.BlockSize
	layout, err := flatLayout(n, s.options.Kind)
	if err != nil {
		return nil, err
	}
	if d.Size()%disc.BlockSize != 0 {
		d = padded{d, n * disc.BlockSize}
	}
	if layout.Kind == disc.CD {
		return newCD(s, layout, []run{{n: disc.LBA(n), form: mode1Form, data: d}})
	}
	return &flat{source: s, data: d, layout: layout, blocks: n}, nil
}

// flatLayout is the layout of a disc with one data track of n blocks, on a
// medium of the given kind or, when that is zero, on the smallest one.
func flatLayout(n int64, kind disc.Kind) (*disc.Layout, error) {
	if n <= 0 || n > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d blocks, which no disc has", ErrDamaged, n)
	}
	if kind == 0 {
		kind = disc.KindFor(n)
	}
	if limit := kind.MaxBlocks(); limit > 0 && n > limit {
		return nil, fmt.Errorf("%d blocks do not fit on a %s, which holds %d (hint: leave the medium to be chosen by size)", n, kind, limit)
	}
	t := disc.Track{Number: 1, Control: 4, Mode: disc.UserData}
	if kind == disc.CD {
		t.Mode = disc.Mode1
	}
	return &disc.Layout{
		Kind:     kind,
		Sessions: []disc.Session{{Number: 1, Tracks: []disc.Track{t}, LeadOut: disc.LBA(n)}},
	}, nil
}

// A flat is a DVD or BD whose block n is at byte n*2048 of its data.
type flat struct {
	source *source
	data   data
	layout *disc.Layout
	blocks int64
}

var _ disc.Disc = (*flat)(nil)

// Layout implements disc.Disc.
func (d *flat) Layout() *disc.Layout { return d.layout }

// Close implements disc.Disc.
func (d *flat) Close() error { return d.source.Close() }

// ReadBlocks implements disc.Disc: one read into p.
func (d *flat) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	want := int64(len(p) / disc.BlockSize)
	n := min(want, d.blocks-int64(lba))
	if lba < 0 || n < 0 || n == 0 && want > 0 {
		return 0, d.rangeError(lba)
	}
	if n == 0 {
		return 0, nil
	}
	got, err := d.data.ReadAt(p[:n*disc.BlockSize], int64(lba)*disc.BlockSize)
	if int64(got) < n*disc.BlockSize {
		good := got / disc.BlockSize
		return good, fmt.Errorf("%s: block %d: %w", d.source.path, int64(lba)+int64(good), noEOF(err))
	}
	if n < want {
		return int(n), d.rangeError(lba + disc.LBA(n))
	}
	return int(n), nil
}

func (d *flat) rangeError(lba disc.LBA) error {
	return fmt.Errorf("%s: block %d of %d: %w", d.source.path, lba, d.blocks, disc.ErrRange)
}
