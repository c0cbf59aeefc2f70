package convert

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"

	"spindle/isostore/disc"
)

// writeISO writes the user data of the disc, from its first block to the end of
// its last data track.
func writeISO(ctx context.Context, j *job, dir string, names []string) error {
	return create(dir, names[0], func(w io.Writer) error { return j.iso(ctx, w) })
}

// frame is how much each frame of a seekable zstd image holds, in bytes: small
// enough for a random read, large enough to compress well.
const frame = 128 << 10

// writeZstd writes what writeISO does, in zstd frames with a table to find them.
func writeZstd(ctx context.Context, j *job, dir string, names []string) error {
	return create(dir, names[0], func(w io.Writer) error {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		defer enc.Close()
		z, err := seekable.NewWriter(w, enc)
		if err != nil {
			return err
		}
		if err := j.iso(ctx, &framer{w: z}); err != nil {
			return err
		}
		return z.Close()
	})
}

// A framer hands on what is written to it in frames.
type framer struct {
	w io.Writer
}

// Write implements io.Writer: chunks of a job fill frames exactly, but for the
// last.
func (f *framer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		k := min(frame, len(p))
		_, err = f.w.Write(p[:k])
		n, p = n+k, p[k:]
	}
	return n, err
}

// volumeBlocks is how many blocks of volume descriptors of a later session are
// looked at, which are put where hosts look for those of an image: at block 16.
const (
	volumeStart  = 16
	volumeBlocks = 16
)

// iso writes the blocks of the image. The file systems of later sessions count
// from the start of the disc, so all stays at its address; the descriptors of
// the last session go to block 16, as writers of multisession discs do it.
func (j *job) iso(ctx context.Context, w io.Writer) error {
	head, err := j.descriptors()
	if err != nil {
		return err
	}
	return j.userData(ctx, span{0, j.isoEnd()}, func(p []byte, lba disc.LBA) error {
		if err := j.loseCovered(p, lba, head); err != nil {
			return err
		}
		overlay(p, lba, head)
		_, err := w.Write(p)
		return err
	})
}

// isoEnd is where the last data track ends.
func (j *job) isoEnd() (end disc.LBA) {
	for t := range j.layout.Tracks() {
		if t.IsData() {
			end = j.layout.End(t)
		}
	}
	return end
}

// descriptors returns the volume descriptors of the last data track, or nothing
// when it starts the disc.
func (j *job) descriptors() ([]byte, error) {
	var last *disc.Track
	for t := range j.layout.Tracks() {
		if t.IsData() && (last == nil || t.Number == j.layout.LastSession().Tracks[0].Number) {
			last = t
		}
	}
	if last.Start == 0 {
		return nil, nil
	}
	b := make([]byte, volumeBlocks*disc.BlockSize)
	n, err := j.d.ReadBlocks(b, last.Start+volumeStart)
	if n == 0 && err != nil {
		return nil, fmt.Errorf("the volume descriptors of track %d: %w", last.Number, err)
	}
	end := 0
	for end < n*disc.BlockSize && isDescriptor(b[end:]) {
		j.widen(b[end:])
		end += disc.BlockSize
	}
	return b[:end], nil
}

// widen makes a volume descriptor say that the volume is all of the image: of a
// session it says how long that is, and readers would take what lies behind that
// for damage (ECMA-119, 8.4.8).
func (j *job) widen(b []byte) {
	const primary, supplementary, spaceAt = 1, 2, 80
	if string(b[1:6]) == "CD001" && (b[0] == primary || b[0] == supplementary) {
		binary.LittleEndian.PutUint32(b[spaceAt:], uint32(j.isoEnd()))
		binary.BigEndian.PutUint32(b[spaceAt+4:], uint32(j.isoEnd()))
	}
}

// isDescriptor reports whether a block is of a volume recognition sequence, that
// of ISO 9660 or of UDF (ECMA-119, 8.1; ECMA-167, 2/9.1): what follows the last one
// is other things, files among them.
func isDescriptor(b []byte) bool {
	return slices.Contains([]string{"CD001", "CDW02", "BEA01", "NSR02", "NSR03", "BOOT2", "TEA01"}, string(b[1:6]))
}

// loseCovered notes what of a chunk other descriptors are put over but are no
// descriptors: the first session may have fewer.
func (j *job) loseCovered(p []byte, lba disc.LBA, head []byte) error {
	for i := range len(head) / disc.BlockSize {
		at := (volumeStart + i - int(lba)) * disc.BlockSize
		if at < 0 || at >= len(p) || isDescriptor(p[at:]) || !slices.ContainsFunc(p[at:at+disc.BlockSize], func(b byte) bool { return b != 0 }) {
			continue
		}
		if err := j.lose(volumeStart+disc.LBA(i), "blocks of the first session behind its volume descriptors"); err != nil {
			return err
		}
	}
	return nil
}

// overlay puts the descriptors into a chunk that has their place.
func overlay(p []byte, lba disc.LBA, head []byte) {
	for i := range len(head) / disc.BlockSize {
		at := (volumeStart + i - int(lba)) * disc.BlockSize
		if at >= 0 && at < len(p) {
			copy(p[at:at+disc.BlockSize], head[i*disc.BlockSize:])
		}
	}
}

// sameISO compares an image with the user data of its source.
func sameISO(ctx context.Context, j *job, made disc.Disc) error {
	if got, want := made.Layout().LeadOut(), j.isoEnd(); got != want {
		return fmt.Errorf("it has %d blocks, not %d", got, want)
	}
	head, err := j.descriptors()
	if err != nil {
		return err
	}
	got := make([]byte, chunk*disc.BlockSize)
	return j.userData(ctx, span{0, j.isoEnd()}, func(p []byte, lba disc.LBA) error {
		overlay(p, lba, head)
		if _, err := made.ReadBlocks(got[:len(p)], lba); err != nil {
			return err
		}
		return differs(p, got[:len(p)], lba, disc.BlockSize)
	})
}
