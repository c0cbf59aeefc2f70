package mmcemu

import "time"

// A sequence is how a change of medium is shown to a kind of host: what of it
// differs between hosts. The same for all is that
//
//   - a new medium is 28/00 and NewMedia together, once to every nexus: Linux's
//     sr driver gives events up for good when TEST UNIT READY contradicts them
//     too often, macOS looks at nothing but the unit attention, Windows at
//     nothing but the event;
//   - an eject request is told once to every nexus and not repeated by itself:
//     Windows gives events up for good after 32 in a row, and a second request
//     is the operator's to make.
//
// Source: what each host polls, from the sources of Linux (sr.c, udev), of
// cdrom.sys, IOSCSIMultimediaCommandsDevice, EDK2, SeaBIOS, iPXE and QEMU.
type sequence struct {
	host string // as Options.Host names it

	// hold is how long at most a swap leaves the drive empty: longer than one
	// period in which the host asks. 0 is none.
	hold time.Duration
	// early ends the hold when every nexus has been told that the medium went.
	early bool
	// settle is how long the drive stays empty after the last nexus was told.
	settle time.Duration
	// tellsOwnLoad tells the host that ejected a disc and loads it again of it
	// like every other host. Without, it gets the GOOD of a disc that it knows,
	// until it asks for events: libiscsi's tests expect that.
	tellsOwnLoad bool
	// staysOut leaves the disc on the open tray when the host that ejected it
	// asks to load it: another's load, or an operator's insert, brings it back.
	staysOut bool
}

// sequences are all of them; the first is for hosts of any kind.
var sequences = []sequence{
	// Whoever polls does so each 1 or 2 s.
	{host: "generic", hold: 2500 * time.Millisecond, early: true, settle: linuxSettle},
	// udev has the kernel poll each 2 s, by GET EVENT STATUS NOTIFICATION and
	// then TEST UNIT READY. It rereads size and tracks on 28/00 or NewMedia, of
	// its own load too.
	{host: "linux", hold: 2500 * time.Millisecond, early: true, settle: linuxSettle, tellsOwnLoad: true},
	// cdrom.sys polls each second, by the event alone: nothing follows it that
	// the next medium could contradict.
	{host: "windows", hold: 1500 * time.Millisecond, early: true, tellsOwnLoad: true},
	// With a medium in the drive macOS polls nothing: the 2/3A of a READ tells
	// it, and then it sends TEST UNIT READY each second. The hold has its full
	// length, for a READ to come, and for one of those to find the drive empty.
	// After its own eject it sends a load, which would mount the disc again.
	{host: "macos", hold: 2500 * time.Millisecond, tellsOwnLoad: true, staysOut: true},
	// EDK2, SeaBIOS, iPXE and QEMU's iscsi driver never poll, and take 28/00 for
	// what it is; but an empty drive ends a boot at once (2/3A ends EDK2's wait
	// and SeaBIOS's third, a failed READ iPXE's, READ CAPACITY QEMU's open). So a
	// swap shows none.
	{host: "firmware", tellsOwnLoad: true},
}

// linuxSettle: Linux asks by GESN and then by TEST UNIT READY; were the next
// medium there in between, its event would come a poll after its unit
// attention, as a contradiction.
const linuxSettle = 250 * time.Millisecond

// Hosts returns the kinds of host that [Options.Host] knows, the default first.
func Hosts() []string {
	var names []string
	for i := range sequences {
		names = append(names, sequences[i].host)
	}
	return names
}

// sequenceOf returns the sequence for a kind of host, by default the first.
func sequenceOf(host string) sequence {
	for _, s := range sequences {
		if s.host == host {
			return s
		}
	}
	return sequences[0]
}

// A Pace is what of a drive may change while hosts use it. Its fields are those
// of [Options].
type Pace struct {
	Host               string
	SwapHold, LoadTime time.Duration
}

// SetPace has media changes go by p from now on. A change that waits for hosts goes
// on by p, but for its longest time, and a disc that spins up takes what it began
// with.
func (d *Drive) SetPace(p Pace) {
	d.mu.Lock()
	defer d.unlock()
	d.setPace(p)
}

func (d *Drive) setPace(p Pace) {
	d.seq, d.loadTime = sequenceOf(p.Host), max(p.LoadTime, 0)
	switch {
	case p.SwapHold < 0:
		d.seq.hold = 0
	case p.SwapHold > 0:
		d.seq.hold = p.SwapHold
	}
}
