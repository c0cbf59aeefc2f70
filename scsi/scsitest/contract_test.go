package scsitest

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"spindle/scsi"
)

// A fake is the smallest optical logical unit that keeps the contract. Each
// fault breaks one thing.
type fake struct {
	fault  string
	blocks uint32 // 0 without a medium
	calls  int
}

func (f *fake) Concurrent(cdb scsi.CDB) bool { return cdb[0] == 0x28 }
func (f *fake) Reset()                       {}
func (f *fake) NexusJoined(n *scsi.Nexus)    { n.Raise(scsi.ErrPowerOn) }
func (f *fake) NexusLost(*scsi.Nexus)        {}

func (f *fake) Execute(_ context.Context, cmd *scsi.Command) error {
	f.calls++
	op, cdb := cmd.CDB[0], cmd.CDB
	skips := op == 0x12 || op == 0x46 || op == 0x4A || op == 0x03
	if f.fault == "GET CONFIGURATION reports attention" && op == 0x46 {
		skips = false
	}
	if f.fault == "INQUIRY eats attention" && op == 0x12 {
		cmd.Nexus.Take()
	}
	if !skips {
		if s, ok := cmd.Nexus.Take(); ok && f.fault != "attention lost" {
			if f.fault == "attention again" {
				cmd.Nexus.Raise(s)
			}
			return s
		}
	}
	if f.fault == "LUN bits" && cdb[1]&0xE0 != 0 {
		return scsi.ErrInvalidFieldInCDB
	}
	switch op {
	case 0x00:
		return f.ready()
	case 0x03:
		return f.reply(cmd, int(cdb[4]), f.sense(cmd))
	case 0x12:
		return f.inquiry(cmd)
	case 0x46:
		return f.reply(cmd, int(binary.BigEndian.Uint16(cdb[7:])), []byte{0, 0, 0, 4, 0, 0, 0, 8})
	case 0x4A:
		return f.reply(cmd, int(binary.BigEndian.Uint16(cdb[7:])), []byte{0, 6, 4, 0x10, 0, 2, 0, 0})
	case 0x25:
		if err := f.ready(); err != nil {
			return err
		}
		return cmd.In.Reply(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, f.blocks-1), 2048))
	case 0x28:
		return f.read(cmd, uint64(binary.BigEndian.Uint16(cdb[7:])))
	case 0xA8:
		return f.read(cmd, uint64(binary.BigEndian.Uint32(cdb[6:])))
	case 0xEE:
		if f.fault == "vendor command" {
			return nil
		}
	case 0xC0:
		if f.fault == "no sense" {
			return errors.New("out of paper")
		}
	}
	return scsi.ErrInvalidOpcode
}

func (f *fake) ready() error {
	if f.blocks == 0 {
		return scsi.ErrMediumNotPresent
	}
	return nil
}

func (f *fake) sense(cmd *scsi.Command) []byte {
	var s scsi.Sense
	if f.fault != "REQUEST SENSE without attention" {
		s, _ = cmd.Nexus.Take()
	}
	if cmd.CDB[1]&1 != 0 {
		return s.AppendDescriptor(nil)
	}
	return s.AppendFixed(nil)
}

func (f *fake) inquiry(cmd *scsi.Command) error {
	b := []byte("\x05\x80\x06\x02\x1f\x00\x00\x02SPINDLE FAKE DRIVE      1.00")
	if cmd.CDB[1]&1 != 0 {
		switch cmd.CDB[2] {
		case 0:
			b = []byte{5, 0, 0, 1, 0}
		default:
			return scsi.ErrInvalidFieldInCDB
		}
	} else if f.fault == "not removable" {
		b[1] = 0
	}
	if f.fault == "answers differ" {
		b[len(b)-1] = byte(f.calls)
	}
	return f.reply(cmd, int(binary.BigEndian.Uint16(cmd.CDB[3:])), b)
}

// reply applies the allocation length.
func (f *fake) reply(cmd *scsi.Command, alloc int, b []byte) error {
	switch {
	case f.fault == "allocation length ignored":
	case f.fault == "short allocation length refused" && alloc < len(b):
		return scsi.ErrInvalidFieldInCDB
	default:
		if f.fault == "length field truncated" && alloc < len(b) && len(b) > 4 {
			b[4] = byte(alloc)
		}
		b = b[:min(alloc, len(b))]
	}
	if f.fault == "answer twice" {
		cmd.In.Reply(b)
	}
	return cmd.In.Reply(b)
}

func (f *fake) read(cmd *scsi.Command, n uint64) error {
	if err := f.ready(); err != nil {
		return err
	}
	lba := binary.BigEndian.Uint32(cmd.CDB[2:])
	if uint64(lba)+n > uint64(f.blocks) && f.fault != "reads beyond the end" {
		return scsi.ErrLBAOutOfRange
	}
	take, err := cmd.In.Begin(int64(n) * 2048)
	if f.fault == "transfer length refused" && take < int64(n)*2048 {
		return scsi.ErrInvalidFieldInCDB
	}
	for err == nil && take > 0 && f.fault != "no data" {
		var p []byte
		if p, err = cmd.In.Buffer(); err != nil {
			break
		}
		for i := range p {
			p[i] = byte(lba)
		}
		if f.fault == "stale buffer" && int64(len(p)) > take {
			p[0]++
		}
		take -= int64(len(p))
		lba += uint32(len(p) / 2048)
		err = cmd.In.Send(len(p))
	}
	return err
}

