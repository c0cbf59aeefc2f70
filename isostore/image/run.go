package image

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// A form says what a run holds of each sector; the rest is made.
type form byte

const (
	audioForm   form = iota // samples, little-endian
	audioBEForm             // samples, big-endian
	rawForm                 // the whole sector
	scrambled               // the whole sector, scrambled from byte 12 on
	mode1Form               // user data of Mode 1
	mode2Form               // all behind the header: Mode 2, formless or with sub-headers
	xa1Form                 // user data of Mode 2, Form 1
	xa2Form                 // user data of Mode 2, Form 2
)

// A formKind is what to do with a form.
type formKind struct {
	size   int // bytes of a sector that the run holds
	at     int // where they stand in the sector
	finish func(s []byte, lba disc.LBA)
}

var forms = [...]formKind{
	audioForm:   {disc.SectorSize, 0, func([]byte, disc.LBA) {}},
	audioBEForm: {disc.SectorSize, 0, func(s []byte, _ disc.LBA) { swapSamples(s) }},
	rawForm:     {disc.SectorSize, 0, func([]byte, disc.LBA) {}},
	scrambled:   {disc.SectorSize, 0, func(s []byte, _ disc.LBA) { sector.Scramble(s) }},
	mode1Form:   {disc.BlockSize, 16, sector.EncodeMode1},
	mode2Form:   {2336, 16, func(s []byte, lba disc.LBA) { sector.Header(s, lba, 2) }},
	xa1Form:     {disc.BlockSize, 24, func(s []byte, lba disc.LBA) { subHeader(s, 0x08); sector.EncodeForm1(s, lba) }},
	xa2Form:     {2324, 24, func(s []byte, lba disc.LBA) { subHeader(s, 0x20); sector.EncodeForm2(s, lba) }},
}

// subHeader writes a sub-header of that submode, twice.
func subHeader(s []byte, submode byte) {
	copy(s[16:], []byte{0, 0, submode, 0, 0, 0, submode, 0})
}

// swapSamples turns 16-bit samples around.
func swapSamples(p []byte) {
	for i := 0; i+1 < len(p); i += 2 {
		p[i], p[i+1] = p[i+1], p[i]
	}
}

// cooked reports whether the form is the 2048 bytes of user data alone.
func (f form) cooked() bool { return f == mode1Form || f == xa1Form }

// A run is consecutive sectors of a CD that lie in one place.
type run struct {
	start  disc.LBA // of the first sector
	n      disc.LBA // sectors
	form   form
	data   data
	off    int64 // of the first sector
	stride int64 // from one sector to the next; 0 for the form's size
	sub    *subs // none: the sub-channel is made
}

// A subs is where the sub-channel of a run's sectors lies, SubSize bytes each.
type subs struct {
	data   data
	off    int64 // of that of the run's first sector
	stride int64 // 0 for SubSize
	planar bool  // channel by channel, as CloneCD has it, not interleaved
	rw     bool  // only R to W are there: P and Q are made
	packed bool  // and they are packs, not interleaved yet
}

func (r *run) end() disc.LBA { return r.start + r.n }

// step is the distance of two sectors in the data.
func (r *run) step() int64 {
	if r.stride != 0 {
		return r.stride
	}
	return int64(forms[r.form].size)
}

// held is how many of the run's sectors the data holds whole.
func (r *run) held() disc.LBA {
	size := int64(forms[r.form].size)
	have := r.data.Size() - r.off - size
	if have < 0 {
		return 0
	}
	return disc.LBA(min(int64(r.n), have/r.step()+1))
}

// batch is how many sectors are read at once where they do not lie one behind
// the other.
const batch = 32

// buffers are for sectors with something between them.
var buffers = sync.Pool{New: func() any { return new([batch * (disc.SectorSize + disc.SubSize)]byte) }}

// sectors reads the sectors of p from lba on, which lie in the run.
func (r *run) sectors(p []byte, lba disc.LBA) (n int, err error) {
	kind := &forms[r.form]
	if r.step() == int64(kind.size) {
		n, err = r.packed(p, lba, kind)
	} else {
		n, err = r.spread(p, lba, kind)
	}
	for i := range n {
		kind.finish(p[i*disc.SectorSize:][:disc.SectorSize], lba+disc.LBA(i))
	}
	return n, err
}

