// Package scsitest holds what tests of logical units share: one command run by
// hand, a contract that every logical unit keeps, and a data-in that checks
// how it is used.
package scsitest

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"spindle/scsi"
)

// ChunkSize is what [DataIn] lends at once, in bytes: small, so that tests
// meet answers of several chunks.
const ChunkSize = 8 * 2048

// NewNexus returns a nexus as an iSCSI front end makes it, with no unit
// attention pending.
func NewNexus(name string) *scsi.Nexus {
	return &scsi.Nexus{
		Initiator: name,
		Port:      scsi.Port{Protocol: scsi.ISCSI, Name: "iqn.2026-11.spindle:test,t,0x0001", RelativeID: 1, Group: 1},
	}
}

// Do runs the command of the hex text cdb, spaces allowed, on a fresh nexus
// and returns the data-in. The host takes 1 MiB and sends no data.
func Do(t testing.TB, lu scsi.LogicalUnit, cdb string) ([]byte, error) {
	t.Helper()
	return DoNexus(t, lu, NewNexus("iqn.2026-11.spindle:test"), cdb, nil)
}

// DoNexus is Do on nexus n, with out as the data-out.
func DoNexus(t testing.TB, lu scsi.LogicalUnit, n *scsi.Nexus, cdb string, out []byte) ([]byte, error) {
	t.Helper()
	in := &DataIn{Limit: 1 << 20}
	length := int64(1 << 20)
	if out != nil {
		in.Limit, length = 0, int64(len(out))
	}
	err := lu.Execute(t.Context(), &scsi.Command{
		Nexus: n, CDB: CDB(t, cdb), In: in, Out: bytes.NewReader(out), Length: length,
	})
	if in.Misuse != nil {
		t.Errorf("%s: %v", cdb, in.Misuse)
	}
	return in.Data, err
}

// Execute runs one command with data-in of at most limit bytes and returns
// what arrived, the whole length that was announced, and the error.
func Execute(ctx context.Context, lu scsi.LogicalUnit, n *scsi.Nexus, cdb scsi.CDB, limit int64, out []byte) (*DataIn, error) {
	in := &DataIn{Limit: limit}
	err := lu.Execute(ctx, &scsi.Command{Nexus: n, CDB: cdb, In: in, Out: bytes.NewReader(out), Length: max(limit, int64(len(out)))})
	return in, err
}

// CDB decodes hex text, spaces allowed, of at most 16 bytes.
func CDB(t testing.TB, text string) (c scsi.CDB) {
	t.Helper()
	copy(c[:], Hex(t, text))
	return c
}

// Hex decodes hex text; blanks and the bars that part groups are ignored.
func Hex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "", "\n", "", "\t", "").Replace(text))
	if err != nil {
		t.Fatalf("hex %q: %v", text, err)
	}
	return b
}

// A DataIn is a scsi.DataIn that keeps what it gets, takes no more than Limit
// bytes, and notes any breach of the order Begin, Buffer, Send.
type DataIn struct {
	Limit  int64  // bytes that the host takes
	Data   []byte // what was sent
	Total  int64  // what Begin announced
	Begun  bool
	Misuse error // the first breach of the contract

	lent  []byte
	chunk []byte // made when it is first lent
}

var _ scsi.DataIn = (*DataIn)(nil)

func (d *DataIn) misuse(format string, args ...any) error {
	err := fmt.Errorf("data-in misused: "+format, args...)
	if d.Misuse == nil {
		d.Misuse = err
	}
	return err
}

// Begin implements scsi.DataIn.
func (d *DataIn) Begin(n int64) (int64, error) {
	if d.Begun {
		return 0, d.misuse("Begin called twice")
	}
	if n < 0 {
		return 0, d.misuse("Begin(%d)", n)
	}
	d.Begun, d.Total = true, n
	return min(n, d.Limit), nil
}

// Buffer implements scsi.DataIn.
func (d *DataIn) Buffer() ([]byte, error) {
	left := min(d.Total, d.Limit) - int64(len(d.Data))
	if !d.Begun || left <= 0 || d.lent != nil {
		return nil, d.misuse("Buffer with %d bytes left, begun %v, lent %d", left, d.Begun, len(d.lent))
	}
	n := min((left+2047)/2048*2048, ChunkSize)
	if d.chunk == nil {
		d.chunk = make([]byte, ChunkSize)
	}
	d.lent = d.chunk[:n]
	copy(d.lent, unset)
	return d.lent, nil
}

// unset is what lent memory holds, so that an answer that leaves bytes out shows.
var unset = bytes.Repeat([]byte{0xEE}, ChunkSize)

// Send implements scsi.DataIn.
func (d *DataIn) Send(n int) error {
	if d.lent == nil || n < 0 || n > len(d.lent) {
		return d.misuse("Send(%d) of a chunk of %d", n, len(d.lent))
	}
	left := min(d.Total, d.Limit) - int64(len(d.Data))
	d.Data = append(d.Data, d.lent[:min(int64(n), left)]...)
	d.lent = nil
	return nil
}

// Reply implements scsi.DataIn.
func (d *DataIn) Reply(p []byte) error {
	take, err := d.Begin(int64(len(p)))
	if err == nil {
		d.Data = append(d.Data, p[:take]...)
	}
	return err
}

// NoData is a data-out with nothing in it.
var NoData io.Reader = bytes.NewReader(nil)
