package iscsi

import (
	"fmt"
	"maps"
	"slices"

	"spindle/target"
)

// Settings are what a reload may change while the server serves.
type Settings struct {
	Exports []Export
	Portals []Portal // what SendTargets says; none: the addresses that the server sees
	Ping    Ping
}

// An Export is a target as the network sees it.
type Export struct {
	Target   *target.Target
	Redirect *Redirect // where initiators are sent instead; nil: nowhere
}

// Set puts settings in force. Sessions of a target that stays the same object
// go on; those of one that went are dropped, and those of one that is served
// elsewhere now are asked to log out.
func (s *Server) Set(next Settings) {
	exports := map[string]*Export{}
	for i := range next.Exports {
		exports[next.Exports[i].Target.Name] = &next.Exports[i]
	}
	ping := next.Ping.complete()
	s.ping.Store(&ping)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.exports
	s.settings, s.exports = next, exports
	for name := range exports {
		s.removed.forget(name)
	}
	for name, e := range old {
		now := exports[name]
		switch {
		case now == nil:
			s.removed.add(name)
			s.dismissSessions(e.Target, errRemoved)
		case now.Target != e.Target:
			s.dismissSessions(e.Target, errReplaced)
		}
	}
	s.sendOn()
}

// serves reports whether t is among the targets. s.mu is held.
func (s *Server) serves(t *target.Target) bool {
	e := s.exports[t.Name]
	return e != nil && e.Target == t
}

// export returns the target of that name as the network sees it, or nil.
func (s *Server) export(name string) *Export {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exports[name]
}

func (s *Server) target(name string) *target.Target {
	if e := s.export(name); e != nil {
		return e.Target
	}
	return nil
}

// absent says why there is no target of that name. s.mu is held.
func (s *Server) absent(name string) error {
	status := loginNotFound
	if s.removed.has(name) {
		status = loginRemoved
	}
	return fmt.Errorf("%w: %s", status, name)
}

// lacks is absent for who does not hold s.mu.
func (s *Server) lacks(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.absent(name)
}

func (s *Server) targetNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.exports))
}
