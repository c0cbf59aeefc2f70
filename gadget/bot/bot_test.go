package bot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"spindle/gadget/bot"
	"spindle/scsi"
	"spindle/target"
)

// Opcodes of the disk of these tests.
const (
	opReady = 0x00
	opSense = 0x03
	opIn    = 0x28 // byte 8 blocks of 2048 bytes; in sectors of 2352 with byte 9 set
	opSink  = 0x2A // takes as much data-out as bytes 7-8 say
	opFail  = 0xE0
	opHalf  = 0xE1 // 1 block of 2, then a medium error
	opBlock = 0xE2 // sends a block, then waits until it is aborted
	opShort = 0xE4 // 8 bytes
	opBusy  = 0xE5
)

type disk struct {
	mu   sync.Mutex
	took []byte
	lost []string
}

func (d *disk) NexusJoined(*scsi.Nexus)  {}
func (d *disk) NexusLost(n *scsi.Nexus)  { d.lost = append(d.lost, n.Initiator) }
func (d *disk) Concurrent(scsi.CDB) bool { return true }
func (d *disk) Execute(ctx context.Context, cmd *scsi.Command) error {
	if ua, ok := cmd.Nexus.Take(); ok && cmd.CDB[0] != opSense {
		return ua
	}
	switch cmd.CDB[0] {
	case opReady:
		return nil
	case opSense:
		return cmd.In.Reply(scsi.Sense{}.AppendFixed(nil)[:min(18, int(cmd.CDB[4]))])
	case opIn:
		unit := 2048
		if cmd.CDB[9] != 0 {
			unit = 2352
		}
		return pour(cmd, int64(int(cmd.CDB[8])*unit), 1<<30, unit)
	case opHalf:
		return pour(cmd, 4096, 2048, 2048)
	case opBlock:
		if err := pour(cmd, 2048, 2048, 2048); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	case opSink:
		b := make([]byte, int(cmd.CDB[7])<<8|int(cmd.CDB[8]))
		n, _ := io.ReadFull(cmd.Out, b)
		d.mu.Lock()
		d.took = b[:n]
		d.mu.Unlock()
		return nil
	case opShort:
		return cmd.In.Reply([]byte("12345678"))
	case opBusy:
		return scsi.Busy
	}
	return scsi.ErrInvalidOpcode
}

