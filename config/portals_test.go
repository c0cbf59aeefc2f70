package config

import (
	"strings"
	"testing"
)

func TestPortalErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"group 0", "[iscsi]\nlisten = [\"127.0.0.1:3260,0\"]\n", `f.toml:2: iscsi.listen: address "127.0.0.1:3260,0": portal group "0" is no number from 1 to 65535 (hint: write "127.0.0.1:3260,2"`},
		{"group of letters", "[iscsi]\nadvertise = [\"203.0.113.5:3260,a\"]\n", `f.toml:2: iscsi.advertise: address "203.0.113.5:3260,a": portal group "a"`},
		{"a group twice", "[iscsi]\nlisten = [\"127.0.0.1:3260,2,3\"]\n", `portal group "2,3" is no number`},
		{"a group of no address", "[iscsi]\nadvertise = [\"203.0.113.5:3260,2\"]\n", `address "203.0.113.5:3260": no address of listen is in portal group 2 (hint: initiators give up`},
		{"one address in two groups", "[iscsi]\nlisten = [\"127.0.0.1:3260\", \"127.0.0.1:3260,2\"]\n", "stands there twice"},
		{"all addresses and one", "[iscsi]\nlisten = [\":3260\", \"127.0.0.1:3260\"]\n", `f.toml:2: iscsi.listen: address "127.0.0.1:3260": ":3260" has that port already: one of them is all addresses, IPv4 and IPv6 (hint: leave one`},
		{"a name and all addresses", "[iscsi]\nlisten = [\"host.example:3260\", \"[::]:3260,2\"]\n", `"host.example:3260" has that port already`},
		{"all addresses of both kinds", "[iscsi]\nlisten = [\"0.0.0.0:3260\", \"[::]:3260\"]\n", `address "[::]:3260": "0.0.0.0:3260" has that port already`},
		{"advertised without a port", "[iscsi]\nadvertise = [\"203.0.113.5\"]\n", `it has no port (hint: write "203.0.113.5:3260")`},
		{"advertised port 0", "[iscsi]\nadvertise = [\"203.0.113.5:0\"]\n", `"203.0.113.5:0": it has no port (hint: write the port`},
		{"no machine advertised", "[iscsi]\nadvertise = [\"0.0.0.0:3260\"]\n", "it names no machine (hint:"},
		{"every machine advertised", "[iscsi]\nadvertise = [\":3260\"]\n", "it names no machine"},
		{"a zone advertised", "[iscsi]\nadvertise = [\"[fe80::1%eth0]:3260\"]\n", `the zone "eth0" means nothing to another machine`},
		{"advertised twice", "[iscsi]\nadvertise = [\"a:1\", \"a:1\"]\n", "iscsi.advertise: address \"a:1\" stands there twice"},
		{"a short ping", "[iscsi]\nping_interval = \"10ms\"\n", `f.toml:2: iscsi.ping_interval: 10ms is not between 1s and 1h0m0s (hint: "30s"`},
		{"no ping time-out", "[iscsi]\nping_timeout = \"0s\"\n", "f.toml:2: iscsi.ping_timeout: 0s is not between"},
		{"redirect without a port", "[drive.a.iscsi]\nredirect = \"192.0.2.8\"\n", `f.toml:2: drive.a.iscsi.redirect: address "192.0.2.8": it has no port (hint: write "192.0.2.8:3260")`},
		{"redirect of bare IPv6", "[drive.a.iscsi]\nredirect = \"2001:db8::8\"\n", `write "[2001:db8::8]:3260"`},
		{"redirect with a group", "[drive.a.iscsi]\nredirect = \"192.0.2.8:3260,1\"\n", `has a portal group, "1" (hint: a redirection names none (RFC 7143, 13.8): write "192.0.2.8:3260")`},
		{"redirect to nowhere", "[drive.a.iscsi]\nredirect = \"[::]:3260\"\n", "it names no machine"},
		{"redirect in a circle", "[iscsi]\nlisten = [\"192.0.2.7:3260\"]\n[drive.a.iscsi]\nredirect = \"192.0.2.7:3260\"\n", "f.toml:4: drive.a.iscsi.redirect: address \"192.0.2.7:3260\" is this machine's own (hint: its initiators"},
		{"permanent without redirect", "[drive.a.iscsi]\nredirect_permanent = true\n", `f.toml:2: drive.a.iscsi.redirect_permanent: there is no redirect (hint: say where to`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse("f.toml", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v; want %s", err, tt.want)
			}
		})
	}
}

func TestGoodPortals(t *testing.T) {
	for _, text := range []string{
		"[iscsi]\nping_interval = \"0s\"\n",
		"[iscsi]\nlisten = [\"10.0.0.2:3260\", \"10.0.0.2:3261,2\"]\nadvertise = [\"cd.example:3260\", \"203.0.113.5:4000,2\"]\n",
		"[drive.a.iscsi]\nredirect = \"cd.example:3260\"\n",
		"[iscsi]\nlisten = [\":3260\", \"127.0.0.1:3261\", \":0\", \"127.0.0.1:0\"]\n",
	} {
		if _, err := Parse("f.toml", []byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
