// Package config is what the operator wants, as one TOML file says it:
// spindle.toml(5) beside this file. It loads, checks and compares; acting on it
// is the daemon's.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A Config is a configuration that is complete: what the file leaves out has
// its default.
type Config struct {
	Path    string // of the file, empty for Default
	Library Library
	ISCSI   ISCSI
	Daemon  Daemon
	Drives  []Drive  // by name
	Gadgets []Gadget // by name
	CHAP    []CHAP   // by table

	// Unsaid are the paths that the file leaves out: what they default to
	// depends on who runs the daemon.
	Unsaid struct{ Dirs, State, Socket bool }

	// Warnings are for people: what is odd but no reason not to serve. Only
	// Load, which looks at the file system, sets them.
	Warnings []string
}

// Library is the table [library].
type Library struct {
	Dirs   []string // image directories; the first that has a name wins
	Verify string   // Off or Required: whether images must be as their checksums say

	Cache     string // directory of unpacked images; empty for one in the state directory
	CacheSize int64  // bytes that it may hold
}

// ISCSI is the table [iscsi].
type ISCSI struct {
	Listen       []string          // host:port; empty opens no port
	Engine       string            // Own or GoTGT
	Experimental bool              // GoTGT may be used
	Groups       map[string]uint16 // portal group tags of those of Listen that are not in group 1
	Advertise    []Portal          // what initiators are told instead of Listen; empty: the addresses that the server sees

	PingInterval time.Duration // quiet time before an initiator is asked whether it lives; 0: never
	PingTimeout  time.Duration // how long it may stay quiet then
	Limits       Limits
	Discovery    Access // who may ask which targets there are
}

// Daemon is the table [daemon].
type Daemon struct {
	State    string // directory of what the daemon keeps
	Socket   string // Unix socket that the client verbs talk to
	LogLevel slog.Level
	LogJSON  bool
}

// A Drive is a table [drive.NAME], with [drive.NAME.iscsi].
type Drive struct {
	Name       string
	Disc       string        // name of an image in the library; empty leaves the tray empty
	Medium     string        // cd, dvd or bd; empty chooses by the image's size
	OnReload   string        // Hold or Force: a changed Disc under a tray that a host holds
	Eject      string        // Keep or Remove: what a host's eject does with the disc
	Host       string        // kind of host that media changes are shown to: one of Hosts
	SwapHold   time.Duration // how long a swap shows an empty tray at most, or ByHost
	SpinUp     time.Duration // how long a disc takes to become ready
	EjectWait  time.Duration // how long a verb waits for hosts to let go of the tray
	UAOnReturn bool          // tell a host that comes back of the power on
	Target     string        // iSCSI target name; empty for the default one
	Access     Access        // who may log in

	Redirect          string // host:port that its initiators are sent to; empty: nowhere
	RedirectPermanent bool   // they may remember it

	Discs       []string // names of images, one a slot of a changer, "" for an empty one; none for a drive of one disc
	BlockLength int      // 512 or 2048; 0 for 2048
	Vendor      string   // these four empty for the plain drive's
	Product     string
	Revision    string
	Serial      string
	Mechanism   string // Tray, Caddy or PopUp; empty for Tray
	Speed       int    // times 1x; 0 for the plain drive's

	Gadget string // name of the USB gadget that carries it; empty for none
}

// A Gadget is a table [gadget.NAME]: a USB device with the drives that name it,
// the first by name as LUN 0.
type Gadget struct {
	Name         string
	UDC          string // name of a USB device controller, or Auto
	VendorID     uint16
	ProductID    uint16
	Manufacturer string
	Product      string
	Serial       string // at least 12 hexadecimal digits; empty for one of the machine
	MaxPower     int    // mA that it may draw of the bus
	SelfPowered  bool
	Subclass     int    // 6, or 2 for firmware of the years before 2005
	Stall        bool   // end short data by a stall, as most drives do
	Mode         string // MMC or Kernel
	FunctionFS   string // mount of a composite gadget that someone else configures
	USBIP        string // host:port of a USB/IP server in place of a controller
}

// Values of Gadget.UDC and Gadget.Mode.
const (
	Auto   = "auto"   // the first free controller
	MMC    = "mmc"    // our drive
	Kernel = "kernel" // the kernel's f_mass_storage, for plain images
)

