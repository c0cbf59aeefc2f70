package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const access = `
[iscsi.discovery]
networks = ["10.0.0.0/8"]
[chap.alice]
secret_file = "alice.secret"
[chap.self]
name = "iqn.2026-11.net.example:cd0"
secret_credential = "self"
[drive.cd0.iscsi]
initiators = ["iqn.2026-11.net.example:*", "iqn.2008-11.org.linux-kvm:My_VM", "*:h?", "eui.02004567A425678D"]
networks = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]
users = ["alice"]
mutual = "self"
algorithms = ["SHA-256", "MD5"]
`

func TestAccess(t *testing.T) {
	c, err := Parse("/etc/f.toml", []byte(access))
	if err != nil {
		t.Fatal(err)
	}
	prefix := netip.MustParsePrefix
	want := Access{
		Initiators: []string{"iqn.2026-11.net.example:*", "iqn.2008-11.org.linux-kvm:My_VM", "*:h?", "eui.02004567A425678D"},
		Networks:   []netip.Prefix{prefix("192.0.2.0/24"), prefix("2001:db8::/32"), prefix("198.51.100.7/32")},
		Users:      []string{"alice"}, Mutual: "self", Algorithms: []string{"SHA-256", "MD5"},
	}
	if got := c.Drive("cd0").Access; !reflect.DeepEqual(got, want) {
		t.Errorf("access %+v, want %+v", got, want)
	}
	if got := c.ISCSI.Discovery; got.Open() || !reflect.DeepEqual(got.Networks, []netip.Prefix{prefix("10.0.0.0/8")}) {
		t.Errorf("discovery %+v, want that network alone", got)
	}
	if want := []CHAP{
		{Table: "alice", Name: "alice", File: "/etc/alice.secret"},
		{Table: "self", Name: "iqn.2026-11.net.example:cd0", Credential: "self"},
	}; !reflect.DeepEqual(c.CHAP, want) {
		t.Errorf("CHAP %+v, want %+v", c.CHAP, want)
	}
}

