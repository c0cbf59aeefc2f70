package gadget

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Check returns what keeps this machine from being a USB drive, in the order in
// which to mend it; nothing when it can be one. root is put before /sys, /proc,
// /lib and /boot, in tests.
func Check(root string) []Finding {
	var list []Finding
	if f, ok := checkConfigfs(root); !ok {
		list = append(list, f)
	}
	if !hasModule(root, "usb_f_fs") {
		list = append(list, moduleFinding("usb_f_fs"))
	}
	if len(udcs(root)) == 0 {
		list = append(list, noUDC(root))
	}
	return list
}

func checkConfigfs(root string) (Finding, bool) {
	at, err := mountPoint(root, "configfs", "")
	switch {
	case err != nil:
		return Finding{Reason: err.Error()}, false
	case at == "" && !hasFilesystem(root, "configfs"):
		return moduleFinding("configfs"), false
	case at == "":
		return Finding{"configfs is not mounted", "mount -t configfs none /sys/kernel/config"}, false
	}
	gadgets := filepath.Join(at, "usb_gadget")
	if _, err := os.Stat(gadgets); err != nil {
		return moduleFinding("libcomposite"), false
	}
	if unix.Access(gadgets, unix.W_OK) != nil {
		return rightsFinding("write to " + gadgets), false
	}
	return Finding{}, true
}

func hasFilesystem(root, kind string) bool {
	b, _ := os.ReadFile(filepath.Join(root, "/proc/filesystems"))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == kind {
			return true
		}
	}
	return false
}

// hasModule reports whether a module is loaded, or the kernel finds it by
// itself.
func hasModule(root, name string) bool {
	if _, err := os.Stat(filepath.Join(root, "/sys/module", name)); err == nil {
		return true
	}
	release := attribute(filepath.Join(root, "/proc/sys/kernel"), "osrelease")
	for _, list := range []string{"modules.dep", "modules.builtin"} {
		b, _ := os.ReadFile(filepath.Join(root, "/lib/modules", release, list))
		if bytes.Contains(b, []byte("/"+name+".ko")) {
			return true
		}
	}
	return false
}

func moduleFinding(name string) Finding {
	return Finding{"the kernel module " + name + " is not loaded", "modprobe " + name}
}

func rightsFinding(what string) Finding {
	return Finding{"no rights to " + what, "run it as root, or by systemd with spindle-gadget.conf"}
}

const overlay = "dtoverlay=dwc2"

// noUDC says why there is no device controller, as far as that can be known.
func noUDC(root string) Finding {
	// Not /proc/device-tree, a link to it: ProcSubset=pid of our unit hides that.
	model := attribute(filepath.Join(root, "/sys/firmware/devicetree/base"), "model")
	if !strings.HasPrefix(model, "Raspberry Pi") {
		return Finding{"this machine has no USB device controller, as most PCs; a simulated one connects it to itself", "modprobe dummy_hcd"}
	}
	for _, config := range []string{"/boot/firmware/config.txt", "/boot/config.txt"} {
		b, err := os.ReadFile(filepath.Join(root, config))
		switch {
		case err != nil:
			continue
		case !hasOverlay(string(b)):
			return Finding{
				"the USB device controller of this Raspberry Pi is off",
				fmt.Sprintf("echo %s,dr_mode=peripheral >> %s && reboot", overlay, config),
			}
		}
	}
	return Finding{"the driver of this Raspberry Pi's USB device controller is not loaded", "modprobe dwc2"}
}

func hasOverlay(config string) bool {
	for line := range strings.Lines(config) {
		if strings.HasPrefix(strings.TrimSpace(line), overlay) {
			return true
		}
	}
	return false
}

func missing(module string, err error) error {
	return &Error{moduleFinding(module), errors.Join(ErrNoModule, err)}
}

// explain gives the remedy for what the kernel refused, where there is one.
func explain(what string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Error{rightsFinding(what), errors.Join(ErrRights, err)}
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.ESRCH): // that is of an ep0 with descriptors
		return &Error{Finding{Reason: what + ": another process has it"}, errors.Join(ErrBusy, err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}
