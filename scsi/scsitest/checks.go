package scsitest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"spindle/scsi"
)

// inquiry checks the standard INQUIRY data that every host begins with.
func (c *checker) inquiry() {
	got := c.fresh(c.new(), scsi.CDB{0x12, 0, 0, 0, 0xFF}, 1<<20)
	d := got.data
	if got.err != nil || len(d) < 36 {
		c.errorf("INQUIRY: %v; want 36 bytes", got)
		return
	}
	if d[0] != 0x05 || d[1]&0x80 == 0 || d[3]&0xF != 2 || int(d[4])+5 != len(d) {
		c.errorf("INQUIRY begins % X; want 05 80 xx x2 %02X: an optical drive with a removable medium", d[:5], len(d)-5)
	}
	if bytes.IndexByte(d[8:36], 0) >= 0 {
		c.errorf("INQUIRY names hold NUL: %q", d[8:36])
	}
}

// reads checks READ(10) and READ(12) where there is a medium with user data.
func (c *checker) reads() {
	lu := c.new()
	capacity := c.fresh(lu, scsi.CDB{0x25}, 1<<20)
	if capacity.err != nil || len(capacity.data) != 8 {
		if capacity.err == nil {
			c.errorf("READ CAPACITY: %v; want 8 bytes", capacity)
		}
		return
	}
	last := binary.BigEndian.Uint32(capacity.data)
	blocks := min(uint64(last)+1, 3*ChunkSize/2048) // several chunks
	read := scsi.CDB{0x28, 8: byte(blocks)}
	if a := c.fresh(lu, read, 1<<20); errors.Is(a.err, scsi.ErrIllegalMode) {
		return // audio
	} else if a.err != nil || len(a.data) != int(blocks)*2048 {
		c.errorf("READ(10) of %d blocks at 0: %v", blocks, a)
		return
	}
	c.transferLength("READ(10)", read)
	c.transferLength("READ(12)", scsi.CDB{0xA8, 9: byte(blocks)})

	beyond := scsi.CDB{0x28, 8: 1}
	binary.BigEndian.PutUint32(beyond[2:], last+1)
	across := scsi.CDB{0x28, 8: 2}
	binary.BigEndian.PutUint32(across[2:], last)
	for _, cdb := range []scsi.CDB{beyond, across, {0xA8, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF}} {
		if a := c.fresh(lu, cdb, 1<<20); !errors.Is(a.err, scsi.ErrLBAOutOfRange) || len(a.data) != 0 {
			c.errorf("% X, beyond the end: %v; want no data, %v", cdb, a, scsi.ErrLBAOutOfRange)
		}
	}
	for _, cdb := range []scsi.CDB{{0x28}, {0xA8}} {
		if a := c.fresh(lu, cdb, 1<<20); a.err != nil || a.total != 0 {
			c.errorf("% X, of no block: %v; want GOOD", cdb, a)
		}
	}
}

// unknownOpcodes checks operation codes that no optical drive has.
func (c *checker) unknownOpcodes() {
	lu := c.new()
	for _, op := range []byte{0x02, 0x06, 0x0E, 0x14, 0x1F, 0x7E, 0x7F, 0x80, 0xC0, 0xEE, 0xFF} {
		if a := c.fresh(lu, scsi.CDB{op}, 1<<20); !errors.Is(a.err, scsi.ErrInvalidOpcode) || a.total != 0 {
			c.errorf("operation code %02X: %v; want %v", op, a, scsi.ErrInvalidOpcode)
		}
	}
}

// unitAttention checks who reports a unit attention and who leaves it (MMC-6,
// 4.1; SPC-4, 5.6).
func (c *checker) unitAttention() {
	for _, row := range []struct {
		name string
		cdb  scsi.CDB
	}{
		{"INQUIRY", scsi.CDB{0x12, 4: 0xFF}},
		{"GET CONFIGURATION", scsi.CDB{0x46, 7: 0xFF}},
		{"GET EVENT STATUS NOTIFICATION", scsi.CDB{0x4A, 1, 0, 0, 0x10, 7: 0xFF}},
	} {
		lu := c.new()
		n := c.join(lu)
		n.Raise(scsi.ErrPowerOn)
		got, want := c.run(lu, n, row.cdb, 1<<20), c.fresh(lu, row.cdb, 1<<20)
		if got.err != nil || !bytes.Equal(got.data, want.data) {
			c.errorf("%s with a unit attention pending: %v; without: %v", row.name, got, want)
		}
		if s, ok := n.Take(); !ok || !s.Is(scsi.ErrPowerOn) {
			c.errorf("%s took the unit attention away", row.name)
		}
	}
	c.requestSense()
	c.attentionOnce()
}