func TestAccessErrors(t *testing.T) {
	const alice = "[chap.alice]\nsecret_file = \"a\"\n"
	const drive = "[drive.a.iscsi]\n"
	for _, tt := range []struct{ name, text, want string }{
		{"table", "[chp.alice]\n", `f.toml:1: chp: unknown key (hint: did you mean "chap"?)`},
		{"key", alice + "secret_fil = \"a\"\n", `f.toml:3: chap.alice.secret_fil: unknown key (hint: did you mean "secret_file"?)`},
		{"table of CHAP", "[chap.\"a b\"]\nsecret_file = \"a\"\n", `f.toml:1: chap."a b": it is no name for a table of CHAP (hint: use 1 to 64 letters`},
		{"secret in the file", "[chap.alice]\nsecret = \"hunter2hunter2\"\n", "f.toml:2: chap.alice.secret: a secret does not stand here"},
		{"no secret", "[chap.alice]\n", `f.toml:1: chap.alice: it has no secret (hint: write secret_file = "FILE"`},
		{"two secrets", alice + "secret_credential = \"a\"\n", "f.toml:3: chap.alice.secret_credential: it has a file and a credential"},
		{"credential", "[chap.alice]\nsecret_credential = \"../a\"\n", `f.toml:2: chap.alice.secret_credential: "../a" is no name of a credential`},
		{"NUL in file", "[chap.alice]\nsecret_file = \"a\\u0000\"\n", "f.toml:2: chap.alice.secret_file: it is no name of a file"},
		{"empty name", alice + "name = \"\"\n", `f.toml:3: chap.alice.name: "" is not 1 to 255 characters`},
		{"long name", alice + "name = \"" + strings.Repeat("x", 256) + "\"\n", "is not 1 to 255 characters"},
		{"name of two lines", alice + "name = \"a\\nb\"\n", `f.toml:3: chap.alice.name: "a\nb" is not`},
		{"unknown user", alice + drive + "users = [\"alcie\"]\n", `f.toml:4: drive.a.iscsi.users: there is no [chap] table "alcie" (hint: did you mean "alice"?)`},
		{"no table at all", drive + "users = [\"alice\"]\n", `there is no [chap] table "alice" (hint: add [chap.alice] with a secret_file)`},
		{"user twice", alice + drive + "users = [\"alice\", \"alice\"]\n", `f.toml:4: drive.a.iscsi.users: "alice" stands there twice`},
		{
			"one name for two users",
			alice + "[chap.bob]\nname = \"alice\"\nsecret_file = \"b\"\n" + drive + "users = [\"alice\", \"bob\"]\n",
			`f.toml:7: drive.a.iscsi.users: alice and bob are both "alice" to hosts (hint: a host says its name first`,
		},
		{"unknown mutual", alice + drive + "users = [\"alice\"]\nmutual = \"self\"\n", `f.toml:5: drive.a.iscsi.mutual: there is no [chap] table "self"`},
		{"mutual without users", alice + drive + "mutual = \"alice\"\n", "f.toml:4: drive.a.iscsi.mutual: the drive proves itself only to hosts that do so first"},
		{"mutual is a user", alice + drive + "users = [\"alice\"]\nmutual = \"alice\"\n", `f.toml:5: drive.a.iscsi.mutual: "alice" is one of users (hint: with one secret for both directions`},
		{
			"mutual here, user there",
			alice + "[chap.self]\nsecret_file = \"s\"\n" + drive + "users = [\"alice\"]\nmutual = \"self\"\n[drive.b.iscsi]\nusers = [\"self\"]\n",
			`f.toml:9: drive.b.iscsi.users: "self" proves a drive elsewhere`,
		},
		{"algorithms without users", drive + "algorithms = [\"MD5\"]\n", "f.toml:2: drive.a.iscsi.algorithms: they are of CHAP, and there are no users"},
		{"algorithm", alice + drive + "users = [\"alice\"]\nalgorithms = [\"SHA256\"]\n", `f.toml:5: drive.a.iscsi.algorithms: "SHA256" is not one of SHA3-256, SHA-256, SHA1, MD5 (hint: did you mean "SHA-256"?)`},
		{"algorithm twice", alice + drive + "users = [\"alice\"]\nalgorithms = [\"MD5\", \"MD5\"]\n", `"MD5" stands there twice`},
		{"no initiators", drive + "initiators = []\n", "f.toml:2: drive.a.iscsi.initiators: the list is empty (hint: leave the line out to let hosts in whoever they are)"},
		{"no networks", drive + "networks = []\n", "f.toml:2: drive.a.iscsi.networks: the list is empty"},
		{"no users", drive + "users = []\n", "(hint: leave the line out to let hosts in without a password)"},
		{"EUI", drive + "initiators = [\"eui.0123\"]\n", `f.toml:2: drive.a.iscsi.initiators: "eui.0123": it is no such name: eui. has 16 hexadecimal digits`},
		{"initiator", drive + "initiators = [\"host1\"]\n", `f.toml:2: drive.a.iscsi.initiators: "host1": it is no iSCSI name (hint: write "iqn.`},
		{"address for a name", drive + "initiators = [\"192.0.2.7\"]\n", `"192.0.2.7": it is an address (hint: addresses go into networks)`},
		{"initiator with a space", drive + "initiators = [\"iqn.a, iqn.b\"]\n", "an iSCSI name has no such characters"},
		{"long initiator", drive + "initiators = [\"iqn." + strings.Repeat("x", 220) + "\"]\n", "it has 224 bytes, more than 223"},
		{"initiator twice", drive + "initiators = [\"*\", \"*\"]\n", `"*" stands there twice`},
		{"network", drive + "networks = [\"192.0.2\"]\n", `f.toml:2: drive.a.iscsi.networks: "192.0.2" is no network (hint: write it as "192.0.2.0/24"`},
		{"host bits", drive + "networks = [\"192.0.2.7/24\"]\n", `"192.0.2.7/24" is an address in the network 192.0.2.0/24 (hint: write "192.0.2.0/24" for all of that network, or "192.0.2.7" for the one host)`},
		{"interface", drive + "networks = [\"fe80::1%eth0\"]\n", `"fe80::1%eth0" names an interface`},
		{"IPv4 as IPv6", drive + "networks = [\"::ffff:192.0.2.0/120\"]\n", "is IPv4 in the form of IPv6"},
		{"network twice", drive + "networks = [\"192.0.2.7\", \"192.0.2.7/32\"]\n", `"192.0.2.7/32" stands there twice`},
		{"discovery", "[iscsi.discovery]\nusers = [\"bob\"]\n", `f.toml:2: iscsi.discovery.users: there is no [chap] table "bob"`},
		{"key of discovery", "[iscsi.discovery]\nuser = [\"bob\"]\n", `f.toml:2: iscsi.discovery.user: unknown key (hint: did you mean "users"?)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("f.toml", []byte(tt.text))
			if err == nil || c != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v; want %s", err, tt.want)
			}
		})
	}
}

func TestDiffAccess(t *testing.T) {
	base := func() *Config {
		c, err := Parse("f.toml", []byte(access))
		if err != nil {
			t.Fatal(err)
		}
		c.CHAP[0].Secret = NewSecret("correct horse")
		return c
	}
	for _, tt := range []struct {
		name   string
		change func(c *Config)
		want   Changes
	}{
		{"nothing", func(*Config) {}, Changes{}},
		{"initiators", func(c *Config) { c.Drives[0].Access.Initiators = nil }, Changes{Access: true}},
		{"networks", func(c *Config) { c.Drives[0].Access.Networks = nil }, Changes{Access: true}},
		{"discovery", func(c *Config) { c.ISCSI.Discovery.Networks = nil }, Changes{Access: true}},
		{"secret", func(c *Config) { c.CHAP[0].Secret = NewSecret("battery staple") }, Changes{Access: true}},
		{"same secret", func(c *Config) { c.CHAP[0].Secret = NewSecret("correct horse") }, Changes{}},
		{"users and disc", func(c *Config) { c.Drives[0].Access.Users, c.Drives[0].Disc = nil, "x" }, Changes{Access: true, Disc: []string{"cd0"}}},
		{"users and target", func(c *Config) { c.Drives[0].Access.Users, c.Drives[0].Target = nil, "x" }, Changes{Access: true, Drives: []string{"cd0"}, Target: []string{"cd0"}}},
	} {
		c := base()
		tt.change(c)
		got := Diff(base(), c)
		if !reflect.DeepEqual(got, tt.want) || got.Empty() != reflect.DeepEqual(tt.want, Changes{}) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
