package iscsi

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Errors that end a connection whose other end is gone.
var (
	errSilent = errors.New("initiator does not answer pings")
	errStuck  = errors.New("initiator does not take data")
	errNoData = errors.New("initiator does not send the data of a command")
)

// missedPings is how many pings may go without any PDU from the initiator.
const missedPings = 2

// A pulse watches over the other end: a quiet initiator gets a NOP-In that asks
// for an answer, one that stays quiet or takes no data is dropped.
type pulse struct {
	heard atomic.Bool // a PDU came since the last tick

	mu     sync.Mutex
	timer  *time.Timer
	missed int // pings without an answer
}

func (c *conn) startPulse() {
	c.pulse.mu.Lock()
	defer c.pulse.mu.Unlock()
	c.pulse.timer = time.AfterFunc(c.srv.opts.PingInterval, c.tick)
}

func (c *conn) stopPulse() {
	c.pulse.mu.Lock()
	defer c.pulse.mu.Unlock()
	if c.pulse.timer != nil { // the login was complete
		c.pulse.timer.Stop()
		c.pulse.timer = nil
	}
}

func (c *conn) tick() {
	p, interval := &c.pulse, c.srv.opts.PingInterval
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.timer == nil:
		return
	case c.out.stuckFor(time.Now()) > missedPings*interval:
		c.fail(errStuck)
		return
	case p.heard.Swap(false):
		p.missed = 0
	case p.missed == missedPings:
		c.fail(errSilent)
		return
	default:
		p.missed++
		go c.ping() // a write may block, and the pulse must find that out
	}
	p.timer.Reset(interval)
}

// ping sends a NOP-In that asks for an answer (RFC 7143, 11.19), unless a PDU
// is on its way: that one tells as well whether the other end lives.
func (c *conn) ping() {
	w := &c.out
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	var h header
	h.start(opNopIn, flagFinal)
	h.put32(16, noTag)
	h.put32(20, c.nextTag())
	w.add(&h, statCurrent, nil)
	w.flush()
}

// nextTag returns a target transfer tag that is not the reserved one.
func (c *conn) nextTag() uint32 {
	for {
		if tag := c.tags.Add(1); tag != noTag && tag != 0 {
			return tag
		}
	}
}
