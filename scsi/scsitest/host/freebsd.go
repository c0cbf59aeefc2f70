package host

import (
	"context"
	"time"

	"spindle/scsi/scsitest"
)

// Rules of FreeBSD's cd driver.
const (
	FreeBSDRemovable Rule = "RMB is set: or nothing can be ejected"
	FreeBSDCapacity  Rule = "READ CAPACITY succeeds, but for unit attentions, a drive that becomes ready within a minute, and an empty one"
	FreeBSDTOC       Rule = "READ TOC gives the tracks that its header names"
)

var freeBSDModels = []Model{{
	Name: "FreeBSD, iSCSI", Interval: 3 * time.Second,
	Rules: []Rule{FreeBSDRemovable, FreeBSDCapacity, FreeBSDTOC},
	host:  func(c *conn) Host { return &freeBSD{conn: c} },
}}

// freeBSD is a drive as cd(4) sees it.
type freeBSD struct{ *conn }

// Attach implements Host.
func (h *freeBSD) Attach(ctx context.Context) error {
	d, err := h.inquiry(ctx, 36)
	if err != nil || len(d) < 36 || d[1]&0x80 == 0 {
		return h.giveUp(FreeBSDRemovable, "% X, %v", d[:min(len(d), 5)], err)
	}
	_, _ = h.vpd(ctx, 0x80)
	return h.check(ctx)
}

// check is what each open does to learn of the medium.
func (h *freeBSD) check(ctx context.Context) error {
	var blocks uint32
	var err error
	for range 120 {
		if blocks, _, err = h.capacity(ctx); becomingReady(err) {
			if err := scsitest.Pause(ctx, 500*time.Millisecond); err != nil {
				return err
			}
		} else if !attention(err) {
			break
		}
	}
	if err != nil {
		h.lose()
		if noMedium(err) {
			return nil
		}
		return h.giveUp(FreeBSDCapacity, "%v", err)
	}
	h.seen.Present, h.seen.Blocks = true, blocks
	h.seen.Changes++
	head, err := h.in(ctx, 4, 0x43, 0, 0, 0, 0, 0, 0, 0, 4)
	if err != nil || len(head) < 4 {
		return nil // a medium without a TOC is one all the same
	}
	n := 4 + 8*max(0, int(head[3])-int(head[2])+2)
	d, err := h.in(ctx, n, 0x43, 0, 0, 0, 0, 0, 0, byte(n>>8), byte(n))
	if err == nil && len(d) != n {
		return h.giveUp(FreeBSDTOC, "%d bytes, want %d", len(d), n)
	}
	h.seen.Kind = CD
	if len(d) >= 12 && d[5]&4 == 0 {
		h.seen.Kind = Audio
	}
	err = h.label(ctx)
	h.noteRead(err)
	return nil
}

func (h *freeBSD) noteRead(err error) {
	if noMedium(err) || newMedium(err) {
		h.lose()
	}
}

// Poll implements Host: TEST UNIT READY.
func (h *freeBSD) Poll(ctx context.Context) error {
	err := h.testUnitReady(ctx)
	switch {
	case newMedium(err):
		h.seen.Changes++
		return h.check(ctx)
	case noMedium(err):
		h.lose()
	case err == nil && !h.seen.Present:
		return h.check(ctx)
	}
	return nil
}

// Read implements Host: by READ(6) where the address allows it.
func (h *freeBSD) Read(ctx context.Context, lba uint32, n int) ([]byte, error) {
	if !h.seen.Present {
		return nil, ErrNoMedium
	}
	var d []byte
	var err error
	if h.seen.Kind != Audio && lba+uint32(n) < 1<<21 && n < 256 {
		d, err = h.in(ctx, n*2048, 0x08, byte(lba>>16), byte(lba>>8), byte(lba), byte(n))
		d, err = h.blocks("READ(6)", lba, d, n*2048, err)
	} else {
		d, err = h.readMedium(ctx, lba, n)
	}
	h.noteRead(err)
	return d, err
}

// Mount implements Host: an open locks.
func (h *freeBSD) Mount(ctx context.Context) error {
	if err := h.check(ctx); err != nil {
		return err
	}
	if !h.seen.Present {
		return ErrNoMedium
	}
	return h.lock(ctx, true)
}

// Unmount implements Host.
func (h *freeBSD) Unmount(ctx context.Context) error { return h.lock(ctx, false) }

// lock locks or unlocks, past unit attentions.
func (h *freeBSD) lock(ctx context.Context, lock bool) (err error) {
	for range 8 {
		if err = h.prevent(ctx, lock); !attention(err) {
			return err
		}
		h.noteRead(err)
	}
	return err
}

// Eject implements Host.
func (h *freeBSD) Eject(ctx context.Context) error {
	_ = h.lock(ctx, false)
	err := h.eject(ctx)
	h.noteRead(err)
	return err
}
