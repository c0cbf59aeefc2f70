package daemon

import (
	"errors"
	"net"
	"testing"
	"time"

	"spindle/config"
	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// The limits that config has where a file says nothing are those of the target.
func TestDefaultLimits(t *testing.T) {
	if got, want := iscsi.Limits(config.Default().ISCSI.Limits), iscsi.DefaultLimits(); got != want {
		t.Errorf("config has %+v, package iscsi %+v", got, want)
	}
}

// loginFrom logs in to cd0 from an address of its own.
func (r *rig) loginFrom(ip, name string) (*initiator.Conn, error) {
	r.t.Helper()
	s := r.status()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	nc, err := d.Dial("tcp", s.Portals[0])
	r.must(err)
	r.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(limit))
	c := initiator.NewConn(nc)
	_, err = c.Login(initiator.Options{Target: s.Drive("cd0").Target, Initiator: "iqn.2026-11.spindle.test:" + name})
	return c, err
}

// Limits come from the file, refuse, are told by status, and change by a reload
// under sessions that stay.
func TestLimitsOfTheFile(t *testing.T) {
	r := newRig(t)
	r.start(cd0HasA + "[iscsi]\nlisten = [\"127.0.0.1:0\"]\n[iscsi.limits]\nconnections_per_address = 2\nwindow = 5\n")
	a, err := r.loginFrom("127.0.0.2", "a")
	r.must(err)
	_, err = r.loginFrom("127.0.0.2", "b")
	r.must(err)
	if _, err := r.loginFrom("127.0.0.2", "c"); !errors.Is(err, initiator.ErrLogin) {
		t.Errorf("a third session of an address: %v", err)
	}
	_, err = r.loginFrom("127.0.0.3", "c")
	r.must(err)
	n := r.status().Network
	if n.Connections.Used != 3 || n.Connections.Limit != 1280 || n.Sessions.Used != 3 || n.Addresses != 2 || n.Memory.Limit != 48<<20 {
		t.Errorf("network %+v", n)
	}
	if len(n.Refused) != 1 || n.Refused[0].Limit != "connections_per_address" || n.Refused[0].Value != "2" || n.Refused[0].Count != 1 {
		t.Errorf("refused %+v", n.Refused)
	}
	ready(a)
	r.write(cd0HasA + "[iscsi]\nlisten = [\"127.0.0.1:0\"]\n[iscsi.limits]\nsessions = 2\n")
	r.must(r.reload())
	if got := ready(a); got != "good" {
		t.Errorf("a session under lower limits: %s", got)
	}
	if _, err := r.loginFrom("127.0.0.2", "d"); !errors.Is(err, initiator.ErrLogin) {
		t.Errorf("a fourth session: %v", err)
	}
	if n := r.status().Network; len(n.Refused) != 2 || n.Refused[1].Limit != "sessions" || n.Refused[1].Last == "" || n.Sessions.Limit != 2 {
		t.Errorf("network %+v", n)
	} else if n.Refused[0].Value != "2" { // 64 are in force now, and refused nobody
		t.Errorf("refused %+v", n.Refused)
	}
}
