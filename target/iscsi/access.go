package iscsi

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"spindle/scsi"
	"spindle/target"
)

// who is the initiator as it says its name, and its address. A connection that
// is not TCP has none.
func (c *conn) who() target.Initiator {
	return target.Initiator{Name: c.p.initiatorName, Address: hostOf(c.nc.RemoteAddr())}
}

func hostOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// checkAccess holds the names of a login and its address against the rules. An
// initiator that they refuse learns that the target is there: a name is no
// secret, and the status that says what is wrong helps whom it ought to help.
func (x *exchange) checkAccess() error {
	c := x.c
	if c.p.discovery {
		d := c.srv.discovery()
		x.security.auth = d.Auth
		return forbidden(d.Rules.Check(c.who()))
	}
	e := c.srv.export(c.p.targetName)
	if e == nil {
		return c.srv.lacks(c.p.targetName)
	}
	x.target, x.security.auth = e.Target, e.Auth
	return forbidden(e.Target.Check(c.who()))
}

// refuse logs why a login ends and says its status, after the penalty of the
// address where it may have been a guess. Meanwhile there is the connection and
// nothing else.
func (x *exchange) refuse(h *header, status loginStatus, err error) {
	c := x.c
	x.text = nil
	if status.class() >= 2 {
		c.reportStranger(err, "name", c.p.initiatorName, "target", c.p.targetName, "discovery", c.p.discovery, "user", x.user)
	}
	switch status {
	case loginAuthFailed, loginForbidden, loginNotFound, loginRemoved:
		wait, done := c.srv.penalties.begin(c.who().Address)
		switch {
		case done != nil:
			ok := c.quiet(wait)
			done()
			if !ok {
				return
			}
		case status == loginAuthFailed:
			status = loginOutOfResources // as if it had not been looked at: see authResponse
		}
	}
	x.respond(h, status, 0, refusal(err))
	c.linger()
}

// quiet waits for d and reports whether the connection still stands. What the
// initiator says meanwhile is dropped; one that says much is not waited for.
func (c *conn) quiet(d time.Duration) bool {
	if d == 0 {
		return true
	}
	c.nc.SetReadDeadline(time.Now().Add(d))
	_, err := c.in.r.Discard(lingerBytes)
	c.nc.SetReadDeadline(time.Time{})
	return isTimeout(err)
}

func forbidden(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", loginForbidden, err)
}

// open gives n its logical units. The settings may have changed since the login
// was held against them: see Set.
func (s *Server) open(n *session, port scsi.Port) error {
	var nexus *target.Session
	if n.target != nil {
		nexus = n.target.Open(n.who, n.isid, port, n.conn.nc.RemoteAddr().String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.nexus = nexus
	err := forbidden(s.refuses(n))
	if err == nil {
		return nil
	}
	n.conn.begun = false // it never enters: a stop that waited for that would wait out its penalty
	if s.stopping {      // and has passed it by
		return loginUnavailable
	}
	return err
}
