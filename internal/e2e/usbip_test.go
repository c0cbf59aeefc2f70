//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"spindle/gadget/usbip"
	"spindle/internal/lab"
	"spindle/isostore"
	"spindle/mmcemu"
	"spindle/target"
)

// A usbipRig is two drives of this process, with a.iso and b.iso in them, and
// a USB/IP server for each speed.
type usbipRig struct {
	t      *testing.T
	lib    *isostore.Library
	dir    string
	drives [2]*mmcemu.Drive
	ports  map[string]int    // by speed
	stops  map[string]func() // end a server
}

func newUSBIPRig(t *testing.T, images map[string]lab.Image) *usbipRig {
	t.Helper()
	r := &usbipRig{t: t, dir: library(t, images), ports: map[string]int{}, stops: map[string]func(){}}
	lib, err := isostore.Open([]string{r.dir})
	if err != nil {
		t.Fatal(err)
	}
	r.lib = lib
	var units []*target.Unit
	for i, name := range []string{"a.iso", "b.iso"} {
		d := mmcemu.New(mmcemu.Options{Serial: fmt.Sprintf("00000000CD%02d", i)})
		t.Cleanup(func() { d.Close() })
		r.drives[i] = d
		units = append(units, target.NewUnit(name, d, target.UnitOptions{}))
		if _, err := r.insert([]string{fmt.Sprint(i), name}); err != nil {
			t.Fatal(err)
		}
	}
	for name, speed := range map[string]usbip.Speed{"super": usbip.SuperSpeed, "high": usbip.HighSpeed} {
		r.serve(name, usbip.NewServer(usbip.Options{Speed: speed, Serial: "0123456789AB"}, units))
	}
	return r
}

func (r *usbipRig) serve(name string, s *usbip.Server) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.ports[name] = l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	r.stops[name] = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Serve = %v", err)
		}
	})
	r.t.Cleanup(r.stops[name])
}

// insert is a hook: DRIVE IMAGE.
func (r *usbipRig) insert(args []string) (string, error) {
	disc, info, err := r.lib.OpenDisc(args[1], isostore.Options{})
	if err != nil {
		return "", err
	}
	m := mmcemu.Medium{Disc: disc, Name: args[1], ID: fmt.Sprint(args[1], info.Medium)}
	return "", r.drives[args[0][0]-'0'].Insert(r.t.Context(), m, false)
}

// TestUSBIP has a kernel import the device over TCP: it finds two drives, reads
// whole discs, sees a swap without a new enumeration, and survives what a raw
// host does; a second importer is refused; a server that ends takes the device
// away.
func TestUSBIP(t *testing.T) {
	lab.Need(t, "kernel", "usbip", "xorriso")
	t.Parallel()
	r := newUSBIPRig(t, map[string]lab.Image{
		"a.iso": {Size: 8 << 20, Seed: 30}, "b.iso": {Size: 1 << 20, Seed: 31}, "c.iso": {Size: 2 << 20, Seed: 32},
	})
	hooks := map[string]lab.Hook{
		"port":   func(args []string) (string, error) { return fmt.Sprint(r.ports[args[0]]), nil },
		"insert": r.insert,
		"held": func([]string) (string, error) {
			if h := r.drives[0].Holders(); len(h) != 1 || h[0].Name != "usbip:127.0.0.1" {
				return "", fmt.Errorf("holders %+v; want the importer", h)
			}
			return "", nil
		},
		"stop": func(args []string) (string, error) { r.stops[args[0]](); return "", nil },
		"same": func(args []string) (string, error) {
			return sameAs(t, filepath.Join(r.dir, args[0]))(args[1:])
		},
	}
	g := &lab.Guest{
		Modules:  []string{"vhci_hcd", "usb-storage delay_use=0", "sr_mod", "sg", "isofs"},
		Binaries: []string{"usbip", "guesttool"},
		Data:     map[string][]byte{"/bin/usbhost": lab.GoBinary(t, "spindle/internal/lab/guest/usbhost")},
		Net:      true,
		Hooks:    hooks,
		Script: `
fail() {
	echo "FAILED: $*"
	usbip port
	exit 1
}
mkdir -p /var/run
dmesg -n 1 # its lines would run into ours
attach() { usbip --tcp-port $(host port $1) attach -r 10.0.2.2 -b 1-1; }
detected() { dmesg | grep -c "USB Mass Storage device detected"; }
usbip --tcp-port $(host port super) list -r 10.0.2.2 | grep 1d6b:0104 || fail list

attach super || fail attach
waitfor test -b /dev/sr0 && waitfor test -b /dev/sr1 || fail no drives
dmesg | grep "new SuperSpeed" || fail speed
host same a.iso $(sha256sum /dev/sr0) || fail sum of LUN 0
host same b.iso $(sha256sum /dev/sr1) || fail sum of LUN 1
attach super >/tmp/second 2>&1 && fail a second importer has it
grep -i busy /tmp/second || { cat /tmp/second; fail the second was not told; }

mount -t iso9660 -o ro /dev/sr0 /mnt && (cd /mnt && sha256sum -c SUMS) || fail files
host held || fail the importer is not who holds the tray
host insert 0 c.iso && fail a held tray was opened
umount /mnt
host insert 0 c.iso || fail insert
host same c.iso $(sha256sum /dev/sr0) || fail sum after the swap
[ "$(detected)" = 1 ] || fail the device was enumerated again
! dmesg | grep -i "i/o error" || fail errors
host insert 0 a.iso || fail insert
dd if=/dev/sr0 of=/dev/null bs=1M iflag=direct

echo "usbhost| begin super"
usbhost select || fail usbhost
waitfor test -b /dev/sr0 && host same a.iso $(sha256sum /dev/sr0) || fail the kernel does not have its drive back
host stop super
waitfor sh -c "! test -b /dev/sr0" || fail the device stays

attach high || fail attach
waitfor test -b /dev/sr0 && waitfor test -b /dev/sr1 || fail no drives
echo "usbhost| begin high"
usbhost select || fail usbhost
waitfor test -b /dev/sr0 && host same a.iso $(sha256sum /dev/sr0) || fail high speed
usbip detach -p 0
waitfor sh -c "! test -b /dev/sr0" || fail detach`,
	}
	res := g.Run(t)
	if res.Status != 0 {
		t.Errorf("status %d; want 0", res.Status)
	}
	checkHost(t, res.Log, "super", spindleAnswers, nil)
	checkHost(t, res.Log, "high", spindleAnswers, answers(highSpeed))
}
