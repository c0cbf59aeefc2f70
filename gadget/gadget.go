// Package gadget makes a USB optical drive of the machine that it runs on: it
// composes a gadget in configfs, binds it to a device controller (UDC), and
// carries logical units over it. It takes part in a gadget of somebody else's
// as well, in a FunctionFS that is mounted already.
package gadget

import (
	"errors"
	"log/slog"
	"regexp"
	"time"
)

// Default identity: the Linux Foundation's, for a composite gadget.
const (
	DefaultVendorID  = 0x1D6B
	DefaultProductID = 0x0104
)

// Auto is the first UDC that no gadget has.
const Auto = "auto"

// DefaultRunDir is where file systems are mounted.
const DefaultRunDir = "/run/spindle"

// Options make a Gadget.
type Options struct {
	Name string // of letters, digits, "-" and "_"; its directory in configfs is spindle-NAME
	UDC  string // name in /sys/class/udc; Auto when empty

	VendorID, ProductID uint16 // the defaults when zero
	Manufacturer        string // strings of the device, 126 bytes each at most
	Product             string
	// Serial has at least 12 characters, all of them 0-9 or A-F, and never
	// changes: Windows takes another for another device (Bulk-Only Transport,
	// 4.1.1).
	Serial        string
	Configuration string // string of the only configuration
	MaxPower      uint16 // mA that the board draws from the bus: 500 when zero
	SelfPowered   bool   // and whether it has a supply of its own
	MaxSpeed      string // "full-speed", "high-speed"; what the UDC can when empty

	Subclass byte // ffs.SubclassSCSI when zero
	Stall    bool // as in bot.Options

	// FunctionFS is where somebody else mounted one, to take part in a composite
	// gadget. Name, Subclass and Stall are all that matters then: who composed
	// the gadget binds it, after Open.
	FunctionFS string

	// RunDir is for file systems that have to be mounted: DefaultRunDir when
	// empty. It is made when missing.
	RunDir string
	// Root is put before /sys, /proc, /lib and /boot, in tests.
	Root string
	Log  *slog.Logger // nil discards
}

// Status is what a gadget is at one moment.
type Status struct {
	UDC   string    // empty in a composite gadget of somebody else's
	State string    // of the UDC as the kernel calls it: "not attached", "configured", "suspended"
	Speed string    // "full-speed", "high-speed", "super-speed", or "UNKNOWN" without a host
	Since time.Time // when the host chose the configuration; zero without a host
}

// Errors that an Error wraps.
var (
	ErrNoUDC    = errors.New("no USB device controller")
	ErrBusy     = errors.New("busy")
	ErrRights   = errors.New("no rights")
	ErrNoModule = errors.New("kernel module missing")
	ErrSystem   = errors.New("USB gadgets need Linux")
)

// A Finding is something that this machine lacks.
type Finding struct {
	Reason string // what is wrong, in a line
	Remedy string // the command that mends it; empty when none does
}

func (f Finding) String() string {
	if f.Remedy == "" {
		return f.Reason
	}
	return f.Reason + " (remedy: " + f.Remedy + ")"
}

// An Error is a Finding that kept a gadget from being made.
type Error struct {
	Finding
	Err error // wraps one of the errors above
}

func (e *Error) Error() string { return e.String() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

var (
	goodName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,27}$`)
	goodSerial = regexp.MustCompile(`^[0-9A-F]{12,126}$`)
)

// check fills in defaults and says what cannot be.
func (o *Options) check(units int) error {
	switch {
	case !goodName.MatchString(o.Name):
		return errors.New("gadget: name " + o.Name + " is not of 1 to 27 letters, digits, - and _")
	case units < 1 || units > 16:
		return errors.New("gadget " + o.Name + ": needs 1 to 16 drives")
	case o.FunctionFS == "" && !goodSerial.MatchString(o.Serial):
		return errors.New("gadget " + o.Name + ": serial number " + o.Serial + " is not of 12 or more characters 0-9 and A-F")
	}
	if o.UDC == "" {
		o.UDC = Auto
	}
	if o.VendorID == 0 && o.ProductID == 0 {
		o.VendorID, o.ProductID = DefaultVendorID, DefaultProductID
	}
	if o.MaxPower == 0 {
		o.MaxPower = 500
	}
	if o.RunDir == "" {
		o.RunDir = DefaultRunDir
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
