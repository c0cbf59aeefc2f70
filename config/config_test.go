package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

const full = `
[library]
dirs = ["/a", "images", "/b c"]
verify = "required"
cache = "unpacked"
cache_size = "1.5GiB"
[iscsi]
listen = ["127.0.0.1:3260", "[::1]:3260", ":0", "[fe80::1%eth0]:3260", "host.example:3260,7"]
advertise = ["203.0.113.5:3260", "[2001:db8::1]:3260,7"]
ping_interval = "5s"
ping_timeout = "12s"
[daemon]
state = "/s"
socket = "/run/x.sock"
log_level = "debug"
log_json = true
[drive.cd0]
disc = "debian 12.iso"
medium = "dvd"
on_reload = "force"
eject = "remove"
swap_hold = "500ms"
host = "macos"
spin_up = "1.5s"
eject_wait = "1m"
ua_on_return = true
[drive.cd0.iscsi]
target = "iqn.2026-11.net.example:cd0"
redirect = "[2001:db8::8]:3260"
redirect_permanent = true
[drive.b]
`

func TestParse(t *testing.T) {
	got, err := Parse("/etc/spindle.toml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Path:    "/etc/spindle.toml",
		Library: Library{Dirs: []string{"/a", "/etc/images", "/b c"}, Verify: Required, Cache: "/etc/unpacked", CacheSize: 3 << 29},
		ISCSI: ISCSI{
			Listen:    []string{"127.0.0.1:3260", "[::1]:3260", ":0", "[fe80::1%eth0]:3260", "host.example:3260"},
			Groups:    map[string]uint16{"host.example:3260": 7},
			Advertise: []Portal{{"203.0.113.5:3260", 1}, {"[2001:db8::1]:3260", 7}}, PingInterval: 5 * time.Second, PingTimeout: 12 * time.Second,
			Engine: Own, Limits: defaultLimits(),
		},
		Daemon: Daemon{State: "/s", Socket: "/run/x.sock", LogLevel: slog.LevelDebug, LogJSON: true},
		Drives: []Drive{
			{Name: "b", OnReload: Hold, Eject: Keep, Host: "generic", SwapHold: ByHost, EjectWait: 30 * time.Second},
			{
				Name: "cd0", Disc: "debian 12.iso", Medium: "dvd", OnReload: Force, Eject: Remove,
				Host: "macos", SwapHold: 500 * time.Millisecond, SpinUp: 1500 * time.Millisecond, EjectWait: time.Minute, UAOnReturn: true, Target: "iqn.2026-11.net.example:cd0", Redirect: "[2001:db8::8]:3260", RedirectPermanent: true,
			},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = %+v, want %+v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	empty, err := Parse("x", nil)
	if err != nil || len(empty.Drives) != 0 || len(empty.ISCSI.Listen) != 1 || len(empty.Library.Dirs) != 1 {
		t.Errorf("empty file: %+v, %v", empty, err)
	}
	c, err := Parse("x", []byte("[iscsi]\nlisten = []\n"))
	if err != nil || len(c.ISCSI.Listen) != 0 {
		t.Errorf("empty list: %+v, %v", c, err)
	}
	said, err := Parse("x", []byte("[library]\ndirs = [\"/var/lib/spindle/images\"]\n[daemon]\nstate = \"/var/lib/spindle\"\n"))
	if err != nil || said.Unsaid.Dirs || said.Unsaid.State || !said.Unsaid.Socket || !empty.Unsaid.Dirs || !empty.Unsaid.State {
		t.Errorf("what the file says: %+v, %v", said, err)
	}
	if empty.Library.CacheSize != 20<<30 || empty.Library.Cache != "" {
		t.Errorf("cache of %d bytes in %q", empty.Library.CacheSize, empty.Library.Cache)
	}
	d := Default()
	if err := d.Validate(); err != nil || d.Drive("cd0") == nil || d.Drive("cd1") != nil {
		t.Errorf("Default: %+v, %v", d, err)
	}
	d.Drives[0].Target = "nonsense"
	if err := d.Validate(); err == nil || !strings.HasPrefix(err.Error(), `drive.cd0.iscsi.target: "nonsense"`) {
		t.Errorf("Validate: %v", err)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"syntax", "[library]\ndirs = [\n", "f.toml:2: "},
		{"no quotes", "\n[drive.cd0]\ndisc = debian.iso\n", "f.toml:3: "},
		{"drive twice", "[drive.cd0]\n\n[drive.cd0]\n", "f.toml:3: Key 'drive.cd0' has already been defined. (hint: a drive"},
		{"key twice", "[drive.cd0]\ndisc = \"a\"\ndisc = \"b\"\n", "f.toml:3: "},
		{"unknown table", "[libary]\n", `f.toml:1: libary: unknown key (hint: did you mean "library"?)`},
		{"unknown key", "[drive.cd0]\n# a comment\ndics = \"x\"\n", `f.toml:3: drive.cd0.dics: unknown key (hint: did you mean "disc"?)`},
		{"unlike any key", "[drive.cd0]\nzzzzzzzz = 1\n", "f.toml:2: drive.cd0.zzzzzzzz: unknown key (hint: known here: disc, medium,"},
		{"inline table", "drive = {cd0 = {disc = \"a\", x = 1}}\n", "f.toml:1: drive.cd0.x: unknown key"},
		{"dotted key", "[drive]\ncd0.disc = \"a\"\ncd0.iscsi.targte = \"x\"\n", `f.toml:3: drive.cd0.iscsi.targte: unknown key (hint: did you mean "target"?)`},
		{"quoted key", "[drive.cd0]\n\"a b\" = 1\n", `f.toml:2: drive.cd0."a b": unknown key`},
		{"number for text", "[drive.cd0]\ndisc = 5\n", "f.toml:2: drive.cd0.disc: it must be text, not a number (hint: put it in double quotes)"},
		{"text for table", "[drive]\ncd0 = \"x.iso\"\n", "f.toml:2: drive.cd0: it must be a table, not text (hint: write it as [drive.cd0])"},
		{"text for list", "[iscsi]\nlisten = \"127.0.0.1:3260\"\n", "f.toml:2: iscsi.listen: it must be a list of texts, not text"},
		{"list of numbers", "[iscsi]\nlisten = [3260]\n", "f.toml:2: iscsi.listen: it must be a list of texts, and holds a number (hint: write it as"},
		{"list of drives", "[[drive]]\nname = \"cd0\"\n", "f.toml:1: drive: it must be a table, not a list (hint: write it as [drive.NAME])"},
		{"no value", "[iscsi]\nlisten\n", "f.toml:2: expected '.' or '=', but got '\\n' instead (hint: a line is KEY = VALUE"},
		{"half a table", "[iscsi\n", "to end table name, but got '\\n' instead (hint: a table is [NAME]"},
		{"text for bool", "[daemon]\nlog_json = \"yes\"\n", "f.toml:2: daemon.log_json: it must be true or false"},
		{"level", "[daemon]\nlog_level = \"verbose\"\n", "f.toml:2: daemon.log_level: \"verbose\" is not one of debug, info"},
		{"choice", "[drive.cd0]\non_reload = \"forse\"\n", `is not one of hold, force (hint: did you mean "force"?)`},
		{"verify", "[library]\nverify = \"on\"\n", `f.toml:2: library.verify: "on" is not one of off, required`},
		{"cache size without a unit", "[library]\ncache_size = \"20\"\n", `f.toml:2: library.cache_size: "20" is no size (hint: write it as "20GiB"`},
		{"cache size of nothing", "[library]\ncache_size = \"0GiB\"\n", `library.cache_size: "0GiB" is no size`},
		{"cache size too large", "[library]\ncache_size = \"9e9TiB\"\n", `library.cache_size: "9e9TiB" is no size`},
		{"cache size of no number", "[library]\ncache_size = \"NaNGiB\"\n", `library.cache_size: "NaNGiB" is no size`},
		{"cache size as a number", "[library]\ncache_size = 20\n", "f.toml:2: library.cache_size: it must be text, not a number"},
		{"cache in the library", "[library]\ndirs = [\"/a\"]\ncache = \"/a/b\"\n", `f.toml:3: library.cache: "/a/b" lies in the image directory /a (hint:`},
		{"empty choice", "[drive.cd0]\neject = \"\"\n", "f.toml:2: drive.cd0.eject"},
		{"medium", "[drive.cd0]\nmedium = \"tape\"\n", `f.toml:2: drive.cd0.medium: "tape" is not one of cd, dvd, bd`},
		{"duration", "[drive.cd0]\nswap_hold = \"2.5\"\n", `f.toml:2: drive.cd0.swap_hold: "2.5" is not a duration`},
		{"negative duration", "[drive.cd0]\nswap_hold = \"-1s\"\n", "f.toml:2: drive.cd0.swap_hold: -1s is not between"},
		{"long duration", "[drive.cd0]\nswap_hold = \"2h\"\n", "is not between 0s and 1m0s"},
		{"host", "[drive.cd0]\nhost = \"lunix\"\n", `f.toml:2: drive.cd0.host: "lunix" is not one of generic, linux, windows, macos, firmware (hint: did you mean "linux"?)`},
		{"no host", "[drive.cd0]\nhost = \"\"\n", `f.toml:2: drive.cd0.host: "" is not one of generic, linux`},
		{"spin-up", "[drive.cd0]\nspin_up = \"21s\"\n", "f.toml:2: drive.cd0.spin_up: 21s is not between 0s and 20s"},
		{"negative spin-up", "[drive.cd0]\nspin_up = \"-1ns\"\n", "f.toml:2: drive.cd0.spin_up: -1ns is not"},
		{"eject wait", "[drive.cd0]\neject_wait = \"1h\"\n", "f.toml:2: drive.cd0.eject_wait: 1h0m0s is not between 0s and 10m0s"},
		{"eject wait without a unit", "[drive.cd0]\neject_wait = 30\n", "f.toml:2: drive.cd0.eject_wait: it must be text"},
		{"drive name", "[drive.\"c d\"]\n", `f.toml:1: drive."c d": it is no name for a drive`},
		{"long drive name", "[drive." + strings.Repeat("x", 33) + "]\n", "it is no name for a drive"},
		{"no port", "[iscsi]\nlisten = [\"127.0.0.1\"]\n", `address "127.0.0.1": it has no port (hint: write "127.0.0.1:3260")`},
		{"bare IPv6", "[iscsi]\nlisten = [\"::1\"]\n", `write "[::1]:3260"`},
		{"port", "[iscsi]\nlisten = [\"127.0.0.1:99999\"]\n", `port "99999"`},
		{"port name", "[iscsi]\nlisten = [\"127.0.0.1:iscsi\"]\n", `port "iscsi"`},
		{"bad IPv4", "[iscsi]\nlisten = [\"127.0.0.300:3260\"]\n", "neither an IP address"},
		{"bad host", "[iscsi]\nlisten = [\"a b:3260\"]\n", "neither an IP address"},
		{"address twice", "[iscsi]\nlisten = [\":1\", \":1\"]\n", "stands there twice"},
		{"directory twice", "[library]\ndirs = [\"/a\", \"/a\"]\n", "f.toml:2: library.dirs: \"/a\" stands there twice"},
		{"empty directory", "[library]\ndirs = [\"\"]\n", "f.toml:2: library.dirs"},
		{"engine", "[iscsi]\nengine = \"lio\"\n", `f.toml:2: iscsi.engine: "lio" is not one of spindle, gotgt`},
		{"engine unasked", "[iscsi]\nengine = \"gotgt\"\n", `f.toml:2: iscsi.engine: gotgt is for experiments`},
		{"engine on an address", "[iscsi]\nlisten = [\"127.0.0.1:3260\"]\nengine = \"gotgt\"\nexperimental = true\n", `f.toml:2: iscsi.listen: gotgt listens on one port of all addresses (hint: write [":3260"]`},
		{"engine with limits", "[iscsi]\nengine = \"gotgt\"\nexperimental = true\n[iscsi.limits]\nsessions = 9\n", `f.toml:4: iscsi.limits: gotgt has no such thing (hint: leave this out, or leave engine out)`},
		{"engine with pings", "[iscsi]\nengine = \"gotgt\"\nexperimental = true\nping_interval = \"5s\"\n", `f.toml:4: iscsi.ping_interval: gotgt has no such thing`},
		{"engine with rules", "[iscsi]\nengine = \"gotgt\"\nexperimental = true\n[drive.a.iscsi]\nnetworks = [\"192.0.2.0/24\"]\n", `f.toml:4: drive.a.iscsi: gotgt lets everybody in`},
		{"engine on no port", "[iscsi]\nlisten = []\nengine = \"gotgt\"\nexperimental = true\n", `f.toml:2: iscsi.listen: gotgt listens`},
		{"target", "[drive.a.iscsi]\ntarget = \"cd0\"\n", `f.toml:2: drive.a.iscsi.target: "cd0": it is no iSCSI name`},
		{"target month", "[drive.a.iscsi]\ntarget = \"iqn.2026-13.net.example:x\"\n", "it is no iSCSI name"},
		{"target capitals", "[drive.a.iscsi]\ntarget = \"iqn.2026-11.net.example:CD0\"\n", `write "iqn.2026-11.net.example:cd0"`},
		{"target underscore", "[drive.a.iscsi]\ntarget = \"iqn.2026-11.net.example:a_b\"\n", "it is no iSCSI name"},
		{"long target", "[drive.a.iscsi]\ntarget = \"iqn.2026-11.net.example:" + strings.Repeat("x", 200) + "\"\n", "more than 223"},
		{
			"one target for two",
			"[drive.a.iscsi]\ntarget = \"iqn.2026-11.net.example:x\"\n[drive.b]\n[drive.b.iscsi]\ntarget = \"iqn.2026-11.net.example:x\"\n",
			"f.toml:5: drive.b.iscsi.target: \"iqn.2026-11.net.example:x\" is the target of drive a already",
		},
		{"implied table", "[daemon]\n[drive]\n[drive.\"a b\".iscsi]\ntarget = \"\"\n", "f.toml:3: drive.\"a b\": it is no name"},
		{"empty state", "[daemon]\nstate = \"\"\n", "f.toml:2: daemon.state: it is empty"},
		{"too large", strings.Repeat("#", maxSize+1), "f.toml: it is larger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("f.toml", []byte(tt.text))
			if err == nil || c != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v; want %s", err, tt.want)
			}
			if strings.Contains(tt.want, "f.toml:") && !strings.HasPrefix(err.Error(), "f.toml:") {
				t.Errorf("%v does not begin with the file", err)
			}
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("%T holds no *Error", err)
			}
		})
	}
}

