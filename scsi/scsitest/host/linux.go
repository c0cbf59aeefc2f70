package host

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// Rules of Linux: the SCSI layer, the sr driver, and udev's cdrom_id, which
// opens the drive at each change and locks the tray over a medium.
const (
	LinuxInquiry   Rule = "INQUIRY of 36 bytes says: connected, CD/DVD device"
	LinuxPages     Rule = "a drive that claims SPC-2 or later has the VPD pages that its page 00 lists"
	LinuxRemovable Rule = "RMB is set: or a unit attention is retried in silence, and the cache is of the old medium"
	LinuxAttention Rule = "unit attentions end within three TEST UNIT READY"
	LinuxMode2A    Rule = "mode page 2Ah with its header has 128 bytes at most"
	LinuxTray      Rule = "mode page 2Ah says that the medium can be ejected"
	LinuxWritable  Rule = "no feature for writing with a medium that is read only"
	LinuxSessions  Rule = "READ TOC by the old format field in byte 9 tells of sessions, 10 bytes or more"
	LinuxReady     Rule = "LOGICAL UNIT BECOMING READY ends within ten tries of 2 s"
	LinuxCapacity  Rule = "READ CAPACITY succeeds when TEST UNIT READY does"
	LinuxBlocks    Rule = "blocks are of 2048 bytes, of 512, or of a size of raw sectors"
	LinuxEvents    Rule = "GET EVENT STATUS NOTIFICATION answers with the media class that it was asked for"
	LinuxAgreement Rule = "events agree with TEST UNIT READY, but for nine times in a row"
	LinuxStale     Rule = "every block of the capacity that was read can be addressed: a change was told of"
)

var linuxRules = []Rule{
	LinuxInquiry, LinuxRemovable, LinuxAttention, LinuxMode2A, LinuxTray, LinuxWritable, LinuxSessions,
	LinuxReady, LinuxCapacity, LinuxBlocks, LinuxEvents, LinuxAgreement, LinuxStale,
}

var linuxModels = []Model{
	{
		Name: "Linux, iSCSI", Interval: 2 * time.Second, Rules: append([]Rule{LinuxPages}, linuxRules...),
		host: func(c *conn) Host { return &linux{conn: c} },
	},
	{
		Name: "Linux, USB", USB: true, Interval: 2 * time.Second, Rules: append([]Rule{LinuxPages}, linuxRules...),
		host: func(c *conn) Host { return &linux{conn: c} },
	},
}

// linux is a drive as sr sees it. The names in comments are those of the fields
// and functions in Linux that a member or method stands for.
type linux struct {
	*conn
	removable bool
	canEject  bool
	canClose  bool
	mounted   bool

	changed     bool // sdev->changed: a unit attention or a change of presence came by
	present     bool // media_present
	turChanged  bool // tur_changed
	gesnChanged bool // get_event_changed
	mismatch    int  // tur_mismatch
	ignoreGESN  bool // ignore_get_event
}

var errChanged = errors.New("the medium changed")

// ErrNotData is what mounting says of a medium that holds sound only.
var ErrNotData = errors.New("no data track")

// Attach implements Host.
func (h *linux) Attach(ctx context.Context) error {
	d, err := h.inquiry(ctx, 36)
	if err != nil || len(d) < 36 || d[0] != 0x05 {
		return h.giveUp(LinuxInquiry, "% X, %v", d[:min(len(d), 5)], err)
	}
	h.removable = d[1]&0x80 != 0
	var errs []error
	if !h.removable {
		errs = append(errs, h.giveUp(LinuxRemovable, "byte 1 is %02X", d[1]))
	}
	if !h.model.USB { // usb-storage never asks for more than 36 bytes
		_, _ = h.inquiry(ctx, int(d[4])+5)
	}
	if d[2] >= 4 {
		errs = append(errs, h.pages(ctx))
	}
	if err := h.ready(ctx); gaveUp(err) != nil {
		return errors.Join(append(errs, err)...)
	} else if err == nil || !noMedium(err) {
		h.present = true
	}
	errs = append(errs, h.capabilities(ctx))
	h.changed = false
	_, err = h.takeIn(ctx)
	return errors.Join(append(errs, err)...)
}

// pages reads the vital product data that name the drive for /dev/disk/by-id.
func (h *linux) pages(ctx context.Context) error {
	list, err := h.vpd(ctx, 0x00)
	if err != nil {
		return h.giveUp(LinuxPages, "page 00: %v", err)
	}
	for _, page := range list[4:] {
		if page != 0x80 && page != 0x83 {
			continue
		}
		if _, err := h.vpd(ctx, page); err != nil {
			return h.giveUp(LinuxPages, "page %02X: %v", page, err)
		}
	}
	return nil
}

// ready is scsi_test_unit_ready: it goes past up to three unit attentions and
// keeps that there was one.
func (h *linux) ready(ctx context.Context) (err error) {
	for range 3 {
		if err = h.testUnitReady(ctx); !attention(err) {
			return err
		}
		h.changed = h.changed || h.removable
	}
	return h.giveUp(LinuxAttention, "%v", err)
}

// capabilities is get_capabilities and, of late kernels, the probe for features
// that make the device writable.
func (h *linux) capabilities(ctx context.Context) error {
	d, err := h.modePage(ctx)
	if err != nil {
		return err
	}
	h.canEject, h.canClose = d[6]&0x08 != 0, d[6]>>5 != 0
	var errs []error
	if !h.canEject {
		errs = append(errs, h.giveUp(LinuxTray, "byte 6 is %02X", d[6]))
	}
	for _, f := range []struct{ feature, limit int }{{0x28, 16}, {0x20, 24}, {0x24, 16}} {
		d, err := h.configuration(ctx, 0, f.feature, f.limit)
		if err == nil && len(d) >= 10 && be16(d[8:]) == f.feature && readOnly(be16(d[6:])) {
			errs = append(errs, h.giveUp(LinuxWritable, "feature %04X with profile %04X", f.feature, be16(d[6:])))
		}
	}
	return errors.Join(errs...)
}

