package host

import "context"

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