func TestGoodTargets(t *testing.T) {
	for _, name := range []string{
		"iqn.2026-11.net.example", "iqn.2026-11.net.example:a.b-c:d", "eui.02004567A425678D",
		"naa.52004567BA64678D", "naa.62004567BA64678D0123456789ABCDEF",
	} {
		if reason, _ := checkTarget(name); reason != "" {
			t.Errorf("%s: %s", name, reason)
		}
	}
}

// TestAllErrors checks that all errors come at once, in the order of lines.
func TestAllErrors(t *testing.T) {
	text := "[iscsi]\nlisten = [\"nowhere\"]\n[drive.cd0]\ndisc = 7\nfoo = 1\n[drive.cd0.iscsi]\ntarget = \"x\"\n[zzz]\n"
	_, err := Parse("f.toml", []byte(text))
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{"f.toml:2: ", "f.toml:4: ", "f.toml:5: ", "f.toml:7: ", "f.toml:8: "}
	if len(lines) != len(want) {
		t.Fatalf("errors:\n%v", err)
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i], w) {
			t.Errorf("error %d is %q, want %s", i, lines[i], w)
		}
	}
	var many strings.Builder
	many.WriteString("[drive.cd0]\n")
	for i := range 50 {
		many.WriteString("x" + strings.Repeat("y", i) + " = 1\n")
	}
	if _, err := Parse("f.toml", []byte(many.String())); strings.Count(err.Error(), "\n") != maxErrors || !strings.HasSuffix(err.Error(), "30 more errors") {
		t.Errorf("many errors: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "spindle.toml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("directory: %v", err)
	}
	if err := syscall.Mkfifo(dir+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir + "/fifo"); err == nil || !strings.Contains(err.Error(), "it is a FIFO") {
		t.Errorf("FIFO: %v", err)
	}
	os.Mkdir(filepath.Join(dir, "here"), 0o755)
	os.WriteFile(path, []byte("[library]\ndirs = [\"here\", \"gone\", \"spindle.toml\"]\n"), 0o644)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	warnings := strings.Join(c.Warnings, "\n")
	if len(c.Warnings) != 3 || !strings.Contains(warnings, dir+"/gone does not exist") ||
		!strings.Contains(warnings, "is a file") || !strings.Contains(warnings, "no drive") || c.Library.Dirs[0] != dir+"/here" {
		t.Errorf("Load = %+v", c)
	}
	os.WriteFile(path, []byte("oops"), 0o644)
	if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), path+":1: ") {
		t.Errorf("bad file: %v", err)
	}
}

