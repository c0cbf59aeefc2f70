package target_test

import (
	"encoding/hex"
	"errors"
	"testing"

	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/target"
)

func TestWhatTheTargetAnswers(t *testing.T) {
	units := map[uint16]*target.Unit{}
	for _, n := range []uint16{0, 1, 0x123} {
		units[n] = target.NewUnit("cd", &probe{}, target.UnitOptions{})
	}
	tg := target.New("iqn.test", units)
	s := tg.Open(target.Initiator{Name: "a"}, isid, scsi.Port{}, "")
	defer s.Close()
	const all = "00000018 00000000 0000000000000000 0001000000000000 4123000000000000"
	tests := []struct {
		name, lun, cdb, want string
		err                  error
	}{
		{"report luns", "0000", "a0 00 00 00 00 00 00 00 10 00", all, nil},
		{"report luns with a unit attention pending", "0001", "a0 00 02 00 00 00 00 00 10 00", all, nil},
		{"report luns truncated", "0000", "a0 00 00 00 00 00 00 00 00 0a", "00000018 00000000 0000", nil},
		{"report luns to the well known unit", "c101", "a0 00 00 00 00 00 00 00 10 00", all, nil},
		{"report luns to an absent unit", "0007", "a0 00 00 00 00 00 00 00 10 00", all, nil},
		{"well known units only", "0000", "a0 00 01 00 00 00 00 00 10 00", "00000000 00000000", nil},
		{"bad select report", "0000", "a0 00 05 00 00 00 00 00 10 00", "", scsi.ErrInvalidFieldInCDB},
		{"absent inquiry", "0007", "12 00 00 00 05", "7f 00 06 02 1f", nil},
		{"absent request sense", "0007", "03 00 00 00 12", "70 00 05 00 00 00 00 0a 00 00 00 00 25 00 00 00 00 00", nil},
		{"absent request sense, descriptor", "0007", "03 01 00 00 12", "72 05 25 00 00 00 00 00", nil},
		{"absent read", "0007", "28 00 00 00 00 00 00 00 01 00", "", scsi.ErrLogicalUnitNotSupported},
		{"multi-level address", "8001", "00", "", scsi.ErrLogicalUnitNotSupported},
		{"flat address of a small number", "4001", "00 01", "", scsi.ErrPowerOn},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := &scsitest.DataIn{Limit: 4096}
			j := &job{ended: make(chan result, 1)}
			j.CDB, j.In, j.Out, j.Owner = scsitest.CDB(t, tt.cdb), in, scsitest.NoData, j
			var lun target.LUN
			copy(lun[:], scsitest.Hex(t, tt.lun))
			s.Submit(lun, &j.Task)
			r := <-j.ended
			if want := hex.EncodeToString(scsitest.Hex(t, tt.want)); !errors.Is(r.err, tt.err) || hex.EncodeToString(in.Data) != want {
				t.Errorf("%s = %x, %v; want %s, %v", tt.cdb, in.Data, r.err, want, tt.err)
			}
		})
	}
}
