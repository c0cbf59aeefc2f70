package convert

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// A job is one conversion.
type job struct {
	d      disc.Disc
	raw    disc.RawReader // nil on DVD and BD
	f      *format
	layout *disc.Layout
	want   *disc.Layout // what the result has to have
	o      Options
	lost   []string // found while reading
	done   int64
	total  int64
}

func newJob(d disc.Disc, f *format, want *disc.Layout, o Options) *job {
	j := &job{d: d, f: f, layout: d.Layout(), want: want, o: o, total: 2 * int64(d.Layout().LeadOut())}
	if j.layout.Kind == disc.CD {
		j.raw, _ = d.(disc.RawReader)
	}
	return j
}

// progress tells that n sectors more are done.
func (j *job) progress(n int) {
	if j.done += int64(n); j.o.Progress != nil {
		j.o.Progress(min(j.done, j.total), j.total)
	}
}

// lose notes what the result will lack, or refuses. The same is noted once.
func (j *job) lose(lba disc.LBA, what string) error {
	if !j.o.Lossy {
		return fmt.Errorf("%w: sector %d: %s (hint: a .cue or .chd holds it; --lossy leaves it out)", ErrLossy, lba, what)
	}
	if slices.Contains(j.lost, what) {
		return nil
	}
	j.lost = append(j.lost, what)
	return nil
}

// chunk is how many sectors are read at once.
const chunk = 128

// A span is addresses of a disc, the end not included.
type span struct{ start, end disc.LBA }

// eachChunk calls f with each part of s.
func (j *job) eachChunk(ctx context.Context, s span, f func(lba disc.LBA, n int) error) error {
	for lba := s.start; lba < s.end; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(chunk, int(s.end-lba))
		if err := f(lba, n); err != nil {
			return err
		}
		j.progress(n)
		lba += disc.LBA(n)
	}
	return nil
}

// sectors calls f with the raw sectors of s, a chunk at a time.
func (j *job) sectors(ctx context.Context, s span, f func(p []byte, lba disc.LBA) error) error {
	buffer := make([]byte, chunk*disc.SectorSize)
	return j.eachChunk(ctx, s, func(lba disc.LBA, n int) error {
		p := buffer[:n*disc.SectorSize]
		if _, err := j.raw.ReadSectors(p, lba); err != nil {
			return err
		}
		return f(p, lba)
	})
}

// userData calls f with the user data of s, a chunk at a time: zeros for what has
// none, such as audio and the space between sessions. On a CD a sector of which
// more than its user data is worth something is a loss.
func (j *job) userData(ctx context.Context, s span, f func(p []byte, lba disc.LBA) error) error {
	buffer := make([]byte, chunk*disc.BlockSize)
	raw := make([]byte, disc.SectorSize)
	return j.eachChunk(ctx, s, func(lba disc.LBA, n int) error {
		p := buffer[:n*disc.BlockSize]
		for done := 0; done < n; {
			k, err := j.d.ReadBlocks(p[done*disc.BlockSize:], lba+disc.LBA(done))
			if done += k; err == nil {
				break
			}
			at := lba + disc.LBA(done)
			if !errors.Is(err, disc.ErrMode) && !errors.Is(err, disc.ErrRange) {
				return err
			}
			if err := j.loseSector(raw, at); err != nil {
				return err
			}
			clear(p[done*disc.BlockSize:][:disc.BlockSize])
			done++
		}
		if err := j.checkSectors(raw, lba, n); err != nil {
			return err
		}
		return f(p, lba)
	})
}

// loseSector notes the loss of a sector of a data track that has no user data;
// one of Mode 0 has nothing but zeros.
func (j *job) loseSector(raw []byte, at disc.LBA) error {
	if _, t := j.layout.TrackAt(at); t == nil || !t.IsData() {
		return nil
	}
	if j.raw != nil {
		if _, err := j.raw.ReadSectors(raw, at); err != nil {
			return err
		}
		if sector.Check(raw) == nil && raw[modeAt] == 0 {
			return nil
		}
	}
	return j.lose(at, "data of Mode 2 without blocks of 2048 bytes")
}

// Where fields of a sector begin, in bytes (ECMA-130, 14).
const (
	modeAt      = 15
	subHeaderAt = 16
	xaAt        = 24
)

