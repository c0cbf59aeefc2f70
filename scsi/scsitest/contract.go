package scsitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"spindle/scsi"
)

// A Wrap puts a filter around a logical unit.
type Wrap func(scsi.LogicalUnit) scsi.LogicalUnit

// TestLogicalUnit reports every breach of what all optical logical units keep:
// allocation and transfer length, unknown operation codes, reserved bytes, unit
// attentions, and the use of data-in. new returns a logical unit in the state
// to be tested, with or without a medium, always the same; it is called some
// fifty times. Each filter of wraps must hide nothing.
func TestLogicalUnit(t testing.TB, new func() scsi.LogicalUnit, wraps ...Wrap) {
	t.Helper()
	for _, err := range CheckLogicalUnit(t.Context(), new, wraps...) {
		t.Error(err)
	}
}

// CheckLogicalUnit is TestLogicalUnit for a caller that wants the breaches.
func CheckLogicalUnit(ctx context.Context, new func() scsi.LogicalUnit, wraps ...Wrap) []error {
	c := &checker{ctx: ctx, new: new}
	c.inquiry()
	for _, row := range dataInCommands {
		c.allocationLength(row)
		c.transferLength(row.name, row.cdb(row.max()))
		c.reservedBytes(row)
	}
	c.reads()
	c.unknownOpcodes()
	c.unitAttention()
	for _, wrap := range wraps {
		c.filter(wrap)
	}
	return c.errs
}

// A dataIn is a command with an allocation length.
type dataIn struct {
	name string
	head []byte // the CDB up to the allocation length
	at   int    // of the allocation length
	size int    // of the allocation length, in bytes
	last int    // the control byte
}

// dataInCommands are the commands with an allocation length that hosts send to
// optical drives. A logical unit need not know them all.
var dataInCommands = []dataIn{
	{"REQUEST SENSE", []byte{0x03}, 4, 1, 5},
	{"REQUEST SENSE, descriptor format", []byte{0x03, 1}, 4, 1, 5},
	{"INQUIRY", []byte{0x12}, 3, 2, 5},
	{"INQUIRY page 00", []byte{0x12, 1, 0x00}, 3, 2, 5},
	{"INQUIRY page 80", []byte{0x12, 1, 0x80}, 3, 2, 5},
	{"INQUIRY page 83", []byte{0x12, 1, 0x83}, 3, 2, 5},
	{"INQUIRY page FE", []byte{0x12, 1, 0xFE}, 3, 2, 5},
	{"MODE SENSE(6)", []byte{0x1A, 0, 0x3F}, 4, 1, 5},
	{"READ FORMAT CAPACITIES", []byte{0x23}, 7, 2, 9},
	{"READ SUB-CHANNEL", []byte{0x42, 2, 0x40, 1}, 7, 2, 9},
	{"READ TOC", []byte{0x43}, 7, 2, 9},
	{"READ TOC format 1", []byte{0x43, 0, 1}, 7, 2, 9},
	{"READ TOC format 2", []byte{0x43, 2, 2}, 7, 2, 9},
	{"READ TOC format 5", []byte{0x43, 2, 5}, 7, 2, 9},
	{"GET CONFIGURATION", []byte{0x46}, 7, 2, 9},
	{"GET EVENT STATUS NOTIFICATION", []byte{0x4A, 1, 0, 0, 0x10}, 7, 2, 9},
	{"LOG SENSE", []byte{0x4D, 0, 0x40}, 7, 2, 9},
	{"READ DISC INFORMATION", []byte{0x51}, 7, 2, 9},
	{"READ TRACK INFORMATION", []byte{0x52, 1, 0, 0, 0, 1}, 7, 2, 9},
	{"MODE SENSE(10)", []byte{0x5A, 0, 0x3F}, 7, 2, 9},
	{"READ BUFFER CAPACITY", []byte{0x5C}, 7, 2, 9},
	{"REPORT KEY", []byte{0xA4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08}, 8, 2, 11},
	{"READ DISC STRUCTURE", []byte{0xAD}, 8, 2, 11},
	{"MECHANISM STATUS", []byte{0xBD}, 8, 2, 11},
}

// cdb returns the command with allocation length n.
func (r dataIn) cdb(n int) (cdb scsi.CDB) {
	copy(cdb[:], r.head)
	for i := range r.size {
		cdb[r.at+i] = byte(n >> (8 * (r.size - 1 - i)))
	}
	return cdb
}

func (r dataIn) max() int { return 1<<(8*r.size) - 1 }

type checker struct {
	ctx   context.Context
	new   func() scsi.LogicalUnit
	nexus int // counts the nexuses, so that no two have one name
	errs  []error
}

