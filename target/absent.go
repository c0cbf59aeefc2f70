package target

import (
	"context"
	"encoding/binary"

	"spindle/scsi"
)

// absent is the logical unit that answers what the target itself answers:
// REPORT LUNS, and every command to a logical unit that is not there (SPC-4,
// 5.5; SAM-5, 4.7.4).
type absent struct{ target *Target }

// Concurrent implements scsi.Concurrent: nothing here changes anything.
func (absent) Concurrent(scsi.CDB) bool { return true }

const (
	requestSense = 0x03
	inquiry      = 0x12
)

func (a absent) Execute(_ context.Context, cmd *scsi.Command) error {
	switch cmd.CDB[0] {
	case reportLUNs:
		return a.reportLUNs(cmd)
	case inquiry:
		// peripheral qualifier 011b, device type 1Fh: no device can be here
		b := make([]byte, 36)
		b[0], b[2], b[3], b[4] = 0x7F, 0x06, 0x02, 36-5
		return reply(cmd, b, int(binary.BigEndian.Uint16(cmd.CDB[3:])))
	case requestSense:
		b := scsi.ErrLogicalUnitNotSupported.AppendFixed(nil)
		if cmd.CDB[1]&1 != 0 {
			b = scsi.ErrLogicalUnitNotSupported.AppendDescriptor(nil)
		}
		return reply(cmd, b, int(cmd.CDB[4]))
	}
	return scsi.ErrLogicalUnitNotSupported
}

// reportLUNs answers REPORT LUNS with what the session may reach.
//
//	CDB  byte 2 select report; bytes 6-9 allocation length
//	data 4 bytes LUN list length, 4 reserved, 8 bytes a LUN
//
// Source: SPC-4, 6.33. An allocation length below 16 is truncated, not refused.
func (a absent) reportLUNs(cmd *scsi.Command) error {
	var list []LUN
	switch cmd.CDB[2] {
	case 0x00, 0x02:
		for _, n := range a.target.reach(cmd.Nexus) {
			list = append(list, makeLUN(n))
		}
	case 0x01: // well known logical units only: none besides this one is kept
	default:
		return scsi.FieldInCDB(2, -1)
	}
	b := make([]byte, 8, 8+8*len(list))
	binary.BigEndian.PutUint32(b, uint32(8*len(list)))
	for _, l := range list {
		b = append(b, l[:]...)
	}
	return reply(cmd, b, int(binary.BigEndian.Uint32(cmd.CDB[6:])))
}

func reply(cmd *scsi.Command, b []byte, allocation int) error {
	return cmd.In.Reply(b[:min(len(b), allocation)])
}
