package mmcemu

import (
	"context"
	"encoding/binary"

	"spindle/scsi"
)

var modeCommands = []command{
	{0x1A, "MODE SENSE(6)", concurrent, alloc8(4), checkModeSense, (*Drive).modeSense6},
	{0x5A, "MODE SENSE(10)", concurrent, alloc16(7), checkModeSense, (*Drive).modeSense10},
}

// A modePage is a mode page: its default, page code and length first, and
// which of its bits a host may change.
type modePage struct{ value, changeable []byte }

// Codes of mode pages.
const (
	noPage           = 0x00 // the block descriptor alone, for hosts of SCSI-1
	capabilitiesPage = 0x2A
	allPages         = 0x3F
)

// modePages are the mode pages, ascending. The values of page 2Ah that depend
// on the drive's state are filled in by currentPage. Header and page together
// stay below 128 bytes: Linux takes a longer page 2Ah for none at all.
// Source: MMC-6, clause 7; for 08h SBC-3, for 0Ah, 1Ah and 1Ch
// SPC-4.
var modePages = []modePage{
	{ // read/write error recovery: read retries
		[]byte{0x01, 0x0A, 0x00, 0x05, 0, 0, 0, 0, 0, 0, 0, 0},
		[]byte{0x01, 0x0A, 0x3F, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0},
	},
	{ // caching: no write cache, the read cache is on
		[]byte{0x08, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		[]byte{0x08, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	},
	{ // control: one task set, fixed format sense; nothing can be changed
		[]byte{0x0A, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		[]byte{0x0A, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	},
	{ // CD device parameters: inactivity timer; seconds a minute, frames a second
		[]byte{0x0D, 0x06, 0, 0x00, 0, 60, 0, 75},
		[]byte{0x0D, 0x06, 0, 0x0F, 0, 0, 0, 0},
	},
	{ // CD audio control: IMMED, SOTC; channels and volumes of four ports, of which two are there
		[]byte{0x0E, 0x0E, 0x04, 0, 0, 0, 0, 75, 0x01, 0xFF, 0x02, 0xFF, 0, 0, 0, 0},
		[]byte{0x0E, 0x0E, 0x02, 0, 0, 0, 0, 0, 0x03, 0xFF, 0x03, 0xFF, 0, 0, 0, 0},
	},
	{ // power condition: idle and standby timers, in 100 ms
		[]byte{0x1A, 0x0A, 0, 0x00, 0, 0, 0, 0, 0, 0, 0, 0},
		[]byte{0x1A, 0x0A, 0, 0x03, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
	},
	{ // informational exceptions: none are reported
		[]byte{0x1C, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		[]byte{0x1C, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	},
	{ // timeout and protect: minimum timeouts of two groups of commands, in seconds
		[]byte{0x1D, 0x08, 0, 0, 0x00, 0, 0, 30, 0, 30},
		[]byte{0x1D, 0x08, 0, 0, 0x06, 0, 0xFF, 0xFF, 0xFF, 0xFF},
	},
	{ // capabilities and mechanical status: reads CD-R, CD-RW, DVD-ROM, C2, R-W, ISRC and MCN, writes nothing
		[]byte{
			capabilitiesPage, 0x1E, 0x0B, 0x00, 0x71, 0x7F, 0x29, 0x03,
			0x21, 0x00, 0x01, 0x00, 0x08, 0x00, 0x21, 0x00, 0, 0, 0, 0, 0, 0,
			0x00, 0x01, 0, 0, 0, 0, 0, 0, 0, 0,
		},
		append([]byte{capabilitiesPage, 0x1E}, make([]byte, 30)...),
	},
}

// defaultPages returns the current values of a drive that was just made.
func defaultPages() [][]byte {
	pages := make([][]byte, len(modePages))
	for i, p := range modePages {
		pages[i] = append([]byte(nil), p.value...)
	}
	return pages
}

// Values of the page control field, byte 2 bits 7-6 of MODE SENSE.
const (
	currentValues = iota
	changeableValues
	defaultValues
	savedValues
)

func checkModeSense(cdb *scsi.CDB) error {
	page, subpage := cdb[2]&0x3F, cdb[3]
	if page != allPages && page != noPage && pageIndex(page) < 0 {
		return scsi.FieldInCDB(2, 5)
	}
	if subpage != 0 && subpage != 0xFF {
		return scsi.FieldInCDB(3, -1)
	}
	if cdb[2]>>6 == savedValues {
		return scsi.ErrSavingNotSupported
	}
	return nil
}

// pageIndex returns where the page stands in modePages, or -1.
func pageIndex(code byte) int {
	for i := range modePages {
		if modePages[i].value[0] == code {
			return i
		}
	}
	return -1
}

// modeSense6 answers MODE SENSE(6): a header of 4 bytes and the pages. Between
// them is a block descriptor of 8 bytes, unless DBD forbids it, in a drive that
// is or was made for blocks of 512 bytes; every other has none, as most drives
// for CDs do.
//
//	CDB  byte 1 bit 3 DBD; byte 2: bits 7-6 page control, bits 5-0 page; byte 3
//	     subpage
//
// Page 0 is the descriptor alone, and INVALID FIELD IN CDB where there is none.
// Source: SPC-4, MODE SENSE(6).
func (d *Drive) modeSense6(_ context.Context, cmd *scsi.Command, m *medium) error {
	b, descriptor, err := d.modeData(make([]byte, 4, 256), &cmd.CDB, m)
	if err != nil {
		return err
	}
	b[0], b[3] = byte(len(b)-1), descriptor
	return cmd.In.Reply(b)
}

// modeSense10 answers MODE SENSE(10): as MODE SENSE(6), with a header of 8
// bytes.
func (d *Drive) modeSense10(_ context.Context, cmd *scsi.Command, m *medium) error {
	b, descriptor, err := d.modeData(make([]byte, 8, 256), &cmd.CDB, m)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	b[7] = descriptor
	return cmd.In.Reply(b)
}

// modeData appends block descriptor and pages to a header, and returns the
// descriptor's length. The page control field is about pages alone.
func (d *Drive) modeData(header []byte, cdb *scsi.CDB, m *medium) (b []byte, descriptor byte, err error) {
	const dbd = 0x08
	describes := d.describesBlocks()
	if cdb[2]&0x3F == noPage && !describes {
		return nil, 0, scsi.FieldInCDB(2, 5)
	}
	b = header
	if describes && cdb[1]&dbd == 0 {
		b = d.appendBlockDescriptor(b, m)
	}
	return d.appendPages(b, cdb, m), byte(len(b) - len(header)), nil
}

func (d *Drive) appendPages(b []byte, cdb *scsi.CDB, m *medium) []byte {
	d.mu.Lock()
	defer d.unlock()
	want, control := cdb[2]&0x3F, cdb[2]>>6
	for i := range modePages {
		if want != allPages && want != modePages[i].value[0] {
			continue
		}
		switch control {
		case changeableValues:
			b = append(b, modePages[i].changeable...)
		case defaultValues:
			b = d.appendPage(b, modePages[i].value, m, 0)
		default:
			b = d.appendPage(b, d.pages[i], m, d.speed)
		}
	}
	return b
}

// appendPage appends a page, page 2Ah with the drive's mechanism and the state
// of lock and speed.
func (d *Drive) appendPage(b, page []byte, m *medium, speed int) []byte {
	at := len(b)
	b = append(b, page...)
	if page[0] == capabilitiesPage {
		b[at+6] = b[at+6]&0x1F | mechanisms[d.mechanism()].page
		if d.isChanger() {
			b[at+7] |= 0x04 // SDP: the slot table says where discs are
		}
		fastest := d.speedsOf(m)[0]
		if d.preventing() > 0 {
			b[at+6] |= 0x02
		}
		binary.BigEndian.PutUint16(b[at+8:], uint16(min(fastest, 0xFFFF)))
		binary.BigEndian.PutUint16(b[at+14:], uint16(min(d.clampSpeed(m, speed), 0xFFFF)))
	}
	return b
}
