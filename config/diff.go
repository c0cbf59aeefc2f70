package config

import (
	"reflect"
	"slices"
)

// Changes say how a new configuration differs from the old one. Each drive is
// in one list at most.
type Changes struct {
	Added   []string // drives, by name
	Removed []string
	Disc    []string // drives of which only the disc changed
	Drives  []string // drives of which anything else changed
	Target  []string // those of Drives whose target name changed: sessions end
	Library bool     // the image directories, verify, or the cache
	Listen  bool     // the addresses
	Network bool     // anything else of [iscsi]
	Gadgets bool     // any USB gadget, but for the drives in it
	Daemon  bool     // state, socket or log
}

// Empty reports whether nothing changed.
func (c *Changes) Empty() bool {
	return len(c.Added)+len(c.Removed)+len(c.Disc)+len(c.Drives) == 0 && !c.Library && !c.Listen && !c.Network && !c.Gadgets && !c.Daemon
}

// Diff compares two configurations. The order of drives and of addresses does
// not matter, that of image directories does.
func Diff(old, new *Config) Changes {
	c := Changes{
		Library: !slices.Equal(old.Library.Dirs, new.Library.Dirs) || old.Library.Verify != new.Library.Verify ||
			old.Library.Cache != new.Library.Cache || old.Library.CacheSize != new.Library.CacheSize,
		Listen:  !slices.Equal(slices.Sorted(slices.Values(old.ISCSI.Listen)), slices.Sorted(slices.Values(new.ISCSI.Listen))),
		Network: !sameNetwork(old.ISCSI, new.ISCSI),
		Gadgets: !slices.Equal(old.Gadgets, new.Gadgets),
		Daemon:  old.Daemon != new.Daemon,
	}
	for i := range new.Drives {
		d := new.Drives[i]
		was := old.Drive(d.Name)
		if was == nil {
			c.Added = append(c.Added, d.Name)
			continue
		}
		if reflect.DeepEqual(*was, d) {
			continue
		}
		if was.Target != d.Target {
			c.Target = append(c.Target, d.Name)
		}
		same := *was
		same.Disc = d.Disc
		if reflect.DeepEqual(same, d) {
			c.Disc = append(c.Disc, d.Name)
		} else {
			c.Drives = append(c.Drives, d.Name)
		}
	}
	for i := range old.Drives {
		if name := old.Drives[i].Name; new.Drive(name) == nil {
			c.Removed = append(c.Removed, name)
		}
	}
	return c
}
