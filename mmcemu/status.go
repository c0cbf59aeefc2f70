package mmcemu

import (
	"context"
	"time"

	"spindle/scsi"
)

var statusCommands = []command{
	{0x00, "TEST UNIT READY", needsMedium | concurrent, alloc{}, nil, (*Drive).testUnitReady},
	{0x03, "REQUEST SENSE", skipsUA | concurrent, alloc8(4), nil, (*Drive).requestSense},
}

// testUnitReady answers TEST UNIT READY: the dispatcher has made all checks.
// The key of what it reports is never 3 or 4, and never 2/30/xx: macOS ejects
// the disc on those.
func (d *Drive) testUnitReady(_ context.Context, cmd *scsi.Command, _ *medium) error {
	d.mu.Lock()
	defer d.unlock()
	if st := d.nexus(cmd.Nexus); st.ownLoad {
		st.ownLoad, st.event = false, noEvent
	}
	return nil
}

// requestSense answers REQUEST SENSE: a unit attention, which it clears, or
// the progress of loading, or the audio status, or that there is nothing to
// report. Sense of an
// earlier CHECK CONDITION went with its status, or is kept by the front end.
//
//	CDB  byte 1 bit 0 DESC; byte 4 allocation length
//	data 18 bytes of fixed format, or descriptor format
//
// Source: SPC-4, REQUEST SENSE.
func (d *Drive) requestSense(_ context.Context, cmd *scsi.Command, _ *medium) error {
	s, ok := d.takeUnitAttention(cmd.Nexus)
	if !ok {
		s = d.progressSense()
	}
	if cmd.CDB[1]&1 != 0 {
		return cmd.In.Reply(s.AppendDescriptor(nil))
	}
	return cmd.In.Reply(s.AppendFixed(nil))
}

// progressSense returns BECOMING READY with its progress, or what the audio
// player does, or no sense.
func (d *Drive) progressSense() scsi.Sense {
	d.mu.Lock()
	defer d.unlock()
	if d.loading == nil && d.slotLoad == nil {
		return d.player.sense(time.Now())
	}
	return d.becomingReady()
}
