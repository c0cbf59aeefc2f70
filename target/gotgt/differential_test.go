//go:build !race

// gotgt has data races of its own, so that this file is not for -race: make
// test runs it apart.

package gotgt_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/internal/lab"
	"spindle/isostore/image"
	"spindle/mmcemu"
	"spindle/scsi"
	"spindle/target"
	"spindle/target/gotgt"
	"spindle/target/iscsi"
)

const (
	iqn    = "iqn.2026-11.spindle.test:cd0"
	blocks = 1000
)

// A step is a command of the script: its CDB in hexadecimal, what the initiator
// expects to read, and what it sends.
type step struct {
	cdb  string
	read int
	out  string
}

// script is the same for both engines, in this order: tray and mode pages
// change on the way.
var script = []step{
	{"00 00 00 00 00 00", 0, ""}, // 29/00 of the first login
	{"00 00 00 00 00 00", 0, ""},
	{"12 00 00 00 60 00", 96, ""},
	{"12 00 00 00 05 00", 5, ""},
	{"12 00 00 00 60 00", 200, ""},
	{"12 00 00 00 ff 00", 36, ""},
	{"12 01 00 00 ff 00", 255, ""},
	{"12 01 80 00 ff 00", 255, ""},
	{"12 01 83 00 ff 00", 255, ""},
	{"12 01 77 00 ff 00", 255, ""},
	{"12 00 00 00 00 00", 0, ""},
	{"25 00 00 00 00 00 00 00 00 00", 8, ""},
	{"9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32, ""},
	{"43 00 00 00 00 00 00 03 24 00", 804, ""},
	{"43 02 00 00 00 00 00 00 04 00", 4, ""},
	{"46 02 00 00 00 00 00 00 08 00", 8, ""},
	{"46 00 00 00 00 00 00 10 00 00", 4096, ""},
	{"51 00 00 00 00 00 00 00 22 00", 34, ""},
	{"52 01 00 00 00 01 00 00 24 00", 36, ""},
	{"4a 01 00 00 10 00 00 00 08 00", 8, ""},
	{"28 00 00 00 00 00 00 00 01 00", 2048, ""},
	{"28 00 00 00 00 10 00 00 20 00", 65536, ""},
	{"28 00 00 00 01 00 00 00 80 00", 262144, ""},
	{"28 00 00 00 00 10 00 00 02 00", 8192, ""}, // underflow
	{"28 00 00 00 00 10 00 00 04 00", 2048, ""}, // overflow
	{"28 00 00 00 00 10 00 00 00 00", 0, ""},
	{"28 00 00 00 00 10 00 00 00 00", 2048, ""},
	{"28 00 00 00 03 e7 00 00 02 00", 4096, ""}, // over the end
	{"28 00 7f ff ff ff 00 00 01 00", 2048, ""},
	{"28 00 00 00 02 00 00 00 04 00", 8192, ""}, // scratched
	{"a8 00 00 00 00 20 00 00 00 10 00 00", 32768, ""},
	{"88 00 00 00 00 00 00 00 00 20 00 00 00 10 00 00", 32768, ""},
	{"be 00 00 00 00 10 00 00 01 10 00 00", 2048, ""},
	{"be 00 00 00 00 10 00 00 01 f8 00 00", 2352, ""},
	{"b9 00 00 00 02 10 00 02 11 10 00 00", 2048, ""},
	{"5a 00 2a 00 00 00 00 01 00 00", 256, ""},
	{"5a 00 01 00 00 00 00 00 00 00", 0, ""},
	{"1a 00 3f 00 ff 00", 255, ""},
	{"5a 00 11 00 00 00 00 01 00 00", 256, ""},
	{"55 10 00 00 00 00 00 00 14 00", 0, "00 00 00 00 00 00 00 00 01 0a 00 05 00 00 00 00 00 00 00 00"},
	{"5a 00 01 00 00 00 00 00 ff 00", 255, ""},
	{"55 10 00 00 00 00 00 00 14 00", 0, "00 00 00 00 00 00 00 00 01 0a 00 05 00 00 00 00 00 00 00 00 00 00 00 00"}, // four more than it takes
	{"55 10 00 00 00 00 00 00 03 00", 0, "00 00 00"},
	{"03 00 00 00 12 00", 18, ""},
	{"03 00 00 00 12 00", 252, ""},
	{"bd 00 00 00 00 00 00 00 00 08 00 00", 8, ""},
	{"ac 10 00 00 00 00 00 00 00 08 00 00", 136, ""},
	{"ad 00 00 00 00 00 00 00 08 04 00 00", 2052, ""},
	{"42 02 40 01 00 00 00 00 10 00", 16, ""},
	{"44 00 00 00 00 10 00 00 08 00", 8, ""},
	{"bb 00 ff ff ff ff 00 00 00 00 00 00", 0, ""},
	{"2b 00 00 00 00 10 00 00 00 00", 0, ""},
	{"2f 00 00 00 00 10 00 00 01 00", 0, ""},
	{"a0 00 00 00 00 00 00 00 00 10 00 00", 16, ""},
	{"99 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 0, ""},
	{"99 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 512, ""},
	{"2a 00 00 00 00 10 00 00 01 00", 0, strings.Repeat("55 ", 2048)},
	{"1e 00 00 00 01 00", 0, ""},
	{"1b 00 00 00 02 00", 0, ""}, // held by itself
	{"1e 00 00 00 00 00", 0, ""},
	{"1b 00 00 00 02 00", 0, ""},
	{"00 00 00 00 00 00", 0, ""},
	{"28 00 00 00 00 00 00 00 01 00", 2048, ""},
	{"4a 01 00 00 10 00 00 00 08 00", 8, ""},
	{"1b 00 00 00 03 00", 0, ""},
	{"00 00 00 00 00 00", 0, ""},
	{"00 00 00 00 00 00", 0, ""},
	{"28 00 00 00 00 00 00 00 01 00", 2048, ""},
}

// A difference is one that gotgt is known to make, wherever it may.
type difference struct {
	why   string
	where func(s step, ours *initiator.Result) bool
	mend  func(theirs, ours *initiator.Result) // takes it away
}

const overflow, underflow = 4, 2

var known = []difference{
	{
		"gotgt has no field for how much more there was than the initiator expected",
		func(_ step, ours *initiator.Result) bool { return ours.Flags == overflow },
		func(theirs, ours *initiator.Result) {
			if theirs.Flags == 0 && theirs.Residual == 0 {
				theirs.Flags, theirs.Residual = ours.Flags, ours.Residual
			}
		},
	},
	{
		"gotgt's SCSI Response with sense has no residual",
		func(_ step, ours *initiator.Result) bool { return ours.Status == 2 && ours.Flags == underflow },
		func(theirs, ours *initiator.Result) {
			if theirs.Flags == 0 && theirs.Residual == 0 {
				theirs.Flags, theirs.Residual = ours.Flags, ours.Residual
			}
		},
	},
	{
		"gotgt sends data or sense, not the good blocks before an error",
		func(_ step, ours *initiator.Result) bool { return ours.Status == 2 && len(ours.Data) > 0 },
		func(theirs, ours *initiator.Result) {
			if len(theirs.Data) == 0 {
				theirs.Data, theirs.Flags, theirs.Residual = ours.Data, ours.Flags, ours.Residual
			}
		},
	},
	{
		"gotgt's SCSI Response to a write has no residual",
		func(s step, ours *initiator.Result) bool { return s.out != "" && ours.Flags == underflow },
		func(theirs, ours *initiator.Result) {
			if theirs.Flags == 0 && theirs.Residual == 0 {
				theirs.Flags, theirs.Residual = ours.Flags, ours.Residual
			}
		},
	},
}

// TestDifferential runs one script through both engines, each with a drive of
// its own of the same make: data, status, sense and residuals are the same, but
// for the known differences, of which each is seen.
func TestDifferential(t *testing.T) {
	disc := filepath.Join(t.TempDir(), "d.iso")
	if err := os.WriteFile(disc, newImage(7), 0o600); err != nil {
		t.Fatal(err)
	}
	ours, theirs := login(t, serveOurs(t, newTarget(t, disc)), nil), login(t, serveTheirs(t, newTarget(t, disc)), nil)
	seen := map[string]bool{}
	for i, s := range script {
		want, got := do(t, ours, s), do(t, theirs, s)
		if same(got, want) {
			continue
		}
		before := describe(got)
		for _, d := range known {
			if d.where(s, want) {
				was := *got
				d.mend(got, want)
				seen[d.why] = seen[d.why] || !same(&was, got)
			}
		}
		if !same(got, want) {
			t.Errorf("step %d, %s, read %d, out %d:\n gotgt %s\n  ours %s", i, s.cdb, s.read, len(unhex(t, s.out)), before, describe(want))
		}
	}
	for _, d := range known {
		if !seen[d.why] {
			t.Errorf("not seen any more, take it out: %s", d.why)
		}
	}
}

// newImage is enough of an ISO to be taken for one.
func newImage(seed byte) []byte {
	data := make([]byte, blocks*2048)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	copy(data[16*2048:], "\x01CD001\x01")
	copy(data[17*2048:], "\xffCD001\x01")
	return data
}

func same(a, b *initiator.Result) bool { return describe(a) == describe(b) }

func describe(r *initiator.Result) string {
	text := hex.EncodeToString(r.Data[:min(len(r.Data), 64)])
	return fmt.Sprintf("status %02x, sense %x, %d bytes %s, sum %08x, flags %x, residual %d",
		r.Status, r.Sense, len(r.Data), text, sum(r.Data), r.Flags, r.Residual)
}

func sum(b []byte) (n uint32) {
	for _, c := range b {
		n = n*16777619 ^ uint32(c)
	}
	return n
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func do(t *testing.T, c *initiator.Conn, s step) *initiator.Result {
	t.Helper()
	out := unhex(t, s.out)
	r, err := c.Do(unhex(t, s.cdb), s.read, out, len(out))
	if err != nil {
		t.Fatalf("%s: %v", s.cdb, err)
	}
	return r
}

// newTarget returns a target with a drive in which the image lies.
func newTarget(t *testing.T, path string) *target.Target {
	t.Helper()
	d, _, err := image.OpenFile(path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	emu := mmcemu.New(mmcemu.Options{Serial: "00000000CD00"})
	t.Cleanup(func() { emu.Close() })
	if err := emu.Insert(t.Context(), mmcemu.Medium{Disc: d, Name: "d.iso", ID: "d"}, false); err != nil {
		t.Fatal(err)
	}
	return target.New(iqn, map[uint16]*target.Unit{0: target.NewUnit("cd0", scratched{emu}, target.UnitOptions{})})
}

// A scratched drive reads one good block at scratch, and not the next.
type scratched struct{ scsi.LogicalUnit }

const scratch = 0x200

// Unwrap lets scsi.As look inside.
func (s scratched) Unwrap() scsi.LogicalUnit { return s.LogicalUnit }

func (s scratched) Execute(ctx context.Context, cmd *scsi.Command) error {
	c := cmd.CDB
	if c[0] != 0x28 || binary.BigEndian.Uint32(c[2:]) != scratch {
		return s.LogicalUnit.Execute(ctx, cmd)
	}
	if _, err := cmd.In.Begin(int64(binary.BigEndian.Uint16(c[7:])) * 2048); err != nil {
		return err
	}
	if _, err := cmd.In.Buffer(); err != nil {
		return err
	}
	if err := cmd.In.Send(2048); err != nil {
		return err
	}
	return scsi.ErrUnrecoveredRead.At(scratch + 1)
}

func serveOurs(t *testing.T, tgt *target.Target) string {
	t.Helper()
	srv := iscsi.NewServer(iscsi.Options{})
	srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: tgt}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		srv.Serve(context.Background(), l)
		close(done)
	}()
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(over)
		<-done
	})
	return l.Addr().String()
}

func serveTheirs(t *testing.T, tgt *target.Target) string {
	t.Helper()
	addr := lab.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	e, err := gotgt.New(gotgt.Options{Port: n, Targets: []*target.Target{tgt}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	if _, err := gotgt.New(gotgt.Options{Port: 0, Targets: nil}); err == nil {
		t.Error("a second engine is made; want an error")
	}
	return addr
}

// login waits for a server that opens its port a moment after it began, until
// that ends.
func login(t *testing.T, addr string, ended <-chan struct{}) *initiator.Conn {
	t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	c, err := initiator.Dial(addr)
	for err != nil {
		select {
		case <-tick.C:
			c, err = initiator.Dial(addr)
		case <-ended:
			t.Fatal("the server ended before it listened")
		case <-late.C:
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { c.Close() })
	keys := []string{"HeaderDigest=None", "DataDigest=None", "MaxRecvDataSegmentLength=65536"}
	if _, err := c.Login(initiator.Options{Target: iqn, Keys: keys}); err != nil {
		t.Fatal(err)
	}
	return c
}
