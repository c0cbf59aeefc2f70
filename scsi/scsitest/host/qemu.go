package host

import (
	"context"
	"time"
)

// Rules of QEMU's iSCSI block driver.
const (
	QEMUAttention Rule = "unit attentions end within ten TEST UNIT READY"
	QEMUInquiry   Rule = "INQUIRY of 64 bytes succeeds, and then of all it has"
	QEMUCapacity  Rule = "READ CAPACITY succeeds when there is a medium"
	QEMUPages     Rule = "VPD page 00 can be read"
)

var qemuModels = []Model{{
	Name: "QEMU, iSCSI", Rules: []Rule{QEMUAttention, QEMUInquiry, QEMUCapacity, QEMUPages},
	host: func(c *conn) Host { return &qemu{conn: c} },
}}

// qemu is a drive as QEMU's initiator sees it: a disk that is opened once.
type qemu struct{ *conn }

// Attach implements Host. An empty drive cannot be opened.
func (h *qemu) Attach(ctx context.Context) error {
	h.lose()
	var err error
	for range 10 {
		if err = h.testUnitReady(ctx); !attention(err) {
			break
		}
	}
	if attention(err) {
		return h.giveUp(QEMUAttention, "%v", err)
	}
	d, err := h.inquiry(ctx, 64)
	if err == nil && len(d) >= 36 {
		d, err = h.inquiry(ctx, int(d[4])+5)
	}
	if err != nil || len(d) < 36 {
		return h.giveUp(QEMUInquiry, "%d bytes, %v", len(d), err)
	}
	_, _ = h.in(ctx, 255, 0x1A, 8, 0x3F, 0, 255) // without it, writable
	blocks, err := h.size(ctx)
	if err != nil {
		return err
	}
	list, err := h.vpd(ctx, 0x00)
	if err != nil {
		return h.giveUp(QEMUPages, "%v", err)
	}
	for _, page := range list[4:] {
		if page == 0x83 || page == 0xB0 || page == 0xB2 {
			_, _ = h.vpd(ctx, page)
		}
	}
	h.seen.Present, h.seen.Blocks = true, blocks
	h.seen.Changes++
	_ = h.label(ctx)
	return nil
}

func (h *qemu) size(ctx context.Context) (blocks uint32, err error) {
	for range 10 {
		if blocks, _, err = h.capacity(ctx); !attention(err) {
			break
		}
	}
	switch {
	case noMedium(err):
		return 0, ErrNoMedium
	case err != nil:
		return 0, h.giveUp(QEMUCapacity, "%v", err)
	}
	return blocks, nil
}

// Read implements Host. A unit attention is retried in silence: after a change
// of medium the guest must be told by other means.
func (h *qemu) Read(ctx context.Context, lba uint32, n int) ([]byte, error) {
	if !h.seen.Present {
		return nil, ErrNoMedium
	}
	var d []byte
	var err error
	for range 10 {
		if d, err = h.read10(ctx, lba, n); !attention(err) {
			break
		}
	}
	return d, err
}

// Mount implements Host.
func (h *qemu) Mount(ctx context.Context) error {
	_, err := h.Read(ctx, 0, 1)
	return err
}

// Unmount implements Host.
func (h *qemu) Unmount(context.Context) error { return nil }

// Eject implements Host: QEMU passes the guest's on.
func (h *qemu) Eject(ctx context.Context) error {
	if err := h.eject(ctx); !attention(err) {
		return err
	}
	return h.eject(ctx)
}

// Rules of FreeBSD's cd driver.
const (
	FreeBSDRemovable Rule = "RMB is set: or nothing can be ejected"
	FreeBSDCapacity  Rule = "READ CAPACITY succeeds, but for unit attentions and an empty drive"
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
	for range 8 {
		if blocks, _, err = h.capacity(ctx); !attention(err) {
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
	n := 4 + 8*(int(head[3])-int(head[2])+2)
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
		err = h.failed("READ(6)", lba, err)
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
	return h.prevent(ctx, true)
}

// Unmount implements Host.
func (h *freeBSD) Unmount(ctx context.Context) error { return h.prevent(ctx, false) }

// Eject implements Host.
func (h *freeBSD) Eject(ctx context.Context) error {
	if err := h.prevent(ctx, false); attention(err) {
		_ = h.prevent(ctx, false)
	}
	return h.eject(ctx)
}
