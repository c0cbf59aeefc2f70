package gadget

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A fake is a directory that plays the kernel.
type fake struct {
	t      *testing.T
	root   string
	failed map[string]error // by kind of file system: what mounting it fails with
}

func newFake(t *testing.T, files map[string]string) *fake {
	f := &fake{t: t, root: t.TempDir(), failed: map[string]error{}}
	for name, text := range files {
		f.write(name, text)
	}
	return f
}

func (f *fake) path(name string) string { return filepath.Join(f.root, name) }

func (f *fake) write(name, text string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.path(name), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) read(name string) string { return attribute(f.root, name) }

func (f *fake) mounts() []string {
	return slices.DeleteFunc(strings.Split(f.read("/proc/self/mounts"), "\n"), func(l string) bool { return l == "" })
}

func (f *fake) mount(kind, source, dir string) error {
	if err := f.failed[kind]; err != nil {
		return err
	}
	line := strings.Join([]string{source, strings.TrimPrefix(dir, f.root), kind, "rw 0 0"}, " ")
	f.write("/proc/self/mounts", strings.Join(append(f.mounts(), line), "\n")+"\n")
	if kind == "configfs" {
		f.write(strings.TrimPrefix(dir, f.root)+"/usb_gadget/.keep", "")
	}
	return nil
}

func (f *fake) unmount(dir string) error {
	at := " " + strings.TrimPrefix(dir, f.root) + " "
	left := slices.DeleteFunc(f.mounts(), func(l string) bool { return strings.Contains(l, at) })
	f.write("/proc/self/mounts", strings.Join(left, "\n")+"\n")
	return os.RemoveAll(filepath.Join(dir, "usb_gadget"))
}

