package convert

import (
	"context"
	"fmt"
	"io"

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
// put where hosts look for those of an image: at block 16.
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
	return b[:n*disc.BlockSize], nil
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
