//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/api/client"
	"spindle/internal/lab"
)

// guestName is the initiator that guests log in as.
const guestName = "iqn.2026-11.lab:guest"

// A rig is a daemon with a configuration file and a library, and what a guest
// that logs in to it needs.
type rig struct {
	*daemon
	dir    string   // of the library
	config string   // file
	tools  []string // more for the guest
	root   bool     // the guest has the root with tools
}

// newRig starts a daemon with a.iso of the images in the drive.
func newRig(t testing.TB, images map[string]lab.Image) *rig {
	t.Helper()
	lab.Need(t, "kernel", "iscsistart", "xorriso", "genisoimage")
	r := &rig{dir: library(t, images), config: filepath.Join(t.TempDir(), "spindle.toml")}
	r.configure("a.iso")
	r.daemon = serve(t, "--config", r.config)
	r.expect("ready", "a.iso")
	return r
}

// configure saves the configuration with another disc, as editors do: by a new
// file in the place of the old one.
func (r *rig) configure(disc string) error {
	text := fmt.Sprintf("[library]\ndirs = [%q]\n\n[drive.cd0]\ndisc = %q\n", r.dir, disc)
	return replace(r.config, text)
}

// replace puts a file of that text in the place of the old one: who watches it never
// reads half of it.
func replace(path, text string) error {
	if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+"~", path)
}

// prelude has functions for scripts. changes is how often the kernel told of a
// changed medium, once it has told all; changed waits until it was more often.
const prelude = `
fail() {
	echo "FAILED: $*"
	host spindle status --json
	exit 1
}
login() {
	iscsistart -i ` + guestName + ` -g 1 -a 10.0.2.2 $(host login) || fail login
	waitfor test -b /dev/sr0 || fail no drive
	echo 200 >/sys/block/sr0/events_poll_msecs
}
events() { grep -c DISK_MEDIA_CHANGE=1 /tmp/uevents; }
quiet() { [ $(events) = $(sleep 1; events) ]; }
changes() {
	until quiet; do :; done
	events
}
changed() { waitfor sh -c "[ \$(grep -c DISK_MEDIA_CHANGE=1 /tmp/uevents) -gt $1 ]"; }
files() { # TYPE: mounts the disc and checks its files
	mount -t $1 -o ro /dev/sr0 /mnt && (cd /mnt && sha256sum -c SUMS) && umount /mnt
}
guesttool uevents >/tmp/uevents &
`

// guest runs a script in a guest with an iSCSI initiator of its own. Besides
// what prelude has, it can call `host spindle VERB...`, `host configure DISC`,
// `host expect STATE [DISC]`, `host same DISC SUM`, and the given hooks.
func (r *rig) guest(t *testing.T, script string, hooks map[string]lab.Hook) *lab.Result {
	t.Helper()
	_, port, err := net.SplitHostPort(r.portal)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]lab.Hook{
		"login":     func([]string) (string, error) { return "-p " + port + " -t " + r.cd0().Target, nil },
		"spindle":   func(args []string) (string, error) { return r.run(args...) },
		"configure": func(args []string) (string, error) { return "", r.configure(args[0]) },
		"same": func(args []string) (string, error) {
			return sameAs(t, filepath.Join(r.dir, args[0]))(args[1:])
		},
		"expect": func(args []string) (string, error) {
			r.expect(args[0], strings.Join(args[1:], ""))
			return "", nil
		},
	}
	maps.Copy(all, hooks)
	binaries := append([]string{"guesttool"}, r.tools...)
	if !r.root {
		binaries = append(binaries, "iscsistart")
	}
	g := &lab.Guest{
		Root:     r.root,
		Modules:  lab.InitiatorModules,
		Binaries: binaries,
		Net:      true,
		Script:   prelude + script,
		Hooks:    all,
	}
	res := g.Run(t)
	if res.Status != 0 {
		t.Errorf("status %d; want 0", res.Status)
	}
	return res
}

