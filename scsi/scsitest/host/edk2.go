package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// Rules of EDK2: ScsiBusDxe and ScsiDiskDxe, for iSCSI; UsbMassStorageDxe; and
// PartitionDxe's search for what to boot.
const (
	EDK2Inquiry   Rule = "INQUIRY succeeds and says: connected, CD/DVD device"
	EDK2Ready     Rule = "the drive becomes ready, or says that it is empty, within its time"
	EDK2Capacity  Rule = "READ CAPACITY succeeds when TEST UNIT READY does"
	EDK2Blocks    Rule = "2048 bytes are a multiple of the block length"
	EDK2Catalogue Rule = "the boot catalogue that block 17 names is read without error"
)

var edk2Rules = []Rule{EDK2Inquiry, EDK2Ready, EDK2Capacity, EDK2Blocks, EDK2Catalogue}

var edk2Models = []Model{
	{Name: "EDK2, iSCSI", Rules: edk2Rules, host: func(c *conn) Host {
		return &edk2{conn: c, inquiryLength: 96, patience: 120 * time.Second}
	}},
	{Name: "EDK2, USB", USB: true, Rules: edk2Rules, host: func(c *conn) Host {
		return &edk2{conn: c, inquiryLength: 36, patience: 60 * time.Second}
	}},
}

// A Booter is a host that boots: Boot returns the first block of what it would
// run, and nil when the medium has nothing to boot.
type Booter interface {
	Boot(ctx context.Context) ([]byte, error)
}

// edk2 is a drive as UEFI firmware sees it. It polls nothing; a read finds that
// the medium is another.
type edk2 struct {
	*conn
	inquiryLength int
	patience      time.Duration
}

// Attach implements Host.
func (h *edk2) Attach(ctx context.Context) error {
	d, err := h.inquiry(ctx, h.inquiryLength)
	if err != nil || len(d) < 36 || d[0] != 0x05 {
		return h.giveUp(EDK2Inquiry, "% X, %v", d[:min(len(d), 5)], err)
	}
	return h.detect(ctx)
}

// detect finds the medium, as at the start and when a read says that it is
// another.
func (h *edk2) detect(ctx context.Context) error {
	h.lose()
	if err := h.untilReady(ctx); err != nil {
		if noMedium(err) {
			return nil
		}
		return err
	}
	blocks, size, err := h.capacity(ctx)
	for tries := 1; newMedium(err) && tries < 3; tries++ { // it came since
		blocks, size, err = h.capacity(ctx)
	}
	switch {
	case noMedium(err):
		return nil
	case err != nil:
		return h.giveUp(EDK2Capacity, "%v", err)
	case size == 0 || 2048%size != 0:
		return h.giveUp(EDK2Blocks, "%d bytes", size)
	}
	h.seen.Present, h.seen.Blocks = true, blocks/(2048/size)
	h.seen.Changes++
	_ = h.label(ctx) // of sound there is none
	return nil
}

// untilReady sends TEST UNIT READY until it succeeds or there is no medium.
func (h *edk2) untilReady(ctx context.Context) error {
	const step = 100 * time.Millisecond
	var err error
	for waited := time.Duration(0); waited < h.patience; waited += step {
		if err = h.testUnitReady(ctx); err == nil || noMedium(err) {
			return err
		}
		if h.model.USB {
			h.requestSense(ctx)
		}
		if err := scsitest.Pause(ctx, step); err != nil {
			return err
		}
	}
	return h.giveUp(EDK2Ready, "after %v: %v", h.patience, err)
}

// Read implements Host. On a change the medium is detected again, and the
// caller told that it is another.
func (h *edk2) Read(ctx context.Context, lba uint32, n int) ([]byte, error) {
	if !h.seen.Present {
		return nil, ErrNoMedium
	}
	d, err := h.read10(ctx, lba, n)
	if newMedium(err) || noMedium(err) {
		if v := h.detect(ctx); v != nil {
			return nil, v
		}
	}
	return d, err
}

// elTorito is the boot system identifier of a boot record.
var elTorito = append([]byte("EL TORITO SPECIFICATION"), make([]byte, 9)...)

// Boot implements Booter.
func (h *edk2) Boot(ctx context.Context) ([]byte, error) {
	record, err := h.Read(ctx, 17, 1)
	if err != nil {
		return nil, h.bootFailed(err)
	}
	if record[0] != 0 || string(record[1:6]) != "CD001" || !bytes.HasPrefix(record[7:], elTorito) {
		return nil, nil
	}
	catalogue, err := h.Read(ctx, binary.LittleEndian.Uint32(record[71:]), 1)
	if err != nil {
		return nil, h.bootFailed(err)
	}
	if catalogue[0] != 1 || catalogue[30] != 0x55 || catalogue[31] != 0xAA || sum16(catalogue[:32]) != 0 {
		return nil, nil
	}
	for at := 32; at+32 <= len(catalogue); at += 32 {
		if lba := binary.LittleEndian.Uint32(catalogue[at+8:]); catalogue[at] == 0x88 && lba != 0 {
			image, err := h.Read(ctx, lba, 1)
			return image, h.bootFailed(err)
		}
	}
	return nil, nil
}

func (h *edk2) bootFailed(err error) error {
	if s, ok := senseOf(err); ok && s.Key != scsi.UnitAttention && !noMedium(err) && !errors.Is(err, scsi.ErrIllegalMode) {
		return h.giveUp(EDK2Catalogue, "%v", err)
	}
	return err
}

// sum16 adds little-endian words.
func sum16(b []byte) (sum uint16) {
	for ; len(b) >= 2; b = b[2:] {
		sum += binary.LittleEndian.Uint16(b)
	}
	return sum
}

// Mount implements Host: nothing is locked.
func (h *edk2) Mount(ctx context.Context) error {
	_, err := h.Read(ctx, 16, 1)
	return err
}

// Unmount implements Host.
func (h *edk2) Unmount(context.Context) error { return nil }

// Eject implements Host. EDK2 ejects nothing; the boot loader does.
func (h *edk2) Eject(ctx context.Context) error {
	err := h.eject(ctx)
	if attention(err) {
		err = errors.Join(h.detect(ctx), h.eject(ctx))
	}
	return err
}
