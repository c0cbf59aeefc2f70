//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/testdata/fixture"
)

// A swapDisc is a disc whose blocks say whose they are; the empty tray is one too.
type swapDisc struct {
	name string // in the library; "" for the empty tray
	mark string // in each block of data; "" for audio
	*content
}

// swapDiscs makes two CDs, an audio CD and a DVD.
func swapDiscs(m *maker) []*swapDisc {
	m.t.Helper()
	marked := func(mark string, size int) []byte {
		dir := m.t.TempDir()
		var data []byte
		for i := range size {
			block := make([]byte, fixture.UserSize)
			copy(block, fmt.Sprintf("disc %s block %d of it", mark, i))
			data = append(data, block...)
		}
		m.must(os.WriteFile(filepath.Join(dir, "DATA.BIN"), data, 0o644))
		m.tool("xorriso", "-as", "mkisofs", "-quiet", "-V", strings.ToUpper(mark), "-o", mark+".iso", dir)
		return m.read(mark + ".iso")
	}
	red := &content{Source: fixture.DataDisc(fixture.Mode1, marked("red", 300))}
	blue := &content{Source: fixture.DataDisc(fixture.Mode1, marked("blue", 500))}
	video := &content{Source: fixture.DVD(0, marked("dvd", 700))}
	songs := &content{Source: fixture.AudioDisc()}
	m.must(fixture.WriteMDS(m.dir, "video", video.Source, fixture.MDSOptions{}))
	m.must(fixture.WriteCCD(m.dir, "songs", songs.Source, fixture.CCDOptions{}))
	return []*swapDisc{
		{}, {"red.iso", "red", red}, {"blue.iso", "blue", blue}, {"songs.ccd", "", songs}, {"video.mds", "dvd", video},
	}
}

// A swapStep is one change of the disc.
type swapStep struct {
	from, to *swapDisc
	host     string // what it does: reads, mounts or sleeps
}

// swapSteps makes a sequence from a seed, in which each kind of step occurs: an
// empty drive cannot be mounted.
func swapSteps(discs []*swapDisc, n int, seed uint64) []swapStep {
	random := rand.New(rand.NewPCG(seed, 5))
	var steps []swapStep
	at := discs[0]
	for i := range n {
		s := swapStep{from: at, to: at, host: []string{"reads", "mounts", "sleeps"}[i%3]}
		if s.host == "mounts" && at.mark == "" {
			s.host = "reads"
		}
		for s.to == at {
			s.to = discs[random.IntN(len(discs))]
		}
		if i%3 == 0 && s.to.mark == "" && at.mark == "" { // the next may want to mount it
			s.to = discs[1+random.IntN(2)]
		}
		steps = append(steps, s)
		at = s.to
	}
	return steps
}

// swapPrelude has functions for the script of steps.
const swapPrelude = `
uptime() { cut -d' ' -f1 /proc/uptime; }
errors() { dmesg | grep -ci "i/o error"; }
same() { # WHAT GOT WANT
	[ "$2" = "$3" ] || fail "$1: $2; want $3"
}
swap() { # STEP VERB ARGS...
	echo "BEGIN $1 $(uptime)"
	shift
	host spindle "$@" || fail swap
	echo "DONE $(uptime)"
}
begin() { # HOST MARK: what it does before the swap
	before=$(events)
	errors=$(errors)
	case $1 in
	reads)
		guesttool blocks /dev/sr0 >/tmp/blocks &
		reader=$!
		waitfor test -s /tmp/blocks
		;;
	mounts)
		mount -t iso9660 -o ro /dev/sr0 /mnt || fail mount
		exec 7</mnt/DATA.BIN
		head -c 100000 <&7 | grep -q "disc $2 block" || fail "not the file of $2"
		;;
	esac
}
end() { # HOST OUTCOME OLD NEW: what the reader has to see, and the marks
	waitfor sh -c "[ \$(grep -c DISK_MEDIA_CHANGE=1 /tmp/uevents) -gt $before ]" || fail no event
	case $1 in
	reads)
		waitfor grep -q "^[0-9.]* [0-9.]* $2" /tmp/blocks || fail "the reader did not see $2"
		kill $reader
		wait $reader 2>/dev/null
		sed 's/^/READ /' /tmp/blocks
		;;
	mounts)
		cat <&7 >/tmp/rest 2>/dev/null && dd if=/dev/sr0 of=/dev/null bs=2k count=1 2>/dev/null
		! grep -aq "disc" /tmp/rest || ! grep -av "disc $3 block" /tmp/rest | grep -aq "disc [a-z]* block" || fail "another disc in a file of $3"
		exec 7<&-
		umount /mnt || fail umount
		;;
	sleeps) same "errors while asleep" "$(errors)" "$errors" ;;
	esac
	errors=$(errors)
}
whole() { # SUM
	same "the disc" "$(sha256sum </dev/sr0)" "$1  -"
	same "errors after the swap" "$(errors)" "$errors"
}
audio() { # TRACKS CDB SUM
	: </dev/sr0
	same tracks "$(/lib/udev/cdrom_id /dev/sr0 | sed -n 's/^ID_CDROM_MEDIA_TRACK_COUNT_AUDIO=//p')" $1
	same sector "$(guesttool sgio /dev/sr0 $2 2352 | sed 's/.*data=//' | tr -d '\n' | sha256sum)" "$3  -"
	same "errors after the swap" "$(errors)" "$errors"
}
empty() {
	case $(guesttool status /dev/sr0) in open | empty) ;; *) fail "the drive is $(guesttool status /dev/sr0)" ;; esac
	! dd if=/dev/sr0 of=/dev/null bs=2k count=1 2>/dev/null || fail an empty drive reads
	same "errors after the swap" "$(errors)" "$errors"
}
udevd() {
	/lib/systemd/systemd-udevd --daemon
	udevadm trigger --subsystem-match=block --action=add
	udevadm settle
	udevadm info --query=property --name=/dev/sr0 | grep ID_CDROM=1 || fail udev
}
`

