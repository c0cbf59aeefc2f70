// Package scsi is the vocabulary that front ends and logical units share: the
// command, the data path, sense, status and the nexus. It knows no transport
// and no device, and imports nothing of this module.
//
// Terms and numbers are those of SAM-5 and SPC-4.
package scsi

import (
	"context"
	"io"
)

// A LogicalUnit executes SCSI commands.
//
// Execute runs one task: it answers through cmd.In, reads data-out from
// cmd.Out, and reports the status as its error: nil is GOOD, an error wrapping
// a [Sense] is CHECK CONDITION, one wrapping a [Status] is that status, and any
// other is HARDWARE ERROR, INTERNAL TARGET FAILURE. ctx is the task's: when it
// is done the task was aborted and nothing that Execute returns is sent.
//
// A front end calls Execute concurrently only for commands that the logical
// unit's [Concurrent] allows.
type LogicalUnit interface {
	Execute(ctx context.Context, cmd *Command) error
}

// A CDB is a command descriptor block, zero-padded by the front end to the 16
// bytes that iSCSI always carries and Bulk-Only Transport carries at most.
type CDB [16]byte

// A Command is one SCSI command as a front end received it. It belongs to the
// front end again when Execute returns.
type Command struct {
	Nexus  *Nexus    // I_T_L nexus that it came by; never nil
	CDB    CDB       // zero-padded by the front end
	In     DataIn    // data-in, in memory that the front end lends; never nil
	Out    io.Reader // data-out; io.EOF after the transfer length; never nil
	Length int64     // expected data transfer length in bytes, as the host claims it
}

// DataIn is where an answer goes. The memory is the front end's, so that data
// is not copied between the disc and the wire.
//
// An answer is Begin, then Buffer and Send in turn until what Begin took is
// sent; or one Reply. A logical unit may stop early and return an error: what
// it sent by then reaches the host before the status.
type DataIn interface {
	// Begin announces the whole length n in bytes, before the first byte, and
	// returns how much of it the host will take: the front end settles residual
	// overflow and underflow from the two. It is called once at most.
	Begin(n int64) (take int64, err error)

	// Buffer lends memory to fill: at least one block of 2048 bytes and a
	// multiple of it when that much is still to be taken, rounded up to a
	// block otherwise. It waits for memory; the wait ends with the task.
	Buffer() ([]byte, error)

	// Send gives the first n bytes of the chunk that Buffer lent to the wire
	// and ends the loan. Bytes past what Begin took are dropped.
	Send(n int) error

	// Reply is Begin, copy and Send at once, for short answers.
	Reply(p []byte) error
}

// A Concurrent logical unit says which commands may overlap others: those that
// change nothing a command beside them could see. All others run alone.
type Concurrent interface {
	Concurrent(cdb CDB) bool
}

// A NexusWatcher is told when an I_T_L nexus begins and ends. NexusLost comes
// after the last task of the nexus has returned; the logical unit forgets what
// it held for it, prevention of medium removal included.
type NexusWatcher interface {
	NexusJoined(n *Nexus)
	NexusLost(n *Nexus)
}

// A Resetter takes a logical unit reset (SAM-5, 6.3.3), after its tasks have
// ended. The unit attentions for it are the front end's to raise.
type Resetter interface {
	Reset()
}

// As returns the first of lu and the logical units that it wraps, outermost
// first, that has the ability T.
func As[T any](lu LogicalUnit) (T, bool) {
	for lu != nil {
		if t, ok := lu.(T); ok {
			return t, true
		}
		w, ok := lu.(interface{ Unwrap() LogicalUnit })
		if !ok {
			break
		}
		lu = w.Unwrap()
	}
	var none T
	return none, false
}
