package usbip_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"spindle/gadget/usbip"
	"spindle/target"
)

// An URB is unlinked or answered, never both.
func TestUnlink(t *testing.T) {
	_, _, addr := start(t, usbip.Options{})
	c := configured(t, addr)
	waiting := c.submit(1, true, 13, nil, nil)
	if r := c.await(t, c.unlink(waiting)); r.command != 4 || r.status != -104 {
		t.Errorf("unlink: %+v", r)
	}
	if r := c.await(t, c.unlink(waiting)); r.command != 4 || r.status != 0 {
		t.Errorf("unlink of what is gone: %+v", r)
	}
	c.await(t, c.out(cbw(1, 0, false, opReady)))
	if status, _ := c.csw(t, 1); status != 0 {
		t.Errorf("status %d", status)
	}
}

// An invalid CBW halts both endpoints until reset recovery.
func TestWedge(t *testing.T) {
	_, _, addr := start(t, usbip.Options{})
	c := configured(t, addr)
	waiting := c.submit(1, true, 13, nil, nil)
	seq := c.out([]byte("nonsense"))
	c.await(t, seq)
	if r := c.await(t, waiting); r.status != -32 {
		t.Errorf("the URB that waited: %+v", r)
	}
	for _, ep := range []uint16{0x81, 0x02} {
		c.control(t, 0x02, 1, 0, ep, 0)
		if r := c.control(t, 0x82, 0, 0, ep, 2); r.data[0] != 1 {
			t.Errorf("endpoint %02x is not halted any more", ep)
		}
	}
	if r := c.await(t, c.out(cbw(1, 0, false, opReady))); r.status != -32 {
		t.Errorf("a CBW: %+v", r)
	}
	c.control(t, 0x21, 0xFF, 0, 0, 0)
	for _, ep := range []uint16{0x81, 0x02} {
		c.control(t, 0x02, 1, 0, ep, 0)
	}
	c.await(t, c.out(cbw(2, 0, false, opReady)))
	if status, _ := c.csw(t, 2); status != 0 {
		t.Errorf("status %d", status)
	}
}

// What comes before a stall arrives, and a packet that does not fit is said.
func TestStallAndOverflow(t *testing.T) {
	_, _, addr := start(t, usbip.Options{Stall: true})
	c := configured(t, addr)
	c.await(t, c.out(cbw(1, 4096, true, opIn, 0, 0, 0, 0, 0, 0, 0, 1, 0)))
	if r := c.await(t, c.submit(1, true, 4096, nil, nil)); r.status != -32 || len(r.data) != 2048 {
		t.Errorf("short data-in: status %d, %d bytes", r.status, len(r.data))
	}
	if r := c.await(t, c.submit(1, true, 13, nil, nil)); r.status != -32 {
		t.Errorf("the CSW before the halt is cleared: %+v", r)
	}
	c.control(t, 0x02, 1, 0, 0x81, 0)
	if status, residue := c.csw(t, 1); status != 0 || residue != 2048 {
		t.Errorf("status %d, residue %d", status, residue)
	}
	c.await(t, c.out(cbw(2, 0, false, opReady)))
	if r := c.await(t, c.submit(1, true, 8, nil, nil)); r.status != -75 || len(r.data) != 8 {
		t.Errorf("a CSW into 8 bytes: %+v", r)
	}
	c.await(t, c.out(cbw(3, 0, false, opReady)))
	c.csw(t, 3)
}

// A class reset aborts the task; SET_CONFIGURATION ends the nexus as well.
func TestResets(t *testing.T) {
	d, _, addr := start(t, usbip.Options{})
	c := configured(t, addr)
	for i, reset := range []func() reply{
		func() reply { return c.control(t, 0x21, 0xFF, 0, 0, 0) },
		func() reply { return c.control(t, 0x00, 9, 1, 0, 0) },
	} {
		c.await(t, c.out(cbw(1, 2048, true, opBlock)))
		<-d.began
		if r := reset(); r.status != 0 {
			t.Fatalf("reset %d: %+v", i, r)
		}
		d.set(func() {
			if d.lost != i {
				t.Errorf("reset %d: %d nexuses lost", i, d.lost)
			}
		})
		c.await(t, c.out(cbw(2, 0, false, opReady)))
		if status, _ := c.csw(t, 2); status != 0 {
			t.Errorf("reset %d: status %d", i, status)
		}
	}
}

// A host may set a halt of its own.
func TestHostHalt(t *testing.T) {
	_, _, addr := start(t, usbip.Options{})
	c := configured(t, addr)
	waiting := c.submit(1, true, 13, nil, nil)
	seq := c.submit(0, false, 0, []byte{0x02, 3, 0, 0, 0x81, 0, 0, 0}, nil)
	if r := c.await(t, waiting); r.status != -32 {
		t.Errorf("the URB that waited: %+v", r)
	}
	c.await(t, seq)
	c.control(t, 0x02, 1, 0, 0x81, 0)
	c.await(t, c.out(cbw(2, 0, false, opReady)))
	c.csw(t, 2)
}

