package daemon

import (
	"sync"

	"spindle/internal/api/client"
)

// earFrames is what a listener may be behind: 2 s.
const earFrames = 2 * 75

// A speaker hands what a drive plays to whoever listens. It waits for none: a
// listener that is further behind than earFrames misses frames and is told how
// many.
type speaker struct {
	mu     sync.Mutex
	ears   map[*ear]struct{}
	closed bool
}

// An ear is one listener.
type ear struct {
	frames  chan client.AudioFrame
	dropped int // since the last frame that went in
}

// hear is for mmcemu.Options.Audio.
func (s *speaker) hear(pcm []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.ears {
		select {
		case e.frames <- client.AudioFrame{PCM: pcm, Dropped: e.dropped, Late: pcm == nil}:
			e.dropped = 0
		default:
			e.dropped++
		}
	}
}

// listen returns what is played from now on; the channel is closed when the
// drive goes. Who listens must call stop, and must not change samples.
func (s *speaker) listen() (frames <-chan client.AudioFrame, stop func()) {
	e := &ear{frames: make(chan client.AudioFrame, earFrames)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		close(e.frames)
		return e.frames, func() {}
	}
	if s.ears == nil {
		s.ears = map[*ear]struct{}{}
	}
	s.ears[e] = struct{}{}
	return e.frames, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.ears, e)
	}
}

// close ends what listeners hear.
func (s *speaker) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for e := range s.ears {
		close(e.frames)
	}
	clear(s.ears)
}

// Listen implements api.Tray.
func (t *tray) Listen() (<-chan client.AudioFrame, func()) { return t.dr.speaker.listen() }
