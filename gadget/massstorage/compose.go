package massstorage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"spindle/gadget"
)

// A system is the kernel, or in tests a directory that plays it.
type system struct {
	root    string // before /sys and /proc
	mount   func(dir string) error
	unmount func(dir string) error
	flock   func(dir *os.File) error
	mkdir   func(dir string) error // of what configfs has a place for
	rmdir   func(dir string) error // configfs removes the attributes inside
}

// A composition is a gadget in configfs with one configuration and one function.
type composition struct {
	system
	o    gadget.Options
	name string
	dir  string   // empty until it is ours
	made string   // where configfs is mounted for this, or empty
	lock *os.File // on dir, while the process lives
	udc  string
}

// compose makes a gadget that is not bound, in place of what a killed process
// left of it.
func compose(o gadget.Options, s system) (*composition, error) {
	c := &composition{system: s, o: o, name: "spindle-" + o.Name}
	if err := c.compose(); err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	return c, nil
}

// A problem is an error with its remedy, and a known one without.
func problem(kind, err error, reason, remedy string) error {
	return &gadget.Error{Finding: gadget.Finding{Reason: reason, Remedy: remedy}, Err: errors.Join(kind, err)}
}

func missing(module string, err error) error {
	return problem(gadget.ErrNoModule, err, "the kernel module "+module+" is not loaded", "modprobe "+module)
}

func explain(doing string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return problem(gadget.ErrRights, err, doing+": no rights", "run as root")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (c *composition) compose() error {
	if c.o.Name == "" || c.o.Name != filepath.Base(c.o.Name) {
		return fmt.Errorf("gadget: name %q", c.o.Name)
	}
	gadgets, err := c.configfs()
	if err != nil {
		return err
	}
	if err := c.claim(filepath.Join(gadgets, c.name)); err != nil {
		return explain("compose gadget "+c.name, err)
	}
	if err := c.describe(); err != nil {
		return explain("compose gadget "+c.name, err)
	}
	switch err := c.mkdir(c.Function()); {
	case errors.Is(err, fs.ErrNotExist):
		return missing("usb_f_mass_storage", err)
	case err != nil:
		return explain("compose gadget "+c.name, err)
	}
	return nil
}

// Function implements Composer.
func (c *composition) Function() string {
	return filepath.Join(c.dir, "functions", "mass_storage.spindle")
}

// configfs returns the directory of gadgets, and mounts configfs when nobody
// has.
func (c *composition) configfs() (string, error) {
	b, err := os.ReadFile(filepath.Join(c.root, "/proc/self/mounts"))
	if err != nil {
		return "", err
	}
	at, private := "", c.private()
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "configfs" && at == "" {
			at = filepath.Join(c.root, f[1])
		}
	}
	if at == "" {
		if err := c.mountConfigfs(private); err != nil {
			return "", err
		}
		at = private
	}
	if at == private { // mounted now, or by a process that was killed
		c.made = at
	}
	gadgets := filepath.Join(at, "usb_gadget")
	if _, err := os.Stat(gadgets); errors.Is(err, fs.ErrNotExist) {
		return "", missing("libcomposite", err)
	} else if err != nil {
		return "", explain("configfs", err)
	}
	return gadgets, nil
}

// private is where configfs is mounted when nobody has.
func (c *composition) private() string {
	if c.o.RunDir == "" {
		return filepath.Join(gadget.DefaultRunDir, "configfs")
	}
	return filepath.Join(c.o.RunDir, "configfs")
}

func (c *composition) mountConfigfs(at string) error {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return explain("mount configfs", err)
	}
	switch err := c.mount(at); {
	case errors.Is(err, syscall.ENODEV):
		return errors.Join(missing("configfs", err), os.Remove(at))
	case err != nil:
		return errors.Join(explain("mount configfs at "+at, err), os.Remove(at))
	}
	return nil
}

// claim makes the gadget's directory and locks it. One that is there without a
// lock is of a process that was killed.
func (c *composition) claim(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		if err := c.locked(dir); err != nil {
			return err
		}
		if err := c.clear(); err != nil {
			return fmt.Errorf("remove what was left: %w", err)
		}
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		return err
	}
	return c.locked(dir)
}

func (c *composition) locked(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := c.flock(f); err != nil {
		f.Close()
		return problem(gadget.ErrBusy, err, "another process serves gadget "+c.name, "give this one another name")
	}
	c.lock, c.dir = f, dir
	return nil
}

