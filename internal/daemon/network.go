package daemon

import (
	"cmp"
	"slices"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/target/iscsi"
)

// setTargets has the network see the drives as they are configured now. It runs
// on the loop.
func (d *Daemon) setTargets() {
	slices.SortFunc(d.drives, func(a, b *drive) int { return cmp.Compare(a.cfg.Name, b.cfg.Name) })
	for addr, l := range d.listeners {
		l.group.Store(uint32(d.cfg.ISCSI.Group(addr)))
	}
	d.server.Set(d.settings())
	d.setGotgt()
}

// settings are those of the network target, of the configuration in force.
func (d *Daemon) settings() (s iscsi.Settings) {
	for _, p := range d.cfg.ISCSI.Advertise {
		s.Portals = append(s.Portals, iscsi.Portal(p))
	}
	s.Ping = pingOf(d.cfg.ISCSI)
	s.Limits = iscsi.Limits(d.cfg.ISCSI.Limits)
	for _, dr := range d.drives {
		s.Exports = append(s.Exports, iscsi.Export{Target: dr.target, Redirect: redirectOf(dr.cfg)})
	}
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
