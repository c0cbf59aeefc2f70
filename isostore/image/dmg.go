package image

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"spindle/isostore/disc"
)

// dmgFormat is Apple's disk image, UDIF. One without its trailer is a flat
// image.
var dmgFormat = format{name: "dmg", exts: []string{".dmg"}, open: openDMG}

// Of the trailer of 512 bytes at the file's end, all numbers big-endian:
//
//	0 koly   4 u32 version 4   8 u32 512   24 u64 data fork   32 u64 its length
//	56 u32 segment   60 u32 segments   216 u64 property list   224 u64 its length
//	492 u64 sectors of 512 bytes
//
// Source: reference 8.8.
const (
	dmgTrailer = 512
	dmgSector  = 512
	dmgMaxList = 8 << 20 // bytes of the property list: 150,000 runs
)

// Kinds of runs.
const (
	dmgZero    = 0
	dmgRaw     = 1
	dmgIgnore  = 2
	dmgComment = 0x7FFFFFFE
	dmgEnd     = 0xFFFFFFFF
)

// dmgCodecs unpack compressed runs.
var dmgCodecs = map[uint32]func(p, b []byte) error{
	0x80000004: unpackADC,
	0x80000005: inflateZlib,
	0x80000006: unpackBzip2,
	0x80000008: unpackXZ,
}

// A dmgRun is consecutive sectors, in bytes.
type dmgRun struct {
	kind          uint32
	start, size   int64 // of the data
	at, length    int64 // in the file
	table, number int   // where it stands, for errors
}

// dmgRefused are kinds of disk images that are recognised and not read.
var dmgRefused = []struct {
	magic string
	end   int64 // 0: the file begins with it; else its distance from the end
	what  string
}{
	{"encrcdsa", 0, "an encrypted disk image (hint: decrypt it on a Mac with hdiutil convert)"},
	{"cdsaencr", 8, "an encrypted disk image (hint: decrypt it on a Mac with hdiutil convert)"},
	{"sprs", 0, "a sparse disk image (hint: convert it on a Mac with hdiutil convert -format UDZO)"},
}

// openDMG opens a UDIF image.
func openDMG(s *source) (disc.Disc, error) {
	if err := dmgKnown(s); err != nil {
		return nil, err
	}
	k := make([]byte, dmgTrailer)
	if s.size < dmgTrailer || readFull(s, k, s.size-dmgTrailer) != nil || string(k[:4]) != "koly" {
		return nil, fmt.Errorf("%w: byte %d: no koly trailer", ErrFormat, s.size-dmgTrailer)
	}
	if v := binary.BigEndian.Uint32(k[4:]); v != 4 {
		return nil, fmt.Errorf("version %d of UDIF is not supported", v)
	}
	if n, of := binary.BigEndian.Uint32(k[56:]), binary.BigEndian.Uint32(k[60:]); of > 1 {
		return nil, fmt.Errorf("it is segment %d of %d, which is not supported (hint: put the segments together on a Mac with hdiutil convert)", n, of)
	}
	fork, list, length := binary.BigEndian.Uint64(k[24:]), binary.BigEndian.Uint64(k[216:]), binary.BigEndian.Uint64(k[224:])
	end := uint64(s.size - dmgTrailer)
	if list > end || length > end-list || length == 0 || length > dmgMaxList {
		return nil, fmt.Errorf("%w: byte %d: a property list of %d bytes at byte %d", ErrDamaged, s.size-dmgTrailer+216, length, list)
	}
	if fork > end {
		return nil, fmt.Errorf("%w: byte %d: a data fork at byte %d", ErrDamaged, s.size-dmgTrailer+24, fork)
	}
	runs, err := dmgRuns(s, io.NewSectionReader(s, int64(list), int64(length)), int64(fork), int64(list))
	if err != nil {
		return nil, err
	}
	sectors := binary.BigEndian.Uint64(k[492:])
	if sectors > math.MaxInt32*disc.BlockSize/dmgSector {
		return nil, fmt.Errorf("%w: byte %d: it says that it holds %d sectors", ErrDamaged, s.size-dmgTrailer+492, sectors)
	}
	d, err := dmgData(s, runs, int64(sectors)*dmgSector)
	if err != nil {
		return nil, err
	}
	return openInner(s, d)
}

// dmgKnown refuses by name what is a disk image and cannot be read.
func dmgKnown(s *source) error {
	b := make([]byte, 8)
	for _, k := range dmgRefused {
		at := int64(0)
		if k.end != 0 {
			at = s.size - k.end
		}
		if n, _ := s.ReadAt(b[:len(k.magic)], max(0, at)); string(b[:n]) == k.magic {
			return fmt.Errorf("byte %d: %s is not supported", at, k.what)
		}
	}
	return nil
}

