package iscsi

import "time"

// SetStarvation changes how long an answer waits for hoarded memory, before
// the server serves.
func (s *Server) SetStarvation(d time.Duration) { s.memory.total.patience = d }

// WaitForMemory returns how many answers wait for memory that all share.
func (s *Server) WaitForMemory() int {
	q := &s.memory.total
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// MemoryOut returns how many bytes of memory are lent.
func (s *Server) MemoryOut() int { return s.memory.total.used() + s.memory.unasked.used() }

// Watched returns how many readers the watch looks after, and whether it runs.
func (s *Server) Watched() (readers int, runs bool) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	return len(s.watch.readers), s.watch.runs
}
