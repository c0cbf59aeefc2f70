package iscsi

import (
	"errors"
	"slices"
	"time"

	"spindle/target"
)

// Events of an asynchronous message (RFC 7143, 11.9.1).
const (
	asyncLogout = 1 // log out within Parameter3 seconds
	asyncDrop   = 3 // the session is dropped; come back after Parameter2 seconds
)

// dismissTime is how long an initiator has to take the word that its session
// is dropped.
const dismissTime = 2 * time.Second

var (
	errRemoved  = errors.New("the target was removed")
	errReplaced = errors.New("the target was made anew")
)

// dismiss ends a session from outside its reader in good order: its tasks end,
// then the initiator is told, then the connection is closed.
func (c *conn) dismiss(why error) {
	if !c.parting.CompareAndSwap(nil, &why) {
		return
	}
	time.AfterFunc(dismissTime, func() { c.fail(why) }) // should it take nothing, or storage hold a task
	c.nc.SetReadDeadline(time.Unix(1, 0))               // wakes the reader, who parts
}

// part is the reader's share of dismiss. It reads nothing more, so that no task
// begins.
func (c *conn) part(why error) {
	if c.sess.nexus != nil {
		c.sess.nexus.Close()
	}
	var h header
	h.start(opAsync, flagFinal)
	h.put32(16, noTag)
	h[36] = asyncDrop // come back at once, nothing is kept: Time2Wait and Time2Retain are 0
	if c.out.send(&h, statAdvance, nil) == nil {
		c.linger()
	}
	c.cause.CompareAndSwap(nil, &why)
}

// dismissSessions ends the sessions of t. s.mu is held.
func (s *Server) dismissSessions(t *target.Target, why error) {
	for _, n := range s.tsihs {
		if n.target == t {
			n.conn.dismiss(why)
		}
	}
}

// maxRemoved bounds how many names of removed targets are remembered.
const maxRemoved = 64

// A removal remembers names of targets that were removed, oldest first: an
// initiator that asks for one is told so (RFC 7143, 11.13.5), and a typing
// error is told from a decision.
type removal struct{ names []string }

func (r *removal) add(name string) {
	r.forget(name)
	if len(r.names) == maxRemoved {
		r.names = slices.Delete(r.names, 0, 1)
	}
	r.names = append(r.names, name)
}

func (r *removal) forget(name string) {
	r.names = slices.DeleteFunc(r.names, func(have string) bool { return have == name })
}

func (r *removal) has(name string) bool { return slices.Contains(r.names, name) }
