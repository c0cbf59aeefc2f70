package config

import (
	"fmt"
	"net"
	"strconv"
)

// Values of ISCSI.Engine.
const (
	Own   = "spindle" // ours
	GoTGT = "gotgt"   // the gotgt library's, for experiments
)

const iscsiPort = 3260

// readEngine reads which iSCSI target serves. gotgt's listens on all addresses.
func (i *ISCSI) readEngine(t *table) {
	t.choice("engine", &i.Engine, Own, GoTGT)
	t.bool("experimental", &i.Experimental)
	if i.Engine == GoTGT && !t.says("listen") {
		i.Listen = []string{net.JoinHostPort("", strconv.Itoa(iscsiPort))}
	}
}

// Port returns the TCP port of an Engine that listens on all addresses.
func (i *ISCSI) Port() int {
	for _, addr := range i.Listen {
		if _, port, err := net.SplitHostPort(addr); err == nil {
			n, _ := strconv.Atoi(port)
			return n
		}
	}
	return iscsiPort
}

// engineProblems returns what an engine that is not ours cannot do.
func (c *Config) engineProblems() (errs []*Error) {
	i := &c.ISCSI
	fail := func(reason, hint string, key ...string) {
		errs = append(errs, &Error{Key: key, Reason: reason, Hint: hint})
	}
	if i.Engine != GoTGT {
		return nil
	}
	if !i.Experimental {
		fail("gotgt is for experiments: a hostile initiator can end the process, and there are no passwords",
			`write experimental = true below it, or leave engine out`, "iscsi", "engine")
	}
	port := i.Port()
	if host, _, err := net.SplitHostPort(first(i.Listen)); len(i.Listen) != 1 || err == nil && host != "" || port == 0 {
		fail("gotgt listens on one port of all addresses", fmt.Sprintf(`write [":%d"], or leave the line out`, iscsiPort), "iscsi", "listen")
	}
	const hint = "leave this out, or leave engine out"
	for _, k := range []struct {
		set bool
		key string
	}{
		{len(i.Advertise) > 0, "advertise"},
		{i.PingInterval != defaultPingInterval, "ping_interval"},
		{i.PingTimeout != defaultPingTimeout, "ping_timeout"},
		{len(i.Groups) > 0, "listen"},
		{i.Limits != defaultLimits(), "limits"},
		{!i.Discovery.Open(), "discovery"},
	} {
		if k.set {
			fail("gotgt has no such thing", hint, "iscsi", k.key)
		}
	}
	for _, d := range c.Drives {
		if !d.Access.Open() {
			fail("gotgt lets everybody in: it knows no rules and no CHAP", hint, "drive", d.Name, "iscsi")
		}
		if d.Redirect != "" {
			fail("gotgt has no such thing", hint, "drive", d.Name, "iscsi", "redirect")
		}
	}
	return errs
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
