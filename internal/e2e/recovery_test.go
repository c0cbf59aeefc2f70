//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"spindle/internal/lab"
)

// TestComeBack kills the daemon while a kernel reads, and starts it again. The
// read goes on where it was: a host that comes back to the same disc hears
// nothing of it. A drive with ua_on_return tells, as other targets do, and
// Linux fails the read; but the next one works.
func TestComeBack(t *testing.T) {
	lab.Need(t, "kernel", "iscsid", "iscsiadm", "xorriso")
	t.Parallel()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: 64 << 20, Seed: 20}, "b.iso": {Size: 64 << 20, Seed: 21}})
	config := filepath.Join(t.TempDir(), "spindle.toml")
	text := fmt.Sprintf("[library]\ndirs = [%q]\n[drive.cd0]\ndisc = \"a.iso\"\n[drive.cd1]\ndisc = \"b.iso\"\nua_on_return = true\n", dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := serve(t, "--config", config)
	_, port, err := net.SplitHostPort(d.portal)
	if err != nil {
		t.Fatal(err)
	}
	g := &lab.Guest{
		Modules:  lab.InitiatorModules,
		Binaries: []string{"iscsid", "iscsiadm"},
		Data: map[string][]byte{
			"/etc/passwd":                    []byte("root:x:0:0:root:/root:/bin/sh\n"), // iscsid looks who asks
			"/etc/iscsi/initiatorname.iscsi": []byte("InitiatorName=" + guestName + "\n"),
			"/etc/iscsi/iscsid.conf": []byte(`iscsid.startup = /bin/iscsid
node.startup = manual
node.session.timeo.replacement_timeout = 120
node.conn[0].timeo.noop_out_interval = 5
node.conn[0].timeo.noop_out_timeout = 5
`),
		},
		Net: true,
		Hooks: map[string]lab.Hook{
			"target": func(args []string) (string, error) {
				s := d.status()
				return s.Drive(args[0]).Target, nil
			},
			"kill":  func([]string) (string, error) { d.kill(); return "", nil },
			"start": func([]string) (string, error) { d.start(); return "", nil },
			"same": func(args []string) (string, error) {
				return sameAs(t, filepath.Join(dir, args[0]))(args[1:])
			},
		},
		Script:  comeBackScript(port),
		Timeout: 4 * time.Minute,
	}
	if r := g.Run(t); r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
}

func comeBackScript(port string) string {
	return `
fail() {
	echo "FAILED: $*"
	exit 1
}
portal=10.0.2.2:` + port + `
login() { # DRIVE DEVICE; without discovery, which tells addresses of the host
	target=$(host target $1)
	iscsiadm -m node -o new -T $target -p $portal && iscsiadm -m node -T $target -p $portal --login && waitfor test -b $2
}
# A sector of the statistics has 512 bytes.
begun() { waitfor sh -c "set -- \$(cat /sys/block/$1/stat); [ \$3 -gt 4000 ]"; }
read_all() {
	{ dd if=/dev/$1 bs=64k iflag=direct && touch /tmp/$1.good; } | sha256sum >/tmp/$1.sum
	touch /tmp/$1.done
}
ended() {
	for minute in 1 2 3; do
		waitfor test -e /tmp/$1.done && return
		waitfor test -e /tmp/$1.done && return
	done
	fail the read of $1 hangs
}
mkdir -p /run/lock/iscsi
iscsid || fail iscsid
login cd0 /dev/sr0 || fail login
login cd1 /dev/sr1 || fail login
read_all sr0 &
read_all sr1 &
begun sr0 && begun sr1 || fail begin
host kill
[ ! -e /tmp/sr0.done ] && [ ! -e /tmp/sr1.done ] || fail the reads ended too soon for this test
host start
ended sr0
ended sr1
[ -e /tmp/sr0.good ] || fail the read did not survive
host same a.iso $(cat /tmp/sr0.sum)
[ ! -e /tmp/sr1.good ] || fail the read survived a unit attention
host same b.iso $(sha256sum /dev/sr1)
dmesg | grep "I/O error.*sr0" && fail errors
dmesg | grep "I/O error.*sr1"`
}
