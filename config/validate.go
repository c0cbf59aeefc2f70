package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	driveName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	hostName  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
	numeric   = regexp.MustCompile(`^[0-9.]+$`)

	// RFC 7143, 4.2.7; the characters are those that RFC 3722 leaves of ASCII.
	iqn = regexp.MustCompile(`^iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-z0-9-]+(\.[a-z0-9-]+)*(:[a-z0-9.:-]*)?$`)
	eui = regexp.MustCompile(`^eui\.[0-9A-Fa-f]{16}$`)
	naa = regexp.MustCompile(`^naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})$`)
)

const (
	maxTargetName = 223              // bytes, RFC 7143, 4.2.7.1
	maxSwapHold   = 60 * time.Second // hosts give up on a drive before that
	maxSpinUp     = 20 * time.Second // Linux asks ten times, each 2 s
	maxEjectWait  = 10 * time.Minute
)

// Validate checks a configuration that did not come from a file. Its error
// joins an *Error for each thing that is wrong.
func (c *Config) Validate() error {
	errs := c.problems()
	if len(errs) == 0 {
		return nil
	}
	return join(errs)
}

// problems returns what is wrong with c, without file and line.
func (c *Config) problems() (errs []*Error) {
	fail := func(reason, hint string, key ...string) {
		errs = append(errs, &Error{Key: key, Reason: reason, Hint: hint})
	}
	for i, dir := range c.Library.Dirs {
		if dir == "" || strings.ContainsRune(dir, 0) {
			fail(fmt.Sprintf("%q is not a directory", dir), "", "library", "dirs")
		} else if slices.Contains(c.Library.Dirs[:i], dir) {
			fail(fmt.Sprintf("%q stands there twice", dir), "", "library", "dirs")
		}
	}
	for _, dir := range c.Library.Dirs {
		if rel, err := filepath.Rel(dir, c.Library.Cache); c.Library.Cache != "" && err == nil && filepath.IsLocal(rel) {
			fail(fmt.Sprintf("%q lies in the image directory %s", c.Library.Cache, dir), "what is unpacked there would be listed: name a directory beside it", "library", "cache")
		}
	}
	if c.Daemon.State == "" {
		fail("it is empty", "leave the line out for the default", "daemon", "state")
	}
	if c.Daemon.Socket == "" {
		fail("it is empty", "leave the line out for the default", "daemon", "socket")
	}
	targets := map[string]string{}
	for i := range c.Drives {
		errs = append(errs, c.Drives[i].problems(targets)...)
	}
	errs = append(errs, c.portalProblems()...)
	errs = append(errs, c.kindProblems()...)
	return append(errs, c.usbProblems()...)
}

// problems returns what is wrong with d. targets says which drive has a target
// name already.
func (d *Drive) problems(targets map[string]string) (errs []*Error) {
	fail := func(reason, hint string, key ...string) {
		errs = append(errs, &Error{Key: append([]string{"drive", d.Name}, key...), Reason: reason, Hint: hint})
	}
	if !driveName.MatchString(d.Name) {
		fail("it is no name for a drive", "use 1 to 32 letters, digits, - and _")
	}
	if strings.ContainsRune(d.Disc, 0) {
		fail("it is no name of an image", "", "disc")
	}
	if !slices.Contains(Hosts, d.Host) {
		fail(fmt.Sprintf("%q is not one of %s", d.Host, strings.Join(Hosts, ", ")), "", "host")
	}
	for _, l := range []struct {
		key       string
		have, max time.Duration
		hint      string
	}{
		{"swap_hold", d.SwapHold, maxSwapHold, `"2.5s" is enough for every known host`},
		{"spin_up", d.SpinUp, maxSpinUp, "Linux waits no longer for a drive to become ready"},
		{"eject_wait", d.EjectWait, maxEjectWait, `"0s" fails at once; a changed disc line waits for as long as it takes`},
	} {
		if (l.have < 0 || l.have > l.max) && (l.have != ByHost || l.key != "swap_hold") {
			fail(fmt.Sprintf("%v is not between 0s and %v", l.have, l.max), l.hint, l.key)
		}
	}
	if d.Target == "" {
		return errs
	}
	if reason, hint := checkTarget(d.Target); reason != "" {
		fail(fmt.Sprintf("%q: %s", d.Target, reason), hint, "iscsi", "target")
	} else if other, taken := targets[strings.ToLower(d.Target)]; taken {
		fail(fmt.Sprintf("%q is the target of drive %s already", d.Target, other), "leave the line out for a name of its own", "iscsi", "target")
	} else {
		targets[strings.ToLower(d.Target)] = d.Name
	}
	return errs
}

// checkAddress says what is wrong with an address to listen on.
func checkAddress(addr string) (reason, hint string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		if _, e := netip.ParseAddr(strings.Trim(addr, "[]")); e == nil {
			return "it has no port", fmt.Sprintf("write %q", net.JoinHostPort(strings.Trim(addr, "[]"), "3260"))
		}
		return "it is not HOST:PORT", `write "127.0.0.1:3260" or "[::1]:3260"`
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Sprintf("port %q is no number from 0 to 65535", port), "iSCSI's is 3260"
	}
	if host == "" {
		return "", "" // all addresses
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", ""
	}
	if numeric.MatchString(host) || !hostName.MatchString(host) {
		return fmt.Sprintf("%q is neither an IP address nor a host name", host), `write "127.0.0.1:3260" or "[::1]:3260"`
	}
	return "", ""
}

// checkTarget says what is wrong with an iSCSI name.
func checkTarget(name string) (reason, hint string) {
	switch {
	case len(name) > maxTargetName:
		return fmt.Sprintf("it has %d bytes, more than %d", len(name), maxTargetName), ""
	case iqn.MatchString(name), eui.MatchString(name), naa.MatchString(name):
		return "", ""
	case iqn.MatchString(strings.ToLower(name)):
		return "an iSCSI name has no capital letters", fmt.Sprintf("write %q", strings.ToLower(name))
	}
	return "it is no iSCSI name", `write "iqn.2026-11.net.example:cd0": year and month, a domain of yours backwards, a colon, any name of small letters, digits, - and .`
}
