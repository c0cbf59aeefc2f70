package mmcemu

import (
	"sync/atomic"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
)

// A playState is what the audio player does.
type playState byte

const (
	idle playState = iota
	playing
	paused
	scanning
	completed // and not yet reported
	failed    // and not yet reported
)

// audioStatus is a state as READ SUB-CHANNEL gives it, and as the qualifier of
// the sense 0/00. Source: MMC-6, READ SUB-CHANNEL.
var audioStatus = [...]byte{idle: 0x15, playing: 0x11, paused: 0x12, scanning: 0x11, completed: 0x13, failed: 0x14}

// framesPerSecond is how many sectors of audio a second has.
const framesPerSecond = 75

// A scan hears a fifth of a second and jumps, so that it is eight times as fast
// as play.
const (
	scanBurst = framesPerSecond / 5
	scanJump  = 8 * scanBurst
)

// A course is where the head goes, by the frames that passed since it began.
type course struct {
	from      disc.LBA
	low, high disc.LBA // it stays in [low, high)
	jump      disc.LBA // between bursts of a scan, negative in reverse; 0 plays
	frames    int64    // until it ends
}

// playCourse plays from one address to before another.
func playCourse(from, end disc.LBA) course {
	return course{from: from, low: from, high: end, frames: int64(end - from)}
}

// scanCourse scans the audio in [low, high), from an address in it.
func scanCourse(from, low, high disc.LBA, reverse bool) course {
	c := course{from: from, low: low, high: high, jump: scanJump}
	way := high - 1 - from
	if reverse {
		c.jump, way = -scanJump, from-low
	}
	c.frames = (int64(way)/scanJump + 1) * scanBurst
	return c
}

// at returns where the head is after n frames.
func (c *course) at(n int64) disc.LBA {
	if c.jump == 0 {
		return min(c.from+disc.LBA(n), c.high-1)
	}
	return min(c.from+c.jump*disc.LBA(n/scanBurst)+disc.LBA(n%scanBurst), c.high-1)
}

// straight returns how many frames from n on, at least one, lie one after the
// other on the disc.
func (c *course) straight(n int64) int64 {
	count := int64(c.high - c.at(n))
	if c.jump != 0 {
		count = min(count, scanBurst-n%scanBurst)
	}
	return max(1, min(count, c.frames-n))
}

// A player is the part of the drive that plays audio. Where it is follows from
// the time: nothing runs for it, but for the sound when somebody hears it. The
// drive's mutex is held in its methods.
type player struct {
	state  playState
	busy   atomic.Bool // playing, paused or scanning: for those without the mutex
	course course      // while it plays or scans
	since  time.Time   // when the course began
	placed bool        // place is set; else the head is where track 1 starts
	place  disc.LBA    // of the head while it stands
	end    disc.LBA    // of the play, not included
	stop   disc.LBA    // end, or where before it the audio ends
	sound  sound
}

// passed returns how many frames of the course have passed.
func (p *player) passed(now time.Time) int64 {
	return int64(now.Sub(p.since)) * framesPerSecond / int64(time.Second)
}

// moves reports whether the head follows the course.
func (p *player) moves() bool { return p.state == playing || p.state == scanning }

func (p *player) set(s playState) {
	p.state = s
	p.busy.Store(s == playing || s == paused || s == scanning)
}

// settle notes the end of the course, when that has passed.
func (p *player) settle(now time.Time) {
	if !p.moves() || p.passed(now) < p.course.frames {
		return
	}
	last := p.course.at(p.course.frames - 1)
	p.halt(now)
	p.place = last
	if p.stop < p.end && p.course.jump >= 0 {
		p.set(failed)
	} else {
		p.set(completed)
	}
}

// halt ends the course: the head stands where it has come to.
func (p *player) halt(now time.Time) {
	if !p.moves() {
		return
	}
	n := min(p.passed(now), p.course.frames)
	p.placed, p.place = true, p.course.at(n)
	p.sound.cut(n)
	p.set(idle)
}

// here returns where the head is on medium m.
func (p *player) here(m *medium, now time.Time) disc.LBA {
	p.settle(now)
	switch {
	case p.moves():
		return p.course.at(p.passed(now))
	case p.placed:
		return p.place
	}
	return m.layout.First().Start
}

// report returns the audio status. That of a play which ended is told once.
func (p *player) report(now time.Time) byte {
	p.settle(now)
	status := audioStatus[p.state]
	if p.state == completed || p.state == failed {
		p.set(idle)
	}
	return status
}

// sense returns the audio status for REQUEST SENSE, which does not count as
// told; none when nothing plays.
func (p *player) sense(now time.Time) scsi.Sense {
	if p.settle(now); p.state == idle {
		return scsi.Sense{}
	}
	return scsi.Sense{Code: uint16(audioStatus[p.state])}
}