// describe writes the identity, and makes the configuration.
func (c *composition) describe() error {
	o := &c.o
	vendor, product, power, attributes := o.VendorID, o.ProductID, o.MaxPower, 0x80
	if vendor == 0 && product == 0 {
		vendor, product = gadget.DefaultVendorID, gadget.DefaultProductID
	}
	if power == 0 {
		power = 500
	}
	if o.SelfPowered {
		attributes |= 0x40
	}
	const text, config = "strings/0x409/", "configs/c.1/"
	list := []struct{ name, value string }{
		{"idVendor", fmt.Sprintf("%#04x", vendor)},
		{"idProduct", fmt.Sprintf("%#04x", product)},
		{"bcdDevice", "0x0100"},
		{text + "manufacturer", o.Manufacturer},
		{text + "product", o.Product},
		{text + "serialnumber", o.Serial},
		{config + "MaxPower", fmt.Sprint(power)},
		{config + "bmAttributes", fmt.Sprintf("%#02x", attributes)},
		{config + text + "configuration", o.Configuration},
	}
	if o.MaxSpeed != "" {
		list = append(list, struct{ name, value string }{"max_speed", o.MaxSpeed})
	}
	for _, a := range list {
		path := filepath.Join(c.dir, a.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(a.value+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const udcDir = "/sys/class/udc"

// Bind implements Composer.
func (c *composition) Bind() error {
	link := filepath.Join(c.dir, "configs/c.1", filepath.Base(c.Function()))
	if err := os.Symlink(c.Function(), link); err != nil {
		return explain("compose gadget "+c.name, err)
	}
	list, _ := os.ReadDir(filepath.Join(c.root, udcDir))
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	switch want := c.o.UDC; {
	case len(names) == 0:
		return problem(gadget.ErrNoUDC, nil, "this machine has no USB device controller", "spindle doctor")
	case want == "" || want == gadget.Auto:
	case !slices.Contains(names, want):
		return problem(gadget.ErrNoUDC, nil, "this machine has no USB device controller "+want, "use "+strings.Join(names, " or "))
	default:
		names = []string{want}
	}
	for _, name := range names { // the kernel knows best which are free
		err := c.writeUDC(name)
		if err == nil {
			c.udc = name
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return explain("bind to "+name, err)
		}
	}
	return problem(gadget.ErrBusy, nil, "USB device controller "+strings.Join(names, ", ")+" is taken", "spindle doctor")
}

func (c *composition) writeUDC(name string) error {
	return os.WriteFile(filepath.Join(c.dir, "UDC"), []byte(name+"\n"), 0o644)
}

// Status implements Composer.
func (c *composition) Status() gadget.Status {
	s := gadget.Status{UDC: c.udc}
	for name, to := range map[string]*string{"state": &s.State, "current_speed": &s.Speed} {
		b, _ := os.ReadFile(filepath.Join(c.root, udcDir, c.udc, name))
		*to = strings.TrimSpace(string(b))
	}
	return s
}

// Remove implements Composer.
func (c *composition) Remove() error {
	err := c.clear()
	if c.made == "" {
		return err
	}
	// Another gadget there unmounts it when it goes.
	if others, _ := os.ReadDir(filepath.Join(c.made, "usb_gadget")); len(others) == 0 {
		err = errors.Join(err, c.unmount(c.made), os.Remove(c.made))
	}
	c.made = ""
	return err
}

// clear removes the gadget whose lock is held: links, then directories from the
// leaves up.
func (c *composition) clear() error {
	if c.lock == nil {
		return nil
	}
	defer func() {
		c.lock.Close()
		c.lock, c.dir, c.udc = nil, "", ""
	}()
	err := c.writeUDC("")
	if err != nil && !errors.Is(err, syscall.ENODEV) && !errors.Is(err, fs.ErrNotExist) { // ENODEV: not bound
		return err
	}
	// lun.0 belongs to the function and goes with it.
	for _, pattern := range []string{"configs/*/*", "configs/*/strings/*", "configs/*", "functions/*/lun.[1-9]*", "functions/*", "strings/*", ""} {
		matches, _ := filepath.Glob(filepath.Join(c.dir, pattern))
		for _, path := range matches {
			if err := c.removeNode(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return &os.PathError{Op: "remove", Path: path, Err: err}
			}
		}
	}
	return nil
}

func (c *composition) removeNode(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return os.Remove(path)
	case info.IsDir() && filepath.Base(path) != "strings":
		return c.rmdir(path)
	}
	return nil
}
