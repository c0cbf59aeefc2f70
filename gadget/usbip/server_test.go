package usbip_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"spindle/gadget/usbip"
	"spindle/scsi"
	"spindle/target"
)

// Opcodes of the disk of these tests.
const (
	opReady = 0x00
	opIn    = 0x28 // bytes 7-8 blocks of 2048 bytes
	opSink  = 0x2A // takes as many bytes as bytes 7-8 say
	opBlock = 0xE2 // waits until it is aborted
)

type disk struct {
	mu     sync.Mutex
	took   []byte
	joined []string
	lost   int
	began  chan struct{} // opBlock runs
}

func (d *disk) NexusJoined(n *scsi.Nexus) { d.set(func() { d.joined = append(d.joined, n.Initiator) }) }
func (d *disk) NexusLost(*scsi.Nexus)     { d.set(func() { d.lost++ }) }
func (d *disk) Concurrent(scsi.CDB) bool  { return true }

func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *disk) Execute(ctx context.Context, cmd *scsi.Command) error {
	n := int64(binary.BigEndian.Uint16(cmd.CDB[7:]))
	switch cmd.CDB[0] {
	case opReady:
		return nil
	case opIn:
		take, err := cmd.In.Begin(n * 2048)
		for at := int64(0); at < take && err == nil; {
			var p []byte
			if p, err = cmd.In.Buffer(); err != nil {
				break
			}
			fill(p, at)
			at += int64(len(p))
			err = cmd.In.Send(len(p))
		}
		return err
	case opSink:
		b := make([]byte, n)
		k, _ := io.ReadFull(cmd.Out, b)
		d.set(func() { d.took = b[:k] })
		return nil
	case opBlock:
		d.began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	return scsi.ErrInvalidOpcode
}

// period of the pattern, which no block or packet shares.
const period = 251

var patterns = func() []byte {
	b := make([]byte, 1<<20+period)
	for i := range b {
		b[i] = byte(i % period)
	}
	return b
}()

// fill writes the pattern from an offset on, a chunk at most.
func fill(p []byte, at int64) { copy(p, patterns[at%period:]) }

func pattern(n int) []byte { return patterns[:n] }

// start serves a disk and returns it, the server, and its address.
func start(t testing.TB, o usbip.Options) (*disk, *usbip.Server, string) {
	t.Helper()
	d := &disk{began: make(chan struct{}, 1)}
	s := usbip.NewServer(o, []*target.Unit{target.NewUnit("cd", d, target.UnitOptions{})})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return d, s, l.Addr().String()
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// configured is a client past SET_CONFIGURATION.
func configured(t testing.TB, addr string) *client {
	t.Helper()
	c := newClient(t, dial(t, addr))
	if r := c.control(t, 0x00, 9, 1, 0, 0); r.status != 0 {
		t.Fatalf("SET_CONFIGURATION: %d", r.status)
	}
	return c
}

func TestDeviceList(t *testing.T) {
	_, _, addr := start(t, usbip.Options{BusID: "2-3", Speed: usbip.HighSpeed, VendorID: 0x1234, ProductID: 0x5678})
	c := dial(t, addr)
	c.Write(op(0x8005))
	b, err := io.ReadAll(c)
	if err != nil || len(b) != 12+312+4 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	want := "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x12\x34\x56\x78\x01\x00\x00\x00\x00\x01\x01\x01\x08\x06\x50\x00"
	if got := string(b[12+288:]); got != want {
		t.Errorf("device %x, want %x", got, want)
	}
	if name := string(bytes.TrimRight(b[12+256:12+288], "\x00")); name != "2-3" {
		t.Errorf("bus id %q", name)
	}
}

// One client has the device; the next gets it when that one is gone, which is
// the loss of its nexus.
func TestOneImporter(t *testing.T) {
	d, s, addr := start(t, usbip.Options{})
	first := configured(t, addr)
	first.await(t, first.out(cbw(1, 0, false, opReady)))
	first.csw(t, 1)
	if _, status, err := attach(dial(t, addr), "1-1"); status != 2 || err != nil {
		t.Errorf("second import: status %d, %v; want busy", status, err)
	}
	if _, status, err := attach(dial(t, addr), "1-2"); status != 4 || err != nil {
		t.Errorf("import of another device: status %d, %v; want none", status, err)
	}
	if got := s.Importer(); got != "127.0.0.1" {
		t.Errorf("importer %q", got)
	}
	first.Close()
	for busy := true; busy; { // until the server learns of it
		c := dial(t, addr)
		_, status, err := attach(c, "1-1")
		c.Close()
		busy = err != nil || status != 0
	}
	d.set(func() {
		if d.lost != 1 || len(d.joined) != 1 || d.joined[0] != "usbip:127.0.0.1" {
			t.Errorf("joined %q, %d lost", d.joined, d.lost)
		}
	})
}

func TestStandardRequests(t *testing.T) {
	for speed, want := range map[usbip.Speed]struct{ device, config, bos, qualifier string }{
		usbip.SuperSpeed: {"\x12\x01\x00\x03\x00\x00\x00\x09", "\x09\x02\x2c\x00\x01\x01\x00\xc0\x01", "\x05\x0f\x16\x00\x02", ""},
		usbip.HighSpeed:  {"\x12\x01\x00\x02\x00\x00\x00\x40", "\x09\x02\x20\x00\x01\x01\x00\xc0\x01", "", "\x0a\x06\x00\x02\x00\x00\x00\x40\x01\x00"},
	} {
		_, _, addr := start(t, usbip.Options{Speed: speed, Serial: "0123456789AB"})
		c := configured(t, addr)
		for _, tt := range []struct {
			name        string
			requestType byte
			request     byte
			value       uint16
			index       uint16
			length      uint16
			want        string // prefix; "stall"
		}{
			{"device", 0x80, 6, 0x0100, 0, 64, want.device},
			{"configuration", 0x80, 6, 0x0200, 0, 9, want.config},
			{"no second configuration", 0x80, 6, 0x0201, 0, 9, "stall"},
			{"BOS", 0x80, 6, 0x0F00, 0, 5, want.bos},
			{"qualifier", 0x80, 6, 0x0600, 0, 10, want.qualifier},
			{"languages", 0x80, 6, 0x0300, 0, 255, "\x04\x03\x09\x04"},
			{"serial", 0x80, 6, 0x0303, 0x0409, 255, "\x1a\x030\x001\x002\x003\x00"},
			{"no fourth string", 0x80, 6, 0x0304, 0x0409, 255, "stall"},
			{"get configuration", 0x80, 8, 0, 0, 1, "\x01"},
			{"get interface", 0x81, 10, 0, 0, 1, "\x00"},
			{"set interface", 0x01, 11, 0, 0, 0, ""},
			{"no alternate setting", 0x01, 11, 1, 0, 0, "stall"},
			{"no second configuration to set", 0x00, 9, 2, 0, 0, "stall"},
			{"status of the device", 0x80, 0, 0, 0, 2, "\x01\x00"},
			{"status of an endpoint", 0x82, 0, 0, 0x81, 2, "\x00\x00"},
			{"no such endpoint", 0x82, 0, 0, 0x83, 2, "stall"},
			{"GET MAX LUN", 0xA1, 0xFE, 0, 0, 1, "\x00"},
			{"GET MAX LUN, wValue", 0xA1, 0xFE, 1, 0, 1, "stall"},
			{"GET MAX LUN, interface", 0xA1, 0xFE, 0, 1, 1, "stall"},
			{"reset", 0x21, 0xFF, 0, 0, 0, ""},
			{"reset, wLength", 0x21, 0xFF, 0, 0, 2, "stall"},
			{"vendor request", 0xC0, 1, 0, 0, 8, "stall"},
		} {
			if tt.want == "" && tt.requestType&0x80 != 0 {
				tt.want = "stall"
			}
			r := c.control(t, tt.requestType, tt.request, tt.value, tt.index, tt.length)
			switch {
			case tt.want == "stall":
				if r.status != -32 {
					t.Errorf("speed %d, %s: status %d; want a stall", speed, tt.name, r.status)
				}
			case r.status != 0 || !strings.HasPrefix(string(r.data), tt.want) || len(r.data) > int(tt.length):
				t.Errorf("speed %d, %s: status %d, %x; want %x", speed, tt.name, r.status, r.data, tt.want)
			}
		}
	}
}

// A host may cut a transfer into URBs as it likes.
func TestTransfers(t *testing.T) {
	d, _, addr := start(t, usbip.Options{})
	c := configured(t, addr)
	read := func(tag uint32, blocks byte, length int, urbs ...int) []byte {
		t.Helper()
		c.await(t, c.out(cbw(tag, length, true, opIn, 0, 0, 0, 0, 0, 0, 0, blocks, 0)))
		var seqs []uint32
		for _, n := range urbs {
			seqs = append(seqs, c.submit(1, true, n, nil, nil))
		}
		var all []byte
		for i, seq := range seqs {
			r := c.await(t, seq)
			if r.status != 0 {
				t.Fatalf("tag %d, URB %d: status %d", tag, i, r.status)
			}
			all = append(all, r.data...)
		}
		return all
	}
	for i, tt := range []struct {
		blocks byte
		length int
		urbs   []int
		want   int
	}{
		{1, 2048, []int{2048}, 2048},
		{32, 65536, []int{65536}, 65536},
		{32, 65536, []int{1024, 4096, 60416}, 65536},
		{1, 65536, []int{65536}, 2048},
		{2, 100, []int{100}, 100},
		{1, 2049, []int{2049}, 2048},
	} {
		if got := read(uint32(i), tt.blocks, tt.length, tt.urbs...); !bytes.Equal(got, pattern(tt.want)) {
			t.Errorf("%v: %d bytes, want %d", tt, len(got), tt.want)
		}
		if _, residue := c.csw(t, uint32(i)); residue != uint32(tt.length-tt.want) {
			t.Errorf("%v: residue %d", tt, residue)
		}
	}
	c.await(t, c.out(cbw(20, 5000, false, opSink, 0, 0, 0, 0, 0, 0, 5000>>8, 5000&255, 0)))
	out := pattern(5000)
	for _, part := range [][]byte{out[:1024], out[1024:4096], out[4096:]} {
		if r := c.await(t, c.out(part)); r.status != 0 || r.actual != len(part) {
			t.Errorf("data-out: %+v", r)
		}
	}
	status, residue := c.csw(t, 20)
	d.set(func() {
		if status != 0 || residue != 0 || !bytes.Equal(d.took, out) {
			t.Errorf("status %d, residue %d, %d bytes", status, residue, len(d.took))
		}
	})
}
