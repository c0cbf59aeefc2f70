package iscsi

import (
	"cmp"
	"errors"
	"net"
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

// A Ping says how the server finds out that an initiator is gone. The zero value
// of each is its default; what is changed holds for sessions that live, too,
// from their next ping on.
type Ping struct {
	// Interval is how long an initiator may be quiet before it gets a NOP-In
	// that asks for an answer, and again each time that it goes on to be; 30 s.
	// Below 0 nobody is asked.
	Interval time.Duration

	// Timeout is how long it may be quiet after the first of these, take
	// nothing of what is sent to it, or send nothing of what a command asked it
	// for, before it is dropped; 60 s.
	Timeout time.Duration
}

func (p Ping) complete() Ping {
	p.Interval = cmp.Or(p.Interval, 30*time.Second)
	p.Timeout = cmp.Or(p.Timeout, 60*time.Second)
	return p
}

// keepAlive has the kernel find out that the other end is gone where no ping
// does. TCP_USER_TIMEOUT would add nothing: a pulse sees data that is not taken.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

// setKeepAlive sets TCP keepalive on a connection, whoever opened its listener.
func setKeepAlive(nc net.Conn) {
	if k, ok := nc.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		k.SetKeepAliveConfig(keepAlive) // one that fails has gone: the read says so
	}
}

// A pulse watches over the other end: a quiet initiator gets a NOP-In that asks
// for an answer, one that stays quiet or takes no data is dropped.
type pulse struct {
	heard atomic.Bool // a PDU came since the last tick

	mu    sync.Mutex
	timer *time.Timer
	asked time.Time // when the first ping without an answer was due; zero: there is none
}

func (c *conn) startPulse() {
	c.pulse.mu.Lock()
	defer c.pulse.mu.Unlock()
	c.pulse.timer = time.AfterFunc(c.pulse.next(time.Time{}, c.srv.ping.Load()), c.tick)
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
	p, ping, now := &c.pulse, c.srv.ping.Load(), time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.timer == nil:
		return
	case c.out.stuckFor(now) >= ping.Timeout:
		c.forsake(errStuck)
		return
	case p.heard.Swap(false) || ping.Interval < 0:
		p.asked = time.Time{}
	case !p.asked.IsZero() && now.Sub(p.asked) >= ping.Timeout:
		c.forsake(errSilent)
		return
	default:
		if p.asked.IsZero() {
			p.asked = now
		}
		go c.ping() // a write may block, and the pulse must find that out
	}
	p.timer.Reset(p.next(now, ping))
}

// next returns how long it is until the next tick.
func (p *pulse) next(now time.Time, ping *Ping) time.Duration {
	switch {
	case ping.Interval < 0:
		return ping.Timeout
	case p.asked.IsZero():
		return ping.Interval
	}
	return min(ping.Interval, p.asked.Add(ping.Timeout).Sub(now))
}

// forsake is fail for an initiator that is gone: what it was to get would lie
// in the kernel for a quarter of an hour after a plain close.
func (c *conn) forsake(err error) {
	if l, ok := c.nc.(interface{ SetLinger(sec int) error }); ok {
		l.SetLinger(0)
	}
	c.fail(err)
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
