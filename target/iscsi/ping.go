package iscsi

import (
	"errors"
	"time"
)

// Errors that end a connection whose other end is gone.
var (
	errSilent = errors.New("initiator does not answer pings")
	errStuck  = errors.New("initiator does not take data")
)

// missedPings is how many pings may go without any PDU from the initiator.
const missedPings = 2

// startTicker watches over the other end: a quiet initiator gets a NOP-In that
// asks for an answer, one that stays quiet or takes no data is dropped.
func (c *conn) startTicker() {
	c.ticker = time.AfterFunc(c.srv.opts.PingInterval, c.tick)
}

func (c *conn) stopTicker() { c.ticker.Stop() }

func (c *conn) tick() {
	switch {
	case c.out.stuckFor(time.Now()) > missedPings*c.srv.opts.PingInterval:
		c.fail(errStuck)
		return
	case c.heard.Swap(false):
		c.missed = 0
	case c.missed == missedPings:
		c.fail(errSilent)
		return
	default:
		c.missed++
		go c.ping() // a write may block, and the ticker must find that out
	}
	c.ticker.Reset(c.srv.opts.PingInterval)
}

// ping sends a NOP-In that asks for an answer (RFC 7143, 11.19).
func (c *conn) ping() {
	var h header
	h.start(opNopIn, flagFinal)
	h.put32(16, noTag)
	h.put32(20, c.nextTag())
	c.out.send(&h, statCurrent, nil)
}

// nextTag returns a target transfer tag that is not the reserved one.
func (c *conn) nextTag() uint32 {
	for {
		if tag := c.tags.Add(1); tag != noTag && tag != 0 {
			return tag
		}
	}
}
