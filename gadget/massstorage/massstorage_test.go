package massstorage

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"spindle/gadget"
)

// fake is a directory that plays configfs and sysfs, with the attributes of
// lun.0, which the kernel makes by itself.
func fake(t *testing.T) system {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/self/mounts":                  "configfs /config configfs rw 0 0\n",
		"sys/class/udc/a.udc/state":         "configured\n",
		"sys/class/udc/a.udc/current_speed": "super-speed\n",
		"config/usb_gadget/.keep":           "",
	} {
		put(t, filepath.Join(root, name), text)
	}
	return system{
		root: root, mount: func(string) error { return nil }, unmount: func(string) error { return nil },
		flock: func(*os.File) error { return nil }, rmdir: os.RemoveAll,
		mkdir: func(dir string) error { return os.MkdirAll(dir, 0o755) },
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(b))
}

var attributes = []string{"cdrom", "ro", "removable", "file", "forced_eject"}

// opened is a gadget of two drives in a fake.
func opened(t *testing.T, s system) (*Gadget, *composition) {
	t.Helper()
	c, err := compose(gadget.Options{Name: "g0", Serial: "0123456789AB", MaxSpeed: "high-speed"}, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, lun := range []string{"lun.0", "lun.1"} {
		for _, name := range attributes {
			put(t, filepath.Join(c.Function(), lun, name), "")
		}
	}
	g, err := OpenIn(c, 2)
	if err != nil {
		t.Fatal(err)
	}
	return g, c
}

func TestCompose(t *testing.T) {
	s := fake(t)
	g, c := opened(t, s)
	dir := filepath.Join(s.root, "config/usb_gadget/spindle-g0")
	for name, want := range map[string]string{
		"idVendor": "0x1d6b", "idProduct": "0x0104", "strings/0x409/serialnumber": "0123456789AB",
		"max_speed": "high-speed", "configs/c.1/MaxPower": "500", "UDC": "a.udc",
		"configs/c.1/mass_storage.spindle/lun.1/cdrom": "1", "functions/mass_storage.spindle/lun.0/ro": "1",
	} {
		if got := get(t, filepath.Join(dir, name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if st := g.Status(1); st.UDC != "a.udc" || st.State != "configured" || st.Path != "" || len(st.Limits) == 0 {
		t.Errorf("status %+v", st)
	}
	// What a killed process left is replaced.
	again, _ := opened(t, s)
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the gadget is left: %v", err)
	}
	c.lock = nil // that process is dead
}

func TestOpenFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		udc   string
		spoil func(root string)
		want  error
		text  string
	}{
		{"no controller", "", func(root string) { os.RemoveAll(filepath.Join(root, "sys/class/udc")) }, gadget.ErrNoUDC, "no USB device controller"},
		{"another controller", "b.udc", func(string) {}, gadget.ErrNoUDC, "use a.udc"},
		{"no libcomposite", "", func(root string) { os.RemoveAll(filepath.Join(root, "config/usb_gadget")) }, gadget.ErrNoModule, "modprobe libcomposite"},
	} {
		s := fake(t)
		tt.spoil(s.root)
		c, err := compose(gadget.Options{Name: "g0", UDC: tt.udc}, s)
		if err == nil {
			for _, name := range attributes {
				put(t, filepath.Join(c.Function(), "lun.0", name), "")
			}
			_, err = OpenIn(c, 1)
		}
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.text)
		}
		if _, err := os.Stat(filepath.Join(s.root, "config/usb_gadget/spindle-g0")); err == nil {
			t.Errorf("%s: the gadget is left", tt.name)
		}
	}
}

func TestConfigfsIsMountedAndUnmounted(t *testing.T) {
	s, run := fake(t), t.TempDir()
	put(t, filepath.Join(s.root, "proc/self/mounts"), "")
	var calls []string
	s.mount = func(dir string) error {
		calls = append(calls, "mount "+filepath.Base(dir))
		return os.MkdirAll(filepath.Join(dir, "usb_gadget"), 0o755)
	}
	s.unmount = func(dir string) error {
		calls = append(calls, "unmount "+filepath.Base(dir))
		return os.Remove(filepath.Join(dir, "usb_gadget"))
	}
	c, err := compose(gadget.Options{Name: "g0", RunDir: run}, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(); err != nil {
		t.Error(err)
	}
	if want := []string{"mount configfs", "unmount configfs"}; !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
	s.mount = func(string) error { return syscall.EPERM }
	if _, err := compose(gadget.Options{Name: "g0", RunDir: run}, s); !errors.Is(err, gadget.ErrRights) {
		t.Errorf("without rights: %v", err)
	}
}

// image makes a sparse file with bytes at places.
func image(t *testing.T, size int64, at map[int64]string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for offset, text := range at {
		if _, err := f.WriteAt([]byte(text), offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestCheck(t *testing.T) {
	iso := map[int64]string{16*BlockSize + 1: "CD001"}
	for _, tt := range []struct {
		name string
		size int64
		at   map[int64]string
		want string // of the error; empty for none
	}{
		{"iso", MinBlocks * BlockSize, iso, ""},
		{"udf", MinBlocks * BlockSize, map[int64]string{16*BlockSize + 1: "BEA01"}, ""},
		{"the largest", MaxBlocks * BlockSize, iso, ""},
		{"too large", (MaxBlocks + 1) * BlockSize, iso, "cut off"},
		{"too small", (MinBlocks - 1) * BlockSize, iso, "less than 300"},
		{"half a block", MinBlocks*BlockSize + 1024, iso, "multiple"},
		{"no file system", MinBlocks * BlockSize, nil, "CD001"},
		{"raw sectors", 2352 * 2048, map[int64]string{0: "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 1: "\xff"}, "raw sectors"},
		{"CHD", MinBlocks * BlockSize, map[int64]string{0: "MComprHD"}, "MComprHD"},
		{"NRG", MinBlocks * BlockSize, map[int64]string{16*BlockSize + 1: "CD001", MinBlocks*BlockSize - 12: "NER5"}, "Nero"},
		{"empty", 0, nil, "less than 300"},
	} {
		blocks, err := Check(image(t, tt.size, tt.at))
		switch {
		case tt.want == "":
			if err != nil || blocks != tt.size/BlockSize {
				t.Errorf("%s: %d, %v", tt.name, blocks, err)
			}
		case !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
	if _, err := Check(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestInsertAndEject(t *testing.T) {
	g, _ := opened(t, fake(t))
	defer g.Close()
	d := g.Drive(1)
	path := image(t, MinBlocks*BlockSize, map[int64]string{16*BlockSize + 1: "CD001"})
	if err := d.Insert(t.Context(), path, false); err != nil || d.Path() != path || g.Drive(0).Path() != "" {
		t.Errorf("insert: %v, %q, %q", err, d.Path(), g.Drive(0).Path())
	}
	if err := d.Insert(t.Context(), image(t, 4096, nil), true); !errors.Is(err, ErrImage) || d.Path() != path {
		t.Errorf("insert of a bad image: %v, %q", err, d.Path())
	}
	if err := d.Eject(t.Context(), false); err != nil || d.Path() != "" {
		t.Errorf("eject: %v, %q", err, d.Path())
	}
}
