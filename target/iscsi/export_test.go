package iscsi

// WaitForMemory returns how many answers wait for memory that all share.
func (s *Server) WaitForMemory() int {
	q := &s.memory.total
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}
