//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"spindle/internal/initiator"
	"spindle/testdata/fixture"
)

// A reader is an initiator of our own that reads discs whole and compares them
// with what they were made of.
type reader struct {
	t testing.TB
	c *initiator.Conn
}

// newReader logs in to cd0 of a daemon.
func newReader(t testing.TB, d *daemon) *reader {
	t.Helper()
	c, err := initiator.Dial(d.portal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_, err = c.Login(initiator.Options{Target: d.cd0().Target, Keys: []string{"MaxRecvDataSegmentLength=262144"}})
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, c}
}

// cdb is a command of n bytes whose fields are set: pairs of offset and value,
// one of the types that encoding/binary has sizes of.
func cdb(op byte, n int, fields ...any) []byte {
	b := make([]byte, n)
	b[0] = op
	for i := 0; i < len(fields); i += 2 {
		if _, err := binary.Encode(b[fields[i].(int):], binary.BigEndian, fields[i+1]); err != nil {
			panic(err)
		}
	}
	return b
}

// do runs a command whatever its status, which expects up to n bytes.
func (r *reader) do(cdb []byte, n int) *initiator.Result {
	r.t.Helper()
	res, err := r.c.Do(cdb, n, nil, 0)
	if err != nil {
		r.t.Fatalf("%x: %v", cdb, err)
	}
	return res
}

// get runs a command that has to be GOOD and returns its data.
func (r *reader) get(cdb []byte, n int) []byte {
	r.t.Helper()
	res := r.do(cdb, n)
	if res.Status != 0 {
		r.t.Fatalf("%x: status %02x, sense %x", cdb, res.Status, res.Sense)
	}
	return res.Data
}

// ready takes what hosts are told of a swap, until the drive is ready.
func (r *reader) ready() {
	r.t.Helper()
	until(r.t, func() error {
		if res := r.do(cdb(0x00, 6), 0); res.Status != 0 {
			return fmt.Errorf("TEST UNIT READY: sense %x", res.Sense)
		}
		return nil
	})
}

// A content is what has to be on a disc: its layout, and its sectors unless a
// tool made them.
type content struct {
	*fixture.Source
	bin []byte // raw sectors from LBA 0 on, instead of the source's
}

func (c *content) raw(lba int) []byte {
	if at := lba * fixture.RawSize; c.bin != nil && lba >= 0 {
		return c.bin[at:][:fixture.RawSize]
	}
	return c.Raw(lba)
}

// block is the user data of a sector, nil where it has not 2048 bytes of it.
func (c *content) block(lba int) []byte {
	if c.Blocks > 0 {
		return c.User(lba)
	}
	const form2 = 0x20
	s := c.raw(lba)
	switch track := c.At(lba); {
	case !track.Data() || track.Kind == fixture.Mode2Formless:
		return nil
	case s[15] == 1:
		return s[16:][:fixture.UserSize]
	case s[18]&form2 == 0:
		return s[24:][:fixture.UserSize]
	}
	return nil
}

// whole reads the disc in the drive from end to end, by all ways that it has,
// and compares it.
func (r *reader) whole(c *content) {
	r.t.Helper()
	want := binary.BigEndian.AppendUint32(nil, uint32(c.LeadOut()-1))
	if got := r.get(cdb(0x25, 10), 8); !bytes.Equal(got, append(want, 0, 0, 8, 0)) {
		r.t.Fatalf("READ CAPACITY = %x; want %d blocks", got, c.LeadOut())
	}
	r.tables(c)
	if c.Blocks > 0 {
		r.blocks(c, 0, c.Blocks)
		return
	}
	for i := range c.Sessions {
		tracks := c.Sessions[i].Tracks
		r.noSector(c.Sessions[i].LeadOut)
		r.sectors(c, tracks[0].Pregap, c.Sessions[i].LeadOut)
		for _, t := range tracks {
			if !t.Data() {
				r.noBlock(t.Start)
				continue
			}
			end := t.Start
			for end < t.End && c.block(end) != nil {
				end++
			}
			r.blocks(c, t.Start, end)
			if end < t.End {
				r.noBlock(end)
			}
		}
	}
}

// blocks reads user data from first to before end, by READ(10) and READ(12) in
// turns.
func (r *reader) blocks(c *content, first, end int) {
	r.t.Helper()
	const most = 61
	for lba, turn := first, 0; lba < end; lba, turn = lba+most, turn+1 {
		n := min(most, end-lba)
		read := cdb(0x28, 10, 2, uint32(lba), 7, uint16(n))
		if turn%2 == 1 {
			read = cdb(0xA8, 12, 2, uint32(lba), 6, uint32(n))
		}
		r.compare("block", r.get(read, n*fixture.UserSize), lba, n, fixture.UserSize, c.block)
	}
}

// sectors reads all bytes of sectors from first to before end, audio and data
// in one command where they meet.
func (r *reader) sectors(c *content, first, end int) {
	r.t.Helper()
	const most, allFields = 27, 0xF8
	for lba := first; lba < end; lba += most {
		n := min(most, end-lba)
		read := cdb(0xBE, 12, 2, int32(lba), 7, uint16(n), 9, byte(allFields))
		r.compare("sector", r.get(read, n*fixture.RawSize), lba, n, fixture.RawSize, c.raw)
	}
}

