package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// A conn is what every model is made of: a nexus to send commands by, what was
// believed, and the verdicts.
type conn struct {
	model Model
	lu    scsi.LogicalUnit
	nexus *scsi.Nexus
	seen  Seen
	keep  bool // see Host.Hold
}

// Seen implements Host.
func (c *conn) Seen() Seen {
	s := c.seen
	s.Broken = slices.Clone(s.Broken)
	return s
}

// Hold implements Host.
func (c *conn) Hold(keep bool) { c.keep = keep }

// Detach implements Host.
func (c *conn) Detach() {
	if w, ok := scsi.As[scsi.NexusWatcher](c.lu); ok {
		w.NexusLost(c.nexus)
	}
}

// Poll implements Host for those that do not.
func (c *conn) Poll(context.Context) error { return nil }

// giveUp is the verdict that the drive broke a rule of the model's.
func (c *conn) giveUp(rule Rule, format string, args ...any) error {
	if !slices.Contains(c.model.Rules, rule) {
		panic(fmt.Sprintf("%s does not declare the rule %q", c.model.Name, rule))
	}
	if !slices.Contains(c.seen.Broken, rule) {
		c.seen.Broken = append(c.seen.Broken, rule)
	}
	return &GaveUp{Host: c.model.Name, Rule: rule, Got: fmt.Sprintf(format, args...)}
}

// in sends a command of which the host takes limit bytes of data-in.
func (c *conn) in(ctx context.Context, limit int, cdb ...byte) ([]byte, error) {
	var full scsi.CDB
	copy(full[:], cdb)
	in, err := scsitest.Execute(ctx, c.lu, c.nexus, full, int64(limit), nil)
	return in.Data, err
}

// do sends a command without data.
func (c *conn) do(ctx context.Context, cdb ...byte) error {
	_, err := c.in(ctx, 0, cdb...)
	return err
}

// Operation codes and forms of commands that several hosts send.
const (
	opRead10       = 0x28
	opReadCD       = 0xBE
	opReadCapacity = 0x25
)

func (c *conn) testUnitReady(ctx context.Context) error { return c.do(ctx, 0x00) }

func (c *conn) requestSense(ctx context.Context) { _, _ = c.in(ctx, 18, 0x03, 0, 0, 0, 18) }

// prevent sends PREVENT ALLOW MEDIUM REMOVAL.
func (c *conn) prevent(ctx context.Context, lock bool) error {
	b := byte(0)
	if lock {
		b = 1
	}
	err := c.do(ctx, 0x1E, 0, 0, 0, b)
	if err == nil {
		c.seen.Locked = lock
	}
	return err
}

// eject sends START STOP UNIT with LOEJ, load with START besides.
func (c *conn) eject(ctx context.Context) error { return c.do(ctx, 0x1B, 0, 0, 0, 2) }
func (c *conn) load(ctx context.Context) error  { return c.do(ctx, 0x1B, 0, 0, 0, 3) }

// inquiry sends a standard INQUIRY.
func (c *conn) inquiry(ctx context.Context, limit int) ([]byte, error) {
	return c.in(ctx, limit, 0x12, 0, 0, byte(limit>>8), byte(limit))
}

// vpd asks for a vital product data page and checks its header.
func (c *conn) vpd(ctx context.Context, page byte) ([]byte, error) {
	d, err := c.in(ctx, 255, 0x12, 1, page, 0, 255)
	if err == nil && (len(d) < 4 || d[1] != page || len(d) < min(255, 4+be16(d[2:]))) {
		err = fmt.Errorf("page %02X begins % X", page, d[:min(len(d), 4)])
	}
	return d, err
}

// capacity sends READ CAPACITY(10); it returns blocks and their length.
func (c *conn) capacity(ctx context.Context) (blocks, size uint32, err error) {
	d, err := c.in(ctx, 8, opReadCapacity)
	if err == nil && len(d) < 8 {
		err = fmt.Errorf("READ CAPACITY answers %d bytes", len(d))
	}
	if err != nil {
		return 0, 0, err
	}
	return binary.BigEndian.Uint32(d) + 1, binary.BigEndian.Uint32(d[4:]), nil
}

// events sends GET EVENT STATUS NOTIFICATION for the classes of mask.
func (c *conn) events(ctx context.Context, mask byte) ([]byte, error) {
	return c.in(ctx, 8, 0x4A, 1, 0, 0, mask, 0, 0, 0, 8)
}