// halted stops play and scan; what has ended already is still to be told.
func (p *player) halted(now time.Time) {
	p.settle(now)
	p.halt(now)
	if p.state == paused {
		p.set(idle)
	}
}

// seek stops play and lets the head stand elsewhere.
func (p *player) seek(at disc.LBA, now time.Time) {
	p.halted(now)
	p.placed, p.place = true, at
}

// reset is for a medium that goes.
func (p *player) reset(now time.Time) {
	p.halt(now)
	p.set(idle)
	p.placed = false
}

// follow begins a course of medium m.
func (p *player) follow(d *Drive, m *medium, s playState, c course, now time.Time) {
	p.halt(now)
	p.course, p.since = c, now
	p.set(s)
	p.sound.begin(d, m, c, now)
}

// play plays from one address to before another, and no further than the end of
// the track when one track is all that is wanted. It fails with ILLEGAL MODE
// FOR THIS TRACK in a data track and with LOGICAL BLOCK ADDRESS OUT OF RANGE
// outside tracks. A play whose audio ends before its end becomes an error there.
func (p *player) play(d *Drive, m *medium, from, end int64, oneTrack bool, now time.Time) error {
	l := m.layout
	if leadOut := int64(l.LeadOut()); end > leadOut {
		return scsi.ErrLBAOutOfRange.At(uint32(max(from, leadOut)))
	}
	t, err := audioTrack(l, from)
	if err != nil {
		return err
	}
	p.end = disc.LBA(end)
	if oneTrack {
		p.end = min(p.end, l.End(t))
	}
	p.stop = audioEnd(l, disc.LBA(from), p.end)
	p.follow(d, m, playing, playCourse(disc.LBA(from), p.stop), now)
	return nil
}

// scan scans from an address on: to the end of the play that it interrupts, or
// to that of the session's audio, or in reverse to where the audio begins.
func (p *player) scan(d *Drive, m *medium, from int64, reverse bool, now time.Time) error {
	l := m.layout
	if _, err := audioTrack(l, from); err != nil {
		return err
	}
	at := disc.LBA(from)
	p.settle(now)
	if !p.busy.Load() || at >= p.end {
		s, _ := l.TrackAt(at)
		p.end = audioEnd(l, at, s.LeadOut)
	}
	p.stop = audioEnd(l, at, p.end)
	p.follow(d, m, scanning, scanCourse(at, audioStart(l, at), p.stop, reverse), now)
	return nil
}

// pause lets the head stand where it is; resume plays on from there. Both fail
// with COMMAND SEQUENCE ERROR when nothing plays.
func (p *player) pause(now time.Time) error {
	p.settle(now)
	if !p.busy.Load() {
		return scsi.ErrCommandSequence
	}
	p.halt(now)
	p.set(paused)
	return nil
}

func (p *player) resume(d *Drive, m *medium, now time.Time) error {
	p.settle(now)
	switch p.state {
	case playing:
		return nil
	case paused, scanning:
		from := p.here(m, now)
		p.follow(d, m, playing, playCourse(from, max(p.stop, from+1)), now)
		return nil
	}
	return scsi.ErrCommandSequence
}

// audioTrack returns the audio track that address at lies in, its pregap
// included.
func audioTrack(l *disc.Layout, at int64) (*disc.Track, error) {
	if at < -leadInLength || at > disc.MaxCDBlocks {
		return nil, scsi.ErrLBAOutOfRange.At(uint32(at))
	}
	_, t := l.TrackAt(disc.LBA(at))
	switch {
	case t == nil:
		return nil, scsi.ErrLBAOutOfRange.At(uint32(at))
	case t.IsData():
		return nil, illegalMode(disc.LBA(at))
	}
	return t, nil
}

// leadInLength is how far below 0 an address can be: 10 minutes.
const leadInLength = 10 * 60 * framesPerSecond

// audioEnd returns the first address from an audio one on, and before end, that
// is not audio; else end.
func audioEnd(l *disc.Layout, from, end disc.LBA) disc.LBA {
	for at := from; at < end; {
		_, t := l.TrackAt(at)
		if t == nil || t.IsData() {
			return at
		}
		at = l.End(t)
	}
	return end
}

// audioStart returns where the audio begins that an address lies in.
func audioStart(l *disc.Layout, at disc.LBA) disc.LBA {
	for {
		_, t := l.TrackAt(at)
		start := t.Pregap
		_, before := l.TrackAt(start - 1)
		if before == nil || before.IsData() {
			return start
		}
		at = start - 1
	}
}