// requestSense checks that REQUEST SENSE gives a unit attention as data.
func (c *checker) requestSense() {
	lu := c.new()
	n := c.join(lu)
	n.Raise(scsi.ErrPowerOn)
	a := c.run(lu, n, scsi.CDB{0x03, 4: 0xFF}, 1<<20)
	want := scsi.ErrPowerOn.AppendFixed(nil)
	if a.err != nil || !bytes.Equal(a.data, want) || n.Pending() {
		c.errorf("REQUEST SENSE with 6/29/00 pending: %v, data % X, still pending %v; want % X", a, a.data, n.Pending(), want)
	}
}

// attentionOnce checks that TEST UNIT READY reports each unit attention once,
// the oldest first, and to its own nexus only.
func (c *checker) attentionOnce() {
	lu := c.new()
	n, other := c.join(lu), c.join(lu)
	raised := []scsi.Sense{scsi.ErrPowerOn, scsi.ErrReportedLUNsChanged, scsi.ErrModeParametersChanged}
	for _, s := range raised {
		n.Raise(s)
	}
	if a := c.run(lu, other, scsi.CDB{}, 0); scsi.SenseOf(a.err).Key == scsi.UnitAttention && a.err != nil {
		c.errorf("TEST UNIT READY by another nexus: %v", a)
	}
	for _, s := range raised {
		if a := c.run(lu, n, scsi.CDB{}, 0); !errors.Is(a.err, s) {
			c.errorf("TEST UNIT READY with %v pending: %v", s, a)
		}
	}
	if a := c.run(lu, n, scsi.CDB{}, 0); n.Pending() || a.err != nil && scsi.SenseOf(a.err).Key == scsi.UnitAttention {
		c.errorf("TEST UNIT READY after all unit attentions: %v", a)
	}
}

// filter checks that a filter hides no ability and changes no answer.
func (c *checker) filter(wrap Wrap) {
	bare, wrapped := c.new(), wrap(c.new())
	ability := func(name string, has, seen bool) {
		if has != seen {
			c.errorf("filter %T: As[%s] = %v; without the filter %v", wrapped, name, seen, has)
		}
	}
	b1, has := scsi.As[scsi.Concurrent](bare)
	w1, seen := scsi.As[scsi.Concurrent](wrapped)
	ability("Concurrent", has, seen)
	_, has = scsi.As[scsi.NexusWatcher](bare)
	_, seen = scsi.As[scsi.NexusWatcher](wrapped)
	ability("NexusWatcher", has, seen)
	_, has = scsi.As[scsi.Resetter](bare)
	_, seen = scsi.As[scsi.Resetter](wrapped)
	ability("Resetter", has, seen)
	for op := range 256 {
		cdb := scsi.CDB{byte(op)}
		if b1 != nil && w1 != nil && b1.Concurrent(cdb) != w1.Concurrent(cdb) {
			c.errorf("filter %T: Concurrent(%02X) differs", wrapped, op)
		}
	}
	cdbs := []scsi.CDB{{}, {0x25}, {0x28, 8: 20}, {0x28, 8: 20}, {0xEE}}
	for _, row := range dataInCommands {
		cdbs = append(cdbs, row.cdb(row.max()), row.cdb(5))
	}
	nb, nw := c.join(bare), c.join(wrapped)
	nw.Initiator = nb.Initiator
	for i, cdb := range cdbs {
		limit := []int64{1 << 20, 10}[i%2]
		want, got := c.run(bare, nb, cdb, limit), c.run(wrapped, nw, cdb, limit)
		if !got.same(want) || got.total != want.total || !bytes.Equal(got.data, want.data) {
			c.errorf("filter %T: % X: %v; without the filter %v", wrapped, cdb, got, want)
		}
	}
}

// FuzzExecute fuzzes sequences of CDBs, 16 bytes each, on one logical unit: no
// panic, no misuse of data-in, and no error that is the target's own fault. new
// is as for [TestLogicalUnit].
func FuzzExecute(f *testing.F, new func() scsi.LogicalUnit) {
	for _, row := range dataInCommands {
		cdb := row.cdb(row.max())
		f.Add(cdb[:], []byte(nil), uint16(0xFFFF))
	}
	var all []byte
	for op := range 256 {
		all = append(all, byte(op), 0, 0, 0, 0, 0, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0)
		if len(all) == maxFuzzed*16 {
			f.Add(all, []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 10, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0}, uint16(4096))
			all = nil
		}
	}
	f.Fuzz(func(t *testing.T, cdbs, out []byte, limit uint16) {
		c := &checker{ctx: t.Context(), new: new}
		lu := new()
		n := c.join(lu)
		for i := 0; i < maxFuzzed && len(cdbs) > 0; i++ {
			var cdb scsi.CDB
			cdbs = cdbs[copy(cdb[:], cdbs):]
			in, err := Execute(t.Context(), lu, n, cdb, int64(limit), out)
			if err := breach(in, err); err != nil {
				t.Errorf("command %d, % X: %v", i, cdb, err)
			}
			if errors.Is(err, scsi.ErrInternal) {
				t.Errorf("command %d, % X: %v", i, cdb, err)
			}
		}
		c.leave(lu, n)
	})
}

// maxFuzzed bounds the commands of one run of the fuzzer.
const maxFuzzed = 16
