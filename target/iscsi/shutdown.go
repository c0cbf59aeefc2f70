package iscsi

import (
	"context"
	"errors"
	"time"
)

// asyncLogout asks an initiator to log out within a time (RFC 7143, 11.9.1).
const asyncLogout = 1

var errShutdown = errors.New("the server stops")

// Shutdown stops accepting, asks every initiator to log out, waits for them
// until ctx is done, then closes what is left. When it returns no goroutine of
// the server runs, but for tasks that storage holds.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.stopping = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		go c.askLogout(ctx)
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.fail(errShutdown)
	}
	s.mu.Unlock()
	<-done
}

// askLogout sends the request, or closes a connection that has no session.
func (c *conn) askLogout(ctx context.Context) {
	if !c.ready.Load() {
		c.fail(errShutdown)
		return
	}
	seconds := uint16(1)
	if deadline, ok := ctx.Deadline(); ok {
		seconds = uint16(max(1, min(time.Until(deadline).Seconds(), 600)))
	}
	var h header
	h.start(opAsync, flagFinal)
	h.put32(16, noTag)
	h[36] = asyncLogout
	h.put16(42, seconds) // Parameter3: seconds until the connection is dropped
	c.out.send(&h, statAdvance, nil)
}
