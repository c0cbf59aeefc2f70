package daemon

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"spindle/internal/api/client"
)

// A manager is systemd's end of NOTIFY_SOCKET.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(r *rig) *manager {
	path := r.path("notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	r.must(err)
	r.t.Cleanup(func() { conn.Close() })
	r.t.Setenv("NOTIFY_SOCKET", path)
	return &manager{r.t, conn}
}

// next returns the lines of the next message, or nil when none comes in time.
func (m *manager) next(wait time.Duration) []string {
	b := make([]byte, 4096)
	m.conn.SetReadDeadline(time.Now().Add(wait))
	n, err := m.conn.Read(b)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(b[:n])), "\n")
}

// await returns the lines of the next message that has one starting so.
func (m *manager) await(prefix string) []string {
	m.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		lines := m.next(time.Until(end))
		if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) }) {
			return lines
		}
	}
	m.t.Fatalf("no %s from the daemon", prefix)
	return nil
}

// awaitAll takes messages until each of these lines came, in any order.
func (m *manager) awaitAll(want ...string) {
	m.t.Helper()
	for end := time.Now().Add(limit); len(want) > 0; {
		lines := m.next(time.Until(end))
		if lines == nil {
			m.t.Fatalf("no %q from the daemon", want)
		}
		want = slices.DeleteFunc(want, func(w string) bool { return slices.Contains(lines, w) })
	}
}

func TestNotify(t *testing.T) {
	r := newRig(t)
	m := newManager(r)
	r.start(cd0HasA + "[drive.cd1]\n")
	m.awaitAll("READY=1", "STATUS=2 drives, 0 sessions")
	c := r.login("cd0")
	m.await("STATUS=2 drives, 1 session")
	c.Close()
	m.await("STATUS=2 drives, 0 sessions")
	r.d.Reload()
	if lines := m.await("RELOADING=1"); len(lines) < 2 || !strings.HasPrefix(lines[1], "MONOTONIC_USEC=") {
		t.Errorf("reloading: %q; want MONOTONIC_USEC too", lines)
	}
	m.await("READY=1")
	r.write("nonsense")
	m.await("RELOADING=1")
	m.awaitAll("READY=1", "STATUS=2 drives, 0 sessions, 1 alarm") // a bad file does not end the service
	r.end()
	m.await("STOPPING=1")
}

// The watchdog is fed while all three loops turn, and not when one does not.
// A slow disk is none of them.
func TestWatchdog(t *testing.T) {
	const interval = 800 * time.Millisecond
	// starves waits until no ping came for a whole interval.
	starves := func(m *manager) bool {
		for end := time.Now().Add(limit); time.Now().Before(end); {
			if !slices.Contains(m.next(interval), "WATCHDOG=1") {
				return true
			}
		}
		return false
	}
	for _, tt := range []struct {
		name   string
		block  func(t *testing.T, r *rig) (unblock func())
		starve bool
	}{
		{"daemon's loop", func(_ *testing.T, r *rig) func() {
			c := make(chan struct{})
			r.d.loop.post(func() { <-c })
			return func() { close(c) }
		}, true},
		{"API", func(_ *testing.T, r *rig) func() { r.d.api.l.Close(); return func() {} }, true},
		{"accept loop", func(t *testing.T, r *rig) func() {
			c := make(chan struct{})
			r.must(r.d.loop.call(t.Context(), func() {
				for _, l := range r.d.listeners {
					l.Close() // its loop ends
				}
			}))
			return func() { close(c) }
		}, true},
		{"storage", func(t *testing.T, r *rig) func() {
			c := make(chan struct{})
			r.d.work(func() { <-c }) // an image that does not open
			return func() { close(c) }
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			m := newManager(r)
			t.Setenv("WATCHDOG_USEC", "800000")
			r.start(cd0HasA)
			m.await("WATCHDOG=1")
			unblock := tt.block(t, r)
			if tt.starve {
				if !starves(m) {
					t.Error("pings go on while it is blocked")
				}
			} else {
				for range 10 { // longer than the interval
					m.await("WATCHDOG=1")
				}
			}
			unblock()
			r.end()
		})
	}
}

// Stop waits for initiators that log out, and not beyond its time for others.
func TestStopEndsSessions(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA)
	c := r.login("cd0")
	r.await("session", func(s *client.Status) bool { return len(s.Sessions) == 1 })
	began := time.Now()
	r.end()
	if took := time.Since(began); took > limit {
		t.Errorf("stop took %v", took)
	}
	p, err := c.Recv()
	if err != nil || p.Op() != 0x32 {
		t.Errorf("at the stop: %+v, %v; want an asynchronous message", p, err)
	}
	r.start(cd0HasA) // locks, sockets and ports are free again
	r.wants("ready a.iso")
}