// dmgRuns reads the run tables of all partitions.
func dmgRuns(s *source, list io.Reader, fork, listAt int64) (runs []dmgRun, err error) {
	tables := 0
	err = dmgTables(list, func(b []byte) error {
		tables++
		more, err := dmgTable(b, fork, s.size-dmgTrailer, tables)
		if err != nil {
			return fmt.Errorf("table %d: %w", tables, err)
		}
		runs = append(runs, more...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the property list at byte %d: %w", listAt, err)
	}
	if tables == 0 {
		return nil, fmt.Errorf("%w: byte %d: the property list has no resource-fork with blkx", ErrDamaged, listAt)
	}
	slices.SortStableFunc(runs, func(a, b dmgRun) int { return cmp.Compare(a.start, b.start) })
	return runs, nil
}

// dmgTable reads a table of runs.
//
//	0 mish   4 u32 1   8 u64 first sector   24 u64 data   200 u32 runs
//	204 runs: u32 kind, u32, u64 sector, u64 sectors, u64 where, u64 length
func dmgTable(b []byte, fork, end int64, table int) ([]dmgRun, error) {
	const head, each = 204, 40
	if len(b) < head || string(b[:4]) != "mish" {
		return nil, fmt.Errorf("%w: it does not begin with mish", ErrDamaged)
	}
	count := int64(binary.BigEndian.Uint32(b[200:]))
	if count > int64(len(b)-head)/each {
		return nil, fmt.Errorf("%w: it has %d runs in %d bytes", ErrDamaged, count, len(b))
	}
	first, data := binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[24:])
	runs := make([]dmgRun, 0, count)
	for i := range int(count) {
		r := b[head+each*i:]
		field := func(at int) uint64 { return binary.BigEndian.Uint64(r[at:]) }
		kind, sector, sectors, at, length := binary.BigEndian.Uint32(r), field(8), field(16), field(24), field(32)
		if kind == dmgComment || kind == dmgEnd || sectors == 0 {
			continue
		}
		const most = math.MaxInt32 * disc.BlockSize / dmgSector
		if first > most || sector > most || sectors > most {
			return nil, fmt.Errorf("%w: run %d: %d sectors at %d", ErrDamaged, i, sectors, sector)
		}
		run := dmgRun{kind: kind, start: int64(first+sector) * dmgSector, size: int64(sectors) * dmgSector, table: table, number: i}
		if kind != dmgZero && kind != dmgIgnore {
			if data > uint64(end) || at > uint64(end) || length > uint64(end) || uint64(fork)+data+at+length > uint64(end) {
				return nil, fmt.Errorf("%w: run %d: %d bytes at byte %d, and the data ends at byte %d (hint: download the image again)", ErrDamaged, i, length, uint64(fork)+data+at, end)
			}
			run.at, run.length = fork+int64(data+at), int64(length)
		}
		if err := run.check(); err != nil {
			return nil, fmt.Errorf("run %d: %w", i, err)
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// check says whether the run can be read.
func (r *dmgRun) check() error {
	switch _, known := dmgCodecs[r.kind]; {
	case r.kind == dmgZero || r.kind == dmgIgnore:
	case r.kind == dmgRaw:
		if r.length < r.size {
			return fmt.Errorf("%w: %d raw bytes where %d should be", ErrDamaged, r.length, r.size)
		}
	case r.kind == 0x80000007:
		return fmt.Errorf("it is compressed by LZFSE, which is not supported (hint: convert it on a Mac with hdiutil convert -format UDZO)")
	case !known:
		return fmt.Errorf("its compression %#x is not supported (hint: convert it on a Mac with hdiutil convert -format UDZO)", r.kind)
	case r.size > maxHunk:
		return fmt.Errorf("%d compressed bytes in one piece are not supported, and at most %d (hint: convert it on a Mac with hdiutil convert -format UDZO)", r.size, int64(maxHunk))
	case r.length > 2*r.size+64<<10:
		return fmt.Errorf("%w: %d bytes compressed to %d", ErrDamaged, r.size, r.length)
	}
	return nil
}

// dmgData puts runs together, which are by start. What none holds is zeros.
func dmgData(s *source, runs []dmgRun, size int64) (data, error) {
	var (
		all    stitched
		packed []dmgRun
		starts = []int64{0}
	)
	hunks := newPieces(s, starts, nil)
	for _, r := range runs {
		switch gap := r.start - all.Size(); {
		case gap < 0:
			return nil, fmt.Errorf("%w: table %d: run %d: sector %d is in another run too", ErrDamaged, r.table, r.number, r.start/dmgSector)
		case gap > 0:
			all.add(gap, nil, 0)
		}
		switch n := len(starts) - 1; r.kind {
		case dmgZero, dmgIgnore:
			all.add(r.size, nil, 0)
		case dmgRaw:
			all.add(r.size, s.file, r.at)
		default:
			all.add(r.size, hunks, starts[n])
			packed, starts = append(packed, r), append(starts, starts[n]+r.size)
		}
	}
	hunks.starts, hunks.size = starts, starts[len(starts)-1]
	hunks.decode = func(p []byte, n int64) error { return dmgDecode(s.file, p, &packed[n]) }
	if rest := size - all.Size(); rest > 0 {
		all.add(rest, nil, 0)
	} else if rest < 0 && size > 0 {
		s.warn("it says that it holds %d bytes, and has %d", size, all.Size())
	}
	if n := all.Size(); n == 0 || n > math.MaxInt32*disc.BlockSize {
		return nil, fmt.Errorf("%w: it holds %d bytes", ErrDamaged, n)
	}
	return all, nil
}

// dmgDecode unpacks a run.
func dmgDecode(f *file, p []byte, r *dmgRun) error {
	b := scratch(int(r.length))
	defer scratches.Put(b)
	err := readFull(f, *b, r.at)
	if err == nil {
		err = dmgCodecs[r.kind](p, *b)
	}
	if err != nil {
		return fmt.Errorf("table %d: run %d: byte %d: %w", r.table, r.number, r.at, err)
	}
	return nil
}
