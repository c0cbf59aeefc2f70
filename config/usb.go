package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	gadgetName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,27}$`) // with "ffs.spindle-" 39 characters, the most in configfs
	usbSerial  = regexp.MustCompile(`^[0-9A-Fa-f]{12,32}$`)
	udcName    = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
)

const (
	maxUnits = 16 // logical units of a Bulk-Only Transport device
	maxText  = 126
	maxPower = 900 // mA, of a SuperSpeed device
)

// usbProblems returns what is wrong with the gadgets and with the drives in
// them.
func (c *Config) usbProblems() (errs []*Error) {
	units := map[string]int{}
	for i := range c.Drives {
		d := &c.Drives[i]
		if d.Gadget == "" {
			continue
		}
		if c.Gadget(d.Gadget) == nil {
			var known []string
			for _, g := range c.Gadgets {
				known = append(known, g.Name)
			}
			hint := suggest(d.Gadget, known)
			if hint == "" {
				hint = fmt.Sprintf("add a table [gadget.%s]", d.Gadget)
			}
			errs = append(errs, &Error{Key: []string{"drive", d.Name, "usb", "gadget"}, Reason: fmt.Sprintf("there is no gadget %q", d.Gadget), Hint: hint})
		}
		units[d.Gadget]++
	}
	for i := range c.Gadgets {
		errs = append(errs, c.Gadgets[i].problems(units[c.Gadgets[i].Name])...)
	}
	return errs
}

func (g *Gadget) problems(units int) (errs []*Error) {
	fail := func(reason, hint string, key ...string) {
		errs = append(errs, &Error{Key: append([]string{"gadget", g.Name}, key...), Reason: reason, Hint: hint})
	}
	switch {
	case !gadgetName.MatchString(g.Name):
		fail("it is no name for a gadget", "use 1 to 27 letters, digits, - and _")
	case units == 0:
		fail("no drive is in it", fmt.Sprintf("add [drive.NAME.usb] with gadget = %q", g.Name))
	case units > maxUnits:
		fail(fmt.Sprintf("it has %d drives, more than %d", units, maxUnits), "make a second gadget")
	}
	if !udcName.MatchString(g.UDC) {
		fail(fmt.Sprintf("%q is no controller", g.UDC), `use "auto", or a name from /sys/class/udc`, "udc")
	}
	if g.Serial != "" && !usbSerial.MatchString(g.Serial) {
		fail(fmt.Sprintf("%q is no serial number", g.Serial), "12 to 32 hexadecimal digits (USB Mass Storage, 4.1.1); leave the line out for one of this machine", "serial")
	}
	for _, text := range []struct{ key, value string }{{"manufacturer", g.Manufacturer}, {"product", g.Product}} {
		if len(text.value) > maxText || strings.ContainsFunc(text.value, func(r rune) bool { return r < ' ' }) {
			fail(fmt.Sprintf("it is no text of at most %d characters", maxText), "", text.key)
		}
	}
	if g.MaxPower < 0 || g.MaxPower > maxPower {
		fail(fmt.Sprintf("%d mA is not between 0 and %d", g.MaxPower, maxPower), "500 is usual", "max_power")
	}
	if !slices.Contains([]int{2, 6}, g.Subclass) {
		fail(fmt.Sprintf("%d is not 2 or 6", g.Subclass), "6 is right for everything but very old firmware", "subclass")
	}
	g.frontEndProblems(fail)
	return errs
}

// frontEndProblems checks what excludes each other: a controller of this
// machine, a mount that someone else made, USB/IP, the kernel's own function.
func (g *Gadget) frontEndProblems(fail func(reason, hint string, key ...string)) {
	if g.USBIP != "" {
		if reason, hint := checkAddress(g.USBIP); reason != "" {
			fail(fmt.Sprintf("address %q: %s", g.USBIP, reason), strings.ReplaceAll(hint, "3260", "3240"), "usbip")
		}
		if g.UDC != Auto || g.FunctionFS != "" || g.Mode != MMC {
			fail("USB/IP needs no controller, and the kernel's function cannot be behind it", "leave udc, functionfs and mode out", "usbip")
		}
	}
	if g.FunctionFS != "" {
		if !filepath.IsAbs(g.FunctionFS) {
			fail(fmt.Sprintf("%q is no absolute path", g.FunctionFS), "name the place where functionfs is mounted", "functionfs")
		}
		if g.Mode != MMC {
			fail("the kernel's function does not use FunctionFS", `leave mode = "kernel" out`, "functionfs")
		}
	}
}
