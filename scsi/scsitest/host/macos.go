package host

import (
	"context"
	"errors"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// Rules of macOS: IOSCSIMultimediaCommandsDevice and what is built on it.
const (
	MacRemovable   Rule = "RMB is set: or nothing can be ejected"
	MacReady       Rule = "the drive is not becoming ready for ever"
	MacMode2A      Rule = "MODE SENSE gives page 2Ah right after the header, without a block descriptor"
	MacEjects      Rule = "TEST UNIT READY has no sense that makes macOS eject the disc: key 2 but for 04/00, 04/01, 04/04, 57/00 and 3A; keys 3 and 4; key 8 but for 64/00"
	MacCapacity    Rule = "READ CAPACITY succeeds when TEST UNIT READY does"
	MacTOC         Rule = "the lead-out of the full TOC is where READ CAPACITY ends, or it is taken for BCD"
	MacStructure   Rule = "a DVD has its physical format, or it is taken for a CD"
	MacUnannounced Rule = "a medium that went is told of at the next read"
)

var macOSModels = []Model{
	{Name: "macOS, USB", USB: true, Interval: time.Second, Rules: []Rule{
		MacRemovable, MacReady, MacMode2A, MacEjects, MacCapacity, MacTOC, MacStructure, MacUnannounced,
	}, host: func(c *conn) Host { return &macOS{conn: c} }},
}

// macOS is a drive as macOS sees it. It polls by TEST UNIT READY while there is
// no medium and not at all while there is one, which it locks in: it answers no
// request to let go.
type macOS struct {
	*conn
	dvd bool // reads the structures of DVDs
}

// Attach implements Host.
func (h *macOS) Attach(ctx context.Context) error {
	d, err := h.inquiry(ctx, 36)
	if err != nil || len(d) < 36 || d[1]&0x80 == 0 {
		return h.giveUp(MacRemovable, "% X, %v", d[:min(len(d), 5)], err)
	}
	if err := h.waitReady(ctx); err != nil {
		return err
	}
	if d, err := h.configuration(ctx, 2, 0, 4); err == nil && len(d) == 4 {
		_, _ = h.configuration(ctx, 2, 0, be16(d[2:])+4)
	}
	for _, f := range []int{0x0103, 0x0021, 0x002D, 0x002E, 0x002F, 0x0106} {
		_, _ = h.configuration(ctx, 2, f, 8)
	}
	if err := h.mode2A(ctx); err != nil {
		return err
	}
	_, _ = h.in(ctx, 20, 0x5A, 8, 0x1A, 0, 0, 0, 0, 0, 20)
	_, _ = h.in(ctx, 16, 0x5A, 8, 0x31, 0, 0, 0, 0, 0, 16)
	return h.Poll(ctx)
}

// waitReady goes on while the drive becomes ready; it begins a unit that asks
// for it.
func (h *macOS) waitReady(ctx context.Context) error {
	const most = 600 // of 200 ms: longer than any drive takes
	for range most {
		err := h.testUnitReady(ctx)
		s, _ := senseOf(err)
		switch {
		case attention(err):
		case becomingReady(err):
			if err := scsitest.Pause(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		case s.Key == scsi.NotReady && s.Code == 0x0402:
			_ = h.do(ctx, 0x1B, 0, 0, 0, 1)
		default:
			return nil
		}
	}
	return h.giveUp(MacReady, "after %d times", most)
}

// mode2A reads the capabilities, by a length that it asks for first.
func (h *macOS) mode2A(ctx context.Context) error {
	d, err := h.in(ctx, 8, 0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 8)
	if err == nil && len(d) == 8 {
		n := be16(d) + 2
		d, err = h.in(ctx, n, 0x5A, 0, 0x2A, 0, 0, 0, 0, byte(n>>8), byte(n))
	}
	if err != nil || len(d) < 8+8 || d[8]&0x3F != 0x2A {
		return h.giveUp(MacMode2A, "% X, %v", d[:min(len(d), 16)], err)
	}
	h.dvd = d[8+2]&0x08 != 0
	return nil
}

// Poll implements Host.
func (h *macOS) Poll(ctx context.Context) error {
	if h.seen.Present {
		return nil
	}
	err := h.testUnitReady(ctx)
	if s, ok := senseOf(err); ok && s.Code != 0 {
		if macEjects(s) {
			_ = h.eject(ctx)
			return h.giveUp(MacEjects, "%v", err)
		}
		return nil
	}
	return h.takeIn(ctx)
}

// macEjects reports whether the sense of TEST UNIT READY is one for which the
// disc is thrown out.
func macEjects(s scsi.Sense) bool {
	switch s.Key {
	case scsi.NotReady:
		return s.Code != 0x0400 && s.Code != 0x0401 && s.Code != 0x0404 && s.Code != 0x5700 && s.Code>>8 != 0x3A
	case scsi.MediumError, scsi.HardwareError:
		return true
	case scsi.BlankCheck:
		return s.Code != 0x6400
	}
	return false
}

// takeIn locks the medium in and finds what it is.
func (h *macOS) takeIn(ctx context.Context) error {
	_ = h.prevent(ctx, true)
	blocks, _, err := h.capacity(ctx)
	if err != nil {
		_ = h.prevent(ctx, false)
		if noMedium(err) || attention(err) {
			return nil // gone again, or the next poll finds it
		}
		return h.giveUp(MacCapacity, "%v", err)
	}
	h.seen.Blocks, h.seen.Kind = blocks, h.kind(ctx)
	errs := []error{h.checkKind(ctx), h.checkTOC(ctx)}
	_ = h.do(ctx, 0xBB, 0, 0xFF, 0xFF, 0xFF, 0xFF)
	h.seen.Present = true
	h.seen.Changes++
	if err := h.label(ctx); err != nil {
		h.noteRead(ctx, err)
	}
	return errors.Join(errs...)
}

// kind asks for the physical format of a DVD, and else takes it for a CD. BDs
// it tells by the profile.
func (h *macOS) kind(ctx context.Context) Kind {
	if d, err := h.configuration(ctx, 2, 0, 8); err == nil && len(d) == 8 && kindOf(be16(d[6:])) == BD {
		return BD
	}
	if h.dvd {
		if d, err := h.in(ctx, 8, 0xAD, 0, 0, 0, 0, 0, 0, 0, 0, 8); err == nil && len(d) == 8 {
			return DVD
		}
	}
	kind := CD
	if d, err := h.in(ctx, 12, 0x43, 0, 0, 0, 0, 0, 0, 0, 12); err == nil && len(d) == 12 && d[5]&4 == 0 {
		kind = Audio
	}
	_, _ = h.in(ctx, 4, 0x43, 0, 0, 0, 0, 0, 0, 0, 4)
	_, _ = h.in(ctx, 4, 0x51, 0, 0, 0, 0, 0, 0, 0, 4)
	_, _ = h.in(ctx, 16, 0x43, 0, 4, 0, 0, 0, 0, 0, 16)
	_, _ = h.in(ctx, 8, 0x52, 1, 0, 0, 0, 1, 0, 0, 8)
	return kind
}

// checkKind sees that a DVD was not taken for a CD.
func (h *macOS) checkKind(ctx context.Context) error {
	d, err := h.configuration(ctx, 2, 0, 8)
	if err == nil && len(d) == 8 && kindOf(be16(d[6:])) == DVD && h.seen.Kind != DVD {
		return h.giveUp(MacStructure, "it is taken for a %s", h.seen.Kind)
	}
	return nil
}

// checkTOC compares the full TOC of a CD with its capacity. A lead-out more
// than a second beyond is taken for one in BCD, and the TOC rewritten.
func (h *macOS) checkTOC(ctx context.Context) error {
	if h.seen.Kind != CD && h.seen.Kind != Audio {
		return nil
	}
	d, err := h.in(ctx, 0xFFFE, 0x43, 2, 2, 0, 0, 0, 0, 0xFF, 0xFE)
	if err != nil || len(d) < 4 {
		return nil // then it asks for other formats
	}
	leadOut := -1
	for at := 4; at+11 <= len(d); at += 11 {
		if d[at+3] == 0xA2 && d[at] == d[3] {
			leadOut = (int(d[at+8])*60+int(d[at+9]))*75 + int(d[at+10])
		}
	}
	if end := int(h.seen.Blocks) + 150; leadOut < end || leadOut > end+75 {
		return h.giveUp(MacTOC, "lead-out at frame %d, capacity ends at %d", leadOut, end)
	}
	return nil
}

// Read implements Host. It is by reads that macOS learns that a medium went.
func (h *macOS) Read(ctx context.Context, lba uint32, n int) ([]byte, error) {
	if !h.seen.Present {
		return nil, ErrNoMedium
	}
	d, err := h.readMedium(ctx, lba, n)
	if s, _ := senseOf(err); s.Is(scsi.ErrLBAOutOfRange) && lba+uint32(n) <= h.seen.Blocks {
		return nil, h.giveUp(MacUnannounced, "block %d of %d: %v", lba, h.seen.Blocks, err)
	}
	h.noteRead(ctx, err)
	return d, err
}

func (h *macOS) noteRead(_ context.Context, err error) {
	if noMedium(err) || newMedium(err) {
		h.lose() // and polls again
		h.seen.Locked = false
	}
}

// Mount implements Host: the medium was locked when it was found.
func (h *macOS) Mount(ctx context.Context) error {
	if !h.seen.Present {
		return ErrNoMedium
	}
	_, err := h.Read(ctx, 0, 1)
	return err
}

// Unmount implements Host; the medium stays locked.
func (h *macOS) Unmount(context.Context) error { return nil }

// Eject implements Host.
func (h *macOS) Eject(ctx context.Context) error {
	for range 3 { // unit attentions
		if err := h.prevent(ctx, false); !attention(err) {
			break
		}
	}
	err := h.eject(ctx)
	h.lose()
	return err
}
