package config

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Portal is an address that initiators are told.
type Portal struct {
	Address string // host:port
	Group   uint16 // portal group tag
}

const (
	defaultGroup = 1 // of an address that says none

	defaultPingInterval = 30 * time.Second
	defaultPingTimeout  = time.Minute

	minPing = time.Second
	maxPing = time.Hour
)

// readPortals reads the keys of [iscsi] that are about addresses and pings.
func (c *ISCSI) readPortals(t *table) {
	t.strings("listen", &c.Listen)
	for i, text := range c.Listen {
		p, reason, hint := parsePortal(text)
		if reason != "" {
			t.fail("listen", fmt.Sprintf("address %q: %s", text, reason), hint)
		}
		c.Listen[i] = p.Address
		if p.Group != defaultGroup {
			if c.Groups == nil {
				c.Groups = map[string]uint16{}
			}
			c.Groups[p.Address] = p.Group
		}
	}
	var advertise []string
	t.strings("advertise", &advertise)
	for _, text := range advertise {
		p, reason, hint := parsePortal(text)
		if reason != "" {
			t.fail("advertise", fmt.Sprintf("address %q: %s", text, reason), hint)
		}
		c.Advertise = append(c.Advertise, p)
	}
	t.duration("ping_interval", &c.PingInterval)
	t.duration("ping_timeout", &c.PingTimeout)
}

// parsePortal splits "ADDRESS" or "ADDRESS,GROUP".
func parsePortal(text string) (p Portal, reason, hint string) {
	address, group, grouped := strings.Cut(text, ",")
	p = Portal{address, defaultGroup}
	if !grouped {
		return p, "", ""
	}
	n, err := strconv.ParseUint(group, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != group {
		return p, fmt.Sprintf("portal group %q is no number from 1 to 65535", group), fmt.Sprintf("write %q, or %q for group 1", address+",2", address)
	}
	p.Group = uint16(n)
	return p, "", ""
}

// Group returns the portal group tag of an address of Listen.
func (c *ISCSI) Group(addr string) uint16 {
	if g, ok := c.Groups[addr]; ok {
		return g
	}
	return defaultGroup
}

// sameNetwork reports whether two tables [iscsi] differ in Listen and Discovery at
// most.
func sameNetwork(a, b ISCSI) bool {
	a.Listen, b.Listen = nil, nil
	a.Discovery, b.Discovery = Access{}, Access{}
	return reflect.DeepEqual(a, b)
}

// portalProblems returns what is wrong with addresses and pings.
func (c *Config) portalProblems() (errs []*Error) {
	fail := func(reason, hint string, key ...string) {
		errs = append(errs, &Error{Key: key, Reason: reason, Hint: hint})
	}
	groups := []uint16{}
	for i, addr := range c.ISCSI.Listen {
		groups = append(groups, c.ISCSI.Group(addr))
		if reason, hint := checkAddress(addr); reason != "" {
			fail(fmt.Sprintf("address %q: %s", addr, reason), hint, "iscsi", "listen")
		} else if slices.Contains(c.ISCSI.Listen[:i], addr) {
			fail(fmt.Sprintf("address %q stands there twice", addr), "leave one of them out", "iscsi", "listen")
		} else if other := overlap(addr, c.ISCSI.Listen[:i]); other != "" {
			fail(fmt.Sprintf("address %q: %q has that port already: one of them is all addresses, IPv4 and IPv6", addr, other),
				"leave one of them out, or give it another port", "iscsi", "listen")
		}
	}
	for i, p := range c.ISCSI.Advertise {
		reason, hint := checkReachable(p.Address)
		switch {
		case reason != "":
			fail(fmt.Sprintf("address %q: %s", p.Address, reason), hint, "iscsi", "advertise")
		case slices.ContainsFunc(c.ISCSI.Advertise[:i], func(q Portal) bool { return p.Address == q.Address }):
			fail(fmt.Sprintf("address %q stands there twice", p.Address), "leave one of them out", "iscsi", "advertise")
		case !slices.Contains(groups, p.Group):
			fail(fmt.Sprintf("address %q: no address of listen is in portal group %d", p.Address, p.Group),
				"initiators give up a login that comes to another group than they were told: name the group of the address that it is forwarded to", "iscsi", "advertise")
		}
	}
	for _, d := range []struct {
		key  string
		have time.Duration
		off  bool
	}{{"ping_interval", c.ISCSI.PingInterval, true}, {"ping_timeout", c.ISCSI.PingTimeout, false}} {
		if d.off && d.have == 0 || d.have >= minPing && d.have <= maxPing {
			continue
		}
		hint := `"60s" gives a host time for a short cut of the network`
		if d.off {
			hint = `"30s" suits most networks, "0s" asks nobody`
		}
		fail(fmt.Sprintf("%v is not between %v and %v", d.have, minPing, maxPing), hint, "iscsi", d.key)
	}
	for i := range c.Drives {
		errs = append(errs, c.redirectProblems(&c.Drives[i])...)
	}
	return errs
}

// overlap returns the one of others that has the port of addr when one of the two
// is all addresses, so that the second cannot be listened on; "" for none.
func overlap(addr string, others []string) string {
	host, port, _ := net.SplitHostPort(addr)
	for _, other := range others {
		h, p, err := net.SplitHostPort(other)
		if err == nil && p == port && p != "0" && (isAll(host) || isAll(h)) {
			return other
		}
	}
	return ""
}

// isAll reports whether a host to listen on stands for all addresses.
func isAll(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// redirectProblems returns what is wrong with where a drive's initiators are
// sent.
func (c *Config) redirectProblems(d *Drive) (errs []*Error) {
	fail := func(key, reason, hint string) {
		errs = append(errs, &Error{Key: []string{"drive", d.Name, "iscsi", key}, Reason: reason, Hint: hint})
	}
	address, group, grouped := strings.Cut(d.Redirect, ",")
	reason, hint := "", ""
	if d.Redirect != "" {
		reason, hint = checkReachable(address)
	}
	switch {
	case d.Redirect == "" && d.RedirectPermanent:
		fail("redirect_permanent", "there is no redirect", `say where to: redirect = "192.0.2.8:3260"`)
	case grouped:
		fail("redirect", fmt.Sprintf("address %q has a portal group, %q", d.Redirect, group), fmt.Sprintf("a redirection names none (RFC 7143, 13.8): write %q", address))
	case reason != "":
		fail("redirect", fmt.Sprintf("address %q: %s", d.Redirect, reason), hint)
	case d.Redirect != "" && c.isOwn(address):
		fail("redirect", fmt.Sprintf("address %q is this machine's own", d.Redirect), "its initiators would be sent in a circle: name the machine that serves the drive now")
	}
	return errs
}

// isOwn reports whether the configuration says that address is ours.
func (c *Config) isOwn(address string) bool {
	return slices.Contains(c.ISCSI.Listen, address) ||
		slices.ContainsFunc(c.ISCSI.Advertise, func(p Portal) bool { return p.Address == address })
}

// checkReachable says what is wrong with an address that other machines are to
// connect to.
func checkReachable(addr string) (reason, hint string) {
	if reason, hint := checkAddress(addr); reason != "" {
		return reason, hint
	}
	host, port, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip.IsUnspecified():
		return "it names no machine", `write the address that initiators connect to, as "203.0.113.5:3260"`
	case port == "0":
		return "it has no port", "write the port that initiators connect to: iSCSI's is 3260"
	case err == nil && ip.Zone() != "":
		return fmt.Sprintf("the zone %q means nothing to another machine", ip.Zone()), "give an address that is not link-local"
	}
	return "", ""
}
