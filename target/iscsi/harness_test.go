package iscsi_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/target"
	"spindle/target/iscsi"
)

const iqn = "iqn.2026-11.spindle.test:cd0"

// limit is how long anything that must come may take.
const limit = time.Minute

// Opcodes of the disk of these tests.
const (
	opReady = 0x00
	opRead  = 0x28 // READ(10): block n is filled with byte n
	opSink  = 0x3B // takes as much data-out as bytes 6-8 say
	opFail  = 0xE0 // CHECK CONDITION 5/24/00 with no data
	opHalf  = 0xE1 // sends 4 blocks of 8, then fails with 3/11/00 at block 4
	opBlock = 0xE2 // waits until it is aborted
	opDeaf  = 0xE3 // waits until the test lets go
	opShort = 0xE4 // answers with 8 bytes
)

// disk is a logical unit that does what the tests of the wire need.
type disk struct {
	let  chan struct{} // closed to end opDeaf
	mu   sync.Mutex
	sunk [][]byte
}

func (d *disk) Concurrent(c scsi.CDB) bool { return c[0] != opReady }

func (d *disk) Execute(ctx context.Context, cmd *scsi.Command) error {
	if ua, ok := cmd.Nexus.Take(); ok {
		return ua
	}
	switch cmd.CDB[0] {
	case opReady:
		return nil
	case opRead:
		return d.read(cmd, int64(cmd.CDB[7])<<8|int64(cmd.CDB[8]), 1<<30)
	case opHalf:
		return d.read(cmd, 8, 4)
	case opSink:
		return d.sink(cmd)
	case opBlock:
		<-ctx.Done()
		return ctx.Err()
	case opDeaf:
		<-d.let
		return nil
	case opFail:
		return scsi.ErrInvalidFieldInCDB
	case opShort:
		return cmd.In.Reply([]byte("12345678"))
	}
	return scsi.ErrInvalidOpcode
}

func (d *disk) read(cmd *scsi.Command, n, good int64) error {
	take, err := cmd.In.Begin(n * 2048)
	for at := int64(0); at < take && err == nil; {
		if at >= good*2048 {
			return scsi.ErrUnrecoveredRead.At(uint32(good))
		}
		var p []byte
		if p, err = cmd.In.Buffer(); err != nil {
			return err
		}
		p = p[:min(int64(len(p)), good*2048-at)]
		for i := 0; i < len(p); i += 2048 {
			fill(p[i:min(i+2048, len(p))], byte((at+int64(i))/2048))
		}
		err = cmd.In.Send(len(p))
		at += int64(len(p))
	}
	return err
}

// fill is quick under the race detector, too.
func fill(p []byte, b byte) {
	p[0] = b
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}

func (d *disk) sink(cmd *scsi.Command) error {
	want := int(cmd.CDB[6])<<16 | int(cmd.CDB[7])<<8 | int(cmd.CDB[8])
	b := make([]byte, want)
	n, err := io.ReadFull(cmd.Out, b)
	d.mu.Lock()
	d.sunk = append(d.sunk, b[:n])
	d.mu.Unlock()
	if err != nil && n > 0 || want == 0 {
		return nil // a short parameter list is taken as it is
	}
	return err
}

// A bench is a server with one disk.
type bench struct {
	srv      *iscsi.Server
	settings iscsi.Settings
	disk     *disk
	unit     *target.Unit
	addr     string
}

// wide limits are for tests of something else, which all come from one address.
var wide = iscsi.Limits{
	Connections: 1 << 20, ConnectionsPerAddress: 1 << 20, Sessions: 65535,
	LoginsPerSecond: 1 << 20, LoginBurst: 1 << 20,
}

// serve serves a disk without limits that a test would meet.
func serve(t testing.TB, o iscsi.Options) *bench {
	t.Helper()
	return serveWith(t, o, wide)
}

// serveWith serves a disk with limits.
func serveWith(t testing.TB, o iscsi.Options, l iscsi.Limits) *bench {
	t.Helper()
	b := &bench{disk: &disk{let: make(chan struct{})}, srv: iscsi.NewServer(o)}
	b.unit = target.NewUnit("cd0", b.disk, target.UnitOptions{})
	b.settings = exported(target.New(iqn, map[uint16]*target.Unit{0: b.unit}))
	b.limit(l)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = listener.Addr().String()
	done := make(chan struct{})
	go func() {
		b.srv.Serve(context.Background(), listener)
		close(done)
	}()
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		b.srv.Shutdown(over)
		<-done
	})
	return b
}

// limit puts limits in force, as a reload does.
func (b *bench) limit(l iscsi.Limits) {
	b.settings.Limits = l
	b.srv.Set(b.settings)
}

func (b *bench) dial(t testing.TB) *initiator.Conn {
	t.Helper()
	c, err := initiator.Dial(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit)) // an answer that does not come fails the test
	return c
}

// login returns a session with its power on unit attention taken.
func (b *bench) login(t testing.TB, keys ...string) *initiator.Conn {
	t.Helper()
	return b.loginAs(t, initiator.Options{Target: iqn, Keys: keys})
}

func (b *bench) loginAs(t testing.TB, o initiator.Options) *initiator.Conn {
	t.Helper()
	c := b.dial(t)
	if _, err := c.Login(o); err != nil {
		t.Fatal(err)
	}
	if o.Target != "" {
		mustDo(t, c, cdb(opReady), 0, nil, 0)
	}
	return c
}

func cdb(op byte, rest ...byte) []byte { return append([]byte{op}, rest...) }

func read10(lba, n int) []byte {
	return cdb(opRead, 0, byte(lba>>24), byte(lba>>16), byte(lba>>8), byte(lba), 0, byte(n>>8), byte(n))
}

func sink(n int) []byte { return cdb(opSink, 0, 0, 0, 0, 0, byte(n>>16), byte(n>>8), byte(n)) }

func mustDo(t testing.TB, c *initiator.Conn, cdb []byte, read int, out []byte, immediate int) *initiator.Result {
	t.Helper()
	r, err := c.Do(cdb, read, out, immediate)
	if err != nil {
		t.Fatalf("command %x: %v", cdb, err)
	}
	return r
}

func recv(t testing.TB, c *initiator.Conn) *initiator.PDU {
	t.Helper()
	p, err := c.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func send(t testing.TB, c *initiator.Conn, p *initiator.PDU) {
	t.Helper()
	if err := c.Send(p); err != nil {
		t.Fatal(err)
	}
}

// exported is settings with these targets, open to all.
func exported(list ...*target.Target) (s iscsi.Settings) {
	s.Limits = wide
	for _, t := range list {
		s.Exports = append(s.Exports, iscsi.Export{Target: t})
	}
	return s
}