// NewGadget returns a gadget with defaults.
func NewGadget(name string) Gadget {
	return Gadget{
		Name: name, UDC: Auto, VendorID: 0x1d6b, ProductID: 0x0104,
		Manufacturer: "spindle", Product: "Virtual CD/DVD", MaxPower: 500, Subclass: 6, Mode: MMC,
	}
}

// Values of Library.Verify.
const (
	Off      = "off"      // any image is inserted
	Required = "required" // those alone that are as their checksums say
)

// Values of Drive.OnReload and Drive.Eject.
const (
	Hold   = "hold"   // wait until the host lets go
	Force  = "force"  // take the disc away from it
	Keep   = "keep"   // the disc lies on the open tray
	Remove = "remove" // the disc is out, also after a restart
)

// Hosts are the values of Drive.Host, the default first.
var Hosts = []string{"generic", "linux", "windows", "macos", "firmware"}

// ByHost is the SwapHold that suits the drive's Host.
const ByHost = time.Duration(math.MinInt64)

// maxSize bounds a configuration file, in bytes.
const maxSize = 1 << 20

// NewDrive returns a drive with an empty tray and defaults.
func NewDrive(name string) Drive {
	return Drive{Name: name, OnReload: Hold, Eject: Keep, Host: Hosts[0], SwapHold: ByHost, EjectWait: 30 * time.Second}
}

// Default returns what holds without a file: one drive, cd0.
func Default() *Config {
	c := defaults()
	c.Drives = []Drive{NewDrive("cd0")}
	return c
}

// defaults is Default for a file, which names its drives itself.
func defaults() *Config {
	c := &Config{
		Library: Library{Dirs: []string{"/var/lib/spindle/images"}, Verify: Off, CacheSize: 20 << 30},
		ISCSI:   ISCSI{Listen: []string{"127.0.0.1:3260"}, Engine: Own, PingInterval: defaultPingInterval, PingTimeout: defaultPingTimeout, Limits: defaultLimits()},
		Daemon:  Daemon{State: "/var/lib/spindle", Socket: "/run/spindle/spindle.sock", LogLevel: slog.LevelInfo},
	}
	c.Unsaid.Dirs, c.Unsaid.State, c.Unsaid.Socket = true, true, true
	return c
}

// Load reads, parses and checks the file at path. Its error joins an *Error for
// each thing that is wrong, in the order of lines.
func Load(path string) (*Config, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO without a writer is no reason to wait
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (hint: spindle.toml(5) says what goes into it; one drive needs none)", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil {
		return nil, err
	} else if fi.IsDir() {
		return nil, &Error{File: path, Reason: "it is a directory", Hint: "name the file in it"}
	} else if fi.Mode()&fs.ModeNamedPipe != 0 {
		return nil, &Error{File: path, Reason: "it is a FIFO", Hint: "a reload must be able to read it again"}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	c, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	if err := c.readSecrets(string(data)); err != nil {
		return nil, err
	}
	c.warn()
	return c, nil
}

// warn looks at what the configuration names.
func (c *Config) warn() {
	for _, dir := range c.Library.Dirs {
		fi, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.Warnings = append(c.Warnings, fmt.Sprintf("image directory %s does not exist", dir))
		case err != nil:
			c.Warnings = append(c.Warnings, fmt.Sprintf("image directory: %v", err))
		case !fi.IsDir():
			c.Warnings = append(c.Warnings, fmt.Sprintf("image directory %s is a file", dir))
		}
	}
	c.Warnings = append(c.Warnings, c.ISCSI.Limits.warnings()...)
	if len(c.Drives) == 0 {
		c.Warnings = append(c.Warnings, c.Path+" configures no drive")
	}
	for _, table := range c.unusedCHAP() {
		c.Warnings = append(c.Warnings, fmt.Sprintf("nothing names [chap.%s]: it lets nobody in", table))
	}
}

// Gadget returns the gadget of that name, or nil.
func (c *Config) Gadget(name string) *Gadget {
	for i := range c.Gadgets {
		if c.Gadgets[i].Name == name {
			return &c.Gadgets[i]
		}
	}
	return nil
}

// Drive returns the drive of that name, or nil.
func (c *Config) Drive(name string) *Drive {
	for i := range c.Drives {
		if c.Drives[i].Name == name {
			return &c.Drives[i]
		}
	}
	return nil
}
