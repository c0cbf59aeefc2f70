package iscsi

// WaitForMemory returns how many answers wait for memory that all share.
func (s *Server) WaitForMemory() int {
	q := &s.memory.total
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// MemoryOut returns how many bytes of memory are lent.
func (s *Server) MemoryOut() (out int) {
	whole := newBudget(s.opts.Memory)
	for _, q := range [][2]*quota{{&s.memory.total, &whole.total}, {&s.memory.unasked, &whole.unasked}} {
		q[0].mu.Lock()
		out += q[1].free - q[0].free
		q[0].mu.Unlock()
	}
	return out
}

// Watched returns how many readers the watch looks after, and whether it runs.
func (s *Server) Watched() (readers int, runs bool) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	return len(s.watch.readers), s.watch.runs
}
