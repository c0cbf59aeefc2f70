package ffs

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"spindle/gadget/bot"
)

const (
	haltPause = 2 * time.Millisecond
	haltTries = 250 // of half a second in all
)

// HaltIn implements bot.Endpoints.
func (f *Function) HaltIn() error { return f.haltUntil(f.haltIn) }

// HaltOut implements bot.Endpoints.
func (f *Function) HaltOut() error { return f.haltUntil(f.haltOut) }

var errRefused = errors.New("halt refused")

// I/O against an endpoint's direction halts it.

func (f *Function) haltIn() error  { return f.halt(f.in, unix.Read) }
func (f *Function) haltOut() error { return f.halt(f.out, unix.Write) }

func (f *Function) halt(fd int, against func(int, []byte) (int, error)) error {
	if err := f.pass(false); err != nil {
		return err
	}
	switch _, err := f.interruptible(fd, against, nil); err {
	case unix.EBADMSG:
		return nil
	case unix.EAGAIN, unix.EINTR:
		return errRefused // the controller holds data that the host has not taken
	case bot.ErrAbandoned:
		return err
	default:
		f.setReady(false)
		return bot.ErrDisabled
	}
}

// haltUntil halts once the host has taken what it is sent. One that does not
// resets the device in the end, so the halt is given up in time.
func (f *Function) haltUntil(halt func() error) error {
	for range haltTries {
		if err := halt(); err != errRefused {
			return err
		}
		time.Sleep(haltPause)
	}
	f.log.Warn("the USB controller refuses to halt an endpoint")
	return nil
}

// Wedge implements bot.Endpoints. FunctionFS has no wedge, and does not tell
// when the host clears a halt: so it is set again and again.
func (f *Function) Wedge() error {
	if err := errors.Join(f.HaltIn(), f.HaltOut()); err != nil {
		return err
	}
	f.wedge.Go(func() {
		for again(f.haltIn()) && again(f.haltOut()) {
			time.Sleep(haltPause)
		}
	})
	return nil
}

func again(err error) bool { return err == nil || err == errRefused }
