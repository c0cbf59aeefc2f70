package daemon

import (
	"cmp"
	"slices"

	"spindle/target/iscsi"
)

// setTargets has the network see the drives as they are configured now. It runs
// on the loop.
func (d *Daemon) setTargets() {
	slices.SortFunc(d.drives, func(a, b *drive) int { return cmp.Compare(a.cfg.Name, b.cfg.Name) })
	d.server.Set(d.settings())
	d.setGotgt()
}

// settings are those of the network target, of the configuration in force.
func (d *Daemon) settings() (s iscsi.Settings) {
	for _, dr := range d.drives {
		s.Exports = append(s.Exports, iscsi.Export{Target: dr.target})
	}
	return s
}