// What a client claims costs nothing; what it sends is bounded.
func TestBoundedMemory(t *testing.T) {
	d, _, addr := start(t, usbip.Options{})
	c := configured(t, addr)
	if r := c.await(t, c.submit(1, true, 1<<30, nil, nil)); r.status != -12 {
		t.Errorf("an URB of 1 GiB: %+v", r)
	}
	c.await(t, c.out(cbw(1, 2048, true, opBlock)))
	<-d.began // nobody takes data-out now
	var before, after runtime.MemStats
	runtime.GC() // what is garbage here is nobody's
	runtime.ReadMemStats(&before)
	part, refused := make([]byte, 1<<20), 0
	for range 64 {
		c.out(part)
	}
	for range 60 {
		if r := <-c.replies; r.status == -12 {
			refused++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); refused != 60 || grown > 32<<20 {
		t.Errorf("%d URBs of 1 MiB were refused, want 60; the heap grew by %d", refused, grown)
	}
	for range 1100 {
		c.submit(1, true, 13, nil, nil)
	}
	for range 1100 - 1024 {
		if r := <-c.replies; r.status != -12 {
			t.Fatalf("an URB too many: %+v", r)
		}
	}
}

// Whoever says nothing is sent away.
func TestSilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usbip.NewServer(usbip.Options{}, []*target.Unit{target.NewUnit("cd", &disk{}, target.UnitOptions{})})
		l := newPipeListener()
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- s.Serve(ctx, l) }()
		c := l.dial()
		c.Write(op(0x8003)) // and no name
		began := time.Now()
		if _, err := io.ReadAll(c); err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A pipeListener makes connections of net.Pipe.
type pipeListener struct {
	conns chan net.Conn
	gone  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.gone:
	default:
		close(l.gone)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

func (l *pipeListener) dial() net.Conn {
	near, far := net.Pipe()
	l.conns <- far
	return near
}

// FuzzConnection sends any bytes, as they are or behind an import and
// SET_CONFIGURATION: the server neither panics nor hangs, and is free for the
// next client.
func FuzzConnection(f *testing.F) {
	f.Add(false, op(0x8005))
	f.Add(false, importRequest("1-1"))
	command := append(submission(2, 2, false, 31, nil), cbw(1, 2048, true, opIn, 0, 0, 0, 0, 0, 0, 0, 1, 0)...)
	f.Add(true, append(command, submission(3, 1, true, 2048, nil)...))
	f.Add(true, append(command, submission(3, 0, false, 0, []byte{0x21, 0xFF, 0, 0, 0, 0, 0, 0})...))
	f.Add(true, append(submission(2, 2, false, 3, nil), 1, 2, 3))
	f.Add(true, submission(2, 2, false, 1<<31-1, nil))
	f.Add(true, submission(2, 1, true, 1<<31, nil))
	unlink := submission(4, 0, false, 2, nil)
	binary.BigEndian.PutUint32(unlink, 2)
	binary.BigEndian.PutUint32(unlink[20:], 3)
	f.Add(true, append(submission(3, 1, true, 64, nil), unlink...))
	f.Fuzz(func(t *testing.T, imported bool, script []byte) {
		d := &disk{began: make(chan struct{}, 1<<10)}
		s := usbip.NewServer(usbip.Options{Stall: len(script)%2 == 0}, []*target.Unit{target.NewUnit("cd", d, target.UnitOptions{})})
		l := newPipeListener()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, l) }()
		c := l.dial()
		go io.Copy(io.Discard, c)
		if imported {
			c.Write(importRequest("1-1"))
			c.Write(submission(1, 0, false, 0, []byte{0, 9, 1, 0, 0, 0, 0, 0}))
		}
		c.Write(script)
		c.Close()
		for busy := true; busy; { // an error is too many clients, while those before go
			next := l.dial()
			_, status, err := attach(next, "1-1")
			next.Close()
			busy = err != nil || status != 0
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkRead reads as a host does, one command of 1 MiB at a time.
func BenchmarkRead(b *testing.B) {
	_, _, addr := start(b, usbip.Options{})
	c := configured(b, addr)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		c.await(b, c.out(cbw(1, 1<<20, true, opIn, 0, 0, 0, 0, 0, 0, 2, 0, 0)))
		if r := c.await(b, c.submit(1, true, 1<<20, nil, nil)); len(r.data) != 1<<20 {
			b.Fatal("short")
		}
		c.csw(b, 1)
	}
}
