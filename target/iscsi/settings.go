package iscsi

import (
	"maps"
	"slices"

	"spindle/target"
)

// Settings are what a reload may change while the server serves.
type Settings struct {
	Exports []Export
	Limits  Limits
}

// An Export is a target as the network sees it.
type Export struct {
	Target *target.Target
}

// Set puts settings in force. Sessions of a target that stays the same object
// go on; those of one that went are closed.
func (s *Server) Set(next Settings) {
	exports := map[string]*Export{}
	for i := range next.Exports {
		exports[next.Exports[i].Target.Name] = &next.Exports[i]
	}
	s.setLimits(next.Limits)
	for _, e := range next.Exports {
		for _, u := range e.Target.Units() {
			u.SetQueue(s.limits.Load().Queue)
		}
	}
	s.mu.Lock()
	old := s.exports
	s.settings, s.exports = next, exports
	s.mu.Unlock()
	for name, e := range old {
		if now := exports[name]; now == nil || now.Target != e.Target {
			s.dropSessions(e.Target)
		}
	}
}

// setLimits puts limits in force.
func (s *Server) setLimits(next Limits) {
	l := next.complete()
	s.limits.Store(l)
	s.memory.set(l)
	s.addresses.set(l)
}

// serves reports whether t is among the targets. s.mu is held.
func (s *Server) serves(t *target.Target) bool {
	e := s.exports[t.Name]
	return e != nil && e.Target == t
}

func (s *Server) target(name string) *target.Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.exports[name]; e != nil {
		return e.Target
	}
	return nil
}

func (s *Server) targetNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.exports))
}
