package iscsi

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// A Redirect is where a target is served instead.
type Redirect struct {
	Address   string // HOST:PORT, an IPv6 address in brackets; without a portal group tag (RFC 7143, 13.8)
	Permanent bool   // initiators may remember it
}

// moveTime is how long the sessions of a target have to log out when it is
// redirected.
const moveTime = 10 * time.Second

var errMoved = errors.New("the target is served elsewhere now")

// A redirection is the login status that sends an initiator on.
type redirection struct {
	loginStatus
	address string
}

// Error says where to.
func (r *redirection) Error() string { return fmt.Sprintf("%v: %s", r.loginStatus, r.address) }

// Unwrap lets errors.AsType find the status.
func (r *redirection) Unwrap() error { return r.loginStatus }

// redirect answers for a target that is served elsewhere. It comes before
// authentication: that is for the other end to ask for.
func (x *exchange) redirect() error {
	e := x.c.srv.export(x.c.p.targetName)
	switch {
	case x.c.p.discovery || e == nil || e.Redirect == nil:
		return nil
	case samePlace(e.Redirect.Address, x.c.nc.LocalAddr()):
		return fmt.Errorf("%w: it is redirected to %s, where the initiator came to (hint: redirect is to name another server)", loginUnavailable, e.Redirect.Address)
	case e.Redirect.Permanent:
		return &redirection{loginMovedForGood, e.Redirect.Address}
	}
	return &redirection{loginMoved, e.Redirect.Address}
}

// samePlace reports whether address is here, by number.
func samePlace(address string, here net.Addr) bool {
	a, err := netip.ParseAddrPort(address)
	tcp, ok := here.(*net.TCPAddr)
	return err == nil && ok && a.Port() == tcp.AddrPort().Port() && a.Addr().Unmap().WithZone("") == hostOf(here).WithZone("")
}

// refusal is the text of the response that err ends the login with.
func refusal(err error) []byte {
	if r, ok := errors.AsType[*redirection](err); ok {
		return appendPair(nil, "TargetAddress", r.address)
	}
	return nil
}

// moved reports whether c has a session with a target that is served elsewhere.
// s.mu is held.
func (s *Server) moved(c *conn) bool {
	if c.sess == nil || c.sess.target == nil {
		return false
	}
	e := s.exports[c.sess.target.Name]
	return e != nil && e.Target == c.sess.target && e.Redirect != nil
}

// sendOn asks the initiators of targets that are served elsewhere to log out:
// when they come back they are sent on. Those of a target that is served here
// again may stay. s.mu is held.
func (s *Server) sendOn() {
	for c := range s.conns {
		if c.ready { // another one looks when it is in: see enter
			c.sendOn()
		}
	}
}

// sendOn asks, once, or takes back what was asked. srv.mu is held.
func (c *conn) sendOn() {
	switch moved := c.srv.moved(c); {
	case !moved && c.moving != nil:
		c.moving.Stop()
		c.moving = nil
	case moved && c.moving == nil:
		var t *time.Timer
		t = time.AfterFunc(moveTime, func() {
			c.srv.mu.Lock()
			defer c.srv.mu.Unlock()
			if c.moving == t { // it was not taken back meanwhile
				c.dismiss(errMoved)
			}
		})
		c.moving = t
		go c.askLogout(moveTime)
	}
}
