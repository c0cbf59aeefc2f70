package iscsi

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// DefaultGroup is the portal group tag of a portal of which nobody says one.
const DefaultGroup = 1

// A Portal is an address of the server in a portal group (RFC 7143, 4.4.1).
type Portal struct {
	Address string // HOST:PORT, an IPv6 address in brackets
	Group   uint16 // portal group tag; 0 is [DefaultGroup]
}

// String returns p in the form of the value of TargetAddress (RFC 7143, 13.8).
func (p Portal) String() string { return fmt.Sprintf("%s,%d", p.Address, groupOr(p.Group)) }

func groupOr(group uint16) uint16 {
	if group == 0 {
		return DefaultGroup
	}
	return group
}

// Grouped is what a listener may be whose portal is not in [DefaultGroup]. It
// is asked at each connection.
type Grouped interface{ PortalGroup() uint16 }

func groupOf(l net.Listener) uint16 {
	if g, ok := l.(Grouped); ok {
		return groupOr(g.PortalGroup())
	}
	return DefaultGroup
}

// portals returns the portals by which the initiator of c reaches the server:
// those of the settings; without them the one that it came in by, and every
// listener that is bound to one address, but for those of this machine alone
// when it came in by one of the network: to its host they are the host itself.
func (s *Server) portals(c *conn) []Portal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.settings.Portals) > 0 {
		return s.settings.Portals
	}
	local := c.nc.LocalAddr()
	list := []Portal{{addressOf(local), c.group}}
	here := isLoopback(local)
	for l := range s.listeners {
		a, ok := l.Addr().(*net.TCPAddr)
		if ok && !a.IP.IsUnspecified() && (here || !isLoopback(a)) && a.String() != local.String() {
			list = append(list, Portal{addressOf(a), groupOf(l)})
		}
	}
	slices.SortFunc(list[1:], func(a, b Portal) int { return strings.Compare(a.Address, b.Address) })
	return list
}

// isLoopback reports whether only this machine reaches a.
func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// addressOf is a as another machine may use it: the zone of an IPv6 address is
// ours, and means nothing there.
func addressOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		a = &net.TCPAddr{IP: tcp.IP, Port: tcp.Port}
	}
	return a.String()
}
