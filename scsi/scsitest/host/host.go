// Package host holds models of the hosts that spindle's drives meet: small
// state machines that send what the real driver sends, in its order, and keep
// the rules by which the real one gives a drive up. A test that runs a model
// against a logical unit learns what that host would believe and where it would
// stop; a drive that is wrong in one point makes one model fail by one rule.
//
// A model is one host with one nexus. It is used by one goroutine at a time, as
// a driver's state is; several hosts on one drive are several models. It waits
// by timers, so that testing/synctest runs it in no time.
//
// What each host sends and when it gives up was found in public sources and
// documentation of the drivers; where those leave it open the model is lenient.
package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"spindle/scsi"
)

// A Host is a host that has, or looks for, an optical drive. Its methods return
// a *[GaveUp] when the drive broke a rule of the host's, [ErrNoMedium] when the
// host believes that there is none, and otherwise the sense that a program on
// the host would see as an error.
type Host interface {
	// Attach finds the drive and the medium in it. A drive without a medium is
	// no error, but for hosts that only boot from one.
	Attach(ctx context.Context) error

	// Poll is what the host does of itself each [Model.Interval]. A host that
	// polls nothing returns nil.
	Poll(ctx context.Context) error

	// Read reads n blocks from lba on for a program: of 2048 bytes, on an audio
	// CD of 2352.
	Read(ctx context.Context, lba uint32, n int) ([]byte, error)

	// Mount opens the medium as a file system does, Unmount lets it go.
	Mount(ctx context.Context) error
	Unmount(ctx context.Context) error

	// Hold says that a program keeps the medium, so that the host does not let
	// go when the drive asks for that. Hosts that never let go ignore it.
	Hold(keep bool)

	// Eject is the host's user who ejects the medium.
	Eject(ctx context.Context) error

	// Seen returns what the host believes.
	Seen() Seen

	// Detach ends the nexus. The host is of no use afterwards.
	Detach()
}

// A Kind is what a host takes a medium for.
type Kind string

// Kinds of media. A host that does not look leaves it empty.
const (
	CD    Kind = "CD"
	Audio Kind = "audio CD"
	DVD   Kind = "DVD"
	BD    Kind = "BD"
)

// Seen is what a host believes of the drive at one moment.
type Seen struct {
	Present bool    // there is a medium
	Kind    Kind    // of the medium
	Blocks  uint32  // its capacity in blocks of 2048 bytes
	Label   [8]byte // the first bytes of block 16, or of sector 0 of an audio CD
	Session uint32  // start of the last session's first track, where the host asks
	Changes int     // how often it noticed that a medium came, went or changed
	Locked  bool    // it prevents removal
	Broken  []Rule  // rules that the drive broke, so that the host gave something up
}

// A Rule is something that a host asks of a drive; the text says what.
type Rule string

// GaveUp is the verdict of a host whose rule a drive broke.
type GaveUp struct {
	Host string // name of the model
	Rule Rule
	Got  string // what the drive did
}

func (e *GaveUp) Error() string {
	return fmt.Sprintf("%s gives up: %s: %s", e.Host, e.Rule, e.Got)
}

// ErrNoMedium is what a host says that believes the drive empty.
var ErrNoMedium = errors.New("no medium")

// A Model is one kind of host on one kind of transport.
type Model struct {
	Name     string
	USB      bool          // the nexus is one of USB, else of iSCSI
	Interval time.Duration // between polls; 0 for a host that never polls
	Rules    []Rule        // by which it may give up

	host func(c *conn) Host
}

// All returns all models.
func All() []Model {
	return slices.Concat(linuxModels, windowsModels, macOSModels, edk2Models, bootModels, qemuModels, freeBSDModels)
}

// ByName returns the model of that name; it panics when there is none.
func ByName(name string) Model {
	all := All()
	i := slices.IndexFunc(all, func(m Model) bool { return m.Name == name })
	if i < 0 {
		panic("no host model " + name)
	}
	return all[i]
}

// Connect returns a host with a new nexus to lu, which begins as a front end
// lets it begin: announced, and with a power on to be told.
func (m Model) Connect(lu scsi.LogicalUnit, initiator string) Host {
	n := &scsi.Nexus{Initiator: initiator, Since: time.Now(), Port: scsi.Port{
		Protocol: scsi.ISCSI, Name: "iqn.2026-11.spindle:test,t,0x0001", RelativeID: 1, Group: 1,
	}}
	if m.USB {
		n.Port = scsi.Port{Protocol: scsi.USB}
	}
	if w, ok := scsi.As[scsi.NexusWatcher](lu); ok {
		w.NexusJoined(n)
	}
	n.Raise(scsi.ErrPowerOn)
	return m.host(&conn{model: m, lu: lu, nexus: n})
}
