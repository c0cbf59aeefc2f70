package ffs

import (
	"errors"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"spindle/gadget/bot"
)

const (
	highSpeedPacket = 512
	maxTransfer     = bot.ChunkSize + 4096
	minTransfer     = 16 << 10 // whole packets of every speed, as its doubles are
)

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

var _ bot.Endpoints = (*Function)(nil)

// MaxPacket implements bot.Endpoints.
func (f *Function) MaxPacket() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.packet
}

// setReady opens or closes the gate of the transfers.
func (f *Function) setReady(ready bool) {
	packet := 0
	if ready {
		packet = f.packetInForce()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = ready
	if packet != 0 {
		f.packet = packet
	}
	f.changed.Broadcast()
}

func (f *Function) setHandling(h bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handling = h
	f.changed.Broadcast()
}

// pass is the gate: it waits until the Host knows all that happened on the bus.
// Were it not so, a command that a host sends right after a reset could be
// taken before its nexus is lost, and be aborted with it; which a machine that
// was suspended did show. The gate is closed while the host has the interface
// not configured; then pass fails, unless it is to wait.
func (f *Function) pass(wait bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.abandoned:
			return bot.ErrAbandoned
		case f.handling || f.pending():
		case f.ready:
			return nil
		case !wait:
			return bot.ErrDisabled
		}
		f.changed.Wait()
	}
}

// pending reports whether ep0 has events that nobody has read.
func (f *Function) pending() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.fd0), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// reopen opens the gate that a failed transfer closed: a host that sends
// requests for the interface has it configured.
func (f *Function) reopen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = true
	f.changed.Broadcast()
}

// packetInForce asks for the descriptor at the speed of now; 0 when there is
// none, since the host has gone meanwhile.
func (f *Function) packetInForce() int {
	const endpointDesc = 0x80096782 // FUNCTIONFS_ENDPOINT_DESC, 9 bytes
	var d [16]byte
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.in), endpointDesc, uintptr(unsafe.Pointer(&d))); errno != 0 {
		return 0
	}
	return int(d[4]) | int(d[5]&7)<<8
}

// Read implements bot.Endpoints. It waits for the host to choose the
// configuration.
func (f *Function) Read(p []byte) (n int, err error) {
	if err := f.pass(true); err != nil {
		return 0, err
	}
	for n < len(p) {
		part := p[n:min(len(p), n+f.limit())]
		got, err := f.transfer(f.out, unix.Read, part)
		if err == errNoMemory {
			continue
		}
		n += got
		if err != nil || got < len(part) {
			return n, err
		}
	}
	return n, nil
}

// Write implements bot.Endpoints.
func (f *Function) Write(p []byte) error {
	if err := f.pass(false); err != nil {
		return err
	}
	for first := true; first || len(p) > 0; first = false {
		n, err := f.transfer(f.in, unix.Write, p[:min(len(p), f.limit())])
		switch {
		case err == errNoMemory:
			first = true
			continue
		case err != nil:
			return err
		}
		p = p[n:]
	}
	return nil
}

var errNoMemory = errors.New("no memory for a transfer of this size")

// transfer carries out one transfer, and says what its errors mean to bot.
func (f *Function) transfer(fd int, call func(int, []byte) (int, error), p []byte) (int, error) {
	n, err := f.interruptible(fd, call, p)
	switch {
	case err == nil:
		return n, nil
	case err == bot.ErrAbandoned:
		return 0, err
	case err == unix.EINTR && len(p) <= f.MaxPacket():
		// Stopped or frozen with its process: of a single packet nothing is lost.
		if err := f.pass(fd == f.out); err != nil {
			return 0, err
		}
		return f.transfer(fd, call, p)
	case err == unix.ENOMEM && f.halveLimit():
		return 0, errNoMemory
	case err != unix.ESHUTDOWN && err != unix.EAGAIN: // those are of a disabled one
		f.log.Warn("USB transfer failed", "error", err)
	}
	// Whatever it was, the host resets what it cannot use: what comes next waits
	// for that.
	f.setReady(false)
	return 0, bot.ErrDisabled
}

// The kernel wants memory in one piece for a transfer, on controllers without
// scatter and gather: where it has none, transfers become smaller.

func (f *Function) limit() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

func (f *Function) halveLimit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.most <= minTransfer {
		return false
	}
	if f.most == maxTransfer {
		f.most = bot.ChunkSize
	}
	f.most /= 2
	f.log.Warn("no memory for large USB transfers", "now", f.most)
	return true
}

// interruptible carries out a system call that Abandon ends.
func (f *Function) interruptible(fd int, call func(int, []byte) (int, error), p []byte) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &onlyWake, &old); err != nil {
		return 0, err
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }()
	thread := unix.Gettid()
	if !f.enter(thread) {
		return 0, bot.ErrAbandoned
	}
	n, err := call(fd, p)
	if f.leave(thread) && err != nil {
		return 0, bot.ErrAbandoned
	}
	return n, err
}

func (f *Function) enter(thread int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.abandoned {
		return false
	}
	f.busy[thread] = true
	return true
}

// leave reports whether the transfer was abandoned.
func (f *Function) leave(thread int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, thread)
	return f.abandoned
}

// Abandon implements bot.Endpoints. A signal ends a system call that waits, and
// the kernel takes the transfer back; one that comes before the call is lost,
// so they are sent until no thread is in a transfer.
func (f *Function) Abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = true
	f.changed.Broadcast()
	for len(f.busy) > 0 {
		for thread := range f.busy {
			_ = unix.Tgkill(unix.Getpid(), thread, wake)
		}
		f.mu.Unlock()
		time.Sleep(time.Millisecond)
		f.mu.Lock()
	}
}

// Resume implements bot.Endpoints.
func (f *Function) Resume() {
	f.wedge.Wait() // a halt that came after the host's clearing would stay
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = false
	f.changed.Broadcast()
}
