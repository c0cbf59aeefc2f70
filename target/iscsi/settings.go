package iscsi

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"spindle/target"
)

// Settings are what a reload may change while the server serves.
type Settings struct {
	Exports   []Export
	Discovery Discovery
	Portals   []Portal // what SendTargets says; none: the addresses that the server sees
	Ping      Ping
	Limits    Limits
}

// An Export is a target as the network sees it. Who may log in by name and
// address is said by the target: see [target.Target.SetRules].
type Export struct {
	Target   *target.Target
	Auth     *Auth     // nil asks for no CHAP
	Redirect *Redirect // where initiators are sent instead; nil: nowhere
}

// Set puts settings in force. Sessions of a target that stays the same object
// go on, but for those that could not log in any more: by the rules of the
// target or of discovery, or because Auth asks for CHAP now or has lost their
// user. A changed secret or algorithm is for the next login. Sessions of a
// target that went are dropped, and those of one that is served elsewhere now
// are asked to log out. Rules of a target are changed before Set.
func (s *Server) Set(next Settings) {
	exports := map[string]*Export{}
	for i := range next.Exports {
		exports[next.Exports[i].Target.Name] = &next.Exports[i]
	}
	ping := next.Ping.complete()
	s.ping.Store(&ping)
	s.setLimits(next.Limits)
	for _, e := range next.Exports {
		for _, u := range e.Target.Units() {
			u.SetQueue(s.limits.Load().Queue)
		}
	}
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
	for _, n := range s.tsihs {
		if n.target != nil && !s.serves(n.target) {
			continue // dismissed
		}
		if err := s.refuses(n); err != nil {
			n.conn.fail(err)
		}
	}
	s.sendOn()
}

var errRefusedNow = errors.New("the configuration has changed and does not let the initiator in")

// refuses returns why n could not begin by the settings in force, or nil. s.mu
// is held.
func (s *Server) refuses(n *session) error {
	if n.target == nil {
		d := &s.settings.Discovery
		return errors.Join(refusedNow(d.Rules.Check(n.who)), d.Auth.refuses(n.user))
	}
	if !s.serves(n.target) {
		return errDropped
	}
	err := n.target.Check(n.who)
	if err == nil && n.nexus != nil { // else it is opened by the rules in force
		err = n.nexus.Refused()
	}
	return errors.Join(refusedNow(err), s.exports[n.target.Name].Auth.refuses(n.user))
}

func refusedNow(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errRefusedNow, err)
}

// refuses returns why a session that user authenticated could not log in now;
// user is empty when nobody did.
func (a *Auth) refuses(user string) error {
	switch {
	case a == nil || a.user(user) != nil:
		return nil
	case user == "":
		return refusedNow(errors.New("CHAP is asked for"))
	}
	return refusedNow(fmt.Errorf("users does not list %q", user))
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

// export returns the target of that name as the network sees it, or nil.
func (s *Server) export(name string) *Export {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exports[name]
}

// absent says why there is no target of that name. s.mu is held.
func (s *Server) absent(name string) error {
	status := loginNotFound
	if s.removed.has(name) {
		status = loginRemoved
	}
	return fmt.Errorf("%w: %s (hint: the initiator asks for a name that no drive has)", status, name)
}

// lacks is absent for who does not hold s.mu.
func (s *Server) lacks(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.absent(name)
}

func (s *Server) discovery() Discovery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings.Discovery
}

// targetNames lists the targets that who may log in to.
func (s *Server) targetNames(who target.Initiator) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.exports)) {
		if s.exports[name].Target.Check(who) == nil {
			names = append(names, name)
		}
	}
	return names
}
