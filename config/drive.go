package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Values of Drive.Mechanism.
const (
	Tray  = "tray"
	Caddy = "caddy"
	PopUp = "pop-up"
)

const (
	maxSlots = 32 // of a changer: MMC counts them in five bits
	maxSpeed = 100
)

var scsiSerial = regexp.MustCompile(`^[0-9A-Z]{12,32}$`)

// readKind reads what a drive is, as against what lies in it.
func (d *Drive) readKind(t *table) {
	t.strings("discs", &d.Discs)
	if len(d.Discs) > 0 && !t.says("disc") {
		d.Disc = d.Discs[0]
	}
	t.int("block_length", &d.BlockLength)
	t.string("vendor", &d.Vendor)
	t.string("product", &d.Product)
	t.string("revision", &d.Revision)
	t.string("serial", &d.Serial)
	t.choice("mechanism", &d.Mechanism, Tray, Caddy, PopUp)
	t.int("speed", &d.Speed)
	if n, ok := t.m["speed"].(int64); ok && n == 0 {
		d.Speed = -1 // 0 is for a file that says nothing
	}
}

// kindProblems returns what is wrong with the kinds of drives.
func (c *Config) kindProblems() (errs []*Error) {
	serials := map[string]string{}
	for i := range c.Drives {
		d := &c.Drives[i]
		fail := func(key, reason, hint string) {
			errs = append(errs, &Error{Key: []string{"drive", d.Name, key}, Reason: reason, Hint: hint})
		}
		d.slotProblems(fail)
		d.identityProblems(fail)
		if other, taken := serials[d.Serial]; taken && d.Serial != "" {
			fail("serial", fmt.Sprintf("%q is the serial number of drive %s already", d.Serial, other), "hosts take the two for one drive: leave the line out for one of this machine")
		}
		serials[d.Serial] = d.Name
		if d.BlockLength != 0 && d.BlockLength != 512 && d.BlockLength != 2048 {
			fail("block_length", fmt.Sprintf("%d is not 512 or 2048", d.BlockLength), "2048 is right for everything but old workstations and samplers")
		}
		if d.Speed < 0 || d.Speed > maxSpeed {
			fail("speed", fmt.Sprintf("it is not between 1 and %d", maxSpeed), "it is how many times as fast as a music CD plays: 4 or 48")
		}
		if g := c.Gadget(d.Gadget); g != nil && g.Mode == Kernel {
			d.kernelProblems(fail)
		}
	}
	return errs
}

// slotProblems checks the slots of a changer.
func (d *Drive) slotProblems(fail func(key, reason, hint string)) {
	if len(d.Discs) > maxSlots {
		fail("discs", fmt.Sprintf("it has %d discs, more than %d", len(d.Discs), maxSlots), "make a second drive")
	}
	for i, name := range d.Discs {
		switch {
		case strings.ContainsRune(name, 0):
			fail("discs", fmt.Sprintf("%q is no name of an image", name), "")
		case name != "" && slices.Contains(d.Discs[:i], name):
			fail("discs", fmt.Sprintf("%q stands there twice", name), `"" is an empty slot`)
		}
	}
	if len(d.Discs) > 0 && d.Disc != "" && !slices.Contains(d.Discs, d.Disc) {
		fail("disc", fmt.Sprintf("%q is not in discs", d.Disc), `name one of them, or "" to begin with none in the drive`)
	}
}

// identityProblems checks what the drive calls itself.
func (d *Drive) identityProblems(fail func(key, reason, hint string)) {
	for _, text := range []struct {
		key, value string
		most       int
	}{{"vendor", d.Vendor, 8}, {"product", d.Product, 16}, {"revision", d.Revision, 4}} {
		switch {
		case len(text.value) > text.most:
			fail(text.key, fmt.Sprintf("%q has %d characters, more than %d", text.value, len(text.value), text.most), "INQUIRY has no room for more")
		case strings.ContainsFunc(text.value, func(r rune) bool { return r < ' ' || r > '~' }):
			fail(text.key, fmt.Sprintf("%q is not all printable ASCII", text.value), "INQUIRY has no other characters")
		}
	}
	if d.Serial != "" && !scsiSerial.MatchString(d.Serial) {
		fail("serial", fmt.Sprintf("%q is no serial number", d.Serial), "12 to 32 of the characters 0-9 and A-Z; leave the line out for one of this machine")
	}
}

// kernelProblems checks that a drive needs nothing that the kernel's own does
// not have.
func (d *Drive) kernelProblems(fail func(key, reason, hint string)) {
	for _, k := range []struct {
		key string
		set bool
	}{
		{"discs", len(d.Discs) > 0},
		{"block_length", d.BlockLength == 512},
		{"vendor", d.Vendor != ""},
		{"product", d.Product != ""},
		{"revision", d.Revision != ""},
		{"serial", d.Serial != ""},
		{"mechanism", d.Mechanism != ""},
		{"speed", d.Speed != 0},
	} {
		if k.set {
			fail(k.key, fmt.Sprintf("the kernel's drive, which gadget %s is, has no such thing", d.Gadget), fmt.Sprintf("take mode = %q out of the gadget", Kernel))
		}
	}
}
