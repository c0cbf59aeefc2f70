package daemon

import (
	"cmp"
	"slices"

	"spindle/target"
	"spindle/target/iscsi"
)

// setTargets has the network see the drives as they are configured now. It runs
// on the loop.
func (d *Daemon) setTargets() {
	slices.SortFunc(d.drives, func(a, b *drive) int { return cmp.Compare(a.cfg.Name, b.cfg.Name) })
	d.server.Set(d.settings())
}

// settings are those of the network target, of the configuration in force.
func (d *Daemon) settings() (s iscsi.Settings) {
	for _, dr := range d.drives {
		dr.target.SetRules(map[uint16]target.Rules{0: rulesOf(&dr.cfg.Access)})
		s.Exports = append(s.Exports, iscsi.Export{Target: dr.target, Auth: authOf(d.cfg, &dr.cfg.Access)})
	}
	find := &d.cfg.ISCSI.Discovery
	s.Discovery = iscsi.Discovery{Rules: rulesOf(find), Auth: authOf(d.cfg, find)}
	return s
}