// rmdir removes the files in a directory with it, and some directories, as
// configfs does with attributes and groups of its own.
func rmdir(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		own := slices.Contains([]string{"configs", "functions", "strings", "lun.0"}, e.Name())
		if e.IsDir() && !own || e.Type()&os.ModeSymlink != 0 {
			return unix.ENOTEMPTY
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}

func (f *fake) system() system { return system{f.root, f.mount, f.unmount, rmdir} }

func (f *fake) options() *Options {
	o := &Options{Name: "g0", Serial: "0123456789ABCDEF", Product: "drive", RunDir: f.path("/run")}
	if err := o.check(1); err != nil {
		f.t.Fatal(err)
	}
	return o
}

// compose is compose with functions/ there, which configfs makes by itself.
func (f *fake) compose() (*composition, error) { return f.composeAs("spindle-g0") }

func (f *fake) composeAs(name string) (*composition, error) {
	c := &composition{system: f.system(), name: name}
	o := f.options()
	err := func() error {
		gadgets, err := c.configfs(o.RunDir)
		if err == nil {
			err = c.claim(filepath.Join(gadgets, c.name))
		}
		if err == nil {
			err = os.Mkdir(filepath.Join(c.dir, "functions"), 0o755)
		}
		if err == nil {
			err = c.fill(o)
		}
		return err
	}()
	if err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

const gadgetDir = "/sys/kernel/config/usb_gadget"

// board is a machine with configfs and two UDCs, of which one is taken.
func board() map[string]string {
	return map[string]string{
		"/proc/self/mounts":           "none /sys/kernel/config configfs rw 0 0\n",
		gadgetDir + "/theirs/UDC":     "udc.0\n",
		udcDir + "/udc.0/state":       "configured\n",
		udcDir + "/udc.0/function":    "theirs\n",
		udcDir + "/udc.1/state":       "not attached\n",
		udcDir + "/udc.1/function":    "\n",
		"/proc/filesystems":           "nodev\tconfigfs\n",
		"/sys/module/usb_f_fs/uevent": "",
	}
}

func TestCompose(t *testing.T) {
	f := newFake(t, board())
	c, err := f.compose()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.bind(Auto); err != nil || c.udc != "udc.1" {
		t.Errorf("bound to %q, %v; want udc.1, which is free", c.udc, err)
	}
	for name, want := range map[string]string{
		"idVendor": "0x1d6b", "idProduct": "0x0104", "UDC": "udc.1",
		"strings/0x409/serialnumber": "0123456789ABCDEF", "strings/0x409/product": "drive",
		"configs/c.1/MaxPower": "500", "configs/c.1/bmAttributes": "0x80",
	} {
		if got := f.read(gadgetDir + "/spindle-g0/" + name); got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	if link, err := os.Readlink(f.path(gadgetDir + "/spindle-g0/configs/c.1/ffs.spindle-g0")); err != nil || link != c.function() {
		t.Errorf("the configuration has %q, %v; want %s", link, err, c.function())
	}
	_, err = f.compose()
	if !errors.Is(err, ErrBusy) || len(f.mounts()) != 2 {
		t.Errorf("compose again: %v, mounts %q; want %v and nothing touched", err, f.mounts(), ErrBusy)
	}
	if err := c.remove(); err != nil {
		t.Error(err)
	}
	f.clean(t)
}

// clean says whether there is only the gadget of somebody else's.
func (f *fake) clean(t *testing.T) {
	t.Helper()
	list, _ := filepath.Glob(f.path(gadgetDir + "/*"))
	run, _ := os.ReadDir(f.path("/run"))
	if len(list) != 1 || len(f.mounts()) != 1 || len(run) != 0 {
		t.Errorf("left behind: %q, %q, %v", list, f.mounts(), run)
	}
}

func TestComposeAfterAKill(t *testing.T) {
	f := newFake(t, board())
	killed, err := f.compose()
	if err != nil {
		t.Fatal(err)
	}
	killed.lock.Close()
	c, err := f.compose()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.mounts()); n != 2 {
		t.Errorf("mounts %q; want one of FunctionFS", f.mounts())
	}
	if err := c.remove(); err != nil {
		t.Error(err)
	}
	f.clean(t)
}

func TestComposeMountsConfigfs(t *testing.T) {
	files := board()
	files["/proc/self/mounts"] = ""
	f := newFake(t, files)
	c, err := f.compose()
	if err != nil {
		t.Fatal(err)
	}
	if len(f.mounts()) != 2 {
		t.Errorf("mounts %q; want configfs and FunctionFS", f.mounts())
	}
	if err := c.remove(); err != nil {
		t.Error(err)
	}
	if run, _ := os.ReadDir(f.path("/run")); len(f.mounts()) != 0 || len(run) != 0 {
		t.Errorf("left behind: %q, %v", f.mounts(), run)
	}
}

// The first of two gadgets in a configfs of ours, and one that is refused,
// leave it to the other.
func TestComposeTwoInOwnConfigfs(t *testing.T) {
	files := board()
	files["/proc/self/mounts"] = ""
	f := newFake(t, files)
	a, err := f.compose()
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.composeAs("spindle-g1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.compose(); !errors.Is(err, ErrBusy) || len(f.mounts()) != 3 {
		t.Errorf("compose again: %v, mounts %q; want %v and nothing touched", err, f.mounts(), ErrBusy)
	}
	if err := a.remove(); err != nil || len(f.mounts()) != 2 {
		t.Errorf("one removed: %v, mounts %q; want configfs and FunctionFS", err, f.mounts())
	}
	if err := b.remove(); err != nil {
		t.Error(err)
	}
	if run, _ := os.ReadDir(f.path("/run")); len(f.mounts()) != 0 || len(run) != 0 {
		t.Errorf("left behind: %q, %v", f.mounts(), run)
	}
}

// A gadget of the kernel's mode that was killed is taken over by ours.
func TestComposeAfterAKernelGadget(t *testing.T) {
	files := board()
	for _, lun := range []string{"lun.0", "lun.1", "lun.10"} {
		files[gadgetDir+"/spindle-g0/functions/mass_storage.spindle/"+lun+"/file"] = "/a.iso\n"
	}
	f := newFake(t, files)
	c, err := f.compose()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.remove(); err != nil {
		t.Error(err)
	}
	f.clean(t)
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name, udc string
		change    func(f *fake)
		err       error
		text      string
	}{
		{"no libcomposite", Auto, func(f *fake) { os.RemoveAll(f.path(gadgetDir)) }, ErrNoModule, "remedy: modprobe libcomposite"},
		{"no usb_f_fs", Auto, func(f *fake) { f.failed["functionfs"] = unix.ENODEV }, ErrNoModule, "remedy: modprobe usb_f_fs"},
		{"no right to mount", Auto, func(f *fake) { f.failed["functionfs"] = unix.EPERM }, ErrRights, "no rights to mount FunctionFS"},
		{"no configfs", Auto, func(f *fake) {
			f.write("/proc/self/mounts", "")
			f.failed["configfs"] = unix.ENODEV
		}, ErrNoModule, "remedy: modprobe configfs"},
		{"no UDC", Auto, func(f *fake) { os.RemoveAll(f.path(udcDir)) }, ErrNoUDC, "remedy: modprobe dummy_hcd"},
		{"no such UDC", "udc.9", func(*fake) {}, ErrNoUDC, "no USB device controller udc.9 (remedy: use udc.0 or udc.1)"},
		{"taken", "udc.0", func(*fake) {}, ErrBusy, "udc.0 is taken by gadget theirs (remedy: echo > "},
		{"all taken", Auto, func(f *fake) { f.write(udcDir+"/udc.1/function", "g_ether\n") }, ErrBusy, "udc.0 is taken"},
		{"a module's", "udc.1", func(f *fake) { f.write(udcDir+"/udc.1/function", "g_ether\n") }, ErrBusy, "taken by g_ether (remedy: modprobe -r g_ether)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, board())
			tt.change(f)
			before := len(f.mounts())
			c, err := f.compose()
			if err == nil {
				err = errors.Join(c.bind(tt.udc), c.remove())
			}
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want %v, with %q in one line", err, tt.err, tt.text)
			}
			if _, err := os.Stat(f.path(gadgetDir + "/spindle-g0")); err == nil || len(f.mounts()) != before {
				t.Errorf("left behind: %q, or the gadget (%v)", f.mounts(), err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	pi := func(m map[string]string) {
		m["/sys/firmware/devicetree/base/model"] = "Raspberry Pi 4 Model B Rev 1.4\x00"
		delete(m, udcDir+"/udc.0/state")
	}
	noUDCs := func(f *fake) { os.RemoveAll(f.path(udcDir)) }
	tests := []struct {
		name   string
		files  func(map[string]string)
		change func(*fake)
		want   []string // remedies
	}{
		{"all there", nil, nil, nil},
		{"no UDC", nil, noUDCs, []string{"modprobe dummy_hcd"}},
		{
			"Raspberry Pi without overlay", func(m map[string]string) { pi(m); m["/boot/firmware/config.txt"] = "#dtoverlay=dwc2\n" }, noUDCs,
			[]string{"echo dtoverlay=dwc2,dr_mode=peripheral >> /boot/firmware/config.txt && reboot"},
		},
		{"Raspberry Pi with overlay", func(m map[string]string) { pi(m); m["/boot/config.txt"] = "dtoverlay=dwc2\n" }, noUDCs, []string{"modprobe dwc2"}},
		{"configfs is not mounted", func(m map[string]string) { m["/proc/self/mounts"] = "" }, nil, []string{"mount -t configfs none /sys/kernel/config"}},
		{"no configfs", func(m map[string]string) { m["/proc/self/mounts"], m["/proc/filesystems"] = "", "" }, nil, []string{"modprobe configfs"}},
		{"nothing loaded", nil, func(f *fake) {
			os.RemoveAll(f.path(gadgetDir))
			os.RemoveAll(f.path("/sys/module"))
		}, []string{"modprobe libcomposite", "modprobe usb_f_fs"}},
		{"loaded when needed", func(m map[string]string) {
			m["/proc/sys/kernel/osrelease"] = "6.1\n"
			m["/lib/modules/6.1/modules.dep"] = "kernel/drivers/usb/gadget/function/usb_f_fs.ko.xz:\n"
		}, func(f *fake) { os.RemoveAll(f.path("/sys/module")) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := board()
			if tt.files != nil {
				tt.files(files)
			}
			f := newFake(t, files)
			if tt.change != nil {
				tt.change(f)
			}
			var got []string
			for _, x := range Check(f.root) {
				got = append(got, x.Remedy)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("remedies %q; want %q", got, tt.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	good := Options{Name: "g0", Serial: "0123456789AB"}
	tests := []struct {
		name   string
		change func(*Options)
		units  int
		ok     bool
	}{
		{"good", func(*Options) {}, 1, true},
		{"sixteen", func(*Options) {}, 16, true},
		{"seventeen", func(*Options) {}, 17, false},
		{"none", func(*Options) {}, 0, false},
		{"path", func(o *Options) { o.Name = "../g0" }, 1, false},
		{"short serial", func(o *Options) { o.Serial = "0123456789A" }, 1, false},
		{"lower case", func(o *Options) { o.Serial = "0123456789ab" }, 1, false},
		{"composite", func(o *Options) { o.FunctionFS, o.Serial = "/ffs", "" }, 1, true},
	}
	for _, tt := range tests {
		o := good
		tt.change(&o)
		if err := o.check(tt.units); (err == nil) != tt.ok {
			t.Errorf("%s: %v; want success %t", tt.name, err, tt.ok)
		}
	}
}
