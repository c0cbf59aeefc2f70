// Package filter holds logical units around a logical unit: cross-cutting
// things that neither a drive nor a front end should know of. A filter hides
// nothing: it has Unwrap, so that [scsi.As] finds the abilities of what it
// wraps, and it passes answers on byte for byte.
package filter

import (
	"context"
	"encoding/hex"
	"log/slog"
	"time"

	"spindle/scsi"
)

// A Namer is a logical unit that knows the names of its commands. Trace uses
// it when there is one.
type Namer interface {
	// CommandName returns the standard's name of the command, or "".
	CommandName(cdb scsi.CDB) string
}

// Trace returns lu with every command logged at debug level when it ends: who
// sent it, the CDB, the length that the host expects, the bytes that it got,
// the status or sense, and the time that it took. While the level is off a
// command costs one more call and nothing else.
func Trace(lu scsi.LogicalUnit, log *slog.Logger) scsi.LogicalUnit {
	t := &trace{lu: lu, log: log}
	t.namer, _ = scsi.As[Namer](lu)
	return t
}

type trace struct {
	lu    scsi.LogicalUnit
	log   *slog.Logger
	namer Namer // may be nil
}

// Unwrap lets scsi.As look inside.
func (t *trace) Unwrap() scsi.LogicalUnit { return t.lu }

// Execute implements scsi.LogicalUnit.
func (t *trace) Execute(ctx context.Context, cmd *scsi.Command) error {
	if !t.log.Enabled(ctx, slog.LevelDebug) {
		return t.lu.Execute(ctx, cmd)
	}
	cdb, in := cmd.CDB, counter{DataIn: cmd.In, left: cmd.Length}
	cmd.In = &in
	start := time.Now()
	err := t.lu.Execute(ctx, cmd)
	taken := time.Since(start)
	cmd.In = in.DataIn // the command is the front end's again
	t.log.LogAttrs(ctx, slog.LevelDebug, "command", t.attrs(cmd, cdb, &in, err, taken)...)
	return err
}

func (t *trace) attrs(cmd *scsi.Command, cdb scsi.CDB, in *counter, err error, taken time.Duration) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("nexus", cmd.Nexus.Key()),
		slog.String("cdb", hex.EncodeToString(cdb[:length(cdb[0])])),
		slog.Int64("length", cmd.Length),
		slog.Int64("in", in.sent),
		slog.Duration("took", taken),
	}
	if t.namer != nil {
		if name := t.namer.CommandName(cdb); name != "" {
			attrs = append(attrs, slog.String("op", name))
		}
	}
	status, sense := scsi.StatusOf(err)
	attrs = append(attrs, slog.String("status", status.Error()))
	if status == scsi.CheckCondition {
		attrs = append(attrs, slog.String("sense", sense.Error()))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error())) // with what the sense does not say
	}
	return attrs
}

// length is that of a CDB by its group code (SPC-4, 4.2.5.1), 16 bytes for the
// vendor's groups.
func length(op byte) int {
	switch op >> 5 {
	case 0:
		return 6
	case 1, 2:
		return 10
	case 5:
		return 12
	}
	return 16
}

// A counter counts the bytes that the host takes: left is how many it still
// does, from Begin's answer or else from the length that it expects.
type counter struct {
	scsi.DataIn
	left, sent int64
}

func (c *counter) Begin(n int64) (int64, error) {
	take, err := c.DataIn.Begin(n)
	c.left = take
	return take, err
}

func (c *counter) Send(n int) error {
	err := c.DataIn.Send(n)
	if err == nil {
		m := min(int64(n), c.left)
		c.sent, c.left = c.sent+m, c.left-m
	}
	return err
}

func (c *counter) Reply(p []byte) error {
	err := c.DataIn.Reply(p)
	if err == nil {
		c.sent += min(int64(len(p)), c.left)
	}
	return err
}
