package mmcemu

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// An answer is what a host needs to a command: an error, or data that starts
// with the hex text and is so many bytes long.
type answer struct {
	start string
	n     int
	err   error
}

// An ask is a command that a host sends, with what it needs when there is a CD
// of 100000 blocks, and when there is no medium.
type ask struct {
	row, cdb   string
	disc, none answer
}

func good(start string, n int) answer { return answer{start, n, nil} }
func fails(err error) answer          { return answer{err: err} }

var (
	noDisc = fails(emptyClose)
	bare   = fails(scsi.ErrInvalidFieldInCDB)
	done   = good("", 0)
)

// always is a command whose answer does not depend on the medium.
func always(row, cdb string, a answer) ask { return ask{row, cdb, a, a} }

// A host is a row of the reference's host table, 3.5: what the host sends
// when it finds the drive, when it opens it, and how it finds that the disc
// was swapped for one of 200000 blocks.
type host struct {
	name         string
	kind         string // of Options.Host; the default when empty
	usb          bool
	attach, open []ask
	swapped      []ask // only disc counts
	blind        bool  // it polls nothing: the swap waits its whole time
}

const (
	capacityData = "0001869f 00000800"
	swappedData  = "00030d3f 00000800"
	toc20        = "00120101 00140100 00000000 0014aa00 000186a0"
)

var (
	ready    = ask{"TUR", tur, done, noDisc}
	capacity = ask{"READ CAPACITY 10", "25", good(capacityData, 8), noDisc}
	attend   = always("TUR", tur, fails(scsi.ErrPowerOn))
	read16   = ask{"READ(10)", "28 00 00 00 00 10 00 00 01", good("00000001 00000010", 2048), noDisc}
	poll     = ask{"GESN", gesn, good("0006041000020000", 8), good("0006041000000000", 8)}
	newSize  = ask{"READ CAPACITY 10", "25", good(swappedData, 8), noDisc}
	newRead  = ask{"READ(10)", "28 00 00 00 00 10 00 00 01", good("00000002 00000010", 2048), noDisc}
	newEvent = ask{"GESN", gesn, good("0006041002020000", 8), noDisc}
	newTUR   = ask{"TUR", tur, fails(changed), noDisc}
)

