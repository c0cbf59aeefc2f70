package gotgt

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gostor/gotgt/pkg/api"
	uuid "github.com/satori/go.uuid"

	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/target"
)

func TestAnswer(t *testing.T) {
	eight := []byte("12345678")
	for _, tt := range []struct {
		name   string
		expect int
		data   []byte
		err    error
		want   api.SCSIDataBuffer
		write  bool
		status byte
	}{
		{"whole", 8, eight, nil, api.SCSIDataBuffer{Buffer: eight, Length: 8}, false, 0},
		{"short", 12, eight, nil, api.SCSIDataBuffer{Buffer: eight, Resid: 4}, false, 0},
		{"none", 12, nil, nil, api.SCSIDataBuffer{Resid: 12}, true, 0},
		{"nothing expected", 0, nil, nil, api.SCSIDataBuffer{}, true, 0},
		{"sense", 12, eight, scsi.ErrInvalidFieldInCDB, api.SCSIDataBuffer{Resid: 12}, true, 2},
		{"busy", 12, nil, scsi.Busy, api.SCSIDataBuffer{Resid: 12}, true, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := &api.SCSICommand{Direction: api.SCSIDataRead, InSDBBuffer: &api.SCSIDataBuffer{Buffer: make([]byte, tt.expect), Length: uint32(tt.expect)}}
			copy(cmd.InSDBBuffer.Buffer, tt.data)
			stat := answer(cmd, tt.data, tt.err)
			in := cmd.InSDBBuffer
			if !bytes.Equal(in.Buffer, tt.want.Buffer) || in.Length != tt.want.Length || in.Resid != tt.want.Resid {
				t.Errorf("data-in is %+v; want %+v", in, tt.want)
			}
			if (cmd.Direction == api.SCSIDataWrite) != tt.write || stat.Stat != tt.status || cmd.Result != tt.status || (cmd.SenseBuffer != nil) != (tt.status == 2) {
				t.Errorf("direction %d, status %02x, %02x, sense %v", cmd.Direction, stat.Stat, cmd.Result, cmd.SenseBuffer)
			}
		})
	}
}

func TestDataIn(t *testing.T) {
	d := &dataIn{mem: make([]byte, 5000)}
	if take, err := d.Begin(8192); take != 5000 || err != nil {
		t.Fatalf("Begin = %d, %v", take, err)
	}
	if _, err := d.Begin(1); err == nil {
		t.Error("a second Begin is allowed")
	}
	for _, want := range []int{4096, 2048} {
		p, err := d.Buffer()
		if err != nil || len(p) != want {
			t.Fatalf("Buffer of %d bytes, %v; want %d", len(p), err, want)
		}
		for i := range p {
			p[i] = 7
		}
		if err := d.Send(len(p)); err != nil {
			t.Fatal(err)
		}
	}
	if d.sent != 5000 || !bytes.Equal(d.mem, bytes.Repeat([]byte{7}, 5000)) {
		t.Errorf("%d bytes were sent of %d", d.sent, len(d.mem))
	}
	if _, err := d.Buffer(); err == nil {
		t.Error("Buffer lends past what Begin took")
	}
}

// A probe is a logical unit that tells when nexuses end.
type probe struct{ lost int }

func (p *probe) Execute(_ context.Context, cmd *scsi.Command) error {
	if ua, ok := cmd.Nexus.Take(); ok {
		return ua
	}
	if cmd.CDB[0] == 0xFF {
		panic("as asked")
	}
	return nil
}
func (p *probe) NexusJoined(*scsi.Nexus) {}
func (p *probe) NexusLost(*scsi.Nexus)   { p.lost++ }

// Sessions that are quiet end, and so do those of a target that goes.
func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{}
		tgt := target.New("iqn.a", map[uint16]*target.Unit{0: target.NewUnit("cd0", p, target.UnitOptions{})})
		u := newUnit(&Engine{log: slog.New(slog.DiscardHandler)}, tgt)
		run := func(n byte, op byte) byte {
			cmd := &api.SCSICommand{ITNexusID: uuid.UUID{n}, SCB: []byte{op, 0, 0, 0, 0, 0}}
			return u.perform(0, cmd).Stat
		}
		for n := range byte(maxSessions + 3) {
			run(n, 0)
			scsitest.Pause(t.Context(), time.Second)
		}
		if p.lost != 3 || len(u.sessions) != maxSessions {
			t.Errorf("%d sessions ended and %d are there; want 3 and %d", p.lost, len(u.sessions), maxSessions)
		}
		if run(200-1, 0) != 2 || run(200-1, 0) != 0 || run(200-1, 0xFF) != 2 {
			t.Error("a session does not begin with a unit attention, or a panic is no error")
		}
		scsitest.Pause(t.Context(), quiet)
		run(200, 0)
		if len(u.sessions) != 1 {
			t.Errorf("%d sessions after a while; want the new one", len(u.sessions))
		}
		u.set(nil)
		if run(200, 0) != 2 || len(u.sessions) != 0 {
			t.Error("a target that went still answers")
		}
	})
}
