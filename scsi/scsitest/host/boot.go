package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// Rules of SeaBIOS and of iPXE, which only boot.
const (
	SeaBIOSInquiry Rule = "INQUIRY of 36 bytes says: CD/DVD device"
	SeaBIOSReady   Rule = "TEST UNIT READY succeeds within 5 s, 30 s more while becoming ready"
	SeaBIOSRecord  Rule = "block 17 is read without error"
	SeaBIOSImage   Rule = "the blocks of the boot catalogue and of the boot image are read without error"

	IPXEReady      Rule = "TEST UNIT READY succeeds within ten tries"
	IPXECapacity   Rule = "READ CAPACITY succeeds when TEST UNIT READY does"
	IPXEDescriptor Rule = "block 16 is read without error"
)

var bootModels = []Model{
	{
		Name: "SeaBIOS, USB", USB: true,
		Rules: []Rule{SeaBIOSInquiry, SeaBIOSReady, SeaBIOSRecord, SeaBIOSImage},
		host:  func(c *conn) Host { return &seaBIOS{booting{conn: c}} },
	},
	{
		Name:  "iPXE, iSCSI",
		Rules: []Rule{IPXEReady, IPXECapacity, IPXEDescriptor},
		host:  func(c *conn) Host { return &iPXE{booting{conn: c}} },
	},
}

// booting is what the two share: they read what they attached to, know no
// change of medium and lock nothing.
type booting struct{ *conn }

// Read implements Host. A unit attention is an error as any other is: the boot
// fails, or the loader tries again.
func (h *booting) Read(ctx context.Context, lba uint32, n int) ([]byte, error) {
	if !h.seen.Present {
		return nil, ErrNoMedium
	}
	return h.read10(ctx, lba, n)
}

// Mount implements Host.
func (h *booting) Mount(ctx context.Context) error {
	_, err := h.Read(ctx, 16, 1)
	return err
}

// Unmount implements Host.
func (h *booting) Unmount(context.Context) error { return nil }

// Eject implements Host: the loader's, since neither does.
func (h *booting) Eject(ctx context.Context) error {
	if err := h.eject(ctx); !attention(err) {
		return err
	}
	return h.eject(ctx)
}

// found notes a medium.
func (h *booting) found(blocks uint32) {
	h.seen.Present, h.seen.Blocks = true, blocks
	h.seen.Changes++
}

// seaBIOS is a USB drive as SeaBIOS sees it, which never asks for a capacity.
type seaBIOS struct{ booting }

// Attach implements Host.
func (h *seaBIOS) Attach(ctx context.Context) error {
	d, err := h.inquiry(ctx, 36)
	if err != nil || len(d) < 36 || d[0]&0x1F != 0x05 {
		return h.giveUp(SeaBIOSInquiry, "% X, %v", d[:min(len(d), 5)], err)
	}
	h.lose()
	const step = 100 * time.Millisecond
	end, extended, empty := 5*time.Second, false, 0
	for waited := time.Duration(0); waited < end; waited += step {
		if err = h.testUnitReady(ctx); err == nil {
			h.found(0)
			_ = h.label(ctx)
			return nil
		}
		h.requestSense(ctx)
		if noMedium(err) {
			if empty++; empty >= 3 {
				return nil
			}
		}
		if becomingReady(err) && !extended {
			end, extended = end+30*time.Second, true
		}
		if err := scsitest.Pause(ctx, step); err != nil {
			return err
		}
	}
	return h.giveUp(SeaBIOSReady, "%v", err)
}

// Boot implements Booter: the initial entry of the boot catalogue, for x86.
func (h *seaBIOS) Boot(ctx context.Context) ([]byte, error) {
	record, err := h.Read(ctx, 17, 1)
	if v := h.failed(SeaBIOSRecord, err); v != nil {
		return nil, v
	}
	if record[0] != 0 || string(record[1:6]) != "CD001" || !bytes.HasPrefix(record[7:], elTorito) {
		return nil, nil
	}
	catalogue, err := h.Read(ctx, binary.LittleEndian.Uint32(record[71:]), 1)
	if v := h.failed(SeaBIOSImage, err); v != nil {
		return nil, v
	}
	if catalogue[0] != 1 || catalogue[1] != 0 || catalogue[30] != 0x55 || catalogue[31] != 0xAA || catalogue[32] != 0x88 {
		return nil, nil
	}
	image, err := h.Read(ctx, binary.LittleEndian.Uint32(catalogue[40:]), 1)
	return image, h.failed(SeaBIOSImage, err)
}

// failed is the verdict over a read that failed for no reason of the medium's.
func (h *seaBIOS) failed(rule Rule, err error) error {
	if s, ok := senseOf(err); ok && s.Key != scsi.UnitAttention && !noMedium(err) && !s.Is(scsi.ErrIllegalMode) {
		return h.giveUp(rule, "%v", err)
	}
	return err
}

// iPXE is a drive as iPXE's sanboot sees it.
type iPXE struct{ booting }

// Attach implements Host. Block 16 tells a CD; an error there ends the boot.
func (h *iPXE) Attach(ctx context.Context) error {
	h.lose()
	var err error
	for range 10 {
		if err = h.testUnitReady(ctx); err == nil {
			break
		}
	}
	if noMedium(err) {
		return ErrNoMedium
	}
	if err != nil {
		return h.giveUp(IPXEReady, "%v", err)
	}
	blocks, _, err := h.capacity(ctx)
	if err != nil {
		return h.giveUp(IPXECapacity, "%v", err)
	}
	h.found(blocks)
	err = h.label(ctx)
	if s, ok := senseOf(err); ok && !s.Is(scsi.ErrIllegalMode) && !attention(err) && !noMedium(err) {
		return h.giveUp(IPXEDescriptor, "%v", err)
	}
	return nil
}

// Boot implements Booter: what iPXE gives to the firmware's El Torito.
func (h *iPXE) Boot(ctx context.Context) ([]byte, error) {
	descriptor, err := h.Read(ctx, 16, 1)
	if err != nil || string(descriptor[:6]) != "\x01CD001" {
		return nil, err
	}
	return h.Read(ctx, 17, 1)
}