var hosts = []host{
	{
		name: "Linux, iSCSI", kind: "linux",
		attach: append([]ask{
			always("INQUIRY", "12 00 00 00 24", good("05800602 5b000002", 36)),
			always("INQUIRY", "12 00 00 00 60", good("05800602 5b000002", 96)),
			always("VPD", "12 01 00 00 ff", good("05000003 008083", 7)),
			always("VPD", "12 01 80 00 ff", good("0580000c", 16)),
			always("VPD", "12 01 83 00 ff", good("058300a0", 164)),
			attend, ready,
			always("MODE SENSE 2A", "1a 00 2a 00 80", good("23000000 2a1e0b00 71032900", 36)),
		}, linuxMedium...),
		open:    linuxOpen,
		swapped: []ask{newEvent, newTUR, {"TUR", tur, done, noDisc}, newSize, newRead},
	},
	{
		name: "Linux, USB", kind: "linux", usb: true,
		attach: append([]ask{
			always("INQUIRY", "12 00 00 00 24", good("05800002 1f000000", 36)),
			attend, ready,
			always("MODE SENSE 2A", "5a 00 2a 00 00 00 00 00 80", good("00260000 00000000 2a1e0b00 71032900", 40)),
		}, linuxMedium...),
		open:    linuxOpen,
		swapped: []ask{newEvent, newTUR, {"TUR", tur, done, noDisc}, newSize, newRead},
	},
	{
		name: "Windows", kind: "windows",
		attach: []ask{
			always("INQUIRY", "12 00 00 00 24", good("05800602 5b", 36)),
			always("INQUIRY", "12 00 00 00 60", good("05800602 5b", 96)),
			always("VPD", "12 01 00 00 ff", good("05000003 008083", 7)),
			always("GESN", "4a 01 00 00 00 00 00 00 08", good("00028010", 4)),
			poll,
			{"GET CONFIGURATION", "46 00 00 00 00 00 00 00 08", good("0000009c 00000008", 8), good("0000009c 00000000", 8)},
			{"GET CONFIGURATION", "46 02 00 00 00 00 00 00 0c", good("00000014 00000008 0000030c", 12), good("00000014 00000000 0000030c", 12)},
			{"GET CONFIGURATION", "46 00 00 00 00 00 00 00 a0", good("0000009c 00000008", 160), good("0000009c 00000000", 160)},
			always("MODE SENSE 2A", "5a 08 2a 00 00 00 00 00 c0", fails(scsi.ErrPowerOn)),
			always("MODE SENSE 2A", "5a 08 2a 00 00 00 00 00 c0", good("00260000", 40)),
			capacity,
			always("REPORT KEY", "a4 00 00 00 00 00 00 00 00 08 08", good("00060000 25ff0100", 8)),
			poll,
			{"READ TOC", "43 02 00 00 00 00 00 03 24", good("00120101", 20), noDisc},
			{"READ TOC", "43 00 01 00 00 00 00 03 24", good("000a0101", 12), noDisc},
			{"READ TOC", "43 02 02 00 00 00 00 03 24", good("002e0101", 48), noDisc},
		},
		open: []ask{
			{"READ DISC INFO", "51 00 00 00 00 00 00 00 22", good("00200e01", 34), noDisc},
			{"READ TRACK INFO", "52 01 00 00 00 01 00 00 24", good("00220101", 36), noDisc},
			read16,
			{"READ(12)", "a8 00 00 00 01 00 00 00 00 01", good("00000001 00000100", 2048), noDisc},
			always("PREVENT/ALLOW", prevent, done), always("PREVENT/ALLOW", allow, done),
			always("SYNCHRONIZE CACHE", "35", done),
		},
		swapped: []ask{
			newEvent,
			{"READ CAPACITY 10", "25", fails(changed), noDisc},
			{"GET CONFIGURATION", "46 01 00 00 00 00 00 ff ff", good("00000074 00000008", 120), noDisc},
			{"MODE SENSE 2A", "5a 08 2a 00 00 00 00 ff f0", good("00260000", 40), noDisc},
			{"GET PERFORMANCE", "ac 04 00 00 00 00 00 00 00 c8 00", good("00000004 02000000", 8), noDisc},
			{"GET PERFORMANCE", "ac 00 00 00 00 00 00 00 00 c8 03", good("00000004 00000000", 8), noDisc},
			newSize, newRead,
		},
	},
	{
		name: "macOS", kind: "macos", usb: true,
		attach: []ask{
			always("INQUIRY", "12 00 00 00 24", good("0580", 36)),
			{"GET CONFIGURATION", "46 02 00 00 00 00 00 00 04", good("00000014", 4), good("00000014", 4)},
			{"GET CONFIGURATION", "46 02 00 00 00 00 00 00 18", good("00000014 00000008", 24), good("00000014 00000000", 24)},
			always("GET CONFIGURATION", "46 02 01 03 00 00 00 00 04", good("0000000c", 4)),
			always("GET CONFIGURATION", "46 02 00 21 00 00 00 00 04", good("00000004", 4)),
			always("GET CONFIGURATION", "46 02 00 2d 00 00 00 00 08", good("00000004", 8)),
			always("GET CONFIGURATION", "46 02 01 06 00 00 00 00 04", good("00000004", 4)),
			always("MODE SENSE 2A", "5a 08 2a 00 00 00 00 00 08", fails(scsi.ErrPowerOn)),
			always("MODE SENSE 2A", "5a 08 2a 00 00 00 00 00 08", good("0026", 8)),
			always("MODE SENSE 2A", "5a 08 2a 00 00 00 00 00 28", good("0026", 40)),
			always("MODE SENSE 1A", "5a 08 1a 00 00 00 00 00 14", good("0012", 20)),
			always("MODE SENSE 31", "5a 08 31 00 00 00 00 00 10", bare),
			ready,
		},
		open: []ask{
			ready,
			always("PREVENT/ALLOW", prevent, done),
			capacity,
			{"READ DVD STRUCTURE", "ad 00 00 00 00 00 00 00 00 08", fails(scsi.ErrIncompatibleMedium), noDisc},
			{"READ TOC", "43 00 00 00 00 00 00 00 04", good("00120101", 4), noDisc},
			{"READ DISC INFO", "51 00 00 00 00 00 00 00 04", good("00200e01", 4), noDisc},
			always("READ TOC ATIP", "43 00 04 00 00 00 00 00 10", bare),
			{"READ TRACK INFO", "52 01 00 00 00 01 00 00 08", good("00220101 00040100", 8), noDisc},
			always("SET CD SPEED", "bb 00 ff ff ff ff", done),
			{"READ TOC", "43 02 02 00 00 00 00 ff fe", good("002e0101", 48), noDisc},
			{"READ TOC", "43 02 02 00 00 00 00 00 04", good("002e0101", 4), noDisc},
			read16,
			{"READ CD", "be 00 00 00 00 10 00 00 01 10 00", good("00000001 00000010", 2048), noDisc},
			always("PREVENT/ALLOW", allow, done),
		},
		swapped: []ask{newTUR, {"TUR", tur, done, noDisc}, newSize, newRead},
		blind:   true, // with a disc in, it learns from the sense of a read
	},
	{
		name: "EDK2, iSCSI", kind: "firmware",
		attach: []ask{
			always("INQUIRY", "12 00 00 00 60", good("0580", 96)),
			attend, ready, capacity, read16,
		},
		swapped: []ask{{"READ(10)", "28 00 00 00 00 10 00 00 01", fails(changed), noDisc}, newSize, newRead},
		blind:   true,
	},
	{
		name: "EDK2, USB", kind: "firmware", usb: true,
		attach: []ask{
			always("INQUIRY", "12 00 00 00 24", good("0580", 36)),
			attend,
			always("REQUEST SENSE", "03 00 00 00 12", good("70000000", 18)),
			ready, capacity, read16,
		},
		swapped: []ask{{"READ(10)", "28 00 00 00 00 10 00 00 01", fails(changed), noDisc}, newSize, newRead},
		blind:   true,
	},
	{
		name: "SeaBIOS", kind: "firmware", usb: true,
		attach: []ask{
			always("INQUIRY", "12 00 00 00 24", good("0580", 36)),
			attend,
			always("REQUEST SENSE", "03 00 00 00 12", good("70000000", 18)),
			ready,
			{"READ(10) boot record", "28 00 00 00 00 11 00 00 01", good("00000001 00000011", 2048), noDisc},
			{"READ(10) 64 KiB", "28 00 00 00 00 20 00 00 20", good("00000001 00000020", 65536), noDisc},
		},
		swapped: []ask{{"READ(10)", "28 00 00 00 00 10 00 00 01", fails(changed), noDisc}, newRead},
		blind:   true,
	},
	{
		name: "iPXE", kind: "firmware",
		attach:  []ask{attend, ready, capacity, read16, {"READ(10) 8 KiB", "28 00 00 00 00 20 00 00 04", good("00000001 00000020", 8192), noDisc}},
		swapped: []ask{newTUR, {"TUR", tur, done, noDisc}, newSize, newRead},
		blind:   true,
	},
	{
		name: "QEMU iscsi", kind: "firmware",
		attach: []ask{
			attend, ready,
			always("INQUIRY", "12 00 00 00 40", good("05800602 5b", 64)),
			always("INQUIRY", "12 00 00 00 60", good("05800602 5b", 96)),
			always("MODE SENSE 3F", "1a 00 3f 00 ff", good("81000000 010a", 130)),
			capacity,
			always("VPD", "12 01 00 00 ff", good("05000003 008083", 7)),
			always("VPD", "12 01 83 00 ff", good("058300a0", 164)),
			{"READ TOC", "43 00 00 00 00 00 00 00 0c 80", good("002e0101", 12), noDisc},
			{"READ(10)", "28 00 00 00 00 00 00 02 00", good("00000001 00000000", 1<<20), noDisc},
		},
		swapped: []ask{{"READ CAPACITY 10", "25", fails(changed), noDisc}, newSize, newRead},
		blind:   true,
	},
	{
		name: "FreeBSD",
		attach: []ask{
			always("INQUIRY", "12 00 00 00 24", good("0580", 36)),
			always("VPD", "12 01 80 00 ff", good("0580000c", 16)),
			{"READ CAPACITY 10", "25", fails(scsi.ErrPowerOn), fails(scsi.ErrPowerOn)},
			capacity,
		},
		open: []ask{
			always("PREVENT/ALLOW", prevent, done), capacity,
			{"READ TOC", "43 00 00 00 00 00 00 00 04", good("00120101", 4), noDisc},
			{"READ TOC", "43 00 00 00 00 00 00 00 14", good(toc20, 20), noDisc},
			{"READ(6)", "08 00 00 10 01", good("00000001 00000010", 2048), noDisc},
			always("PREVENT/ALLOW", allow, done),
		},
		swapped: []ask{newTUR, {"TUR", tur, done, noDisc}, newSize, newRead},
	},
}