// configuration sends GET CONFIGURATION.
func (c *conn) configuration(ctx context.Context, rt byte, start, limit int) ([]byte, error) {
	return c.in(ctx, limit, 0x46, rt, byte(start>>8), byte(start), 0, 0, 0, byte(limit>>8), byte(limit))
}

// read10 sends READ(10) for blocks of 2048 bytes.
func (c *conn) read10(ctx context.Context, lba uint32, n int) ([]byte, error) {
	a := binary.BigEndian.AppendUint32(nil, lba)
	d, err := c.in(ctx, n*2048, opRead10, 0, a[0], a[1], a[2], a[3], 0, byte(n>>8), byte(n))
	return c.blocks("READ(10)", lba, d, n*2048, err)
}

// readCD sends READ CD for whole sectors of audio.
func (c *conn) readCD(ctx context.Context, lba uint32, n int) ([]byte, error) {
	a := binary.BigEndian.AppendUint32(nil, lba)
	d, err := c.in(ctx, n*2352, opReadCD, 4, a[0], a[1], a[2], a[3], byte(n>>16), byte(n>>8), byte(n), 0xF8)
	return c.blocks("READ CD", lba, d, n*2352, err)
}

// blocks returns what a read gave, which is all that was asked for or an error
// that says where.
func (c *conn) blocks(what string, lba uint32, d []byte, want int, err error) ([]byte, error) {
	if err == nil && len(d) != want {
		err = fmt.Errorf("%d bytes of %d", len(d), want)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s at block %d: %w", c.model.Name, what, lba, err)
	}
	return d, nil
}

// readMedium reads what a medium of the kind that is believed has.
func (c *conn) readMedium(ctx context.Context, lba uint32, n int) ([]byte, error) {
	if c.seen.Kind == Audio {
		return c.readCD(ctx, lba, n)
	}
	return c.read10(ctx, lba, n)
}

// label reads what tells media apart: a file system's name, the sound of a disc.
func (c *conn) label(ctx context.Context) error {
	lba := uint32(16)
	if c.seen.Kind == Audio {
		lba = 0
	}
	c.seen.Label = [8]byte{}
	d, err := c.readMedium(ctx, lba, 1)
	if err == nil {
		copy(c.seen.Label[:], d)
	}
	return err
}

// lose forgets the medium.
func (c *conn) lose() {
	if c.seen.Present {
		c.seen.Changes++
	}
	c.seen.Present, c.seen.Kind, c.seen.Blocks, c.seen.Session = false, "", 0, 0
	c.seen.Label = [8]byte{}
}

// kindOf is the kind of medium that a profile stands for.
func kindOf(profile int) Kind {
	switch {
	case profile == 0x08 || profile == 0x09 || profile == 0x0A:
		return CD
	case profile >= 0x10 && profile <= 0x2B:
		return DVD
	case profile >= 0x40 && profile <= 0x43:
		return BD
	}
	return ""
}

// readOnly reports whether nothing can be written to media of the profile.
func readOnly(profile int) bool { return profile == 0x08 || profile == 0x10 || profile == 0x40 }

func be16(b []byte) int { return int(binary.BigEndian.Uint16(b)) }

// senseOf returns the sense of an error, and whether it has one.
func senseOf(err error) (scsi.Sense, bool) {
	if s, ok := errors.AsType[scsi.Sense](err); ok {
		return s, true
	}
	return scsi.Sense{}, false
}

// noMedium is key 2 with MEDIUM NOT PRESENT.
func noMedium(err error) bool {
	s, ok := senseOf(err)
	return ok && s.Key == scsi.NotReady && s.Code>>8 == 0x3A
}

func attention(err error) bool {
	s, ok := senseOf(err)
	return ok && s.Key == scsi.UnitAttention
}

// newMedium is the unit attention that tells of another medium.
func newMedium(err error) bool {
	s, ok := senseOf(err)
	return ok && s.Key == scsi.UnitAttention && s.Code>>8 == 0x28
}

func becomingReady(err error) bool { return errors.Is(err, scsi.ErrBecomingReady) }

// gaveUp is the verdict in err, if there is one.
func gaveUp(err error) error {
	if v, ok := errors.AsType[*GaveUp](err); ok {
		return v
	}
	return nil
}