// checkSectors looks at data sectors for what is lost with all that is around
// their user data: an EDC or ECC that says that they are bad, which on a
// copy-protected disc is on purpose, addresses of other sectors, and sub-headers
// that say more than where records and files end.
func (j *job) checkSectors(raw []byte, lba disc.LBA, n int) error {
	if j.raw == nil {
		return nil
	}
	for at := lba; at < lba+disc.LBA(n); at++ {
		_, t := j.layout.TrackAt(at)
		if t == nil || !t.IsData() {
			continue
		}
		if _, err := j.raw.ReadSectors(raw, at); err != nil {
			return err
		}
		if what := around(raw, at, t.Mode); what != "" {
			if err := j.lose(at, what); err != nil {
				return err
			}
		}
	}
	return nil
}

// around says what of a data sector is lost when only its user data is kept.
func around(raw []byte, at disc.LBA, mode disc.Mode) string {
	var head [modeAt + 1]byte
	sub := raw[subHeaderAt:xaAt]
	sector.Header(head[:], at, 0)
	switch {
	case sector.Check(raw) != nil:
		return "sectors whose EDC or ECC does not fit"
	case !bytes.Equal(head[:modeAt], raw[:modeAt]):
		return "addresses in sectors that are not those of their places"
	case mode != disc.Mode2XA || raw[modeAt] != 2:
	case !bytes.Equal(sub[:4], sub[4:]):
		return "sub-headers of Mode 2 whose copies differ"
	case sub[0] != 0 || sub[1] != 0 || sub[2]&^subMarks != 0 || sub[3] != 0:
		return "sub-headers of Mode 2"
	}
	return ""
}

// subMarks are the bits of the submode in a sub-header that say data, and where
// records and files end; Form 2, which has no blocks, is a loss of its own.
const subMarks = 0x01 | 0x08 | 0x20 | 0x80

// create makes a file, has fill write it, and syncs it.
func create(dir, name string, fill func(w io.Writer) error) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// sameDisc compares two discs whose format holds everything: their layouts, and
// their sectors, or blocks where there are no sectors.
func sameDisc(ctx context.Context, j *job, made disc.Disc) error {
	if err := sameLayout(j, made.Layout()); err != nil {
		return err
	}
	raw, ok := made.(disc.RawReader)
	if j.raw == nil || !ok {
		return sameBlocks(ctx, j, made)
	}
	got := make([]byte, chunk*disc.SectorSize)
	for i := range j.layout.Sessions {
		err := j.sectors(ctx, j.f.stored(&j.layout.Sessions[i], i), func(p []byte, lba disc.LBA) error {
			if _, err := raw.ReadSectors(got[:len(p)], lba); err != nil {
				return err
			}
			if err := differs(p, got[:len(p)], lba, disc.SectorSize); err != nil {
				return err
			}
			return j.sameSub(made, lba, len(p)/disc.SectorSize)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sameSub compares the sub-channels of n sectors, where the source has some and
// the format holds them.
func (j *job) sameSub(made disc.Disc, lba disc.LBA, n int) error {
	from, held := heldSub(j.d)
	if !held || !j.f.sub {
		return nil
	}
	to, ok := made.(disc.SubReader)
	if !ok {
		return errors.New("it has no sub-channels")
	}
	want, got := make([]byte, n*disc.SubSize), make([]byte, n*disc.SubSize)
	if _, err := from.ReadSub(want, lba); err != nil {
		return err
	}
	if _, err := to.ReadSub(got, lba); err != nil {
		return err
	}
	return differs(want, got, lba, disc.SubSize)
}

func sameBlocks(ctx context.Context, j *job, made disc.Disc) error {
	got := make([]byte, chunk*disc.BlockSize)
	return j.userData(ctx, span{0, j.layout.LeadOut()}, func(p []byte, lba disc.LBA) error {
		if _, err := made.ReadBlocks(got[:len(p)], lba); err != nil {
			return err
		}
		return differs(p, got[:len(p)], lba, disc.BlockSize)
	})
}

// differs says at which sector two chunks differ.
func differs(want, got []byte, lba disc.LBA, size int) error {
	if bytes.Equal(want, got) {
		return nil
	}
	for i := 0; ; i++ {
		if !bytes.Equal(want[i*size:][:size], got[i*size:][:size]) {
			return fmt.Errorf("sector %d differs", lba+disc.LBA(i))
		}
	}
}
