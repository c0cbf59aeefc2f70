//go:build linux

package main

import (
	"fmt"
	"slices"
)

// A wrapper is what comes where a CBW should be.
type wrapper struct {
	name string
	raw  []byte
}

// wrappers are those that are not valid (6.2.1), then those not meaningful (6.2.2).
func wrappers() (invalid, meaningless []wrapper) {
	good := tur(0).cbw(7)
	change := func(at int, v byte) []byte {
		b := slices.Clone(good)
		b[at] = v
		return b
	}
	invalid = []wrapper{
		{"signature", change(0, 'X')},
		{"30 bytes", good[:30]},
		{"32 bytes", append(slices.Clone(good), 0)},
		{"512 bytes", make([]byte, 512)},
		{"zero-length packet", nil},
	}
	meaningless = []wrapper{
		{"no command block", change(14, 0)},
		{"command block of 17 bytes", change(14, 17)},
		{"reserved bit of the LUN", change(13, 0x10)},
		{"reserved bit of the flags", change(12, 1)},
		{"absent LUN", change(13, 5)},
	}
	return invalid, meaningless
}

func (d *device) badWrappers() error {
	invalid, meaningless := wrappers()
	for _, w := range invalid {
		if err := d.invalid(w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	for _, w := range meaningless {
		if err := d.meaningless(w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// csw says what comes where a CSW would be.
func (d *device) csw() string {
	p, err := d.recv(13)
	if err == nil {
		return fmt.Sprintf("%d bytes", len(p))
	}
	return word(err)
}

// invalid sends a wrapper after which nothing but reset recovery helps. That an
// endpoint is halted again after it was cleared is seen by a transfer, not by
// GET STATUS: a device without a wedge halts it a moment later.
func (d *device) invalid(w wrapper) error {
	sent := word(d.send(w.raw))
	in := d.csw()
	if err := d.clear(); err != nil {
		return err
	}
	cleared := d.csw()
	if err := d.clear(); err != nil {
		return err
	}
	d.tag++
	next := word(d.send(tur(0).cbw(d.tag)))
	if err := d.clear(); err != nil {
		return err
	}
	after := d.csw()
	if err := d.recover(); err != nil {
		return err
	}
	say("invalid CBW, "+w.name, "sent=%s csw=%s; cleared: csw=%s; cleared: CBW=%s csw=%s; reset: csw=%s",
		sent, in, cleared, next, after, d.run(tur(0)).status)
	return nil
}

// meaningless sends a wrapper that the device may answer by a halt; then it is
// ready for the next.
func (d *device) meaningless(w wrapper) error {
	sent := word(d.send(w.raw))
	in := d.csw()
	if err := d.clear(); err != nil {
		return err
	}
	say("CBW not meaningful, "+w.name, "sent=%s csw=%s; cleared: csw=%s", sent, in, d.run(tur(0)).status)
	return nil
}

// whole reads all of what every disc has.
var whole = command{length: 64 * block, in: true, cdb: read(0, 64)}

// resets come where they hurt. Each is followed by a command and a whole read,
// which has to bring what it brought before.
func (d *device) resets(selects bool) error {
	out := outputs(selects)
	d.sum = d.run(whole).sum
	where := []struct {
		name  string
		begin func() error
	}{
		{"before data-in", func() error { return d.send(whole.cbw(d.tag)) }},
		{"in data-in", func() error {
			if err := d.send(whole.cbw(d.tag)); err != nil {
				return err
			}
			_, err := d.recv(2 * block)
			return err
		}},
		{"before the CSW", func() error { return d.send(tur(0).cbw(d.tag)) }},
		{"before data-out", func() error {
			return d.send(command{lun: out.lun, length: 16 * out.unit, cdb: out.cdb(16)}.cbw(d.tag))
		}},
		{"in data-out", func() error {
			// A part in whole packets, or the device would take it for the end.
			length := 4 * max(out.unit, d.packet)
			cdb := out.cdb(byte(min(length/out.unit, 31)))
			if err := d.send(command{lun: out.lun, length: length, cdb: cdb}.cbw(d.tag)); err != nil {
				return err
			}
			return d.send(make([]byte, d.packet))
		}},
	}
	for _, kind := range []struct {
		name  string
		reset func() error
	}{{"class reset", d.recover}, {"port reset", d.portReset}} {
		for _, w := range where {
			d.tag++
			if err := w.begin(); err != nil {
				return fmt.Errorf("%s %s: %w", kind.name, w.name, err)
			}
			if err := kind.reset(); err != nil {
				return fmt.Errorf("%s %s: %w", kind.name, w.name, err)
			}
			d.afterReset(kind.name+" "+w.name, kind.name == "port reset")
		}
	}
	return nil
}

// afterReset shows that the device works. After a port reset the kernel's own
// driver was there for a moment, and may have been stopped in the middle.
func (d *device) afterReset(name string, port bool) {
	if port {
		if err := d.settle(2); err != nil {
			say(name, "%v", err)
			return
		}
	}
	first := d.run(tur(0))
	if first.status == anotherTag {
		// dummy_hcd takes a packet of up to 64 bytes into a FIFO of its own, which
		// it does not flush: the CSW of before can be on the bus already.
		first = outcome{}
		first.readCSW(d)
	}
	again := d.run(whole)
	say(name, "csw=%s; read: %v same=%t", first.status, again, again.sum == d.sum)
}

// halts are set by the host (SET FEATURE, ENDPOINT_HALT).
func (d *device) halts() error {
	for _, ep := range []struct {
		name string
		addr byte
		try  func() string
	}{
		{"IN", d.in, d.csw},
		{"OUT", d.out, func() string { return word(d.send(tur(0).cbw(d.tag))) }},
	} {
		if _, err := d.control(0x02, 3, 0, uint16(ep.addr), nil); err != nil {
			return fmt.Errorf("SET FEATURE: %w", err)
		}
		status := make([]byte, 2)
		if _, err := d.control(0x82, 0, 0, uint16(ep.addr), status); err != nil {
			return fmt.Errorf("GET STATUS: %w", err)
		}
		met := ep.try()
		if err := d.clear(); err != nil {
			return err
		}
		say("SET FEATURE halt "+ep.name, "status=%d met=%s; cleared: csw=%s", status[0], met, d.run(tur(0)).status)
	}
	return nil
}
