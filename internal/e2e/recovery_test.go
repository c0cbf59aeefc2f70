//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
)

// openISCSI returns a guest with iscsid, and functions for its script: fail,
// and `login PORTAL TARGET DEVICE [KEY=VALUE...]`, where KEY is one of
// iscsiadm's below node. Its sessions are numbered from 1. Settings are more
// lines of iscsid.conf.
func openISCSI(settings string, hooks map[string]lab.Hook, script string) *lab.Guest {
	return &lab.Guest{
		Modules:  lab.InitiatorModules,
		Binaries: []string{"guesttool", "iscsid", "iscsiadm"},
		Data: openISCSIFiles(`node.session.timeo.replacement_timeout = 120
node.conn[0].timeo.noop_out_interval = 5
node.conn[0].timeo.noop_out_timeout = 5
` + settings),
		Net:    true,
		Hooks:  hooks,
		Script: openISCSIScript + script,
	}
}

// openISCSIFiles are what open-iscsi wants to find in a guest, with more lines of
// iscsid.conf.
func openISCSIFiles(settings string) map[string][]byte {
	return map[string][]byte{
		"/etc/passwd":                    []byte("root:x:0:0:root:/root:/bin/sh\n"), // iscsid looks who asks
		"/etc/iscsi/initiatorname.iscsi": []byte("InitiatorName=" + guestName + "\n"),
		"/etc/iscsi/iscsid.conf":         []byte("iscsid.startup = /bin/iscsid\nnode.startup = manual\n" + settings),
	}
}

const openISCSIScript = `
fail() {
	echo "FAILED: $*"
	exit 1
}
login() { # without discovery, which tells addresses of the host
	at=$1 target=$2 device=$3
	shift 3
	iscsiadm -m node -o new -T $target -p $at || fail node of $target
	for setting; do
		iscsiadm -m node -T $target -p $at -o update -n node.${setting%%=*} -v ${setting#*=} || fail $setting
	done
	iscsiadm -m node -T $target -p $at --login || fail login to $target
	waitfor test -b /dev/$device || fail no $device
}
mkdir -p /run/lock/iscsi
iscsid || fail iscsid
`

// TestComeBack takes the target away from a kernel that reads, in two ways at
// once: one daemon's network is cut for 20 s, another daemon is killed and
// started again after 15 s. Reads go on where they were, and mounted file
// systems live on: a host that comes back to the same disc hears nothing of it.
// A drive with ua_on_return tells, as other targets do, and Linux fails the
// read; but the next one works.
func TestComeBack(t *testing.T) {
	lab.Need(t, "kernel", "iscsid", "iscsiadm", "xorriso")
	t.Parallel()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: 16 << 20, Seed: 20}})
	cut := serve(t, "--config", drives(t, dir, "quick", "patient", "telling", "mounted"))
	killed := serve(t, "--config", drives(t, dir, "back", "backtelling", "backmounted"))
	hooks := map[string]lab.Hook{
		"kill":  func([]string) (string, error) { killed.kill(); return "", nil },
		"start": func([]string) (string, error) { killed.start(); return "", nil },
		"same": func(args []string) (string, error) {
			return sameAs(t, filepath.Join(dir, "a.iso"))(args)
		},
	}
	const first, second = "10.0.2.2", "10.0.3.2"
	g := openISCSI("", hooks, "ip link set eth1 up && ip addr add 10.0.3.15/24 dev eth1 || fail eth1\n"+
		loginTo(cut, "quick", first, cut.portal, "sr0")+
		loginTo(cut, "patient", first, cut.portal, "sr1", "conn[0].timeo.noop_out_interval=0", "conn[0].timeo.noop_out_timeout=0")+
		loginTo(cut, "telling", first, cut.portal, "sr2")+
		loginTo(cut, "mounted", first, cut.portal, "sr3")+
		loginTo(killed, "back", second, killed.portal, "sr4")+
		loginTo(killed, "backtelling", second, killed.portal, "sr5")+
		loginTo(killed, "backmounted", second, killed.portal, "sr6")+comeBackScript)
	g.Args = []string{"-netdev", "user,id=second,net=10.0.3.0/24", "-device", "virtio-net-pci,netdev=second,romfile="}
	if r := g.Run(t); r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
}

