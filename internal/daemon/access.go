package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"spindle/config"
	"spindle/target"
	"spindle/target/iscsi"
)

// rulesOf are the rules of who may log in, but for CHAP.
func rulesOf(a *config.Access) target.Rules {
	return target.Rules{Initiators: a.Initiators, Networks: a.Networks}
}

// authOf is the CHAP that c asks for; nil for none.
func authOf(c *config.Config, a *config.Access) *iscsi.Auth {
	if len(a.Users) == 0 {
		return nil
	}
	auth := &iscsi.Auth{}
	for _, name := range a.Users {
		auth.Users = append(auth.Users, userOf(c, name))
	}
	if a.Mutual != "" {
		own := userOf(c, a.Mutual)
		auth.Mutual = &own
	}
	for _, name := range a.Algorithms {
		if algorithm, err := iscsi.ParseAlgorithm(name); err == nil { // config has checked it
			auth.Algorithms = append(auth.Algorithms, algorithm)
		}
	}
	return auth
}

func userOf(c *config.Config, name string) iscsi.User {
	p := c.Chap(name)
	return iscsi.User{Name: p.Name, Secret: p.Secret.Bytes()}
}

// accessText says in short who may log in.
func accessText(a *config.Access) string {
	var parts []string
	if n := len(a.Initiators); n > 0 {
		parts = append(parts, count(n, "initiator"))
	}
	if n := len(a.Networks); n > 0 {
		parts = append(parts, count(n, "network"))
	}
	switch {
	case a.Mutual != "":
		parts = append(parts, "mutual CHAP")
	case len(a.Users) > 0:
		parts = append(parts, "CHAP")
	case len(parts) == 0:
		return "anyone"
	}
	return strings.Join(parts, ", ")
}

// openDrives warns of drives that whoever reaches a port of the network may log
// in to. It runs on the loop, or before it.
func (d *Daemon) openDrives() []string {
	var open, where []string
	for _, dr := range d.drives {
		if dr.cfg.Access.Open() {
			open = append(open, dr.cfg.Name)
		}
	}
	for _, l := range d.listeners {
		if !loopback(l.Addr()) {
			where = append(where, l.Addr().String())
		}
	}
	if d.gotgt != nil { // on all addresses
		where = d.portals()
	}
	if len(open) == 0 || len(where) == 0 {
		return nil
	}
	slices.Sort(where)
	is := "is"
	if len(open) > 1 {
		is = "are"
	}
	hint := "say in [drive.NAME.iscsi] who may log in, by users, initiators or networks; " +
		`initiators = ["*"] says that everybody may; docs/access.md`
	if d.gotgt != nil {
		hint = "gotgt knows no rules: close the port to others by a firewall, or leave engine out and say who may log in; docs/access.md"
	}
	return []string{fmt.Sprintf("%s %s open to whoever reaches %s (hint: %s)", strings.Join(open, ", "), is, strings.Join(where, ", "), hint)}
}

// openGadgets warns of gadgets that a network reaches by USB/IP. It runs on the
// loop, or before it.
func (d *Daemon) openGadgets() (list []string) {
	for i := range d.cfg.Gadgets {
		g := &d.cfg.Gadgets[i]
		host, _, err := net.SplitHostPort(g.USBIP)
		if err != nil || host == "localhost" { // on no network
			continue
		}
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() { // names are not looked up here: that may take long
			list = append(list, fmt.Sprintf("gadget %s is open to whoever reaches %s (hint: USB/IP has no passwords: keep it on 127.0.0.1, or behind a tunnel)", g.Name, g.USBIP))
		}
	}
	return list
}

// loopback reports whether only this machine reaches an address.
func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// noteWarnings logs the warnings that are new: what is no fault, but what a
// person should know. It runs on the loop, or before it.
func (d *Daemon) noteWarnings() {
	now := slices.Concat(d.cfg.Warnings, d.openDrives(), d.openGadgets())
	for _, w := range now {
		if !slices.Contains(d.warned, w) {
			d.log.Warn(w)
		}
	}
	d.warned = now
}