// TestSwap changes the disc under a kernel that looks on, by command and by
// configuration.
func TestSwap(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]lab.Image{
		"a.iso": {Size: 3 << 20, Seed: 10},
		"b.iso": {Kind: lab.UDF, Size: 2 << 20, Seed: 11},
		"c.iso": {Size: 4 << 20, Seed: 12},
	})
	r.guest(t, `
		login
		dmesg | grep "scsi3-mmc drive" || fail not a drive
		host same a.iso $(sha256sum /dev/sr0) || fail sum
		files iso9660 || fail a.iso

		before=$(changes)
		host spindle insert cd0 b.iso || fail insert
		files udf || fail b.iso is not what the next open reads
		host same b.iso $(sha256sum /dev/sr0) || fail sum
		changed $before || fail no event

		before=$(changes)
		host configure c.iso || fail configure
		changed $before || fail no event
		host expect ready c.iso || fail swap by configuration
		host same c.iso $(sha256sum /dev/sr0) || fail sum
		files iso9660 || fail c.iso
		! dmesg | grep -i "i/o error" || fail errors`, nil)
}

// TestTray opens the tray from either side, and changes discs under a mounted
// one.
func TestTray(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]lab.Image{
		"a.iso": {Size: 1 << 20, Seed: 13},
		"b.iso": {Size: 2 << 20, Seed: 14},
		"c.iso": {Size: 3 << 20, Seed: 15},
	})
	r.guest(t, `
		login
		guesttool eject /dev/sr0 || fail eject
		host expect open a.iso || fail the disc should lie on the tray
		[ "$(guesttool status /dev/sr0)" = open ] || fail "status $(guesttool status /dev/sr0)"
		guesttool closetray /dev/sr0 || fail close
		host expect ready a.iso || fail the disc should be back
		host same a.iso $(sha256sum /dev/sr0) || fail sum

		mount -t iso9660 -o ro /dev/sr0 /mnt || fail mount
		host refused eject cd0 --wait 0s || fail eject of a mounted disc
		host refused insert cd0 b.iso --wait 0s || fail insert under a mounted disc
		host configure b.iso || fail configure
		host pending b.iso || fail nothing waits
		waitfor grep DISK_EJECT_REQUEST=1 /tmp/uevents || fail the kernel was not asked
		(cd /mnt && sha256sum -c SUMS) || fail the mounted disc
		before=$(changes)
		umount /mnt || fail umount
		host expect ready b.iso || fail what waited did not come
		changed $before || fail no event
		host same b.iso $(sha256sum /dev/sr0) || fail sum
		! dmesg | grep -i "i/o error" || fail errors

		mount -t iso9660 -o ro /dev/sr0 /mnt || fail mount
		host spindle insert cd0 c.iso --force || fail forced insert
		umount /mnt || fail umount
		files iso9660 || fail c.iso
		host same c.iso $(sha256sum /dev/sr0) || fail sum

		mount -t iso9660 -o ro /dev/sr0 /mnt || fail mount
		host spindle eject cd0 --force || fail forced eject
		host expect open || fail the disc should be out
		umount /mnt || fail umount
		[ "$(guesttool status /dev/sr0)" = open ] || fail "status $(guesttool status /dev/sr0)"`, map[string]lab.Hook{
		"refused": r.refused, "pending": r.pending,
	})
}

// refused is a hook that runs a verb, which has to fail and name the holder.
func (r *rig) refused(args []string) (string, error) {
	_, err := r.run(append(args, "--json")...)
	verb, ok := errors.AsType[*verbError](err)
	if !ok {
		return "", fmt.Errorf("%q: %v; want a refusal", args, err)
	}
	var e client.Error
	if err := json.Unmarshal([]byte(verb.stderr), &e); err != nil {
		return "", fmt.Errorf("%w in %q", err, verb.stderr)
	}
	if len(e.Holders) != 1 || e.Holders[0].Initiator != guestName || e.Holders[0].Since.IsZero() || !strings.Contains(e.Message, guestName) {
		return "", fmt.Errorf("%q: %+v; want a refusal that names %s", args, e, guestName)
	}
	c := r.cd0()
	if c.State != "ready" || len(c.Holders) != 1 || c.Holders[0].Initiator != guestName {
		return "", fmt.Errorf("after %q status has %+v; want a ready drive that %s holds", args, c, guestName)
	}
	return "", nil
}

// pending is a hook that waits until a disc waits for the tray to be free.
func (r *rig) pending(args []string) (string, error) {
	until(r.t, func() error {
		if c := r.cd0(); c.Pending == nil || c.Pending.Disc != args[0] || c.State != "ready" || c.Disc != "a.iso" {
			return fmt.Errorf("cd0 is %+v; want %s pending and a.iso ready", c, args[0])
		}
		return nil
	})
	return "", nil
}
