package image

import (
	"fmt"
	"math"

	"spindle/isostore/disc"
)

// isoFormat is the flat image of 2048-byte blocks.
var isoFormat = format{
	name: "iso",
	exts: []string{".iso", ".cdr", ".img"},
	open: openISO,
}

// openISO opens a flat image of 2048-byte blocks: one session, one data track.
// It must hold an ISO 9660 volume descriptor set at block 16 (ECMA-119, 8.1)
// or a UDF volume recognition sequence there (ECMA-167, part 2).
//
// A partial last block is an error, unless the volume is known to end before
// it: then the rest of the block reads as zeros, and a warning says so.
func openISO(f *file, o Options, info *Info) (disc.Disc, error) {
	v, err := readVolume(f, f.size)
	if err != nil {
		return nil, err
	}
	v.fill(info)
	whole, rest := f.size/disc.BlockSize, f.size%disc.BlockSize
	if end := v.end(); end > f.size {
		info.Warnings = append(info.Warnings, fmt.Sprintf(
			"the file is shorter than its file system, %d of %d bytes: is the download complete?", f.size, end))
	}
	if rest != 0 {
		if end := v.end(); end == 0 || end > whole*disc.BlockSize {
			return nil, fmt.Errorf("%w: byte %d: the last block has %d of %d bytes (hint: the file may be cut short; download it again)",
				ErrDamaged, whole*disc.BlockSize, rest, disc.BlockSize)
		}
		info.Warnings = append(info.Warnings, fmt.Sprintf(
			"the last block has %d of %d bytes, beyond the file system's end: the rest reads as zeros", rest, disc.BlockSize))
		whole++
	}
	layout, err := flatLayout(whole, o.Kind)
	if err != nil {
		return nil, err
	}
	return &flat{file: f, layout: layout, blocks: whole}, nil
}

// flatLayout is the layout of a disc with one data track of n blocks, on a
// medium of the given kind or, when that is zero, on the smallest one.
func flatLayout(n int64, kind disc.Kind) (*disc.Layout, error) {
	if n > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d blocks are more than any disc has", ErrDamaged, n)
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

// A flat is a disc whose block n is at byte n*2048 of its file.
type flat struct {
	file   *file
	layout *disc.Layout
	blocks int64
}

var _ disc.Disc = (*flat)(nil)

// Layout implements disc.Disc.
func (d *flat) Layout() *disc.Layout { return d.layout }

// Close implements disc.Disc.
func (d *flat) Close() error { return d.file.Close() }

// ReadBlocks implements disc.Disc: one pread into p, and the check of package
// file. The part of the last block that the file does not have reads as zeros.
func (d *flat) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	want := int64(len(p) / disc.BlockSize)
	n := min(want, d.blocks-int64(lba))
	if lba < 0 || n < 0 || n == 0 && want > 0 {
		return 0, d.rangeError(lba)
	}
	if n == 0 {
		return 0, nil
	}
	off := int64(lba) * disc.BlockSize
	stored := min(n*disc.BlockSize, d.file.size-off)
	got, err := d.file.ReadAt(p[:stored], off)
	if err != nil && int64(got) < stored {
		good := got / disc.BlockSize
		return good, fmt.Errorf("block %d: %w", int64(lba)+int64(good), err)
	}
	clear(p[stored : n*disc.BlockSize])
	if n < want {
		return int(n), d.rangeError(lba + disc.LBA(n))
	}
	return int(n), nil
}

func (d *flat) rangeError(lba disc.LBA) error {
	return fmt.Errorf("%s: block %d of %d: %w", d.file.path, lba, d.blocks, disc.ErrRange)
}