// linuxMedium is what sr asks when it probes the drive.
var linuxMedium = []ask{
	{"GET CONFIGURATION", "46 00 00 28 00 00 00 00 10", good("00000050 00000008 0040001c", 16), good("00000050 00000000 0040001c", 16)},
	{"GET CONFIGURATION", "46 00 00 20 00 00 00 00 18", good("00000050 00000008 0040001c", 24), good("00000050 00000000 0040001c", 24)},
	{"READ TOC, sessions", "43 00 00 00 00 00 00 00 0c 40", good("000a0101 00140100 00000000", 12), noDisc},
	{"READ TOC", "43 00 00 00 00 00 00 00 0c", good(toc20[:26], 12), noDisc},
	{"READ TOC", "43 00 00 00 00 00 01 00 0c", good(toc20[:26], 12), noDisc},
	capacity,
	{"READ DISC INFO", "51 00 00 00 00 00 00 00 02", good("0020", 2), noDisc},
	{"READ DISC INFO", "51 00 00 00 00 00 00 00 22", good("00200e01", 34), noDisc},
	{"READ TRACK INFO", "52 01 00 00 00 01 00 00 08", good("00220101", 8), noDisc},
	{"READ TRACK INFO", "52 01 00 00 00 01 00 00 24", good("00220101 00040100", 36), noDisc},
}