// modePage returns mode page 2Ah.
func (h *linux) modePage(ctx context.Context) ([]byte, error) {
	const most = 128
	var d []byte
	var err error
	header, length, descriptors := 4, 0, 0
	if h.model.USB {
		header = 8
		if d, err = h.in(ctx, most, 0x5A, 0, 0x2A, 0, 0, 0, 0, 0, most); err == nil && len(d) >= header {
			length, descriptors = be16(d)+2, be16(d[6:])
		}
	} else if d, err = h.in(ctx, most, 0x1A, 0, 0x2A, 0, most); err == nil && len(d) >= header {
		length, descriptors = int(d[0])+1, int(d[3])
	}
	if err != nil || length > most || len(d) < header+descriptors+8 {
		return nil, h.giveUp(LinuxMode2A, "%d bytes of %d, %v", len(d), length, err)
	}
	return d[header+descriptors:], nil
}

// takeIn is sr_revalidate_disk, and what udev asks when a medium came: it
// reports whether there is one that is ready.
func (h *linux) takeIn(ctx context.Context) (bool, error) {
	if err := h.ready(ctx); err != nil {
		h.lose()
		h.mounted = false
		return false, gaveUp(err)
	}
	errs := []error{h.sessions(ctx)}
	h.seen.Kind = h.kind(ctx)
	errs = append(errs, h.size(ctx))
	_, _ = h.in(ctx, 2, 0x51, 0, 0, 0, 0, 0, 0, 0, 2)
	_, _ = h.in(ctx, 34, 0x51, 0, 0, 0, 0, 0, 0, 0, 34)
	_, _ = h.in(ctx, 36, 0x52, 1, 0, 0, 0, 1, 0, 0, 36)
	h.seen.Present = true
	if !h.changed {
		h.noteRead(h.label(ctx)) // blkid
	}
	return true, errors.Join(errs...)
}

// ioctl is sr_do_ioctl: a command that goes past unit attentions and waits for
// a drive that becomes ready.
func (h *linux) ioctl(ctx context.Context, limit int, cdb ...byte) ([]byte, error) {
	for range 10 {
		d, err := h.in(ctx, limit, cdb...)
		switch {
		case attention(err):
			h.changed = true
		case becomingReady(err):
			if err := scsitest.Pause(ctx, 2*time.Second); err != nil {
				return nil, err
			}
		default:
			return d, err
		}
	}
	return nil, h.giveUp(LinuxReady, "operation code %02X", cdb[0])
}

// sessions is sr_cd_check: where the last session begins.
func (h *linux) sessions(ctx context.Context) error {
	d, err := h.ioctl(ctx, 12, 0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40)
	h.seen.Session = 0
	switch {
	case err != nil:
		return gaveUp(err)
	case len(d) < 12 || be16(d) < 10:
		return h.giveUp(LinuxSessions, "% X", d)
	case d[6] > 1:
		h.seen.Session = binary.BigEndian.Uint32(d[8:])
	}
	return nil
}

// kind is the profile that cdrom_id reads, and the tracks of a CD.
func (h *linux) kind(ctx context.Context) Kind {
	d, err := h.configuration(ctx, 0, 0, 8)
	if err != nil || len(d) < 8 {
		return ""
	}
	kind := kindOf(be16(d[6:]))
	if kind != CD {
		return kind
	}
	d, err = h.ioctl(ctx, 12, 0x43, 0, 0, 0, 0, 0, 0, 0, 12)
	if err != nil || len(d) < 4 {
		return kind
	}
	for track := int(d[2]); track <= int(d[3]); track++ {
		d, err := h.ioctl(ctx, 12, 0x43, 0, 0, 0, 0, 0, byte(track), 0, 12)
		if err != nil || len(d) < 12 || d[5]&4 != 0 {
			return kind
		}
	}
	return Audio
}

// size is get_sectorsize.
func (h *linux) size(ctx context.Context) error {
	var blocks, size uint32
	var err error
	for range 3 {
		if blocks, size, err = h.capacity(ctx); err == nil {
			break
		}
	}
	h.seen.Blocks = 0
	switch {
	case noMedium(err):
		return nil // taken out meanwhile
	case err != nil:
		return h.giveUp(LinuxCapacity, "%v", err)
	}
	switch size {
	case 0, 2048, 2340, 2352:
		h.seen.Blocks = blocks
	case 512:
		h.seen.Blocks = blocks / 4
	default:
		return h.giveUp(LinuxBlocks, "%d bytes", size)
	}
	return nil
}

// Read implements Host. A unit attention on a removable medium is an I/O error,
// and the next look at the drive finds the change.
func (h *linux) Read(ctx context.Context, lba uint32, n int) ([]byte, error) {
	if !h.seen.Present {
		return nil, ErrNoMedium
	}
	if h.changed { // sr_init_command refuses until the change was looked at
		return nil, errChanged
	}
	d, err := h.readMedium(ctx, lba, n)
	h.noteRead(err)
	const runOut = 75 // blocks at the end that may lack, as after track-at-once
	if s, _ := senseOf(err); s.Is(scsi.ErrLBAOutOfRange) && lba+uint32(n)+runOut <= h.seen.Blocks {
		return nil, h.giveUp(LinuxStale, "block %d of %d: %v", lba, h.seen.Blocks, err)
	}
	return d, err
}

func (h *linux) noteRead(err error) {
	if attention(err) {
		h.changed = h.changed || h.removable
	}
}