// packed reads sectors that lie one behind the other: into the end of p, and
// from there each to its place, which never lies behind what is still to move.
func (r *run) packed(p []byte, lba disc.LBA, kind *formKind) (int, error) {
	want := len(p) / disc.SectorSize
	tail := p[want*(disc.SectorSize-kind.size) : want*disc.SectorSize]
	got, err := r.data.ReadAt(tail, r.off+int64(lba-r.start)*int64(kind.size))
	n := got / kind.size
	if kind.size < disc.SectorSize {
		for i := range n {
			s := p[i*disc.SectorSize:][:disc.SectorSize]
			copy(s[kind.at:], tail[i*kind.size:][:kind.size])
			clear(s[:kind.at])
			clear(s[kind.at+kind.size : min(disc.SectorSize, len(p))])
		}
	}
	return n, r.readError(n, want, lba, err)
}

// spread reads sectors that have something between them.
func (r *run) spread(p []byte, lba disc.LBA, kind *formKind) (done int, err error) {
	want := len(p) / disc.SectorSize
	for done < want {
		n, err := r.gather(min(want-done, r.perBatch()), lba+disc.LBA(done), func(i int, b []byte) {
			s := p[(done+i)*disc.SectorSize:][:disc.SectorSize]
			clear(s)
			copy(s[kind.at:], b[:kind.size])
		})
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

func (r *run) perBatch() int {
	return max(1, min(batch, batch*(disc.SectorSize+disc.SubSize)/int(r.step())))
}

// gather calls each for up to n sectors from lba on with what the data holds.
func (r *run) gather(n int, lba disc.LBA, each func(i int, b []byte)) (int, error) {
	buffer := buffers.Get().(*[batch * (disc.SectorSize + disc.SubSize)]byte)
	defer buffers.Put(buffer)
	size, step := forms[r.form].size, int(r.step())
	b := buffer[:(n-1)*step+size]
	got, err := r.data.ReadAt(b, r.off+int64(lba-r.start)*int64(step))
	good := min(n, (got+step-size)/step)
	for i := range good {
		each(i, b[i*step:][:size])
	}
	return good, r.readError(good, n, lba, err)
}

// readError is err of a read of which n of want sectors from lba on came.
func (r *run) readError(n, want int, lba disc.LBA, err error) error {
	if n == want {
		return nil
	}
	return fmt.Errorf("sector %d: %w", lba+disc.LBA(n), noEOF(err))
}

// noEOF is err of a read that got too little: the end of a file is no end of
// the disc.
func noEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("the file ends before it: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// subchannel reads the sub-channels of p from lba on, interleaved.
func (r *run) subchannel(p []byte, lba disc.LBA) (int, error) {
	step := max(r.sub.stride, disc.SubSize)
	var planar [disc.SubSize]byte
	for n := 0; len(p) >= disc.SubSize; n, p = n+1, p[disc.SubSize:] {
		at := r.sub.off + int64(lba-r.start+disc.LBA(n))*step
		into := p[:disc.SubSize]
		if r.sub.planar {
			into = planar[:]
		}
		if got, err := r.sub.data.ReadAt(into, at); got < disc.SubSize {
			return n, r.readError(n, n+1, lba, err)
		}
		if r.sub.planar {
			sector.Interleave(p[:disc.SubSize], planar[:])
		}
		if len(p) == disc.SubSize {
			return n + 1, nil
		}
	}
	return 0, nil
}

// packs is subchannel for packs of R to W, whose symbols it spreads over the
// sectors as a disc has them: those of the run's packs, with nothing before it.
func (r *run) packs(p []byte, lba disc.LBA) (int, error) {
	const ahead = sector.RWAhead * disc.SubSize
	var w [ahead + disc.SubSize]byte
	before := min(sector.RWAhead, lba-r.start)
	if _, err := r.subchannel(w[ahead-int(before)*disc.SubSize:ahead], lba-before); err != nil {
		return 0, err
	}
	for n := range len(p) / disc.SubSize {
		if _, err := r.subchannel(w[ahead:], lba+disc.LBA(n)); err != nil {
			return n, err
		}
		sector.RWSymbols(p[n*disc.SubSize:], w[:])
		copy(w[:], w[disc.SubSize:])
	}
	return len(p) / disc.SubSize, nil
}
