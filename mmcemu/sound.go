package mmcemu

import (
	"context"
	"io"
	"time"

	"spindle/isostore/disc"
)

// A sound is what of a play is heard. A goroutine that is there only while
// something is to be heard gives frames to Options.Audio when their time has
// come; another one reads ahead of it. The player waits for neither.
type sound struct {
	hear    func(pcm []byte) // nil: nobody hears
	ctx     context.Context  // ends when the drive is closed
	end     context.CancelFunc
	reading chan struct{} // full while a goroutine reads: hung storage gets no second

	// Under the drive's mutex.
	passages []*passage // to be heard; the first is
	current  *passage   // the course that the player is on
	running  bool
	late     int64 // frames that storage did not give in time
}

// A passage is a course as it is heard.
type passage struct {
	m      *medium // referenced
	course course
	since  time.Time
	frames int64 // to be heard, under the drive's mutex: fewer after a halt
}

const (
	chunkFrames = 15 // read at once
	aheadChunks = 8  // read ahead of what is heard: 1.6 s
	maxPassages = 8  // that wait, when storage hangs
	// patience is how long after its time a frame may come from storage. Then
	// it is left out.
	patience = time.Second
)

func newSound(hear func(pcm []byte)) sound {
	ctx, end := context.WithCancel(context.Background())
	return sound{hear: hear, ctx: ctx, end: end, reading: make(chan struct{}, 1)}
}

// begin has a course of medium m heard, after what is still to be heard.
func (s *sound) begin(d *Drive, m *medium, c course, now time.Time) {
	if s.hear == nil || !m.acquire() {
		return
	}
	if len(s.passages) == maxPassages {
		s.late += s.passages[1].frames
		d.garbage = append(d.garbage, s.passages[1].m)
		s.passages = append(s.passages[:1], s.passages[2:]...)
	}
	s.current = &passage{m: m, course: c, since: now, frames: c.frames}
	s.passages = append(s.passages, s.current)
	if !s.running {
		s.running = true
		go d.hearAll()
	}
}

// cut ends the current course after n frames.
func (s *sound) cut(n int64) {
	if s.current != nil {
		s.current.frames = min(s.current.frames, n)
		s.current = nil
	}
}

// hearAll lets passage after passage be heard until there is none.
func (d *Drive) hearAll() {
	for r := d.nextPassage(nil); r != nil; r = d.nextPassage(r) {
		d.hearPassage(r)
	}
}

// nextPassage takes away the passage that was heard and returns the one to hear.
func (d *Drive) nextPassage(done *passage) *passage {
	d.mu.Lock()
	defer d.unlock()
	s := &d.player.sound
	if done != nil {
		s.passages = s.passages[1:]
		d.garbage = append(d.garbage, done.m)
	}
	for len(s.passages) > 0 && s.passages[0].frames == 0 { // cut before it began
		d.garbage = append(d.garbage, s.passages[0].m)
		s.passages = s.passages[1:]
	}
	if len(s.passages) == 0 {
		s.running = false
		return nil
	}
	return s.passages[0]
}

// dueAt is when frame n of a passage has passed under the head.
func (r *passage) dueAt(n int64) time.Time {
	return r.since.Add(time.Duration((n + 1) * int64(time.Second) / framesPerSecond))
}

// hearPassage gives frame after frame of a passage to Options.Audio, each when it is
// due, until the passage ends or is cut.
func (d *Drive) hearPassage(r *passage) {
	ctx, cancel := context.WithCancel(d.player.sound.ctx)
	defer cancel()
	chunks := make(chan chunk, aheadChunks)
	if r.m.acquire() {
		go d.readAhead(ctx, r, chunks)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	in := intake{chunks: chunks}
	for n := int64(0); ; n++ {
		timer.Reset(time.Until(r.dueAt(n)))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if ctx.Err() != nil {
			return
		}
		gains, ok := d.gainsFor(r, n)
		if !ok {
			return
		}
		pcm, err := in.frame(ctx, n, r.dueAt(n).Add(patience))
		if err != nil {
			d.soundFailed(r, n, err)
			return
		}
		if pcm == nil {
			if ctx.Err() != nil {
				return
			}
			d.noteLate()
		} else {
			gains.apply(pcm)
		}
		d.player.sound.hear(pcm)
	}
}

// gainsFor returns how loud frame n of a passage is, and whether it is heard.
func (d *Drive) gainsFor(r *passage, n int64) (gains, bool) {
	d.mu.Lock()
	defer d.unlock()
	return gainsOf(d.pages[pageIndex(audioControlPage)]), n < r.frames
}

func (d *Drive) noteLate() {
	d.mu.Lock()
	defer d.unlock()
	d.player.sound.late++
}

// soundFailed ends a play whose frame n cannot be read.
func (d *Drive) soundFailed(r *passage, n int64, err error) {
	_ = d.mediumError(r.m, uint32(r.course.at(n)), err) // for its alarm
	d.mu.Lock()
	defer d.unlock()
	if p := &d.player; p.sound.current == r {
		p.halt(time.Now())
		p.place = r.course.at(n)
		p.set(failed)
	}
	r.frames = min(r.frames, n)
}

// A chunk is frames that were read, and the error of the one after them.
type chunk struct {
	first int64
	pcm   []byte
	err   error
}

func (c *chunk) end() int64 { return c.first + int64(len(c.pcm)/disc.SectorSize) }

// An intake takes frames out of the chunks that are read ahead.
type intake struct {
	chunks <-chan chunk
	have   chunk
}

// frame returns frame n, nil when it has not come by the deadline, or the error
// of reading it.
func (in *intake) frame(ctx context.Context, n int64, deadline time.Time) ([]byte, error) {
	for in.have.end() <= n && in.have.err == nil {
		select {
		case in.have = <-in.chunks:
			continue
		default:
		}
		wait := time.NewTimer(time.Until(deadline))
		select {
		case in.have = <-in.chunks:
			wait.Stop()
		case <-wait.C:
			return nil, nil
		case <-ctx.Done():
			wait.Stop()
			return nil, nil
		}
	}
	if n >= in.have.end() {
		return nil, in.have.err
	}
	at := int(n-in.have.first) * disc.SectorSize
	return in.have.pcm[at : at+disc.SectorSize : at+disc.SectorSize], nil
}

// readAhead reads the frames of a passage until it ends, fails, or is heard no more.
func (d *Drive) readAhead(ctx context.Context, r *passage, out chan<- chunk) {
	defer r.m.release()
	s := &d.player.sound
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return
	}
	for n := int64(0); n < r.course.frames; {
		c := r.read(n)
		select {
		case out <- c:
		case <-ctx.Done():
			return
		}
		if c.err != nil {
			return
		}
		n = c.end()
	}
}

// read reads the chunk that begins with frame n.
func (r *passage) read(n int64) chunk {
	c := chunk{first: n}
	raw, ok := r.m.disc.(disc.RawReader)
	if !ok {
		c.err = disc.ErrMode
		return c
	}
	c.pcm = make([]byte, min(chunkFrames, r.course.straight(n))*disc.SectorSize)
	good, err := raw.ReadSectors(c.pcm, r.course.at(n))
	if short := c.pcm[:good*disc.SectorSize]; len(short) < len(c.pcm) {
		c.pcm = short
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
	}
	c.err = err
	return c
}