// linuxOpen is a poll, an open of the device, reads, and the close.
var linuxOpen = []ask{
	poll, ready,
	always("START STOP UNIT", hostLoad, done), ready,
	{"READ TOC", "43 02 00 00 00 00 01 00 0c", good("00120101 00140100 00000200", 12), noDisc},
	always("PREVENT/ALLOW", prevent, done),
	{"GET CONFIGURATION", "46 00 00 00 00 00 00 00 20", good("0000009c 00000008", 32), good("0000009c 00000000", 32)},
	read16,
	{"READ(10) 1 MiB", "28 00 00 00 00 00 00 02 00", good("00000001 00000000", 1<<20), noDisc},
	always("PREVENT/ALLOW", allow, done),
}

func (h host) join(drive *Drive) *scsi.Nexus {
	n := scsitest.NewNexus(h.name)
	if h.usb {
		n = usb()
	}
	drive.NexusJoined(n)
	n.Raise(scsi.ErrPowerOn)
	return n
}

func (a answer) check(t *testing.T, drive *Drive, n *scsi.Nexus, q ask) {
	t.Helper()
	got, err := scsitest.DoNexus(t, drive, n, q.cdb, nil)
	start := scsitest.Hex(t, a.start)
	if !errors.Is(err, a.err) || len(got) != a.n || !bytes.HasPrefix(got, start) {
		t.Errorf("%s: %s = %d bytes % x, %v; want %d bytes %s, %v", q.row, q.cdb, len(got), got[:min(len(got), 16)], err, a.n, a.start, a.err)
	}
}

// TestHostTable walks the host table row by row: with a disc, with none, and
// over a swap.
func TestHostTable(t *testing.T) {
	for _, h := range hosts {
		t.Run(h.name+"/disc", func(t *testing.T) {
			drive := newDrive(t, newDisc(1, 100000))
			n := h.join(drive)
			for _, q := range append(h.attach[:len(h.attach):len(h.attach)], h.open...) {
				q.disc.check(t, drive, n, q)
			}
		})
		t.Run(h.name+"/none", func(t *testing.T) {
			drive := newDrive(t, nil)
			n := h.join(drive)
			for _, q := range append(h.attach[:len(h.attach):len(h.attach)], h.open...) {
				q.none.check(t, drive, n, q)
			}
		})
		for _, kind := range slices.Compact([]string{"", h.kind}) {
			t.Run(h.name+"/swap "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { h.testSwap(t, kind) })
			})
		}
	}
}

// swapTakes is how long a swap by a sequence takes, when the host asks a second
// after it began, and when it asks nothing.
var swapTakes = map[string]struct{ polled, blind time.Duration }{
	"":         {time.Second + linuxSettle, 2500 * time.Millisecond},
	"linux":    {time.Second + linuxSettle, 0},
	"windows":  {time.Second, 0},
	"macos":    {0, 2500 * time.Millisecond},
	"firmware": {0, 0},
}

// testSwap swaps the disc under the host, which polls once a second unless it
// is blind, and then lets it find out. The drive shows the swap as to any host,
// or as to its kind.
func (h host) testSwap(t *testing.T, kind string) {
	drive := newDrive(t, newDisc(1, 100000))
	drive.SetPace(Pace{Host: kind})
	n := h.join(drive)
	for _, q := range h.attach {
		q.disc.check(t, drive, n, q)
	}
	start := time.Now()
	var took time.Duration
	swapped := make(chan struct{})
	go func() {
		insert(t, drive, newDisc(2, 200000), "two")
		took = time.Since(start)
		close(swapped)
	}()
	<-time.After(time.Second)
	want := swapTakes[kind].blind
	if !h.blind {
		want = swapTakes[kind].polled
		run(t, drive, n, gesn, nil)
		if kind != "windows" { // to whom the event says all
			run(t, drive, n, tur, emptyClose)
		}
	}
	<-swapped
	if took != want {
		t.Errorf("swap took %v; want %v", took, want)
	}
	for _, q := range h.swapped {
		q.disc.check(t, drive, n, q)
	}
}
