package filter

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// unit answers INQUIRY shortly, READ(10) in chunks, and nothing else.
type unit struct{}

func (unit) Execute(_ context.Context, cmd *scsi.Command) error {
	switch cmd.CDB[0] {
	case 0x12:
		return cmd.In.Reply(make([]byte, 36))
	case 0x28:
		take, err := cmd.In.Begin(3 * scsitest.ChunkSize)
		for err == nil && take > 0 {
			var p []byte
			if p, err = cmd.In.Buffer(); err == nil {
				take -= int64(len(p))
				err = cmd.In.Send(len(p))
			}
		}
		return err
	case 0x00:
		return scsi.Busy
	}
	return fmt.Errorf("wrapped: %w", scsi.ErrInvalidOpcode)
}

func (unit) CommandName(cdb scsi.CDB) string {
	return map[byte]string{0x12: "INQUIRY"}[cdb[0]]
}

func TestTrace(t *testing.T) {
	tests := []struct{ name, cdb, want string }{
		{"name", "12 00 00 00 24 00", `cdb=120000002400 length=1048576 in=36 op=INQUIRY status=GOOD`},
		{"chunks", "28 00 00 00 00 10 00 00 01 00", `cdb=28000000001000000100 length=1048576 in=49152 status=GOOD`},
		{"status", "00", `in=0 status=BUSY error=BUSY`},
		{"sense", "EE 01", `cdb=ee010000000000000000000000000000 length=1048576 in=0 status="CHECK CONDITION" sense="5/20/00 INVALID COMMAND OPERATION CODE" error="wrapped: 5/20/00 INVALID COMMAND OPERATION CODE"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			handler := slog.NewTextHandler(&log, &slog.HandlerOptions{
				Level: slog.LevelDebug,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == "took" {
						return slog.Attr{}
					}
					return a
				},
			})
			scsitest.Do(t, Trace(unit{}, slog.New(handler)), tt.cdb)
			got := log.String()
			if !strings.Contains(got, tt.want) || !strings.Contains(got, "nexus=iqn.2026-11.spindle:test,i,0x000000000000") || strings.Count(got, "\n") != 1 {
				t.Errorf("log = %s; want %s", got, tt.want)
			}
		})
	}
}

// TestTraceGivesBack checks that the front end finds its own data-in again.
func TestTraceGivesBack(t *testing.T) {
	in := &scsitest.DataIn{Limit: 100}
	cmd := &scsi.Command{Nexus: scsitest.NewNexus("a"), CDB: scsi.CDB{0x12}, In: in, Out: scsitest.NoData}
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := Trace(unit{}, log).Execute(t.Context(), cmd); err != nil || cmd.In != in {
		t.Errorf("Execute = %v, data-in given back: %v", err, cmd.In == in)
	}
}

// TestTraceOff checks that a trace that is off costs no allocation.
func TestTraceOff(t *testing.T) {
	in := new(scsitest.DataIn)
	cmd := &scsi.Command{Nexus: scsitest.NewNexus("a"), In: in, Out: scsitest.NoData}
	lu := Trace(unit{}, slog.New(slog.DiscardHandler))
	if n := testing.AllocsPerRun(100, func() { lu.Execute(context.Background(), cmd) }); n != 0 {
		t.Errorf("a trace that is off allocates %v times", n)
	}
}