// drives saves a configuration with a.iso in drives of these names, and returns
// its path. One that ends in "telling" raises unit attentions when hosts return.
func drives(t testing.TB, dir string, names ...string) string {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "[library]\ndirs = [%q]\n", dir)
	for _, name := range names {
		fmt.Fprintf(&text, "[drive.%s]\ndisc = \"a.iso\"\nua_on_return = %v\n", name, strings.HasSuffix(name, "telling"))
	}
	path := filepath.Join(t.TempDir(), "spindle.toml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loginTo is the script's line that logs in to a drive of d through a portal on
// the loopback, of which the guest has the address at.
func loginTo(d *daemon, drive, at, portal, device string, settings ...string) string {
	d.t.Helper()
	s := d.status()
	return fmt.Sprintln("login", at+":"+port(d.t, portal), s.Drive(drive).Target, device, strings.Join(settings, " "))
}

func port(t testing.TB, portal string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(portal)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

const comeBackScript = `
sectors() { set -- $(cat /sys/block/$1/stat); echo $3; } # read, of 512 bytes
begun() { waitfor sh -c "set -- \$(cat /sys/block/$1/stat); [ \$3 -gt 1000 ]" || fail $1 does not begin; }
read_all() {
	{ dd if=/dev/$1 bs=64k iflag=direct && touch /tmp/$1.good; } | sha256sum >/tmp/$1.sum
	touch /tmp/$1.done
}
read_files() {
	(cd /$1 && sha256sum -c SUMS) && touch /tmp/$1.good
	touch /tmp/$1.done
}
ended() {
	waitfor test -e /tmp/$1.done || waitfor test -e /tmp/$1.done || fail the read of $1 hangs
}
good() {
	ended $1
	[ -e /tmp/$1.good ] || fail the read of $1 did not survive
	! dmesg | grep "I/O error.*$1" || fail errors
}
lost() { dmesg | grep -q "connection$1:0: detected conn error"; } # SESSION

for dev in sr3 sr6; do
	mkdir /$dev && mount -t iso9660 -o ro /dev/$dev /$dev && (cd /$dev && sha256sum -c SUMS) || fail mount
done
echo 3 >/proc/sys/vm/drop_caches
for dev in sr0 sr1 sr2 sr4 sr5; do read_all $dev & done
for dev in sr3 sr6; do read_files $dev & done
for dev in sr0 sr1 sr2 sr3 sr4 sr5 sr6; do begun $dev; done

host link off || fail cut
host kill
[ -z "$(ls /tmp/*.done)" ] || fail a read ended too soon for this test: /tmp/*.done
sleep 5
before="$(for dev in sr0 sr1 sr2 sr3 sr4 sr5 sr6; do sectors $dev; done)"
sleep 10
now="$(for dev in sr0 sr1 sr2 sr3 sr4 sr5 sr6; do sectors $dev; done)"
[ "$before" = "$now" ] || fail something is read while the target is away
host start || fail start
sleep 5
host link on || fail link

for dev in sr0 sr1 sr4; do good $dev && host same $(cat /tmp/$dev.sum); done
for dev in sr3 sr6; do
	good $dev
	echo 3 >/proc/sys/vm/drop_caches
	(cd /$dev && sha256sum -c SUMS) && umount /$dev || fail the mounted file system
done
lost 1 && dmesg | grep "connection1:0: ping timeout" || fail the cut went unnoticed where pings are sent
! lost 2 || fail the cut was noticed where none are sent
lost 5 || fail the end of the daemon went unnoticed
for dev in sr2 sr5; do
	ended $dev
	[ ! -e /tmp/$dev.good ] || fail the read of $dev survived a unit attention
	dmesg | grep "I/O error.*$dev" || fail no error
	host same $(sha256sum /dev/$dev)
done
`
