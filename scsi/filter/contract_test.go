package filter

import (
	"io"
	"log/slog"
	"testing"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// able is unit with every ability.
type able struct{ unit }

func (able) Concurrent(cdb scsi.CDB) bool { return cdb[0]&1 != 0 }
func (able) NexusJoined(*scsi.Nexus)      {}
func (able) NexusLost(*scsi.Nexus)        {}
func (able) Reset()                       {}

// TestHidesNothing compares a logical unit with and without each filter. The
// unit is no good drive: breaches that it has by itself do not count.
func TestHidesNothing(t *testing.T) {
	debug := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	filters := map[string]scsitest.Wrap{
		"record":    func(lu scsi.LogicalUnit) scsi.LogicalUnit { _, out := Record(lu); return out },
		"trace":     func(lu scsi.LogicalUnit) scsi.LogicalUnit { return Trace(lu, debug) },
		"trace off": func(lu scsi.LogicalUnit) scsi.LogicalUnit { return Trace(lu, slog.New(slog.DiscardHandler)) },
	}
	for _, lu := range []scsi.LogicalUnit{unit{}, able{}} {
		bare := scsitest.CheckLogicalUnit(t.Context(), func() scsi.LogicalUnit { return lu })
		for name, wrap := range filters {
			for _, err := range scsitest.CheckLogicalUnit(t.Context(), func() scsi.LogicalUnit { return lu }, wrap)[len(bare):] {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
