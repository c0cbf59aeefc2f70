package mmcemu

import (
	"context"

	"spindle/scsi"
)

var eventCommands = []command{
	{0x4A, "GET EVENT STATUS NOTIFICATION", skipsUA | concurrent, alloc16(7), checkEventStatus, (*Drive).eventStatus},
}

// Media events. Each is reported once to each nexus.
const (
	noEvent           = 0
	ejectRequestEvent = 1
	newMediaEvent     = 2
	mediaRemovalEvent = 3
	mediaChangedEvent = 4 // the operator wants the disc of a slot loaded
)

// mediaClass is the one class of events that the drive has. More would make
// Windows ask for them one by one.
const (
	mediaClass     = 4
	mediaClassMask = 1 << mediaClass
)

func checkEventStatus(cdb *scsi.CDB) error {
	if cdb[1]&1 == 0 {
		return scsi.FieldInCDB(1, 0) // asynchronous
	}
	return nil
}

// eventStatus answers GET EVENT STATUS NOTIFICATION, polled.
//
//	CDB  byte 1 bit 0 POLLED; byte 4 classes asked for; bytes 7-8 allocation length
//	data length (2), NEA and class, supported classes; then for the media class
//	     event, status (bit 1 present, bit 0 tray open), first and last slot of a
//	     changer: 8 or 4 bytes
//
// Windows asks for no class at first, to learn which there are, and gives the
// command up for good when the length is not 6 with a descriptor.
// Source: MMC-6, GET EVENT STATUS NOTIFICATION.
func (d *Drive) eventStatus(_ context.Context, cmd *scsi.Command, _ *medium) error {
	if cmd.CDB[4]&mediaClassMask == 0 {
		return cmd.In.Reply([]byte{0, 2, 0x80, mediaClassMask})
	}
	if cmd.CDB[7] == 0 && cmd.CDB[8] < 8 {
		// The event does not fit: it stays for the request that takes it.
		_, status := d.peekEvent()
		return cmd.In.Reply([]byte{0, 6, mediaClass, mediaClassMask, noEvent, status, 0, 0})
	}
	event, status, slot := d.takeEvent(cmd.Nexus)
	return cmd.In.Reply([]byte{0, 6, mediaClass, mediaClassMask, event, status, slot, slot})
}

func (d *Drive) peekEvent() (event, status byte) {
	d.mu.Lock()
	defer d.unlock()
	return noEvent, d.mediaStatus()
}

// takeEvent returns the event to report to n, which then knows it, the status
// of the medium beside it, and the slot that it is about: 0 without slots.
func (d *Drive) takeEvent(n *scsi.Nexus) (event, status, slot byte) {
	d.mu.Lock()
	defer d.unlock()
	st := d.nexus(n)
	status, slot = d.mediaStatus(), byte(d.slot)
	event, st.event = st.event, noEvent
	switch {
	case event == newMediaEvent:
		st.owed = false
		d.noteReady(st)
		if st.ownLoad {
			st.ownLoad = false
			n.Raise(scsi.ErrMediumMayHaveChanged)
		}
	case event == mediaRemovalEvent:
		st.owed = false
		d.noteEmpty(st)
	case st.slotRequest > 0:
		event = mediaChangedEvent // Linux knows none such, and is asked to eject next
		slot, st.slotRequest = byte(st.slotRequest-1), 0
	case st.ejectRequest:
		event, st.ejectRequest = ejectRequestEvent, false
	}
	return event, status, slot
}

// mediaStatus is byte 1 of a media event: whether there is a medium in the
// drive, whether the tray is open.
func (d *Drive) mediaStatus() byte {
	switch {
	case d.open:
		return 0x01
	case d.disc != nil:
		return 0x02
	}
	return 0
}
