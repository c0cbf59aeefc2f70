package iscsi

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

var errShutdown = errors.New("the server stops")

// Shutdown stops accepting, asks every initiator to log out, waits for them
// until ctx is done, then closes what is left. When it returns no goroutine of
// the server runs, but for tasks that storage holds.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	again := s.stopping
	s.stopping, s.stopBy = true, ctx
	for l := range s.listeners {
		l.Close()
	}
	for nc := range s.away {
		nc.Close()
	}
	for c := range s.conns {
		switch {
		case again: // they are being asked
		case c.ready:
			go c.askLogout(left(ctx))
		case !c.begun: // one whose login is being answered asks when it is in: see enter
			c.fail(errShutdown)
		}
	}
	s.mu.Unlock()
	defer s.endLedger()
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
	s.closeAll()
	<-done
}

// endLedger logs what is not yet, when nobody can be refused any more.
func (s *Server) endLedger() {
	s.ledger.mu.Lock()
	timer := s.ledger.timer
	s.ledger.mu.Unlock()
	if timer != nil && timer.Stop() {
		s.logMore()
	}
}

// closeAll closes what is left, when those that were to be asked have been: a
// machine under load may have come to none of them in the time.
func (s *Server) closeAll() {
	s.mu.Lock()
	left := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	late, cancel := context.WithTimeout(context.Background(), lingerTime)
	defer cancel()
	for _, c := range left {
		select {
		case <-c.asked:
		case <-c.ended:
		case <-late.Done(): // it takes nothing
		}
		c.fail(errShutdown)
	}
}

// enter begins the full feature phase of a connection.
func (s *Server) enter(c *conn) {
	s.mu.Lock()
	c.ready = true
	defer s.mu.Unlock()
	if s.stopping {
		go c.askLogout(left(s.stopBy))
		return
	}
	c.sendOn() // its target may have moved while it logged in
}

// left is how long it is until ctx is done; at most ten minutes.
func left(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(time.Until(deadline), 10*time.Minute)
	}
	return 0
}

// askLogout sends the request.
func (c *conn) askLogout(within time.Duration) {
	defer c.asking.Do(func() { close(c.asked) })
	var h header
	h.start(opAsync, flagFinal)
	h.put32(16, noTag)
	h[36] = asyncLogout
	h.put16(42, uint16(max(1, within.Seconds()))) // Parameter3: seconds until the connection is dropped
	c.out.send(&h, statAdvance, nil)
}
