package initiator

import (
	"fmt"
	"strings"
)

// Statuses of a login response that send an initiator on (RFC 7143, 11.13.5).
const (
	MovedTemporarily = 0x0101
	MovedPermanently = 0x0102
)

// maxRedirects is how often Open lets itself be sent on.
const maxRedirects = 4

// Open connects to addr and logs in there, or where it is sent on to: it
// returns the connection to the last, whose RemoteAddr says which that is.
func Open(addr string, o Options) (*Conn, error) {
	for range maxRedirects {
		c, next, err := try(addr, o)
		if err != nil || next == "" {
			return c, err
		}
		addr = next
	}
	return nil, fmt.Errorf("%w: sent on %d times, the last to %s", ErrLogin, maxRedirects, addr)
}

// try logs in at addr; next is where it was sent on to, if it was.
func try(addr string, o Options) (c *Conn, next string, err error) {
	if c, err = Dial(addr); err != nil {
		return nil, "", err
	}
	var p *PDU
	if err = c.Send(c.LoginRequest(o)); err == nil {
		p, err = c.Recv()
	}
	if err == nil {
		if status := p.U16(36); status == MovedTemporarily || status == MovedPermanently {
			c.Close()
			return nil, ParseText(p.Data)["TargetAddress"], nil
		}
		_, err = c.loggedIn(p)
	}
	if err != nil {
		c.Close()
		return nil, "", err
	}
	return c, "", nil
}

// Discover asks the portal at addr which targets there are, and returns the
// addresses of each, with their portal group tags.
func Discover(addr string) (map[string][]string, error) {
	c, err := Open(addr, Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	p := New(Text|Immediate, 0x80).Put32(16, c.ITT).Put32(20, NoTag).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
	p.Data = []byte("SendTargets=All\x00")
	if err := c.Send(p); err != nil {
		return nil, err
	}
	r, err := c.Recv()
	if err != nil {
		return nil, err
	}
	if r.Op() != TextResp || r.Header[1]&0x80 == 0 {
		return nil, fmt.Errorf("opcode %02x, flags %02x: the list is not whole", r.Op(), r.Header[1])
	}
	list, name := map[string][]string{}, ""
	for item := range strings.SplitSeq(string(r.Data), "\x00") {
		switch key, value, _ := strings.Cut(item, "="); key {
		case "TargetName":
			name = value
		case "TargetAddress":
			list[name] = append(list[name], value)
		}
	}
	return list, nil
}
