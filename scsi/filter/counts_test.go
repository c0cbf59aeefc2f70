package filter

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/scsi/tally"
)

// TestCounts has a recorder count what it saw, by how long it took.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, lu := Record(script(func(cmd *scsi.Command) error {
			if err := scsitest.Pause(context.Background(), 3*time.Millisecond); err != nil {
				return err
			}
			if cmd.CDB[0] == 0x28 {
				return cmd.In.Reply(make([]byte, 2048))
			}
			return scsi.ErrInvalidOpcode
		}))
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for op, ctx := range map[byte]context.Context{0x28: t.Context(), 0xEE: t.Context(), 0x12: over} {
			cmd := &scsi.Command{Nexus: scsitest.NewNexus("a"), CDB: scsi.CDB{op}, In: &scsitest.DataIn{Limit: 2048}, Length: 2048}
			_ = lu.Execute(ctx, cmd)
		}
		want := tally.Snapshot{Commands: 3, Errors: 1, Aborted: 1, In: 2048, Reads: tally.Latency{12: 1}, Others: tally.Latency{12: 1}}
		if got := r.Counts(); got != want {
			t.Errorf("Counts = %+v\nwant %+v", got, want)
		}
	})
}
