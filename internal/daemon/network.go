package daemon

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/target"
	"spindle/target/iscsi"
)

// setTargets has the network see the drives as they are configured now. It runs
// on the loop.
func (d *Daemon) setTargets() {
	slices.SortFunc(d.drives, func(a, b *drive) int { return cmp.Compare(a.cfg.Name, b.cfg.Name) })
	for addr, l := range d.listeners {
		l.group.Store(uint32(d.groupOf(addr)))
	}
	d.server.Set(d.settings())
	d.setGotgt()
}

// groupOf is the portal group of a listener. A socket that systemd passed has
// that of the address of the configuration which is the same.
func (d *Daemon) groupOf(addr string) uint16 {
	if d.passed {
		if i := slices.IndexFunc(d.cfg.ISCSI.Listen, func(said string) bool { return sameAddress(said, addr) }); i >= 0 {
			addr = d.cfg.ISCSI.Listen[i]
		}
	}
	return d.cfg.ISCSI.Group(addr)
}

// sameAddress reports whether two addresses HOST:PORT are one, as they are when
// both mean all addresses.
func sameAddress(a, b string) bool {
	h, p, err := net.SplitHostPort(a)
	i, q, berr := net.SplitHostPort(b)
	return err == nil && berr == nil && p == q && unspecified(h) == unspecified(i)
}

// unspecified is a host, or nothing for all addresses.
func unspecified(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return ""
	}
	return host
}

// settings are those of the network target, of the configuration in force.
func (d *Daemon) settings() (s iscsi.Settings) {
	for _, p := range d.cfg.ISCSI.Advertise {
		s.Portals = append(s.Portals, iscsi.Portal(p))
	}
	s.Ping = pingOf(d.cfg.ISCSI)
	s.Limits = iscsi.Limits(d.cfg.ISCSI.Limits)
	for _, dr := range d.drives {
		dr.target.SetRules(map[uint16]target.Rules{0: rulesOf(&dr.cfg.Access)})
		s.Exports = append(s.Exports, iscsi.Export{Target: dr.target, Auth: authOf(d.cfg, &dr.cfg.Access), Redirect: redirectOf(dr.cfg)})
	}
	find := &d.cfg.ISCSI.Discovery
	s.Discovery = iscsi.Discovery{Rules: rulesOf(find), Auth: authOf(d.cfg, find)}
	return s
}

// pingOf is how initiators that are gone are found out.
func pingOf(c config.ISCSI) iscsi.Ping {
	p := iscsi.Ping{Interval: c.PingInterval, Timeout: c.PingTimeout}
	if p.Interval == 0 {
		p.Interval = -1 // nobody is asked
	}
	return p
}

// redirectOf is where a drive's initiators are sent, or nil.
func redirectOf(c config.Drive) *iscsi.Redirect {
	if c.Redirect == "" {
		return nil
	}
	return &iscsi.Redirect{Address: c.Redirect, Permanent: c.RedirectPermanent}
}

// network says how near the limits of the network target are.
func (d *Daemon) network() client.Network {
	u := d.server.Usage()
	n := client.Network{
		Connections:       client.Share{Used: int64(u.Connections), Limit: int64(u.Limits.Connections)},
		Sessions:          client.Share{Used: int64(u.Sessions), Limit: int64(u.Limits.Sessions)},
		Memory:            client.Share{Used: u.Memory, Limit: u.Limits.Memory},
		UnsolicitedMemory: client.Share{Used: u.UnsolicitedMemory, Limit: u.Limits.UnsolicitedMemory},
		Addresses:         u.Addresses, Refused: []client.Refused{},
	}
	for _, r := range u.Refused {
		n.Refused = append(n.Refused, client.Refused(r))
	}
	return n
}