// pour sends n bytes, of which good can be read, in whole units a chunk.
func pour(cmd *scsi.Command, n, good int64, unit int) error {
	take, err := cmd.In.Begin(n)
	for at := int64(0); at < take && err == nil; {
		if at >= good {
			return scsi.ErrUnrecoveredRead.At(1)
		}
		var p []byte
		if p, err = cmd.In.Buffer(); err != nil {
			return err
		}
		p = p[:min(int64(len(p)), good-at)]
		if len(p) > unit {
			p = p[:len(p)/unit*unit]
		}
		for i := range p {
			p[i] = byte((at + int64(i)) % 251)
		}
		err = cmd.In.Send(len(p))
		at += int64(len(p))
	}
	return err
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// A device is a transport with two disks and the host at its pipes.
type device struct {
	*pipes
	t     *bot.Transport
	disks [2]*disk
	end   func()
}

func start(t *testing.T, packet int, o bot.Options) *device {
	d := &device{pipes: newPipes(packet), disks: [2]*disk{{}, {}}}
	o.Host = "usb:test"
	var units []*target.Unit
	for _, disk := range d.disks {
		units = append(units, target.NewUnit("cd", disk, target.UnitOptions{}))
	}
	d.t = bot.New(units, d.pipes, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.t.Serve(ctx) }()
	d.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(d.end)
	return d
}

// ready takes the power on unit attention of both units.
func (d *device) ready(t *testing.T) *device {
	t.Helper()
	for lun := range byte(2) {
		if x := d.run(t, 1, 0, false, lun, []byte{opReady, 0, 0, 0, 0, 0}, nil); x.status != 1 {
			t.Fatalf("first command of LUN %d: %+v", lun, x.csw)
		}
		if x := d.run(t, 2, 18, true, lun, []byte{opSense, 0, 0, 0, 18, 0}, nil); len(x.data) != 18 || x.data[2] != 6 || x.data[12] != 0x29 {
			t.Fatalf("its sense: %x", x.data)
		}
	}
	return d
}

func in(blocks byte) []byte { return []byte{opIn, 0, 0, 0, 0, 0, 0, 0, blocks, 0} }
func sink(n int) []byte     { return []byte{opSink, 0, 0, 0, 0, 0, 0, byte(n >> 8), byte(n), 0} }

// The thirteen cases (Bulk-Only Transport, 6.7), and what comes near them.
func TestThirteenCases(t *testing.T) {
	out := pattern(4096)
	tests := []struct {
		name    string
		length  int
		in      bool
		cdb     []byte
		out     []byte
		data    int // bytes that the host gets
		status  byte
		residue uint32
		sense   string // key and code of what REQUEST SENSE says then
	}{
		{"1 Hn=Dn", 0, false, []byte{opReady, 0, 0, 0, 0, 0}, nil, 0, 0, 0, ""},
		{"2 Hn<Di", 0, false, in(1), nil, 0, 2, 0, ""},
		{"3 Hn<Do", 0, false, sink(512), nil, 0, 2, 0, ""},
		{"4 Hi>Dn", 512, true, []byte{opReady, 0, 0, 0, 0, 0}, nil, 0, 0, 512, ""},
		{"5 Hi>Di, short packet", 512, true, []byte{opShort, 0, 0, 0, 0, 0}, nil, 8, 0, 504, ""},
		{"5 Hi>Di, full packets", 4096, true, in(1), nil, 2048, 0, 2048, ""},
		{"5 Hi>Di by one", 2049, true, in(1), nil, 2048, 0, 1, ""},
		{"6 Hi=Di", 4096, true, in(2), nil, 4096, 0, 0, ""},
		{"7 Hi<Di", 2048, true, in(2), nil, 2048, 2, 0, ""},
		{"7 Hi<Di, odd", 100, true, in(1), nil, 100, 2, 0, ""},
		{"8 Hi<>Do", 512, true, sink(512), nil, 0, 2, 512, ""},
		{"9 Ho>Dn", 512, false, []byte{opReady, 0, 0, 0, 0, 0}, out[:512], 0, 0, 512, ""},
		{"10 Ho<>Di", 2048, false, in(1), out[:2048], 0, 2, 2048, ""},
		{"11 Ho>Do", 2048, false, sink(512), out[:2048], 0, 0, 1536, ""},
		{"12 Ho=Do", 2048, false, sink(2048), out[:2048], 0, 0, 0, ""},
		{"13 Ho<Do", 512, false, sink(1024), out[:512], 0, 2, 0, ""},
		{"CHECK CONDITION, in", 512, true, []byte{opFail, 0, 0, 0, 0, 0}, nil, 0, 1, 512, "5/20/00"},
		{"CHECK CONDITION, out", 512, false, []byte{opFail, 0, 0, 0, 0, 0}, out[:512], 0, 1, 512, "5/20/00"},
		{"CHECK CONDITION, none", 0, false, []byte{opFail, 0, 0, 0, 0, 0}, nil, 0, 1, 0, "5/20/00"},
		{"partial data", 4096, true, []byte{opHalf, 0, 0, 0, 0, 0}, nil, 2048, 1, 2048, "3/11/00"},
		{"BUSY", 0, false, []byte{opBusy, 0, 0, 0, 0, 0}, nil, 0, 1, 0, "2/04/00"},
	}
	for _, packet := range []int{64, 512, 1024} {
		for _, stall := range []bool{false, true} {
			d := start(t, packet, bot.Options{Stall: stall}).ready(t)
			for i, tt := range tests {
				tag := uint32(i)<<16 | uint32(packet)
				x := d.run(t, tag, tt.length, tt.in, byte(i%2), tt.cdb, tt.out)
				if x.status != tt.status || x.residue != tt.residue || !bytes.Equal(x.data, pattern(tt.data)) && tt.data != 8 {
					t.Errorf("%s, packets of %d: status %d, residue %d, %d bytes; want %d, %d, %d",
						tt.name, packet, x.status, x.residue, len(x.data), tt.status, tt.residue, tt.data)
				}
				if wantStall := stall && tt.in && tt.data < tt.length; x.stalled != wantStall {
					t.Errorf("%s, packets of %d: stalled %v, want %v", tt.name, packet, x.stalled, wantStall)
				}
				checkSense(t, d, tt.name, byte(i%2), tt.sense)
			}
			d.end()
		}
	}
}

// checkSense asks for the sense twice: it is told once.
func checkSense(t *testing.T, d *device, name string, lun byte, want string) {
	t.Helper()
	if want == "" {
		want = "0/00/00"
	}
	for _, want := range []string{want, "0/00/00"} {
		x := d.run(t, 0xFEED, 18, true, lun, []byte{opSense, 0, 0, 0, 18, 0}, nil)
		if len(x.data) != 18 || x.status != 0 {
			t.Fatalf("%s: REQUEST SENSE gives %x, status %d", name, x.data, x.status)
		}
		got := scsi.Sense{Key: scsi.Key(x.data[2] & 15), Code: uint16(x.data[12])<<8 | uint16(x.data[13])}
		if s := got.Error(); s[:7] != want {
			t.Errorf("%s: sense %s, want %s", name, s, want)
		}
	}
}

// Sectors that are no multiple of a packet leave in whole packets all the same.
func TestDataInLeavesInWholePackets(t *testing.T) {
	d := start(t, 512, bot.Options{}).ready(t)
	cdb := in(200)
	cdb[9] = 1
	x := d.run(t, 9, 200*2352, true, 0, cdb, nil)
	if x.status != 0 || x.residue != 0 || !bytes.Equal(x.data, pattern(200*2352)) {
		t.Errorf("status %d, residue %d, %d bytes, want %d", x.status, x.residue, len(x.data), 200*2352)
	}
}

// The sense is kept for each logical unit, until its next command.
func TestSenseIsKeptByUnit(t *testing.T) {
	d := start(t, 512, bot.Options{}).ready(t)
	fail := []byte{opFail, 0, 0, 0, 0, 0}
	d.run(t, 1, 0, false, 0, fail, nil)
	d.run(t, 2, 0, false, 1, []byte{opReady, 0, 0, 0, 0, 0}, nil)
	checkSense(t, d, "the other unit", 1, "")
	checkSense(t, d, "the one that failed", 0, "5/20/00")
	d.run(t, 3, 0, false, 0, fail, nil)
	d.run(t, 4, 0, false, 0, []byte{opReady, 0, 0, 0, 0, 0}, nil)
	checkSense(t, d, "after another command", 0, "")
}

func TestBadCBW(t *testing.T) {
	good := makeCBW(7, 0, false, 0, []byte{opReady, 0, 0, 0, 0, 0})
	change := func(at int, v byte) []byte {
		b := slices.Clone(good)
		b[at] = v
		return b
	}
	tests := []struct {
		name   string
		cbw    []byte
		sticky bool // until reset recovery
	}{
		{"signature", change(0, 'X'), true},
		{"30 bytes", good[:30], true},
		{"32 bytes", append(slices.Clone(good), 0), true},
		{"a full packet", make([]byte, 512), true},
		{"zero-length packet", nil, true},
		{"no command block", change(14, 0), false},
		{"a command block of 17 bytes", change(14, 17), false},
		{"a reserved bit of the length", change(14, 0x86), false},
		{"a logical unit that is not there", change(13, 2), false},
		{"a reserved bit of the flags", change(12, 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := start(t, 512, bot.Options{}).ready(t)
			d.send(tt.cbw)
			if _, err := d.recv(13); !errors.Is(err, errStall) {
				t.Fatalf("the CSW: %v, want a stall", err)
			}
			d.clear()
			if in, out := d.halted(); in != tt.sticky || out != tt.sticky {
				t.Errorf("after CLEAR FEATURE: halted %v, %v; want %v", in, out, tt.sticky)
			}
			if tt.sticky {
				d.t.Reset()
				d.clear()
			}
			if x := d.run(t, 8, 0, false, 0, []byte{opReady, 0, 0, 0, 0, 0}, nil); x.status != 0 {
				t.Errorf("the next command: %+v", x.csw)
			}
		})
	}
}

// The class reset aborts the task and nothing else; the loss of the nexus ends
// what it held.
func TestResetAndNexusLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, 512, bot.Options{}).ready(t)
		where := []struct {
			name string
			send func()
		}{
			{"between commands", func() {}},
			{"in the middle of data-in", func() {
				d.send(makeCBW(1, 64<<10, true, 0, in(32)))
				d.recv(512)
			}},
			{"in the middle of data-out", func() {
				d.send(makeCBW(2, 8192, false, 0, sink(8192)))
				d.send(make([]byte, 1024))
			}},
			{"while the unit works", func() {
				d.send(makeCBW(3, 2048, true, 0, []byte{opBlock, 0, 0, 0, 0, 0}))
				d.recv(2048)
			}},
			{"before the CSW", func() { d.send(makeCBW(4, 0, false, 0, []byte{opReady, 0, 0, 0, 0, 0})) }},
		}
		for _, w := range where {
			w.send()
			synctest.Wait()
			d.t.Reset()
			d.set(func() { d.out, d.in = nil, nil })
			if x := d.run(t, 0x10, 2048, true, 0, in(1), nil); x.status != 0 || len(x.data) != 2048 {
				t.Errorf("%s: the next read: %+v, %d bytes", w.name, x.csw, len(x.data))
			}
			if len(d.disks[0].lost) != 0 {
				t.Errorf("%s: a class reset lost the nexus", w.name)
			}
		}
		for _, w := range where {
			w.send()
			synctest.Wait()
			d.t.NexusLoss()
			d.set(func() { d.out, d.in = nil, nil })
			if x := d.run(t, 0x20, 2048, true, 0, in(1), nil); x.status != 0 {
				t.Errorf("%s: the read after a bus reset: %+v", w.name, x.csw)
			}
		}
		d.end()
		if got := len(d.disks[0].lost); got != len(where)+1 || d.disks[0].lost[0] != "usb:test" {
			t.Errorf("%d nexuses were lost, want %d: %q", got, len(where)+1, d.disks[0].lost)
		}
	})
}

// A CBW may claim 4 GiB; it costs a chunk at most.
func TestMemoryIsAChunk(t *testing.T) {
	d := start(t, 1024, bot.Options{}).ready(t)
	out := pattern(3 << 20)
	x := d.run(t, 1, len(out), false, 0, sink(4096), out)
	if x.status != 0 || x.residue != uint32(len(out)-4096) || !bytes.Equal(d.disks[0].took, out[:4096]) {
		t.Errorf("status %d, residue %d", x.status, x.residue)
	}
	claim := makeCBW(2, 0, true, 0, in(1))
	copy(claim[8:], []byte{0xFF, 0xFF, 0xFF, 0xFF})
	d.send(claim)
	if b, err := d.recv(1 << 30); err != nil || len(b) != 2048 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	b, err := d.recv(13)
	if c, perr := parseCSW(b); err != nil || perr != nil || c.residue != 0xFFFFFFFF-2048 {
		t.Errorf("CSW %x, %v", b, err)
	}
}
