package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestDriveKind(t *testing.T) {
	const text = `
[drive.sun]
discs = ["a.iso", "", "c.cue"]
block_length = 512
vendor = "TOSHIBA"
product = "XM-5401TASUN4XCD"
revision = "1036"
serial = "0123456789AB"
mechanism = "caddy"
speed = 4
[drive.second]
discs = ["a.iso", "b.iso"]
disc = "b.iso"
[drive.none]
discs = ["a.iso"]
disc = ""
`
	c, err := Parse("f.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := NewDrive("sun")
	want.Disc, want.Discs, want.BlockLength = "a.iso", []string{"a.iso", "", "c.cue"}, 512
	want.Vendor, want.Product, want.Revision, want.Serial = "TOSHIBA", "XM-5401TASUN4XCD", "1036", "0123456789AB"
	want.Mechanism, want.Speed = Caddy, 4
	if got := *c.Drive("sun"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if second, none := c.Drive("second").Disc, c.Drive("none").Disc; second != "b.iso" || none != "" {
		t.Errorf("discs %q and %q; want b.iso and none", second, none)
	}
}

func TestDriveKindErrors(t *testing.T) {
	kernel := "[drive.a.usb]\ngadget = \"g\"\n[gadget.g]\nmode = \"kernel\"\n"
	for _, tt := range []struct{ text, want string }{
		{"block_length = 1024", `f.toml:2: drive.a.block_length: 1024 is not 512 or 2048 (hint: 2048 is right`},
		{"block_length = 2352", "2352 is not 512 or 2048"},
		{`block_length = "512"`, "f.toml:2: drive.a.block_length: it must be a whole number, not text"},
		{`vendor = "TOO LONG "`, `f.toml:2: drive.a.vendor: "TOO LONG " has 9 characters, more than 8 (hint: INQUIRY`},
		{`product = "12345678901234567"`, "has 17 characters, more than 16"},
		{`revision = "12345"`, "has 5 characters, more than 4"},
		{`vendor = "é"`, `f.toml:2: drive.a.vendor: "é" is not all printable ASCII`},
		{`product = "a\tb"`, "is not all printable ASCII"},
		{`serial = "0123456789A"`, `f.toml:2: drive.a.serial: "0123456789A" is no serial number (hint: 12 to 32`},
		{`serial = "0123456789ab"`, "is no serial number"},
		{`serial = "` + strings.Repeat("0", 33) + `"`, "is no serial number"},
		{"serial = \"0123456789AB\"\n[drive.b]\nserial = \"0123456789AB\"", `f.toml:4: drive.b.serial: "0123456789AB" is the serial number of drive a already (hint:`},
		{`mechanism = "slot"`, `"slot" is not one of tray, caddy, pop-up`},
		{"speed = -1", "f.toml:2: drive.a.speed: it is not between 1 and 100"},
		{"speed = 0", "f.toml:2: drive.a.speed: it is not between 1 and 100"},
		{"speed = 101", "it is not between"},
		{`discs = "a.iso"`, "f.toml:2: drive.a.discs: it must be a list of texts, not text"},
		{`discs = ["a.iso", "", "", "a.iso"]`, `f.toml:2: drive.a.discs: "a.iso" stands there twice (hint: "" is an empty slot)`},
		{`discs = ["` + strings.Repeat(`", "`, 32) + `"]`, "f.toml:2: drive.a.discs: it has 33 discs, more than 32"},
		{"discs = [\"a.iso\"]\ndisc = \"b.iso\"", `f.toml:3: drive.a.disc: "b.iso" is not in discs (hint: name one of them`},
		{`discs = ["a\u0000"]`, "is no name of an image"},
		{"discs = [\"a.iso\"]\n" + kernel, `f.toml:2: drive.a.discs: the kernel's drive, which gadget g is, has no such thing (hint: take mode = "kernel" out`},
		{"block_length = 512\n" + kernel, "f.toml:2: drive.a.block_length: the kernel's drive"},
		{"vendor = \"X\"\n" + kernel, "f.toml:2: drive.a.vendor: the kernel's drive"},
	} {
		c, err := Parse("f.toml", []byte("[drive.a]\n"+tt.text+"\n"))
		if err == nil || c != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", tt.text, err, tt.want)
		}
	}
}

func TestDiffOfSlots(t *testing.T) {
	parse := func(text string) *Config {
		t.Helper()
		c, err := Parse("f.toml", []byte("[drive.a]\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := parse(`discs = ["a", "b"]`)
	for text, want := range map[string]Changes{
		`discs = ["a", "b"]`:                 {},
		`discs = ["a", "c"]`:                 {Drives: []string{"a"}},
		"discs = [\"a\", \"b\"]\ndisc=\"b\"": {Disc: []string{"a"}},
	} {
		if got := Diff(old, parse(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// A value of the wrong kind is one error and not two.
func TestSpeedAsText(t *testing.T) {
	_, err := Parse("f.toml", []byte("[drive.a]\nspeed = \"4x\"\n"))
	if want := "f.toml:2: drive.a.speed: it must be a whole number, not text (hint: write it without quotes)"; err == nil || err.Error() != want {
		t.Errorf("Parse = %v; want %s", err, want)
	}
}
