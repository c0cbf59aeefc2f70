//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/internal/initiator"
	"spindle/internal/lab"
)

// A hurt is a drive behind a proxy that damages one PDU, and the settings of its
// session.
type hurt struct {
	drive    string
	fault    lab.Fault
	settings []string
}

// The faults pass the first commands, with which a host looks at a drive.
var hurts = []hurt{
	{"header-in", lab.Fault{Opcode: initiator.DataIn, After: 100}, nil},
	{"data-in", lab.Fault{Opcode: initiator.DataIn, Data: true, After: 100}, nil},
	{"header-out", lab.Fault{ToTarget: true, Opcode: initiator.Command, After: 100}, nil},
	{"immediate", lab.Fault{ToTarget: true, Opcode: initiator.Command, Data: true}, nil},
	{"solicited", lab.Fault{ToTarget: true, Opcode: initiator.DataOut, Data: true}, []string{"session.iscsi.ImmediateData=No", "session.iscsi.InitialR2T=Yes"}},
	{"undigested", lab.Fault{Opcode: initiator.DataIn, Data: true, After: 100}, []string{"conn[0].iscsi.HeaderDigest=None", "conn[0].iscsi.DataDigest=None"}},
}

// What the daemon logs of a damaged PDU.
const (
	headerDiffers = "header digest differs"
	dataDiffers   = "data digest differs"
)

// TestDigests has a kernel check what it reads, and the target what it is sent,
// while a proxy flips bits. What is caught on either side is recovered from: no
// read fails, and all data are right. Without digests they are not. QEMU, which
// knows header digests alone, gets two damaged headers.
func TestDigests(t *testing.T) {
	lab.Need(t, "kernel", "iscsid", "iscsiadm", "xorriso")
	t.Parallel()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: 4 << 20, Seed: 22}})
	names := []string{"whole", "qemu"}
	for _, h := range hurts {
		names = append(names, h.drive)
	}
	d := serve(t, "--config", drives(t, dir, names...))
	proxies := map[string]*lab.Proxy{"whole": lab.StartProxy(t, d.portal)}
	for _, h := range hurts {
		proxies[h.drive] = lab.StartProxy(t, d.portal, h.fault)
	}
	proxies["qemu"] = lab.StartProxy(t, d.portal,
		lab.Fault{Opcode: initiator.DataIn, After: 60},
		lab.Fault{ToTarget: true, Opcode: initiator.Command, After: 90})
	s := d.status()
	hooks := map[string]lab.Hook{
		"same": func(args []string) (string, error) {
			return sameAs(t, filepath.Join(dir, "a.iso"))(args)
		},
		"differs": func(args []string) (string, error) {
			if args[0] == lab.SHA256(t, filepath.Join(dir, "a.iso")) {
				t.Error("the flipped bit did not arrive")
			}
			return "", nil
		},
	}
	var logins strings.Builder
	logins.WriteString(loginTo(d, "whole", "10.0.2.2", proxies["whole"].Addr(), "sr1"))
	for i, h := range hurts {
		logins.WriteString(loginTo(d, h.drive, "10.0.2.2", proxies[h.drive].Addr(), fmt.Sprint("sr", i+2), h.settings...))
	}
	const digests = "node.conn[0].iscsi.HeaderDigest = CRC32C\nnode.conn[0].iscsi.DataDigest = CRC32C\n"
	g := openISCSI(digests, hooks, logins.String()+digestsScript)
	// After each loss QEMU is another initiator port, with an ISID by chance, and is
	// told 29/00. Its own drive asks again; scsi-generic hands that to the guest.
	g.Modules = slices.Concat(lab.VirtioModules, lab.InitiatorModules)
	g.Args = append(lab.SCSI("iscsi://"+proxies["qemu"].Addr()+"/"+s.Drive("qemu").Target+"/0", "scsi-cd"), "-iscsi", "header-digest=CRC32C")
	if r := g.Run(t); r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
	for name, p := range proxies {
		checkProxy(t, name, p)
	}
	d.loggedTimes(headerDiffers, 2) // with QEMU's
	d.loggedTimes(dataDiffers, 2)
}

