package ffs

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"spindle/gadget/bot"
)

// piped has a socket play an endpoint: a read blocks until there is data, and a
// signal ends it. Its ep0 has an event for each byte.
func piped(t *testing.T) (f *Function, out, ep0 *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, out := os.NewFile(uintptr(fds[0]), "ep2"), os.NewFile(uintptr(fds[1]), "host")
	t.Cleanup(func() { r.Close(); out.Close() })
	// With a timeout a signal ends a read, as in FunctionFS; else it is restarted.
	if err := unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}); err != nil {
		t.Fatal(err)
	}
	r0, ep0 := pipe(t)
	f = &Function{log: slog.New(slog.DiscardHandler), busy: map[int]bool{}, packet: 512, most: maxTransfer}
	f.changed.L = &f.mu
	f.out, f.fd0 = int(r.Fd()), int(r0.Fd()) // Fd makes them block
	f.ready = true
	return f, out, ep0
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// awaitBusy waits until a transfer is under way.
func (f *Function) awaitBusy() {
	for {
		f.mu.Lock()
		n := len(f.busy)
		f.mu.Unlock()
		if n > 0 {
			return
		}
		runtime.Gosched()
	}
}

func TestAbandonEndsATransfer(t *testing.T) {
	f, out, _ := piped(t)
	for range 50 {
		var err error
		var wait sync.WaitGroup
		wait.Go(func() { _, err = f.Read(make([]byte, 512)) })
		f.awaitBusy()
		f.Abandon()
		wait.Wait()
		if !errors.Is(err, bot.ErrAbandoned) {
			t.Fatalf("Read: %v; want %v", err, bot.ErrAbandoned)
		}
		if _, err := f.Read(make([]byte, 512)); !errors.Is(err, bot.ErrAbandoned) {
			t.Fatalf("Read before Resume: %v; want %v", err, bot.ErrAbandoned)
		}
		f.Resume()
	}
	if _, err := out.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 512)
	if n, err := f.Read(p); err != nil || string(p[:n]) != "hello" {
		t.Errorf("Read after Resume: %q, %v; want hello", p[:n], err)
	}
}

// A signal for the process, as of its runtime's own, disturbs no transfer.
func TestSignalsDoNotDisturb(t *testing.T) {
	f, out, _ := piped(t)
	var n int
	var err error
	var wait sync.WaitGroup
	wait.Go(func() { n, err = f.Read(make([]byte, 2048)) })
	f.awaitBusy()
	f.mu.Lock()
	for thread := range f.busy {
		for range 100 {
			_ = unix.Tgkill(os.Getpid(), thread, unix.SIGURG)
		}
	}
	f.mu.Unlock()
	_, _ = out.WriteString("hello")
	wait.Wait()
	if err != nil || n != 5 {
		t.Errorf("Read: %d, %v; want 5 bytes", n, err)
	}
}

// A CBW that comes with an event nobody has handled waits for that.
func TestEventsGoFirst(t *testing.T) {
	f, out, ep0 := piped(t)
	_, _ = ep0.WriteString("x")
	_, _ = out.WriteString("hello")
	got := make(chan error, 1)
	go func() {
		_, err := f.Read(make([]byte, 512))
		got <- err
	}()
	f.setHandling(true)
	if _, err := unix.Read(f.fd0, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-got:
		t.Fatalf("Read: %v, before the event was handled", err)
	default:
	}
	f.setHandling(false)
	if err := <-got; err != nil {
		t.Errorf("Read: %v", err)
	}
}

func TestGate(t *testing.T) {
	f, out, _ := piped(t)
	f.setReady(false)
	if err := f.Write([]byte("x")); !errors.Is(err, bot.ErrDisabled) {
		t.Errorf("Write: %v; want %v", err, bot.ErrDisabled)
	}
	if err := f.HaltIn(); !errors.Is(err, bot.ErrDisabled) {
		t.Errorf("HaltIn: %v; want %v", err, bot.ErrDisabled)
	}
	_, _ = out.WriteString("hello")
	got := make(chan error, 1)
	go func() {
		_, err := f.Read(make([]byte, 512))
		got <- err
	}()
	f.reopen()
	if err := <-got; err != nil {
		t.Errorf("Read: %v", err)
	}
}

// A kernel without memory in large pieces gets smaller ones.
func TestNoMemory(t *testing.T) {
	f, _, _ := piped(t)
	var largest int
	short := func(_ int, p []byte) (int, error) {
		if len(p) > 64<<10 {
			return 0, unix.ENOMEM
		}
		largest = max(largest, len(p))
		return len(p), nil
	}
	for n := 0; n < bot.ChunkSize; {
		got, err := f.transfer(f.out, short, make([]byte, min(f.limit(), bot.ChunkSize-n)))
		if err != nil && !errors.Is(err, errNoMemory) {
			t.Fatalf("transfer: %v", err)
		}
		n += got
	}
	if largest != 64<<10 || f.limit()%1024 != 0 {
		t.Errorf("transfers of up to %d bytes, limit %d; want 65536", largest, f.limit())
	}
	none := func(int, []byte) (int, error) { return 0, unix.ENOMEM }
	for {
		if _, err := f.transfer(f.out, none, nil); errors.Is(err, bot.ErrDisabled) {
			return
		}
	}
}
