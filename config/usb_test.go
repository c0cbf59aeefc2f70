package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestGadget(t *testing.T) {
	c, err := Parse("f.toml", []byte(`
[drive.cd0.usb]
gadget = "g0"
[drive.cd1.usb]
gadget = "g0"
[gadget.g0]
udc = "fe980000.usb"
vid = 0x1209
pid = "0001"
manufacturer = "A"
product = "B"
serial = "0123456789AB"
max_power = 100
self_powered = true
subclass = 2
stall = true
mode = "kernel"
[drive.cd2.usb]
gadget = "g1"
[gadget.g1]
usbip = "127.0.0.1:3240"
[drive.cd3.usb]
gadget = "g2"
[gadget.g2]
functionfs = "/dev/ffs"
`))
	if err != nil {
		t.Fatal(err)
	}
	g1, g2 := NewGadget("g1"), NewGadget("g2")
	g1.USBIP, g2.FunctionFS = "127.0.0.1:3240", "/dev/ffs"
	want := []Gadget{{
		Name: "g0", UDC: "fe980000.usb", VendorID: 0x1209, ProductID: 1, Manufacturer: "A", Product: "B",
		Serial: "0123456789AB", MaxPower: 100, SelfPowered: true, Subclass: 2, Stall: true, Mode: Kernel,
	}, g1, g2}
	if !reflect.DeepEqual(c.Gadgets, want) {
		t.Errorf("gadgets %+v, want %+v", c.Gadgets, want)
	}
	if c.Drive("cd1").Gadget != "g0" || c.Drive("cd3").Gadget != "g2" {
		t.Errorf("drives %+v", c.Drives)
	}
}

func TestGadgetErrors(t *testing.T) {
	in := func(lines string) string {
		return "[drive.cd0.usb]\ngadget = \"g0\"\n[gadget.g0]\n" + lines
	}
	tests := []struct{ name, text, want string }{
		{"no such gadget", "[drive.cd0.usb]\ngadget = \"g1\"\n[gadget.g0]\n", `f.toml:2: drive.cd0.usb.gadget: there is no gadget "g1" (hint: did you mean "g0"?)`},
		{"no gadget at all", "[drive.cd0.usb]\ngadget = \"g1\"\n", "hint: add a table [gadget.g1]"},
		{"no drive", "[gadget.g0]\n", "f.toml:1: gadget.g0: no drive is in it (hint: add [drive.NAME.usb]"},
		{"name", "[gadget.\"a b\"]\n", "it is no name for a gadget"},
		{"long name", "[gadget.a234567890123456789012345678]\n", "it is no name for a gadget"}, // too long for configfs
		{"unknown key", in("uds = \"x\"\n"), `f.toml:4: gadget.g0.uds: unknown key (hint: did you mean "udc"?)`},
		{"controller", in("udc = \"a/b\"\n"), "is no controller (hint: use \"auto\""},
		{"vendor", in("vid = \"xyz\"\n"), "f.toml:4: gadget.g0.vid: it is no id of 16 bits"},
		{"vendor range", in("vid = 65536\n"), "it is no id of 16 bits"},
		{"power", in("max_power = 5000\n"), "5000 mA is not between 0 and 900"},
		{"power type", in("max_power = \"500\"\n"), "it must be a whole number, not text"},
		{"serial", in("serial = \"abc\"\n"), "is no serial number"},
		{"subclass", in("subclass = 5\n"), "5 is not 2 or 6"},
		{"product", in("product = \"" + strings.Repeat("x", 127) + "\"\n"), "it is no text of at most"},
		{"mode", in("mode = \"fast\"\n"), `"fast" is not one of mmc, kernel`},
		{"usbip address", in("usbip = \"127.0.0.1\"\n"), `write "127.0.0.1:3240"`},
		{"usbip and controller", in("usbip = \"127.0.0.1:3240\"\nudc = \"x\"\n"), "USB/IP needs no controller"},
		{"relative mount", in("functionfs = \"ffs\"\n"), "is no absolute path"},
		{"mount and kernel", in("functionfs = \"/ffs\"\nmode = \"kernel\"\n"), "does not use FunctionFS"},
	}
	for _, tt := range tests {
		if _, err := Parse("f.toml", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", tt.name, err, tt.want)
		}
	}
}

func TestDiffGadgets(t *testing.T) {
	with := func(change func(*Config)) *Config {
		c := Default()
		c.Gadgets = []Gadget{NewGadget("g0")}
		change(c)
		return c
	}
	same, changed := with(func(*Config) {}), with(func(c *Config) { c.Gadgets[0].Stall = true })
	if d := Diff(same, with(func(*Config) {})); !d.Empty() {
		t.Errorf("nothing changed: %+v", d)
	}
	if d := Diff(same, changed); !d.Gadgets || d.Empty() {
		t.Errorf("a gadget changed: %+v", d)
	}
	moved := with(func(c *Config) { c.Drives[0].Gadget = "g0" })
	if d := Diff(same, moved); len(d.Drives) != 1 {
		t.Errorf("a drive moved: %+v", d)
	}
}