func checkProxy(t *testing.T, name string, p *lab.Proxy) {
	t.Helper()
	if done, left := p.Flipped(); len(left) > 0 {
		t.Errorf("%s: only %d faults happened; %+v are left", name, done, left)
	}
	header, data := p.Digests()
	if header != (name != "undigested") || data != (name != "undigested" && name != "qemu") {
		t.Errorf("%s: header digest %v, data digest %v", name, header, data)
	}
}

// loggedTimes checks how many lines of the daemon's log hold a text.
func (d *daemon) loggedTimes(text string, want int) {
	d.t.Helper()
	log, err := os.ReadFile(d.log.Name())
	if err != nil {
		d.t.Fatal(err)
	}
	if n := strings.Count(string(log), text); n != want {
		d.t.Errorf("the daemon logged %q %d times; want %d", text, n, want)
	}
}

const digestsScript = `
waitfor test -b /dev/sr0 || fail no drive of QEMU
iscsiadm -m session -P 2 >/tmp/sessions
[ $(grep -c "HeaderDigest: CRC32C" /tmp/sessions) = 6 ] && [ $(grep -c "DataDigest: CRC32C" /tmp/sessions) = 6 ] || {
	cat /tmp/sessions
	fail digests
}

sum() { dd if=/dev/$1 bs=16k iflag=direct | sha256sum >/tmp/$1.sum; }
for dev in sr0 sr1 sr2 sr3 sr4 sr7; do sum $dev & done

# The first MODE SELECT is damaged on its way: B/47/05. The next one is whole.
for dev in sr5 sr6; do
	for want in "status=02 .*sense=70000b0000000.*4705" "status=00"; do
		got=$(guesttool sgio /dev/$dev "55 10 00 00 00 00 00 00 10" out "00 00 00 00 00 00 00 00 0d 06 00 0f 00 3c 00 4b")
		echo "$dev: $got"
		echo "$got" | grep -q "$want" || fail MODE SELECT
	done
	sum $dev
done
wait
for dev in sr0 sr1 sr2 sr3 sr4 sr5 sr6; do host same $(cat /tmp/$dev.sum); done
host differs $(cat /tmp/sr7.sum)
dmesg | grep "connection2:0: detected conn error (1014)" || fail no header was wrong
dmesg | grep "connection3:0: detected conn error (1015)" || fail no data were wrong
dmesg | grep "connection4:0: detected conn error" || fail the target did not drop the connection
! dmesg | grep "connection[1567]:0: detected conn error" || fail a session was lost
! dmesg | grep "I/O error" || fail errors
`

// TestDigestAnswers has our own initiator in place of a kernel, which sees each
// PDU of an answer.
func TestDigestAnswers(t *testing.T) {
	lab.Need(t, "xorriso")
	t.Parallel()
	iso := lab.ISO(t, lab.Image{Size: 1 << 20, Seed: 23})
	d := serve(t, iso)
	list := []byte{8: 0x0D, 6, 0, 0x0F, 0, 0x3C, 0, 0x4B}
	modeSelect := func(immediate int) func(*initiator.Conn) error {
		return func(c *initiator.Conn) error {
			r, err := c.Do([]byte{0x55, 0x10, 8: byte(len(list))}, 0, list, immediate)
			if err == nil && r.Status != 0 {
				err = fmt.Errorf("status %02x, sense %x", r.Status, r.Sense)
			}
			return err
		}
	}
	read := func(c *initiator.Conn) error { return readDisc(c, iso, lab.SHA256(t, iso)) }
	tests := []struct {
		name  string
		fault lab.Fault
		act   func(*initiator.Conn) error
		fails func(t *testing.T, c *initiator.Conn, err error)
		log   string
	}{
		{"command's header", lab.Fault{ToTarget: true, Opcode: initiator.Command, After: 5}, read, dropped, headerDiffers},
		{"immediate data", lab.Fault{ToTarget: true, Opcode: initiator.Command, Data: true}, modeSelect(len(list)), rejected, dataDiffers},
		{"Data-Out", lab.Fault{ToTarget: true, Opcode: initiator.DataOut, Data: true}, modeSelect(0), rejected, dataDiffers},
		{"Data-Out's header", lab.Fault{ToTarget: true, Opcode: initiator.DataOut}, modeSelect(0), dropped, headerDiffers},
		{"Data-In's header", lab.Fault{Opcode: initiator.DataIn, After: 5}, read, noticed("header digest"), ""},
		{"Data-In", lab.Fault{Opcode: initiator.DataIn, Data: true, After: 5}, read, noticed("data digest"), ""},
		{"response's header", lab.Fault{Opcode: initiator.Response, After: 1}, modeSelect(len(list)), noticed("header digest"), ""},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := lab.StartProxy(t, d.portal, tt.fault)
			c := d.enter(t, p, byte(i))
			tt.fails(t, c, tt.act(c))
			if tt.log == dataDiffers {
				if err := tt.act(c); err != nil {
					t.Errorf("again on the same connection: %v", err)
				}
			}
			if done, left := p.Flipped(); done != 1 || len(left) != 0 {
				t.Errorf("%d bits were flipped; want one", done)
			}
			if err := read(d.enter(t, p, byte(i))); err != nil { // in the place of the session before
				t.Errorf("again in a new session: %v", err)
			}
		})
	}
	d.loggedTimes(headerDiffers, 2)
	d.loggedTimes(dataDiffers, 2)
}

