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

// changerConfig is a changer of three discs, and a drive for hosts that take a
// CD for a disk.
const changerConfig = `
[library]
dirs = [%q]
[drive.cd0]
discs = ["a.iso", "b.iso", "c.iso", ""]
[drive.sun]
disc = "b.iso"
block_length = 512
vendor = "ACME"
product = "DISC STATION"
`

// TestChanger pages through three discs, by command and as eject -c does, and
// reads them in blocks of 512 bytes.
func TestChanger(t *testing.T) {
	t.Parallel()
	lab.Need(t, "kernel", "iscsistart", "xorriso", "genisoimage", "sg_raw", "eject")
	r := &rig{dir: library(t, map[string]lab.Image{
		"a.iso": {Size: 1 << 20, Seed: 50},
		"b.iso": {Kind: lab.UDF, Size: 2 << 20, Seed: 51},
		"c.iso": {Size: 3 << 20, Seed: 52},
	}), config: filepath.Join(t.TempDir(), "spindle.toml"), tools: []string{"sg_raw", "eject"}}
	if err := os.WriteFile(r.config, fmt.Appendf(nil, changerConfig, r.dir), 0o600); err != nil {
		t.Fatal(err)
	}
	r.daemon = serve(t, "--config", r.config)
	r.expect("ready", "a.iso")
	_, port, err := net.SplitHostPort(r.portal)
	if err != nil {
		t.Fatal(err)
	}
	s := r.status()
	sun := func([]string) (string, error) { return "-p " + port + " -t " + s.Drive("sun").Target, nil }
	r.guest(t, changerScript, map[string]lab.Hook{"sun": sun})
}

// changerScript asks by /dev/sg0 where the unit attention counts: an open of
// /dev/sr0 takes it.
const changerScript = `
	login
	echo 0 >/sys/block/sr0/events_poll_msecs
	answer() { guesttool sgio /dev/sg0 $1 $2 | sed 's/ host.* sense=/ /; s/ data=/ /'; }
	is() { # WANT CDB [LENGTH]: the answer begins so
		got=$(answer $2 $3)
		case "$got" in "$1"*) ;; *) fail "$2: $got; want $1" ;; esac
	}
	page() { # SLOT DISC: loads it, and is told of it once
		is "status=00" a6000000030000000$1
		is "status=02 700006000000000a000000002800" 00
		is "status=00" 00
		is "status=00  0${1}00000000040010" bd000000000000000008 8
		host expect ready $2 || fail $2 is not in the drive
		host same $2 $(sha256sum /dev/sr0) || fail "$2 is not what is read"
	}
	grep "drive # of slots:.*4" /proc/sys/dev/cdrom/info && grep "Can select disk:.*1" /proc/sys/dev/cdrom/info || fail the kernel sees no changer
	is "status=00  0000000000040010800000008000000080000000" bd000000000000000014 20
	waitfor sh -c "guesttool sgio /dev/sg0 00 | grep -q status=00" || fail not ready
	page 1 b.iso
	page 2 c.iso
	page 0 a.iso
	page 1 b.iso
	is "status=02 700005000000000a000000002400" a60000000300000004 # no such slot: 24/00
	is "status=02 700002000000000a000000003a00" a60000000300000003 # an empty one
	is "status=00" a6000000030000000100
	is "status=00" 00

	# The kernel's way, with its polls.
	echo 200 >/sys/block/sr0/events_poll_msecs
	for pair in 0=a 2=c 1=b; do
		before=$(changes)
		eject -c ${pair%=*} /dev/sr0 || fail eject -c ${pair%=*}
		host expect ready ${pair#*=}.iso || fail slot ${pair%=*}
		host same ${pair#*=}.iso $(sha256sum /dev/sr0) || fail sum of slot ${pair%=*}
		changed $before || fail no event
	done
	files udf || fail b.iso
	mount -t udf -o ro /dev/sr0 /mnt || fail mount
	guesttool sgio /dev/sg0 a60000000300000002 | grep "status=02.*sense=700005.*5302" || fail load under a mounted disc
	(cd /mnt && sha256sum -c SUMS) && umount /mnt || fail the mounted disc

	# Blocks of 512 bytes, on the device beside the kernel's driver.
	echo 0 >/sys/block/sr0/events_poll_msecs
	dd if=/dev/sr0 of=/tmp/disc bs=2048 2>/dev/null
	blocks=$(($(stat -c %s /tmp/disc) / 512))
	printf '\0\0\0\10\0\0\0\0\0\0\2\0' >/tmp/list
	sg_raw -s 12 -i /tmp/list /dev/sg0 15 10 00 00 0c 00 || fail MODE SELECT
	is "status=00  $(printf %08x $((blocks - 1)))00000200" 25000000000000000000 8
	is "status=00  0b000008$(printf %08x $blocks)00000200" 1a0000000c 12
	for span in 0:1 1:1 3:2 5:129 64:128 $((blocks - 3)):3; do
		first=${span%:*} count=${span#*:}
		sg_raw -r $((count * 512)) -o /tmp/got /dev/sg0 28 00 $(printf '%08x' $first | sed 's/../& /g') 00 $(printf '%04x' $count | sed 's/../& /g') 00 || fail READ $span
		dd if=/tmp/disc of=/tmp/want bs=512 skip=$first count=$count 2>/dev/null
		cmp /tmp/got /tmp/want || fail blocks $span
	done
	is "status=02 f00005$(printf %08x $blocks)0a000000002100" 2800$(printf %08x $((blocks - 1)))00000200 1024
	printf '\0\0\0\10\0\0\0\0\0\0\10\0' >/tmp/list
	sg_raw -s 12 -i /tmp/list /dev/sg0 15 10 00 00 0c 00 || fail MODE SELECT back
	is "status=00  $(printf %08x $((blocks / 4 - 1)))00000800" 25000000000000000000 8

	# A drive that begins with them. Linux's driver takes such a one for a CD that
	# somebody left so, and switches it when it opens it; a reset switches it back.
	iscsistart -i ` + guestName + ` -g 1 -a 10.0.2.2 $(host sun) || fail second login
	waitfor test -b /dev/sr1 || fail no second drive
	length() { guesttool sgio /dev/sg1 25 8 | sed 's/.* data=........//'; }
	grep -q "DISC STATION" /sys/block/sr1/device/model || fail model
	[ $(length) = 00000200 ] || fail "blocks at first: $(length)"
	host same b.iso $(sha256sum /dev/sr1) || fail sum of the second drive
	[ $(length) = 00000800 ] || fail "blocks after the kernel's open: $(length)"
	guesttool reset /dev/sg1 device || fail reset
	waitfor sh -c "guesttool sgio /dev/sg1 00 | grep -q status=00" || fail not ready after a reset
	[ $(length) = 00000200 ] || fail "blocks after a reset: $(length)"
	sg_raw -r 512 -o /tmp/got /dev/sg1 28 00 00 00 00 41 00 00 01 00 && dd if=/tmp/disc of=/tmp/want bs=512 skip=65 count=1 && cmp /tmp/got /tmp/want || fail a block of 512
	! dmesg | grep -i "i/o error" || fail errors`
