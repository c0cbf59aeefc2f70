//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/testdata/fixture"
)

// A call is one command in a guest, and what it has to print.
type call struct {
	command string
	status  int
	want    []string // regular expressions, each of which a line, or more, has to match
	deny    []string // that no line may match
	check   func(out string) error
}

// An answered is what a call came to.
type answered struct {
	status  int
	seconds float64
	out     string
}

// batteryPrelude has functions for scripts of calls: `call N COMMAND` runs it
// by the shell and prints what [readCalls] reads.
const batteryPrelude = `
uptime() { cut -d' ' -f1 /proc/uptime; }
call() {
	echo "CALL $1 $(uptime)"
	timeout 300 sh -c "$2" >/tmp/out 2>&1 </dev/null
	status=$?
	head -c 30000 /tmp/out
	echo
	echo "ANSWERED $1 $(uptime) $status"
}
`

// readCalls finds what calls came to in a console, by number.
func readCalls(log string) map[int]answered {
	m := make(map[int]answered)
	var out []string
	var from float64
	for line := range strings.Lines(log) {
		word := strings.Fields(line)
		switch {
		case len(word) == 3 && word[0] == "CALL":
			out = nil
			from, _ = strconv.ParseFloat(word[2], 64)
		case len(word) == 4 && word[0] == "ANSWERED":
			n, _ := strconv.Atoi(word[1])
			to, _ := strconv.ParseFloat(word[2], 64)
			status, err := strconv.Atoi(word[3])
			if err == nil {
				m[n] = answered{status, to - from, strings.Join(out, "")}
			}
		default:
			out = append(out, line)
		}
	}
	return m
}

// judge says what is wrong with an answer.
func (c *call) judge(a answered) (wrong []string) {
	if a.status != c.status {
		wrong = append(wrong, fmt.Sprintf("exit status %d; want %d", a.status, c.status))
	}
	for _, want := range c.want {
		if !regexp.MustCompile("(?m)" + want).MatchString(a.out) {
			wrong = append(wrong, fmt.Sprintf("no line matches %q", want))
		}
	}
	for _, deny := range c.deny {
		if line := regexp.MustCompile("(?mi).*" + deny + ".*").FindString(a.out); line != "" {
			wrong = append(wrong, fmt.Sprintf("the line %q", line))
		}
	}
	if c.check != nil {
		if err := c.check(a.out); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

// A round is a disc and what is called with it in the drive.
type round struct {
	disc  string
	calls []call
}

// script has the shell put each disc into the drive, by the function insert, and
// make the calls.
func script(rounds []round) string {
	var b strings.Builder
	n := 0
	for _, round := range rounds {
		fmt.Fprintf(&b, "insert %s\n", round.disc)
		for _, c := range round.calls {
			fmt.Fprintf(&b, "call %d '%s'\n", n, strings.ReplaceAll(c.command, "'", `'\''`))
			n++
		}
	}
	return b.String()
}

// judge fails the test for each call that did not come to what was wanted.
func judge(t *testing.T, rounds []round, log string) {
	t.Helper()
	all := readCalls(log)
	n := 0
	for _, round := range rounds {
		for _, c := range round.calls {
			a, ok := all[n]
			n++
			if !ok {
				t.Errorf("%s: %s: not called", round.disc, c.command)
				continue
			}
			t.Logf("%5.2f s %s: %s", a.seconds, round.disc, c.command)
			if wrong := c.judge(a); len(wrong) > 0 {
				t.Errorf("%s: %s:\n\t%s\n%s", round.disc, c.command, strings.Join(wrong, "\n\t"), a.out)
			}
		}
	}
}

// networkPrelude has the function insert, and logs in.
const networkPrelude = `
insert() { # NAME: and have the kernel look, without reading
	host spindle insert cd0 "$1" || fail insert
	: </dev/sr0
}
dmesg -n 1
login
`

// TestBattery has the tools that people use look at each kind of disc over
// iSCSI, in one guest.
func TestBattery(t *testing.T) {
	lab.Need(t, "kernel", "root", "dvdauthor", "genisoimage", "xorriso")
	t.Parallel()
	m := &maker{t, t.TempDir()}
	rounds := battery(batteryDiscs(m))
	r := &rig{dir: m.dir, config: filepath.Join(t.TempDir(), "spindle.toml"), root: true}
	m.must(r.configure(""))
	r.daemon = serve(t, "--config", r.config)
	res := r.guest(t, batteryPrelude+networkPrelude+script(rounds)+settled, nil)
	judge(t, rounds, res.Log)
}

// settled is the end of a script: a read of audio as data fails, and the kernel says
// so, but nothing may have hung, been reset or lost.
const settled = `
! dmesg | grep -i "timing out\|timed out\|offlined\|call trace\|reset\|hung" | grep -v "device reset occurred" || fail errors
`

// cablePrelude has functions for scripts, and starts a daemon in the guest with a
// drive on a cable.
const cablePrelude = `
fail() {
	echo "FAILED: $*"
	spindle status
	tail -n 40 /tmp/spindle.log
	exit 1
}
insert() {
	spindle insert cd0 $1 || fail insert
	: </dev/sr0
}
dmesg -n 1
mount -t configfs none /sys/kernel/config
mkdir -p /tmp/st
export SPINDLE_SOCKET=/tmp/s
cat >/tmp/c.toml <<EOF
[library]
dirs = ["/discs"]
[daemon]
state = "/tmp/st"
socket = "/tmp/s"
[iscsi]
listen = []
[drive.cd0]
[drive.cd0.usb]
gadget = "g0"
[gadget.g0]
EOF
spindle serve --config /tmp/c.toml >/tmp/spindle.log 2>&1 &
waitfor test -b /dev/sr0 || fail no drive on the cable
`

// TestBatteryUSB has the tools read, rip, mount and eject over a cable.
func TestBatteryUSB(t *testing.T) {
	lab.Need(t, "kernel", "root", "dvdauthor", "genisoimage", "xorriso")
	t.Parallel()
	m := &maker{t, t.TempDir()}
	rounds := cableBattery(batteryDiscs(m))
	files := make(map[string]string)
	entries, err := os.ReadDir(m.dir)
	m.must(err)
	for _, e := range entries {
		files["/discs/"+e.Name()] = m.path(e.Name())
	}
	files["/discs/"+largeDisc] = lab.ISO(t, dataImage) // the guest adds the hole
	hole := fmt.Sprintf("truncate -s %d /discs/%s\n", largeBlocks*fixture.UserSize, largeDisc)
	g := &lab.Guest{
		Root:     true,
		Modules:  driveModules,
		Binaries: []string{"guesttool"},
		Data:     map[string][]byte{"/usr/local/bin/spindle": lab.GoBinary(t, "spindle/cmd/spindle")},
		Files:    files,
		Script:   hole + batteryPrelude + cablePrelude + script(rounds) + settled,
		Memory:   768,
	}
	res := g.Run(t)
	if res.Status != 0 {
		t.Errorf("status %d; want 0", res.Status)
	}
	judge(t, rounds, res.Log)
}