// enter logs in through a proxy, with both digests, and takes the unit attention.
func (d *daemon) enter(t *testing.T, p *lab.Proxy, port byte) *initiator.Conn {
	t.Helper()
	c, err := initiator.Dial(p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	o := initiator.Options{Target: d.cd0().Target, ISID: [6]byte{0x80, 1: port}, Keys: []string{"HeaderDigest=CRC32C", "DataDigest=CRC32C"}}
	if _, err := c.Login(o); err != nil || !c.HeaderDigest || !c.DataDigest {
		t.Fatalf("login: %v; header digest %v, data digest %v", err, c.HeaderDigest, c.DataDigest)
	}
	if _, err := c.Do(make([]byte, 6), 0, nil, 0); err != nil {
		t.Fatal(err)
	}
	return c
}

// readDisc reads a whole disc, 16 blocks a command, and compares its SHA-256.
func readDisc(c *initiator.Conn, path, want string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	hash := sha256.New()
	for lba, left := 0, int(info.Size()/2048); left > 0; {
		n := min(left, 16)
		r, err := c.Do([]byte{0x28, 0, byte(lba >> 24), byte(lba >> 16), byte(lba >> 8), byte(lba), 0, 0, byte(n)}, n*2048, nil, 0)
		if err != nil {
			return err
		}
		if r.Status != 0 {
			return fmt.Errorf("block %d: status %02x, sense %x", lba, r.Status, r.Sense)
		}
		hash.Write(r.Data)
		lba, left = lba+n, left-n
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("sha256 is %s; want %s", got, want)
	}
	return nil
}

// dropped wants the end of the connection and nothing before it.
func dropped(t *testing.T, _ *initiator.Conn, err error) {
	t.Helper()
	if !errors.Is(err, io.EOF) {
		t.Errorf("%v; want the end of the connection", err)
	}
}

// rejected wants Reject with reason 2, at which the initiator stopped, and then
// the response of the task: B/47/05.
func rejected(t *testing.T, c *initiator.Conn, err error) {
	t.Helper()
	if want := fmt.Sprintf("opcode %02x of task", initiator.Reject); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("%v; want %q", err, want)
	}
	r, err := c.Wait(c.ITT-1, nil)
	if err != nil || r.Status != 2 || len(r.Sense) < 14 || r.Sense[2] != 0x0B || r.Sense[12] != 0x47 || r.Sense[13] != 5 {
		t.Errorf("status %02x, sense %x, %v; want B/47/05", r.Status, r.Sense, err)
	}
}

// noticed wants our initiator to find the digest wrong.
func noticed(digest string) func(*testing.T, *initiator.Conn, error) {
	return func(t *testing.T, _ *initiator.Conn, err error) {
		t.Helper()
		if err == nil || !strings.HasPrefix(err.Error(), digest) {
			t.Errorf("%v; want a wrong %s", err, digest)
		}
	}
}
