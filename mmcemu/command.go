package mmcemu

import (
	"context"
	"sync"

	"spindle/scsi"
)

// A command is one row of the command table: what every command shares is done
// from it by the dispatcher, so that a handler holds only its own meaning.
type command struct {
	op    byte
	name  string
	flags flags
	alloc alloc                     // where the allocation length stands; none for a transfer length
	check func(cdb *scsi.CDB) error // of the CDB's fields, before the medium's state; nil for none
	run   handler
}

// A handler answers one command. m is the medium's snapshot, taken when the
// command entered; nil only in commands that need none.
type handler func(d *Drive, ctx context.Context, cmd *scsi.Command, m *medium) error

// flags say how the dispatcher treats a command.
type flags uint8

const (
	needsMedium flags = 1 << iota // 2/3A or 2/04 without a medium that is ready
	skipsUA                       // runs with a unit attention pending and leaves it pending
	concurrent                    // may overlap other such commands of the task set
	stopsPlay                     // needs the head: ends audio play, when it gets past all checks
)

// An alloc names the field of a CDB that holds the allocation length.
type alloc struct{ at, size byte }

func alloc8(at byte) alloc  { return alloc{at, 1} }
func alloc16(at byte) alloc { return alloc{at, 2} }
func alloc32(at byte) alloc { return alloc{at, 4} }

func (a alloc) of(cdb *scsi.CDB) (n int64) {
	for _, b := range cdb[a.at : a.at+a.size] {
		n = n<<8 | int64(b)
	}
	return n
}

// commandTable is the rows by operation code.
type commandTable [256]*command

// families are all commands of the drive: the one list that joins the rows
// which stand beside their handlers.
func families() [][]command {
	return [][]command{
		statusCommands, inquiryCommands, modeCommands, modeSelectCommands,
		configurationCommands, eventCommands, trayCommands, capacityCommands,
		readCommands, readCDCommands, verifyCommands, tocCommands,
		informationCommands, subChannelCommands, structureCommands, keyCommands, speedCommands,
		bufferCommands, audioCommands, changerCommands,
	}
}

func newCommandTable() *commandTable {
	t := new(commandTable)
	for _, family := range families() {
		for i := range family {
			t[family[i].op] = &family[i]
		}
	}
	return t
}

// Execute implements scsi.LogicalUnit. The checks that commands share come in
// the order of SAM-5 and MMC-6: unit attention, operation code, fields of the
// CDB, state of the medium.
func (d *Drive) Execute(ctx context.Context, cmd *scsi.Command) error {
	c := d.commands[cmd.CDB[0]]
	m, err := d.enter(cmd.Nexus, c != nil && c.flags&skipsUA != 0)
	if m != nil {
		defer m.release()
	}
	if err != nil {
		return err
	}
	if c == nil {
		return scsi.ErrInvalidOpcode
	}
	if c.check != nil {
		if err := c.check(&cmd.CDB); err != nil {
			return err
		}
	}
	if m == nil && c.flags&needsMedium != 0 {
		return d.notReady(cmd.Nexus)
	}
	if c.flags&stopsPlay != 0 && d.player.busy.Load() {
		d.stopPlay()
	}
	if c.alloc.size == 0 {
		return c.run(d, ctx, cmd, m)
	}
	return d.executeLimited(ctx, c, cmd, m)
}

// enter returns the medium that is ready, with a reference, or the unit attention
// that n is to be told first. It looks for the medium before the unit attention,
// see publish, and again after it: a medium that went in between took with it
// what would have told of it, see withdraw.
func (d *Drive) enter(n *scsi.Nexus, skipsUA bool) (*medium, error) {
	for {
		m := d.acquire()
		if n.Pending() && !skipsUA {
			if s, ok := d.takeUnitAttention(n); ok {
				return m, s
			}
		}
		if m == d.cur.Load() {
			return m, nil
		}
		if m != nil {
			m.release()
		}
	}
}

// executeLimited runs a command that has an allocation length.
func (d *Drive) executeLimited(ctx context.Context, c *command, cmd *scsi.Command, m *medium) error {
	l := limiters.Get().(*limiter)
	l.DataIn, l.limit = cmd.In, c.alloc.of(&cmd.CDB)
	cmd.In = l
	defer func() {
		cmd.In, l.DataIn = l.DataIn, nil
		limiters.Put(l)
	}()
	return c.run(d, ctx, cmd, m)
}

// Concurrent implements scsi.Concurrent.
func (d *Drive) Concurrent(cdb scsi.CDB) bool {
	c := d.commands[cdb[0]]
	return c != nil && c.flags&concurrent != 0
}

var limiters = sync.Pool{New: func() any { return new(limiter) }}

// A limiter is a data-in that ends at the allocation length: a longer answer
// is truncated, its length fields are not, and that is no error (SPC-4, 4.2.5.6).
type limiter struct {
	scsi.DataIn
	limit int64
}

func (l *limiter) Begin(n int64) (int64, error) { return l.DataIn.Begin(min(n, l.limit)) }

func (l *limiter) Reply(p []byte) error {
	return l.DataIn.Reply(p[:min(int64(len(p)), l.limit)])
}
