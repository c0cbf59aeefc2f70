package iscsi

// WaitForMemory returns how many answers wait for memory that all share.
func (s *Server) WaitForMemory() int {
	q := &s.memory.total
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// MemoryOut returns how many bytes of memory are lent, and how many may be.
func (s *Server) MemoryOut() (out, most int) {
	l := s.limits.Load()
	return s.memory.total.used() + s.memory.unasked.used(), memoryOf(l.Memory + l.UnsolicitedMemory)
}
