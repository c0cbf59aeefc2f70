package gadget

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const udcDir = "/sys/class/udc"

// udcs returns the names of the device controllers, sorted.
func udcs(root string) []string {
	list, _ := os.ReadDir(filepath.Join(root, udcDir))
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// holder says what a UDC is bound to, and how to free it: a gadget in configfs,
// or a module such as g_ether. It is false for a free one.
func holder(root, gadgets, udc string) (Finding, bool) {
	reason := "USB device controller " + udc + " is taken by "
	list, _ := os.ReadDir(gadgets)
	for _, e := range list {
		dir := filepath.Join(gadgets, e.Name())
		if attribute(dir, "UDC") == udc {
			return Finding{reason + "gadget " + e.Name(), "echo > " + filepath.Join(dir, "UDC")}, true
		}
	}
	if f := attribute(filepath.Join(root, udcDir, udc), "function"); f != "" {
		return Finding{reason + f, "modprobe -r " + f}, true
	}
	return Finding{}, false
}

// choose returns the UDC to bind to.
func (c *composition) choose(want string) (string, error) {
	names := udcs(c.root)
	gadgets := filepath.Dir(c.dir)
	switch {
	case len(names) == 0:
		return "", &Error{noUDC(c.root), ErrNoUDC}
	case want != Auto && !slices.Contains(names, want):
		return "", &Error{Finding{
			fmt.Sprintf("this machine has no USB device controller %s", want),
			"use " + strings.Join(names, " or "),
		}, ErrNoUDC}
	}
	var first Finding
	for _, name := range names {
		if want != Auto && name != want {
			continue
		}
		f, taken := holder(c.root, gadgets, name)
		if !taken {
			return name, nil
		}
		first = cmp.Or(first, f)
	}
	return "", &Error{first, ErrBusy}
}

// bind makes the gadget visible to the host.
func (c *composition) bind(want string) error {
	udc, err := c.choose(want)
	if err != nil {
		return err
	}
	switch err := c.writeUDC(udc); {
	case errors.Is(err, unix.EBUSY):
		f, taken := holder(c.root, filepath.Dir(c.dir), udc)
		if !taken {
			f.Reason = "USB device controller " + udc + " is busy"
		}
		return &Error{f, errors.Join(ErrBusy, err)}
	case err != nil:
		return explain("bind to "+udc, err)
	}
	c.udc = udc
	return nil
}

// unbind takes the gadget off the bus. One that is not bound, or was by a
// process that was killed, makes no error.
func (c *composition) unbind() error {
	if c.dir == "" {
		return nil
	}
	err := c.writeUDC("")
	if errors.Is(err, unix.ENODEV) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (c *composition) writeUDC(name string) error {
	return os.WriteFile(filepath.Join(c.dir, "UDC"), []byte(name+"\n"), 0o644)
}

// remove takes out of the kernel all that compose put in, and as much of it as
// there is.
func (c *composition) remove() error {
	err := c.clear()
	if c.made == "" {
		return err
	}
	// Another gadget of ours there, of this process or not, unmounts it when it
	// goes.
	if others, _ := filepath.Glob(filepath.Join(c.made, "usb_gadget", "spindle-*")); len(others) == 0 {
		err = errors.Join(err, c.unmount(c.made), os.Remove(c.made))
	}
	c.made = ""
	return err
}

// clear removes the gadget whose lock is held, also one that a killed process
// left, with the mounts of its function.
func (c *composition) clear() error {
	if c.lock == nil {
		return nil
	}
	err := errors.Join(c.unbind(), c.unmountFunction(), c.removeGadget())
	c.lock.Close()
	c.lock, c.dir = nil, ""
	return err
}

func (c *composition) unmountFunction() error {
	for {
		at, err := mountPoint(c.root, "functionfs", c.name)
		if err != nil || at == "" {
			break
		}
		if err := c.unmount(at); err != nil {
			return &os.PathError{Op: "unmount", Path: at, Err: err}
		}
		if err := os.Remove(at); err != nil {
			return err
		}
	}
	if c.at == "" {
		return nil
	}
	err := os.Remove(c.at) // made for a mount that failed
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeGadget removes a gadget of any composition: links, then directories
// from the leaves up.
func (c *composition) removeGadget() error {
	for _, pattern := range []string{"configs/*/*", "configs/*/strings/*", "configs/*", "functions/*/lun.[1-9]*", "functions/*", "strings/*", ""} {
		matches, _ := filepath.Glob(filepath.Join(c.dir, pattern))
		for _, path := range matches {
			info, err := os.Lstat(path)
			switch {
			case err != nil:
				continue
			case info.Mode()&fs.ModeSymlink != 0:
				err = os.Remove(path)
			case info.IsDir() && filepath.Base(path) != "strings":
				err = c.rmdir(path)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return &os.PathError{Op: "remove", Path: path, Err: err}
			}
		}
	}
	return nil
}
