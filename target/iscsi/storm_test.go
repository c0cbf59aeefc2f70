package iscsi_test

import (
	"context"
	"testing"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// generous are options under which storms are not refused.
func generous() iscsi.Options { return iscsi.Options{MaxConnections: 4096} }

// inquire is what a host does first.
func inquire(_ context.Context, s *initiator.Session) error {
	if _, err := s.Do(cdb(0x12, 0, 0, 0, 96), 96); err != nil {
		return err
	}
	if err := s.Ready(); err != nil {
		return err
	}
	return s.Read(16, 1)
}

// 1,000 sessions are there at once; every login succeeds and every one is
// served. 20,000 logins and logouts leave goroutines and descriptors as they
// were, and live heap and stacks within 10 %.
func TestLoginsLeaveNothing(t *testing.T) {
	f := newFleet(t, generous(), 4)
	f.listen(t)
	const sessions = 1000
	together := f.storm(sessions)
	together.Meet, together.Work = true, inquire
	together.AllIn = func() {
		if n := len(f.srv.Sessions()); n != sessions {
			t.Errorf("the server has %d sessions, want %d", n, sessions)
		}
	}
	cycles := f.storm(50)
	cycles.Rounds = 2 * sessions / cycles.Sessions // what makes what is kept
	rest := takeTally(t)
	weather(t, rest, func() {
		for _, s := range []initiator.Storm{together, cycles} {
			r := s.Run(t.Context())
			want := int64(s.Sessions * max(s.Rounds, 1))
			if r.Err() != nil || r.Logins.Load() != want || r.Logouts.Load() != want {
				t.Fatalf("%d logins, %d logouts, want %d each: %v", r.Logins.Load(), r.Logouts.Load(), want, r.Err())
			}
			t.Logf("%d logins, %d at once, in %v; login %v; reads %v; all in after %v", want, s.Sessions, r.Took, &r.LoginTime, &r.ReadTime, r.Meeting)
		}
		cycles.Rounds = stormLogins / cycles.Sessions
	})
}
