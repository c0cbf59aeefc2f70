package mmcemu

import (
	"context"
	"time"

	"spindle/scsi"
)

var trayCommands = []command{
	{0x1B, "START STOP UNIT", 0, alloc{}, nil, (*Drive).startStop},
	{0x1E, "PREVENT ALLOW MEDIUM REMOVAL", 0, alloc{}, nil, (*Drive).preventAllow},
}

// Bits of START STOP UNIT, byte 4.
const (
	startBit = 1 << 0
	loejBit  = 1 << 1
)

// startStop answers START STOP UNIT: eject, load, and nothing for the rest.
//
//	CDB  byte 4: bits 7-4 power condition, bit 1 LOEJ, bit 0 START
//
// A power condition is taken and ignored, with LOEJ and START; so is bit 2, a
// format layer here and NO_FLUSH to hosts that know disks. Ejecting fails
// with MEDIUM REMOVAL PREVENTED while any nexus prevents it; ejecting from an
// open tray and loading an empty one are no errors; starting an empty drive is
// MEDIUM NOT PRESENT. Stopping and power conditions end audio play, as ejecting
// does; an eject that fails, a start and a load leave it alone.
// Source: MMC-6, START STOP UNIT.
func (d *Drive) startStop(_ context.Context, cmd *scsi.Command, m *medium) error {
	b := cmd.CDB[4]
	switch {
	case b>>4 != 0, b&(loejBit|startBit) == 0:
		d.stopPlay()
	case b&(loejBit|startBit) == loejBit:
		return d.hostEject(cmd.Nexus)
	case b&(loejBit|startBit) == loejBit|startBit:
		d.hostLoad(cmd.Nexus)
	case b&startBit != 0 && m == nil:
		return d.notReady(cmd.Nexus)
	}
	return nil
}

// preventAllow answers PREVENT ALLOW MEDIUM REMOVAL. Each nexus prevents for
// itself, and has two flags; the tray is held while one is set anywhere.
//
//	CDB  byte 4: bit 0 prevent, bit 1 persistent
//
// Source: MMC-6, PREVENT ALLOW MEDIUM REMOVAL.
func (d *Drive) preventAllow(_ context.Context, cmd *scsi.Command, _ *medium) error {
	d.mu.Lock()
	defer d.unlock()
	held := d.preventing() > 0
	st := d.nexus(cmd.Nexus)
	mine := st.prevent || st.persistent
	prevent := cmd.CDB[4]&1 != 0
	if cmd.CDB[4]&2 != 0 {
		st.persistent = prevent
	} else {
		st.prevent = prevent
	}
	if prevent && !mine {
		st.since = time.Now()
	}
	if prevent && !held {
		d.emit(Event{Kind: EventHeld, Nexus: cmd.Nexus.Initiator})
	}
	d.released(held, cmd.Nexus)
	return nil
}
