package daemon

import (
	"cmp"
	"slices"

	"spindle/config"
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
}

// settings are those of the network target, of the configuration in force.
func (d *Daemon) settings() (s iscsi.Settings) {
	for _, p := range d.cfg.ISCSI.Advertise {
		s.Portals = append(s.Portals, iscsi.Portal(p))
	}
	s.Ping = pingOf(d.cfg.ISCSI)
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