// outcome is what a reader sees of a disc, as a regular expression of grep.
func (d *swapDisc) outcome() string {
	switch {
	case d.name == "":
		return "open ENOMEDIUM"
	case d.mark == "":
		return "error EIO"
	}
	return "disc " + d.mark
}

// script is what the guest does in step n.
func (s *swapStep) script(n int) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("echo 'STEP %d %s %s to %s'", n, s.host, s.from.name, s.to.name)
	add("begin %s '%s'", s.host, s.from.mark)
	force := ""
	if s.host == "mounts" {
		force = " --force"
	}
	if s.to.name == "" {
		add("swap %d eject cd0%s", n, force)
	} else {
		add("swap %d insert cd0 %s%s", n, s.to.name, force)
	}
	add("end %s '%s' '%s' '%s'", s.host, s.to.outcome(), s.from.mark, s.to.mark)
	switch {
	case s.to.name == "":
		add("empty")
	case s.to.mark == "":
		const lba = 900
		sector := cdb(0xBE, 12, 2, int32(lba), 7, uint16(1), 9, byte(0xF8))
		add("audio %d %x %x", len(s.to.Tracks()), sector, sha256.Sum256([]byte(hex.EncodeToString(s.to.raw(lba)))))
	default:
		add("whole %s", s.to.sum())
	}
	return b.String()
}

// TestSwapsInGuest changes between two CDs, an audio CD, a DVD and the empty tray
// twenty times, while the guest reads, mounts or sleeps, without udevd and then
// with it, which lets go of the tray when it is asked. Errors are for reads that began before the change, no block is ever of
// the disc that was, and the kernel tells of every change.
func TestSwapsInGuest(t *testing.T) {
	lab.Need(t, "kernel", "root", "xorriso")
	t.Parallel()
	const seed, count = 20, 20
	m := &maker{t, t.TempDir()}
	steps := swapSteps(swapDiscs(m), count, seed)
	r := &rig{dir: m.dir, config: filepath.Join(t.TempDir(), "spindle.toml"), root: true}
	m.must(r.configure(""))
	r.daemon = serve(t, "--config", r.config)
	var script strings.Builder
	script.WriteString(swapPrelude + "dmesg -n 1\nlogin\n")
	for i, s := range steps {
		if i == count/2 {
			script.WriteString("udevd\n")
		}
		script.WriteString(s.script(i))
	}
	res := r.guest(t, script.String(), nil)
	judgeSwaps(t, steps, res.Log)
}

// judgeSwaps checks what readers printed: a read that began when a swap was done
// gives the new disc or, while hosts are told, no medium.
func judgeSwaps(t *testing.T, steps []swapStep, log string) {
	t.Helper()
	step, reads := -1, 0
	done := 0.0
	for line := range strings.Lines(log) {
		word := strings.Fields(line)
		switch {
		case len(word) == 3 && word[0] == "BEGIN":
			step, _ = strconv.Atoi(word[1])
		case len(word) == 2 && word[0] == "DONE":
			done, _ = strconv.ParseFloat(word[1], 64)
		case len(word) > 3 && word[0] == "READ":
			reads++
			began, _ := strconv.ParseFloat(word[1], 64)
			what := strings.Join(word[3:], " ")
			s := steps[step]
			old, now := s.from.outcome(), s.to.outcome()
			switch {
			case what == now || what == "open ENOMEDIUM":
			case what == old || what == "error EIO" || what == "other":
				if began > done+0.02 { // /proc/uptime has hundredths
					t.Errorf("step %d, %s to %s: a read that began %.2f s after the swap: %s", step, s.from.name, s.to.name, began-done, what)
				}
			default:
				t.Errorf("step %d, %s to %s: %s", step, s.from.name, s.to.name, line)
			}
		}
	}
	if step != len(steps)-1 || reads < 2*len(steps)/3 {
		t.Errorf("%d swaps and %d lines of readers; want %d, and %d at least", step+1, reads, len(steps), 2*len(steps)/3)
	}
}
