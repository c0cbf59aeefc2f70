//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"spindle/internal/lab"
)

// TestMove hands a drive over to another daemon under a kernel that reads: with
// a copy of the state the other one is the same drive and knows the host, a
// redirection sends open-iscsi there, and the read goes on where it was.
func TestMove(t *testing.T) {
	lab.Need(t, "kernel", "iscsid", "iscsiadm", "xorriso")
	t.Parallel()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: 24 << 20, Seed: 63}})
	config := filepath.Join(t.TempDir(), "spindle.toml")
	base := fmt.Sprintf("[library]\ndirs = [%q]\n[drive.cd0]\ndisc = \"a.iso\"\n", dir)
	write := func(more string) error { return replace(config, base+more) }
	if err := write(""); err != nil {
		t.Fatal(err)
	}
	here := serve(t, "--config", config)
	port := portOf(t, here)
	move := func([]string) (string, error) {
		state := t.TempDir()
		if err := os.CopyFS(state, os.DirFS(filepath.Join(here.dir, "state"))); err != nil {
			return "", err
		}
		own := filepath.Join(t.TempDir(), "spindle.toml")
		if err := os.WriteFile(own, []byte(base), 0o600); err != nil {
			return "", err
		}
		there := serve(t, "--config", own, "--state", state)
		address := net.JoinHostPort("10.0.2.2", portOf(t, there))
		return address, write(fmt.Sprintf("[drive.cd0.iscsi]\nredirect = %q\n", address))
	}
	g := &lab.Guest{
		Modules:  lab.InitiatorModules,
		Binaries: []string{"iscsid", "iscsiadm"},
		Data:     openISCSIFiles(""),
		Net:      true,
		Hooks: map[string]lab.Hook{
			"target": func([]string) (string, error) { return here.cd0().Target, nil },
			"move":   move,
			"same":   sameAs(t, filepath.Join(dir, "a.iso")),
		},
		Script: moveScript(port),
	}
	if r := g.Run(t); r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
}

func portOf(t *testing.T, d *daemon) string {
	t.Helper()
	_, port, err := net.SplitHostPort(d.portal)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func moveScript(port string) string {
	return `
fail() {
	echo "FAILED: $*"
	iscsiadm -m session -P 1
	dmesg | tail -30
	exit 1
}
portal=10.0.2.2:` + port + `
mkdir -p /run/lock/iscsi
iscsid || fail iscsid
target=$(host target)
iscsiadm -m node -o new -T $target -p $portal && iscsiadm -m node -T $target -p $portal --login || fail login
waitfor test -b /dev/sr0 || fail no drive
{ dd if=/dev/sr0 bs=64k iflag=direct && touch /tmp/good; } | sha256sum >/tmp/sum &
waitfor sh -c "set -- \$(cat /sys/block/sr0/stat); [ \$3 -gt 4000 ]" || fail begin
to=$(host move)
[ ! -e /tmp/good ] || fail the read ended too soon for this test
waitfor sh -c "iscsiadm -m session -P 1 | grep 'Current Portal: $to,'" || fail it is not at $to
wait
[ -e /tmp/good ] || fail the read did not survive
host same $(cat /tmp/sum)
dmesg | grep "I/O error" && fail errors
iscsiadm -m node -T $target -p $portal --logout || fail logout`
}