func (r *reader) compare(what string, got []byte, lba, n, size int, want func(lba int) []byte) {
	r.t.Helper()
	if len(got) != n*size {
		r.t.Fatalf("%d bytes of %d %ss at %d; want %d", len(got), n, what, lba, n*size)
	}
	for i := range n {
		g, w := got[i*size:][:size], want(lba+i)
		if bytes.Equal(g, w) {
			continue
		}
		at := 0
		for g[at] == w[at] {
			at++
		}
		r.t.Fatalf("%s %d differs from byte %d on: %x; want %x", what, lba+i, at, g[at:min(size, at+16)], w[at:min(size, at+16)])
	}
}

// noSector reads behind a session, which is LBA OUT OF RANGE whether there is
// another session or not.
func (r *reader) noSector(lba int) {
	r.t.Helper()
	for _, read := range [][]byte{
		cdb(0x28, 10, 2, uint32(lba), 7, uint16(1)),
		cdb(0xBE, 12, 2, int32(lba), 7, uint16(1), 9, byte(0xF8)),
	} {
		res := r.do(read, fixture.RawSize)
		if key, code := senseOf(res); res.Status != checkCondition || key != 5 || code != 0x2100 || len(res.Data) > 0 {
			r.t.Errorf("%x: status %02x, sense %x and %d bytes; want 5/21/00 and none", read, res.Status, res.Sense, len(res.Data))
		}
	}
}

// noBlock reads a sector without user data, which is ILLEGAL MODE FOR THIS
// TRACK and never something else's bytes.
func (r *reader) noBlock(lba int) {
	r.t.Helper()
	res := r.do(cdb(0x28, 10, 2, uint32(lba), 7, uint16(1)), fixture.UserSize)
	if key, code := senseOf(res); res.Status != checkCondition || key != 5 || code != 0x6400 || len(res.Data) > 0 {
		r.t.Errorf("READ(10) of sector %d: status %02x, sense %x and %d bytes; want 5/64/00 and none", lba, res.Status, res.Sense, len(res.Data))
	}
}

const checkCondition = 2

// senseOf returns key and code of fixed-format sense, zeros without any.
func senseOf(res *initiator.Result) (key byte, code uint16) {
	if len(res.Sense) < 14 {
		return 0, 0
	}
	return res.Sense[2] & 0x0F, binary.BigEndian.Uint16(res.Sense[12:])
}

// tables reads the formats of READ TOC and compares them with the layout.
func (r *reader) tables(c *content) {
	r.t.Helper()
	sessions, tracks := max(1, len(c.Sessions)), []*fixture.Track{{Number: 1, Kind: fixture.Mode1, Control: 4, End: c.Blocks}}
	last := tracks[0]
	if c.Blocks == 0 {
		tracks = c.Tracks()
		last = &c.Sessions[sessions-1].Tracks[0]
	}
	first, end := byte(tracks[0].Number), tracks[len(tracks)-1]
	for _, inMSF := range []bool{false, true} {
		toc := []byte{0, 0, first, byte(end.Number)}
		for _, t := range tracks {
			toc = append(toc, tocTrack(t.Control, t.Number, t.Start, inMSF)...)
		}
		toc = append(toc, tocTrack(end.Control, 0xAA, c.LeadOut(), inMSF)...)
		r.table(0, inMSF, toc)
		r.table(1, inMSF, append([]byte{0, 0, 1, byte(sessions)}, tocTrack(last.Control, last.Number, last.Start, inMSF)...))
	}
	if c.Blocks > 0 {
		return
	}
	r.table(2, true, c.fullTOC())
}

// fullTOC is the answer of READ TOC format 2.
func (c *content) fullTOC() []byte {
	b := []byte{0, 0, 1, byte(len(c.Sessions))}
	for _, e := range c.TOC() {
		b = append(b, e.Session, e.ADR<<4|e.Control, 0, e.Point, e.Min, e.Sec, e.Frame, e.Zero, e.PMin, e.PSec, e.PFrame)
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

// tocTrack is a descriptor of READ TOC formats 0 and 1.
func tocTrack(control byte, number, lba int, inMSF bool) []byte {
	b := []byte{0, 0x10 | control, byte(number), 0}
	if !inMSF {
		return binary.BigEndian.AppendUint32(b, uint32(lba))
	}
	f := lba + 150
	return append(b, 0, byte(f/75/60), byte(f/75%60), byte(f%75))
}

// table reads one format and compares it. The length in front is checked too.
func (r *reader) table(format byte, inMSF bool, want []byte) {
	r.t.Helper()
	binary.BigEndian.PutUint16(want, uint16(len(want)-2))
	var flag byte
	if inMSF {
		flag = 2
	}
	got := r.get(cdb(0x43, 10, 1, flag, 2, format, 7, uint16(1024)), 1024)
	if !bytes.Equal(got, want) {
		r.t.Errorf("READ TOC, format %d, MSF %v:\n%s; want\n%s", format, inMSF, hex.EncodeToString(got), hex.EncodeToString(want))
	}
}
