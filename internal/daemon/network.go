package daemon

import (
	"cmp"
	"slices"

	"spindle/internal/api/client"
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
	s.Limits = iscsi.Limits(d.cfg.ISCSI.Limits)
	for _, dr := range d.drives {
		s.Exports = append(s.Exports, iscsi.Export{Target: dr.target})
	}
	return s
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
