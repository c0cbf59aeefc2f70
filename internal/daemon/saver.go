package daemon

import (
	"context"
	"path/filepath"
	"sync"
)

// A saver writes the state, off the daemon's loop: a disk may take its time.
// Of several states that wait it writes the last.
type saver struct {
	path   string
	result func(error) // told of each attempt, on the saver's goroutine

	mu      sync.Mutex
	next    []byte        // to write; nil for none
	version int           // of next, or of what was written last
	done    int           // version that was written, or failed
	changed chan struct{} // closed when done moves
	wake    chan struct{}
}

func newSaver(dir string, result func(error)) *saver {
	return &saver{
		path: filepath.Join(dir, stateFile), result: result,
		changed: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// latest returns the version of what save last got.
func (s *saver) latest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// save has data written, as the next version.
func (s *saver) save(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = data
	s.version++
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// wait returns when a version was written, or could not be, or ctx is done.
func (s *saver) wait(ctx context.Context, version int) {
	for {
		s.mu.Lock()
		done, changed := s.done, s.changed
		s.mu.Unlock()
		if done >= version {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// run writes until ctx is done and nothing waits.
func (s *saver) run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			s.write()
			return
		}
		s.write()
	}
}

func (s *saver) write() {
	s.mu.Lock()
	data, version := s.next, s.version
	s.next = nil
	s.mu.Unlock()
	if data == nil {
		return
	}
	s.result(writeFile(s.path, data))
	s.mu.Lock()
	s.done = version
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
}
