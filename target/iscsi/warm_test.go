package iscsi_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// storage takes a time for each chunk and counts the chunks read at once.
type storage struct {
	takes     time.Duration
	now, most atomic.Int32
}

func (*storage) Concurrent(scsi.CDB) bool { return true }

func (s *storage) Execute(ctx context.Context, cmd *scsi.Command) error {
	if ua, ok := cmd.Nexus.Take(); ok {
		return ua
	}
	take, err := cmd.In.Begin(int64(cmd.CDB[8]) * 2048)
	if err != nil || take == 0 {
		return err
	}
	p, err := cmd.In.Buffer()
	if err != nil {
		return err
	}
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	if s.takes > 0 {
		scsitest.Pause(ctx, s.takes)
	}
	s.now.Add(-1)
	return cmd.In.Send(len(p))
}

// Commands that wait are run one after another by the reader when their data
// comes from memory, and all at once when storage takes its time, after two
// that showed it. In both ways each is answered with its data.
func TestWarmth(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		many  bool // commands at once
	}{
		{"page cache", 0, false},
		{"page cache, 10 us", 10 * time.Microsecond, false},
		{"flash", 100 * time.Microsecond, true},
		{"disk", 8 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := &storage{takes: tt.takes}
			inBubbleWith(t, disk, func(t *testing.T, c *initiator.Conn) {
				if _, err := c.Login(initiator.Options{Target: iqn}); err != nil {
					t.Fatal(err)
				}
				mustDo(t, c, cdb(opReady), 0, nil, 0)
				readAtOnce(t, c, 16)
			})
			if most := disk.most.Load(); (most > 4) != tt.many || !tt.many && most != 1 {
				t.Errorf("%d commands at once; want many: %v", most, tt.many)
			}
		})
	}
}

// readAtOnce sends so many reads in one write, and takes their answers.
func readAtOnce(t *testing.T, c *initiator.Conn, n int) {
	t.Helper()
	var batch []byte
	for range n {
		batch = append(batch, c.Marshal(c.NewCommand(read10(0, 1), 2048, 0))...)
		c.ITT++
		c.CmdSN++
	}
	if _, err := c.Write(batch); err != nil {
		t.Fatal(err)
	}
	answered := map[uint32]bool{}
	for range n {
		p := recv(t, c)
		if p.Op() != initiator.DataIn || p.Header[1] != 0x81 || len(p.Data) != 2048 || answered[p.U32(16)] {
			t.Fatalf("opcode %02x, flags %02x, task %d with %d bytes", p.Op(), p.Header[1], p.U32(16), len(p.Data))
		}
		answered[p.U32(16)] = true
	}
}
