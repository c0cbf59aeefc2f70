package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"spindle/config"
)

// TargetName returns the iSCSI name of a drive that the configuration gives
// none: iqn.2026-11.spindle:HOST:DRIVE.
func TargetName(drive string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	host, _, _ = strings.Cut(host, ".")
	return "iqn.2026-11.spindle:" + nameOf(host) + ":" + nameOf(drive)
}

// nameOf is s in the characters of an iSCSI name.
func nameOf(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-'
	}, strings.ToLower(s))
	return s[:min(len(s), 64)]
}

// targetOf is the iSCSI name of a drive.
func targetOf(c *config.Drive) string { return cmp.Or(c.Target, TargetName(c.Name)) }

// checkTargets says which drives would have one iSCSI name, so that hosts reach
// one of them only: cd_0 and CD-0 do, and one whose configured name is what
// another has by default. Package config sees the configured ones alone.
func checkTargets(c *config.Config) error {
	var errs []error
	taken := map[string]string{}
	for i := range c.Drives {
		dr := &c.Drives[i]
		name := strings.ToLower(targetOf(dr))
		other, ok := taken[name]
		if !ok {
			taken[name] = dr.Name
			continue
		}
		key := []string{"drive", dr.Name}
		if dr.Target != "" {
			key = append(key, "iscsi", "target")
		}
		errs = append(errs, c.At(fmt.Sprintf("its target would be %q, and that is drive %s's", name, other),
			"give one of the two another name, or a target of its own in [drive.NAME.iscsi]", key...))
	}
	return errors.Join(errs...)
}

// readConfig reads the configuration and checks what only the daemon can.
func (o *Options) readConfig() (*config.Config, error) {
	c, err := o.Load()
	if err != nil {
		return nil, err
	}
	return c, checkTargets(c)
}
