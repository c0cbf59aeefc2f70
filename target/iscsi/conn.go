package iscsi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A conn is one TCP connection. Its goroutine reads every PDU and answers what
// is short; tasks answer from goroutines of their own.
type conn struct {
	srv   *Server
	nc    net.Conn
	from  *address
	log   *slog.Logger
	in    wire
	sess  *session // nil until the login is complete
	p     params
	cid   uint16
	group uint16 // portal group tag of the portal that it came in by

	memory   quota // what answers of this connection may borrow
	text     textExchange
	begun    bool          // it has a session; srv.mu is over this and ready
	ready    bool          // in the full feature phase
	moving   *time.Timer   // drops it when its target is served elsewhere; srv.mu is over it
	asking   sync.Once     // closes asked
	asked    chan struct{} // closed when the initiator has been asked to log out
	ended    chan struct{} // closed at the end
	left     bool          // Logout was answered
	torn     bool          // a data digest was wrong
	reported bool          // the end of one without a session
	tags     atomic.Uint32
	pulse    pulse
	shift    shift
	own      *task // that the reader executes itself; the reader's alone
	warmth   warmth

	parting atomic.Pointer[error] // why its session is being ended in good order
	cause   atomic.Pointer[error] // why the connection was ended from this side
	taps    taps
	stats   stats
	out     writer
}

// errLogout ends a connection as its initiator asked.
var errLogout = errors.New("logout")

const readBuffer = 4 << 10

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, p: defaultParams(), memory: quota{free: connBudget}, asked: make(chan struct{}), ended: make(chan struct{})}
	c.log = s.opts.Log.With("initiator", nc.RemoteAddr().String())
	c.in = wire{r: &reader{Reader: bufio.NewReaderSize(nc, readBuffer), taps: &c.taps}, limit: loginDataLimit}
	c.taps.live.Store(newTap(c, 0, loginLog))
	c.out.conn = c
	return c
}

// serve runs the connection to its end, or until another goroutine reads it.
func (c *conn) serve() {
	err := c.login()
	if err == nil {
		c.in.limit = ourMaxRecv
		c.taps.loggedIn()
		c.stats.began(&c.p)
		c.srv.enter(c)
		c.startPulse()
		// a stack of its own: the login's has grown, and a session may idle long
		go func() { c.end(c.read()) }()
		return
	}
	c.end(err)
}

// end takes the connection down, unless it goes on elsewhere.
func (c *conn) end(err error) {
	if errors.Is(err, errRelieved) {
		return
	}
	if why := c.parting.Load(); why != nil && c.ready {
		c.part(*why)
	}
	c.nc.Close()
	c.stopPulse()
	if c.sess != nil {
		c.srv.end(c.sess)
	}
	c.taps.end(c.in.r)
	c.report(err)
	c.srv.remove(c)
	close(c.ended)
	c.srv.running.Done()
}

// read serves PDUs of the full feature phase until the connection ends.
func (c *conn) read() error {
	var h header
	for {
		if err := c.in.next(&h); err != nil {
			return err
		}
		c.pulse.heard.Store(true)
		err := c.handle(&h)
		own := c.own
		c.own = nil
		switch {
		case own != nil && (err != nil || c.left):
			go own.Run()
		case own != nil && !c.runOwn(own):
			return errRelieved
		}
		if err != nil {
			return err
		}
		if c.left {
			c.linger()
			return errLogout
		}
	}
}

// handOver leaves the command that the reader was to execute to a goroutine.
func (c *conn) handOver() {
	if own := c.own; own != nil {
		c.own = nil
		go own.Run()
	}
}

// handle serves one PDU whose data segment is still to be read. An error ends
// the connection.
func (c *conn) handle(h *header) error {
	if c.p.discovery {
		switch h.op() {
		case opNopOut, opText, opLogout:
		default:
			return c.refuse(h, rejectProtocol)
		}
	}
	switch h.op() {
	case opCommand:
		return c.command(h)
	case opDataOut:
		return c.dataOut(h)
	case opNopOut:
		return c.nopOut(h)
	case opTaskMgmt:
		return c.taskManagement(h)
	case opText:
		return c.textRequest(h)
	case opLogout:
		return c.logout(h)
	case opLogin:
		return c.violation(h, "login in the full feature phase")
	case opSNACK: // ERL 0 recovers nothing
		return c.refuse(h, rejectSNACK)
	}
	return c.refuse(h, rejectUnsupported)
}

// fail ends the connection from outside its reader.
func (c *conn) fail(err error) {
	c.cause.CompareAndSwap(nil, &err)
	c.nc.Close() // also ends a write that is under way
}

// linger lets what was written arrive: a socket closed with unread data resets
// the connection and takes the last PDU with it.
func (c *conn) linger() {
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, c.in.r.Reader, lingerBytes) // past the tap, which would keep it
	}
}

const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

// report logs the end of a connection once, in the words that help.
func (c *conn) report(err error) {
	if cause := c.cause.Load(); cause != nil {
		err = *cause
	}
	if r, ok := errors.AsType[*redirection](err); ok {
		c.talk(slog.LevelInfo, "initiator sent on", "name", c.p.initiatorName, "target", c.p.targetName, "to", r.address, "permanent", r.loginStatus == loginMovedForGood)
		return
	}
	switch {
	case c.sess == nil && errors.Is(err, io.EOF):
		c.reportHangUp()
	case c.sess == nil || c.reported: // the login said it
		c.reportStranger(err)
	case err == nil, errors.Is(err, errLogout), errors.Is(err, io.EOF):
		c.talk(slog.LevelInfo, "connection closed")
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
		c.talk(slog.LevelInfo, "connection closed", "reason", "stopped")
	default:
		c.talk(slog.LevelWarn, "connection dropped", "reason", err)
	}
}

// reportHangUp logs that the initiator closed the connection before its login was
// done.
func (c *conn) reportHangUp() {
	if c.p.initiatorName == "" {
		c.reportStranger(errors.New("the initiator closed it before it logged in"))
		return
	}
	err := errors.New("the initiator closed it in the middle of its login (hint: it knows why, as that the secret of mutual is another there)")
	c.reportStranger(err, "name", c.p.initiatorName, "target", c.p.targetName)
}

// A violation answers with Reject, PROTOCOL ERROR, and ends the connection: at
// ERL 0 the session cannot be trusted after it (RFC 7143, 7.9).
func (c *conn) violation(h *header, format string, args ...any) error {
	err := fmt.Errorf("protocol error in %s: "+format, append([]any{h.op()}, args...)...)
	if serr := c.reject(h, rejectProtocol); serr != nil {
		return serr
	}
	c.linger()
	return err
}

// refuse skips the data segment of h and answers with Reject.
func (c *conn) refuse(h *header, reason rejectReason) error {
	if err := c.in.skip(h.dataLen()); err != nil {
		return err
	}
	return c.reject(h, reason)
}