func TestDiff(t *testing.T) {
	base := func() *Config {
		c := Default()
		c.ISCSI.Listen = []string{":1", ":2"}
		c.Drives = append(c.Drives, NewDrive("cd1"))
		return c
	}
	tests := []struct {
		name   string
		change func(c *Config)
		want   Changes
	}{
		{"nothing", func(*Config) {}, Changes{}},
		{"disc", func(c *Config) { c.Drives[0].Disc = "x" }, Changes{Disc: []string{"cd0"}}},
		{"disc and more", func(c *Config) { c.Drives[0].Disc = "x"; c.Drives[0].Eject = Remove }, Changes{Drives: []string{"cd0"}}},
		{"target", func(c *Config) { c.Drives[1].Target = "iqn" }, Changes{Drives: []string{"cd1"}, Target: []string{"cd1"}}},
		{"renamed", func(c *Config) { c.Drives[1].Name = "cd2" }, Changes{Added: []string{"cd2"}, Removed: []string{"cd1"}}},
		{"order of addresses", func(c *Config) { c.ISCSI.Listen = []string{":2", ":1"} }, Changes{}},
		{"portal group", func(c *Config) { c.ISCSI.Groups = map[string]uint16{":1": 2} }, Changes{Network: true}},
		{"advertised", func(c *Config) { c.ISCSI.Advertise = []Portal{{"192.0.2.1:1", 1}} }, Changes{Network: true}},
		{"pings", func(c *Config) { c.ISCSI.PingInterval = 0 }, Changes{Network: true}},
		{"redirect", func(c *Config) { c.Drives[1].Redirect = "192.0.2.1:1" }, Changes{Drives: []string{"cd1"}}},
		{"addresses", func(c *Config) { c.ISCSI.Listen = nil }, Changes{Listen: true}},
		{"directories", func(c *Config) { c.Library.Dirs = nil }, Changes{Library: true}},
		{"verify", func(c *Config) { c.Library.Verify = Required }, Changes{Library: true}},
		{"cache", func(c *Config) { c.Library.Cache = "/c" }, Changes{Library: true}},
		{"cache size", func(c *Config) { c.Library.CacheSize = 1 }, Changes{Library: true}},
		{"log", func(c *Config) { c.Daemon.LogJSON = true }, Changes{Daemon: true}},
		{"warnings", func(c *Config) { c.Warnings, c.Path = []string{"x"}, "y" }, Changes{}},
	}
	for _, tt := range tests {
		c := base()
		tt.change(c)
		got := Diff(base(), c)
		if !reflect.DeepEqual(got, tt.want) || got.Empty() != reflect.DeepEqual(tt.want, Changes{}) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// FuzzParse checks that whatever a file holds is a valid configuration or an
// error that names the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(access))
	f.Add([]byte("[chap.a]\nsecret_file = \"\"\n[drive.a.iscsi]\nnetworks = [\"::ffff:1.2.3.4/99\", \"%\"]\nusers = [\"a\", \"\"]\n"))
	f.Add([]byte("[drive.\"\"]\n[drive.a.iscsi]\ntarget = \"x\"\n"))
	f.Add([]byte("[[drive]]\nx = {a.b = [1, [2]]}\n"))
	f.Add([]byte("drive.cd0.iscsi.foo.bar = 2026-11-21\n"))
	f.Add([]byte("[iscsi]\nlisten = [\":1,2\"]\nadvertise = [\"[::1]:1,2\"]\nping_interval = \"0s\"\n[drive.a.iscsi]\nredirect = \"a:1\"\n"))
	f.Add([]byte("[drive.cd0.usb]\ngadget = \"g0\"\n[gadget.g0]\nvid = 0x1d6b\nusbip = \":3240\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.toml", data)
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("parsed, but: %v", err)
			}
			return
		}
		if c != nil || !strings.HasPrefix(err.Error(), "f.toml") {
			t.Errorf("Parse = %v, %v", c, err)
		}
	})
}