// hiding is a filter without Unwrap, changing one that spoils an answer.
type hiding struct{ lu scsi.LogicalUnit }

func (h hiding) Execute(ctx context.Context, cmd *scsi.Command) error { return h.lu.Execute(ctx, cmd) }

type plain struct{ hiding }

func (p plain) Unwrap() scsi.LogicalUnit { return p.lu }

type changing struct{ plain }

func (c changing) Execute(ctx context.Context, cmd *scsi.Command) error {
	if cmd.CDB[0] == 0x4A {
		cmd.CDB[8]--
	}
	if cmd.CDB[0] == 0x46 {
		return scsi.Busy
	}
	return c.plain.Execute(ctx, cmd)
}

// TestLogicalUnitCanFail breaks the fake in many ways: each must be seen.
func TestLogicalUnitCanFail(t *testing.T) {
	tests := []struct {
		fault, want string
		wrap        Wrap
	}{
		{"", "", nil},
		{"", "", func(lu scsi.LogicalUnit) scsi.LogicalUnit { return plain{hiding{lu}} }},
		{"", "As[Concurrent]", func(lu scsi.LogicalUnit) scsi.LogicalUnit { return hiding{lu} }},
		{"", "BUSY", func(lu scsi.LogicalUnit) scsi.LogicalUnit { return changing{plain{hiding{lu}}} }},
		{"allocation length ignored", "with allocation length 0", nil},
		{"short allocation length refused", "with allocation length 0", nil},
		{"length field truncated", "with allocation length 5", nil},
		{"answer twice", "Begin called twice", nil},
		{"answers differ", "INQUIRY with allocation length", nil},
		{"GET CONFIGURATION reports attention", "GET CONFIGURATION with a unit attention", nil},
		{"INQUIRY eats attention", "took the unit attention away", nil},
		{"attention lost", "TEST UNIT READY with 6/29/00", nil},
		{"attention again", "TEST UNIT READY", nil},
		{"REQUEST SENSE without attention", "REQUEST SENSE with 6/29/00", nil},
		{"LUN bits", "reserved bits", nil},
		{"not removable", "removable medium", nil},
		{"vendor command", "operation code EE", nil},
		{"no sense", "without sense or status", nil},
		{"reads beyond the end", "beyond the end", nil},
		{"transfer length refused", "READ(10) to a host", nil},
		{"no data", "GOOD after 0 of", nil},
		{"stale buffer", "READ(10) to a host", nil},
	}
	for _, tt := range tests {
		for _, blocks := range []uint32{40, 0} {
			var wraps []Wrap
			if tt.wrap != nil {
				wraps = append(wraps, tt.wrap)
			}
			var text []string
			for _, err := range CheckLogicalUnit(t.Context(), func() scsi.LogicalUnit {
				return &fake{fault: tt.fault, blocks: blocks}
			}, wraps...) {
				text = append(text, err.Error())
			}
			got := strings.Join(text, "\n")
			if tt.want == "" && got != "" || blocks > 0 && !strings.Contains(got, tt.want) {
				t.Errorf("%s, %d blocks: the suite says %.500q; want %q", tt.fault, blocks, got, tt.want)
			}
		}
	}
}

func TestLogicalUnitOfFake(t *testing.T) {
	TestLogicalUnit(t, func() scsi.LogicalUnit { return &fake{blocks: 40} })
}

func FuzzFake(f *testing.F) {
	FuzzExecute(f, func() scsi.LogicalUnit { return &fake{blocks: 40} })
}

func TestDataIn(t *testing.T) {
	tests := []struct {
		name string
		use  func(d *DataIn)
		ok   bool
	}{
		{"begin, buffer, send", func(d *DataIn) { d.Begin(10); p, _ := d.Buffer(); d.Send(len(p)) }, true},
		{"reply", func(d *DataIn) { d.Reply(make([]byte, 10)) }, true},
		{"begin twice", func(d *DataIn) { d.Begin(1); d.Begin(1) }, false},
		{"buffer first", func(d *DataIn) { d.Buffer() }, false},
		{"buffer past the end", func(d *DataIn) { d.Begin(0); d.Buffer() }, false},
		{"send unlent", func(d *DataIn) { d.Begin(1); d.Send(1) }, false},
		{"send too much", func(d *DataIn) { d.Begin(1); p, _ := d.Buffer(); d.Send(len(p) + 1) }, false},
		{"negative", func(d *DataIn) { d.Begin(-1) }, false},
	}
	for _, tt := range tests {
		d := &DataIn{Limit: 100}
		tt.use(d)
		if (d.Misuse == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, d.Misuse)
		}
	}
}