func (c *checker) errorf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// join returns a nexus that lu has been told of, with nothing pending.
func (c *checker) join(lu scsi.LogicalUnit) *scsi.Nexus {
	c.nexus++
	n := NewNexus(fmt.Sprintf("iqn.2026-11.spindle:test-%d", c.nexus))
	if w, ok := scsi.As[scsi.NexusWatcher](lu); ok {
		w.NexusJoined(n)
	}
	for n.Pending() {
		n.Take()
	}
	return n
}

func (c *checker) leave(lu scsi.LogicalUnit, n *scsi.Nexus) {
	if w, ok := scsi.As[scsi.NexusWatcher](lu); ok {
		w.NexusLost(n)
	}
}

// An answer is what came of one command.
type answer struct {
	data  []byte
	total int64 // what Begin announced
	err   error
}

func (a answer) String() string {
	return fmt.Sprintf("%d bytes of %d, %v", len(a.data), a.total, a.err)
}

// same reports whether both ended with the same status and sense.
func (a answer) same(b answer) bool {
	as, ak := scsi.StatusOf(a.err)
	bs, bk := scsi.StatusOf(b.err)
	return as == bs && ak == bk
}

// run sends one command on n; the host takes limit bytes.
func (c *checker) run(lu scsi.LogicalUnit, n *scsi.Nexus, cdb scsi.CDB, limit int64) answer {
	in, err := Execute(c.ctx, lu, n, cdb, limit, nil)
	if err := breach(in, err); err != nil {
		c.errorf("% X: %v", cdb, err)
	}
	return answer{in.Data, in.Total, err}
}

// fresh is run on a nexus of its own.
func (c *checker) fresh(lu scsi.LogicalUnit, cdb scsi.CDB, limit int64) answer {
	n := c.join(lu)
	defer c.leave(lu, n)
	return c.run(lu, n, cdb, limit)
}

// breach returns what is wrong with how a command used data-in and reported
// its status.
func breach(in *DataIn, err error) error {
	if in.Misuse != nil {
		return in.Misuse
	}
	if want := min(in.Total, in.Limit); err == nil && int64(len(in.Data)) != want {
		return fmt.Errorf("GOOD after %d of %d bytes that the host takes", len(in.Data), want)
	}
	if err != nil {
		_, sense := errors.AsType[scsi.Sense](err)
		_, status := errors.AsType[scsi.Status](err)
		if !sense && !status {
			return fmt.Errorf("error without sense or status: %w", err)
		}
	}
	return nil
}

// lengths are the interesting ones around an answer of n bytes.
func lengths(n int) []int {
	l := []int{0, 1, 2, 3, 4, 5, 7, 8, 9, n - 1, n, n + 1}
	l = slices.DeleteFunc(l, func(i int) bool { return i < 0 })
	slices.Sort(l)
	return slices.Compact(l)
}

// allocationLength checks that an allocation length cuts the answer and changes
// nothing else of it (SPC-4, 4.2.5.6).
func (c *checker) allocationLength(row dataIn) {
	lu := c.new()
	full := c.fresh(lu, row.cdb(row.max()), 1<<20)
	for _, n := range lengths(len(full.data)) {
		if n > row.max() {
			continue
		}
		got, want := c.fresh(lu, row.cdb(n), 1<<20), min(n, len(full.data))
		if !got.same(full) || got.total != int64(want) || !bytes.Equal(got.data, full.data[:want]) {
			c.errorf("%s with allocation length %d: %v, data % X; with %d: %v, data % X",
				row.name, n, got, got.data, row.max(), full, full.data)
		}
	}
}

// transferLength checks that a host which takes less gets the start of the
// answer, and hears of the whole length.
func (c *checker) transferLength(name string, cdb scsi.CDB) {
	lu := c.new()
	full := c.fresh(lu, cdb, 1<<20)
	for _, n := range lengths(len(full.data)) {
		got, want := c.fresh(lu, cdb, int64(n)), min(n, len(full.data))
		if !got.same(full) || got.total != full.total || !bytes.Equal(got.data, full.data[:want]) {
			c.errorf("%s to a host that takes %d bytes: %v; one that takes all: %v", name, n, got, full)
		}
	}
}

// reservedBytes checks that hosts may set what earlier standards gave a
// meaning: the LUN in byte 1 and the vendor's bits of the control byte.
func (c *checker) reservedBytes(row dataIn) {
	lu := c.new()
	plain, odd := row.cdb(row.max()), row.cdb(row.max())
	odd[1] |= 0xE0
	odd[row.last] |= 0xC0
	want, got := c.fresh(lu, plain, 1<<20), c.fresh(lu, odd, 1<<20)
	if !got.same(want) || !bytes.Equal(got.data, want.data) {
		c.errorf("%s with reserved bits set: %v, data % X; without: %v, data % X", row.name, got, got.data, want, want.data)
	}
}
