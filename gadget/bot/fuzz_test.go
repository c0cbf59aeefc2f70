package bot_test

import (
	"context"
	"errors"
	"testing"

	"spindle/gadget/bot"
	"spindle/target"
)

// FuzzTransport plays a host that sends any CBW, of any length and direction,
// to either of two units, takes or gives part of its data, sends rubbish, and
// resets in the middle. Every CSW has the tag of the CBW before it, and after
// reset recovery the device answers.
func FuzzTransport(f *testing.F) {
	f.Add([]byte{0, 1, opIn, 8, 0x80, 2, 0, 0, opReady, 0, 0, 0})
	f.Add([]byte{0, 0, opSink, 4, 0, 255, 3, 0, 0, opBlock, 8, 0x80, 1, 2})
	f.Add([]byte{1, 31, 'U', 'S', 'B', 'C', 0, 0, opFail, 1, 0x80, 255, 4})
	f.Add([]byte{0, 1, opHalf, 16, 0x80, 255, 0, 1, opSense, 1, 0x80, 255})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPipes(64)
		var units []*target.Unit
		for range 2 {
			units = append(units, target.NewUnit("cd", &disk{}, target.UnitOptions{}))
		}
		tr := bot.New(units, p, bot.Options{})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- tr.Serve(ctx) }()
		h := &host{t: t, p: p, tr: tr, script: script}
		h.play()
		h.recover()
		x := p.run(t, 0xABCD, 0, false, 1, []byte{opReady, 0, 0, 0, 0, 0}, nil)
		if x.tag != 0xABCD {
			t.Fatalf("tag %x", x.tag)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

type host struct {
	t      *testing.T
	p      *pipes
	tr     *bot.Transport
	script []byte
	tag    uint32
}

func (h *host) next() byte {
	if len(h.script) == 0 {
		return 0
	}
	b := h.script[0]
	h.script = h.script[1:]
	return b
}

func (h *host) play() {
	for n := 0; len(h.script) > 0 && n < 32; n++ {
		switch h.next() % 5 {
		case 0:
			h.command()
		case 1: // rubbish, or a CBW that is cut or garbled
			raw := makeCBW(h.tag+1, 64, true, h.next()%4, []byte{h.next()})
			for range h.next() % 4 {
				raw[int(h.next())%len(raw)] ^= h.next()
			}
			h.p.send(raw[:min(len(raw), int(h.next()%40))])
			h.recover()
		case 2:
			h.recover()
		case 3:
			h.flush()
			h.tr.NexusLoss()
			h.flush()
		case 4:
			h.p.clear()
		}
	}
}

// command plays one command with part of its data, and checks its CSW.
func (h *host) command() {
	h.tag++
	lun, op, in := h.next()%2, h.next(), h.next()&0x80 != 0
	length := int(h.next()) * 32
	if op == opBlock {
		length = max(length, 4096) // else it never ends, as it should
	}
	if h.p.send(makeCBW(h.tag, length, in, lun, []byte{op, 0, 0, 0, 18, 0, 0, h.next() & 1, h.next(), h.next()})) != nil {
		return
	}
	part := min(length, int(h.next())*64)
	if length > 0 && !in {
		if part < length { // the host stops in the middle
			h.p.send(make([]byte, part/64*64+64)[:part/64*64])
			h.recover()
			return
		}
		h.p.send(make([]byte, length))
		if op == opBlock {
			h.recover()
			return
		}
	}
	if length > 0 && in {
		if part < length || op == opBlock {
			if _, err := h.p.recv(min(part, 64)); errors.Is(err, errTimeout) {
				h.t.Fatalf("CBW of tag %x, op %02x, %d bytes in: nothing came", h.tag, op, length)
			}
			h.recover()
			return
		}
		switch _, err := h.p.recv(length); {
		case errors.Is(err, errStall):
			h.p.clear()
		case err != nil:
			h.t.Fatalf("CBW of tag %x, op %02x, %d bytes in: %v", h.tag, op, length, err)
		}
	}
	b, err := h.p.recv(13)
	if errors.Is(err, errStall) {
		h.p.clear()
		b, err = h.p.recv(13)
	}
	c, perr := parseCSW(b)
	if err != nil || perr != nil || c.tag != h.tag || c.status > 2 {
		h.t.Fatalf("CBW of tag %x, op %02x, %d bytes, in %v: CSW %x, %v", h.tag, op, length, in, b, err)
	}
}

// recover is reset recovery (Bulk-Only Transport, 5.3.4). What the host sends
// still is cancelled first, or it would be the first CBW after the reset.
func (h *host) recover() {
	h.flush()
	h.tr.Reset()
	h.p.clear()
	h.flush()
}

// flush drops what is under way, as a host controller does.
func (h *host) flush() {
	h.p.set(func() { h.p.out, h.p.in = nil, nil })
}
