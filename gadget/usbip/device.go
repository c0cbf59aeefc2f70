package usbip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"spindle/gadget/bot"
)

// A device is the emulated device while a client has it.
type device struct {
	o      *Options
	ep     *endpoints
	bot    *bot.Transport
	r      *bufio.Reader
	config byte // 0 until SET_CONFIGURATION
}

// imported serves a client that imported the device, until it goes or ctx is
// done.
func (s *Server) imported(ctx context.Context, c net.Conn, host string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &device{o: &s.o, ep: newEndpoints(c, s.o.Speed.packet()), r: bufio.NewReaderSize(c, 64<<10)}
	d.bot = bot.New(s.units, d.ep, bot.Options{Host: host, Stall: s.o.Stall, Log: s.o.Log})
	stop := context.AfterFunc(ctx, func() { d.ep.close(context.Cause(ctx)) })
	defer stop()
	var group sync.WaitGroup
	group.Go(func() { d.ep.close(d.bot.Serve(ctx)) })
	err := d.receive()
	d.ep.close(err)
	cancel()
	group.Wait()
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// receive takes messages until the connection ends.
func (d *device) receive() error {
	var raw [headerSize]byte
	var h header
	for {
		if _, err := io.ReadFull(d.r, raw[:]); err != nil {
			return err
		}
		h.parse(&raw)
		var err error
		switch {
		case h.command == cmdUnlink:
			err = d.unlink(&h)
		case h.command != cmdSubmit:
			err = fmt.Errorf("%w: command %#x", errProtocol, h.command)
		case h.packets != 0 && h.packets != 0xFFFFFFFF: // of an endpoint that we do not have
			err = fmt.Errorf("%w: isochronous URB", errProtocol)
		case int32(h.length) < 0:
			err = fmt.Errorf("%w: URB of %d bytes", errProtocol, h.length)
		case h.ep == 0:
			err = d.control(&h)
		case h.in:
			err = d.submitIn(&h)
		default:
			err = d.submitOut(&h)
		}
		if err != nil {
			return err
		}
	}
}

// submitIn queues an URB for data-in.
func (d *device) submitIn(h *header) error {
	e := d.ep
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case d.config == 0 || h.ep != endpointIn&15 || e.in.halted:
		return e.reply(retSubmit, h.seq, urbStall, 0)
	case h.length > maxTransfer || len(e.in.urbs) == maxURBs:
		return e.reply(retSubmit, h.seq, urbNoMemory, 0)
	}
	e.in.urbs = append(e.in.urbs, &urb{seq: h.seq, size: int(h.length)})
	e.changed.Broadcast()
	return nil
}

// submitOut queues an URB for data-out.
func (d *device) submitOut(h *header) error {
	e := d.ep
	e.mu.Lock()
	status := 0
	switch {
	case d.config == 0 || h.ep != endpointOut:
		status = urbStall
	case int(h.length) > maxHeld-e.held || len(e.out.urbs) == maxURBs:
		status = urbNoMemory
	}
	e.mu.Unlock()
	if status != 0 {
		return d.refuse(h, status)
	}
	data, err := d.payload(int(h.length))
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.out.halted {
		return e.reply(retSubmit, h.seq, urbStall, 0)
	}
	ends := h.flags&zeroPacket != 0
	e.out.urbs = append(e.out.urbs, &urb{seq: h.seq, data: data, ends: ends})
	e.held += len(data)
	e.changed.Broadcast()
	return nil
}

// payload reads n bytes that follow a header. They are claimed: memory grows
// with what comes.
func (d *device) payload(n int) ([]byte, error) {
	const step = 64 << 10
	data := make([]byte, 0, min(n, step))
	for len(data) < n {
		data = slices.Grow(data, min(n-len(data), step))
		k := min(n, cap(data))
		if _, err := io.ReadFull(d.r, data[len(data):k]); err != nil {
			return nil, err
		}
		data = data[:k]
	}
	return data, nil
}

// refuse answers an URB for data-out after dropping its payload.
func (d *device) refuse(h *header, status int) error {
	if _, err := io.CopyN(io.Discard, d.r, int64(h.length)); err != nil {
		return err
	}
	return d.answer(h, status, 0, nil)
}

// answer answers an URB that is in no queue.
func (d *device) answer(h *header, status, actual int, data []byte) error {
	d.ep.mu.Lock()
	defer d.ep.mu.Unlock()
	return d.ep.reply(retSubmit, h.seq, status, actual, data)
}

// unlink takes an URB back. One that is gone was answered already.
func (d *device) unlink(h *header) error {
	e := d.ep
	e.mu.Lock()
	defer e.mu.Unlock()
	status := 0
	for _, p := range []*pipe{&e.in, &e.out} {
		i := slices.IndexFunc(p.urbs, func(u *urb) bool { return u.seq == h.unlink })
		if i < 0 {
			continue
		}
		if p == &e.out {
			e.held -= len(p.urbs[i].data)
		}
		p.urbs = slices.Delete(p.urbs, i, i+1)
		status = urbUnlinked
		break
	}
	return e.reply(retUnlink, h.seq, status, 0)
}
