package gadget

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A system is the kernel, or in tests a directory that plays it.
type system struct {
	root    string // before /sys and /proc
	mount   func(kind, source, dir string) error
	unmount func(dir string) error
	rmdir   func(dir string) error // configfs removes the attributes inside
}

func kernel(root string) system {
	return system{
		root: root,
		mount: func(kind, source, dir string) error {
			return unix.Mount(source, dir, kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		},
		unmount: func(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) },
		rmdir:   unix.Rmdir,
	}
}

// A composition is a gadget in configfs, with one configuration that has one
// function, and the mount of that.
type composition struct {
	system
	name string   // of the gadget, of its function and of the mount's source
	dir  string   // in configfs; empty until it is ours
	at   string   // where its FunctionFS is mounted
	made string   // where configfs is mounted for this, or empty
	lock *os.File // on dir, while the process lives
	udc  string   // that it is bound to
}

// compose makes a gadget in place of what a killed process left of it.
func compose(o *Options, s system) (*composition, error) {
	name := "spindle-" + o.Name
	c := &composition{system: s, name: name}
	err := c.compose(o)
	if err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

func (c *composition) compose(o *Options) error {
	gadgets, err := c.configfs(o.RunDir)
	if err != nil {
		return err
	}
	if err := c.claim(filepath.Join(gadgets, c.name)); err != nil {
		return err
	}
	return c.fill(o)
}

// fill makes what is in the gadget's directory, and mounts its function.
func (c *composition) fill(o *Options) error {
	if err := c.describe(o); err != nil {
		return explain("compose gadget "+c.name, err)
	}
	if err := os.Mkdir(c.function(), 0o755); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return missing("usb_f_fs", err)
		}
		return explain("compose gadget "+c.name, err)
	}
	if err := os.Symlink(c.function(), filepath.Join(c.dir, "configs/c.1", "ffs."+c.name)); err != nil {
		return explain("compose gadget "+c.name, err)
	}
	return c.mountFunction(filepath.Join(o.RunDir, c.name))
}

func (c *composition) function() string { return filepath.Join(c.dir, "functions", "ffs."+c.name) }

func (c *composition) mountFunction(at string) error {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return explain("mount FunctionFS", err)
	}
	c.at = at
	switch err := c.mount("functionfs", c.name, at); {
	case errors.Is(err, unix.ENODEV):
		return missing("usb_f_fs", err)
	case err != nil:
		return explain("mount FunctionFS at "+at, err)
	}
	return nil
}

// configfs returns the directory of gadgets, and mounts configfs when nobody
// has.
func (c *composition) configfs(runDir string) (string, error) {
	at, err := mountPoint(c.root, "configfs", "")
	if err != nil {
		return "", err
	}
	private := filepath.Join(runDir, "configfs")
	if at == "" {
		if err := os.MkdirAll(private, 0o700); err != nil {
			return "", explain("mount configfs", err)
		}
		switch err := c.mount("configfs", "none", private); {
		case errors.Is(err, unix.ENODEV):
			return "", errors.Join(missing("configfs", err), os.Remove(private))
		case err != nil:
			return "", errors.Join(explain("mount configfs at "+private, err), os.Remove(private))
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

// mountPoint returns where a file system of a kind is mounted first, from a
// source unless that is empty; it is empty when there is none.
func mountPoint(root, kind, source string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, "/proc/self/mounts"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == kind && (source == "" || f[0] == source) {
			return filepath.Join(root, f[1]), nil
		}
	}
	return "", nil
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
			return fmt.Errorf("remove what was left of gadget %s: %w", c.name, err)
		}
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		return explain("compose gadget "+c.name, err)
	}
	return c.locked(dir)
}

// locked takes the lock of a gadget, which ends with the process, and with it
// the gadget.
func (c *composition) locked(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return explain("compose gadget "+c.name, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return &Error{Finding{"another process serves gadget " + c.name, "give this one another name"}, errors.Join(ErrBusy, err)}
	}
	c.lock, c.dir = f, dir
	return nil
}

// describe writes the identity, and makes the configuration.
func (c *composition) describe(o *Options) error {
	attributes := 0x80
	if o.SelfPowered {
		attributes |= 0x40
	}
	const text, config = "strings/0x409/", "configs/c.1/"
	for _, a := range []struct{ name, value string }{
		{"idVendor", fmt.Sprintf("%#04x", o.VendorID)},
		{"idProduct", fmt.Sprintf("%#04x", o.ProductID)},
		{"bcdDevice", "0x0100"},
		{text + "manufacturer", o.Manufacturer},
		{text + "product", o.Product},
		{text + "serialnumber", o.Serial},
		{config + "MaxPower", fmt.Sprint(o.MaxPower)},
		{config + "bmAttributes", fmt.Sprintf("%#02x", attributes)},
		{config + text + "configuration", o.Configuration},
	} {
		path := filepath.Join(c.dir, a.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(a.value+"\n"), 0o644); err != nil {
			return err
		}
	}
	if o.MaxSpeed == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(c.dir, "max_speed"), []byte(o.MaxSpeed+"\n"), 0o644)
}
