package mmcemu

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// An act is one thing that somebody does: what, and who or how.
type act struct{ what, arg int }

// What acts do. A host is arg modulo 2.
const (
	actTUR = iota
	actEvent
	actRead
	actSense
	actStart
	actPrevent // arg/2 is byte 4
	actHostEject
	actHostLoad
	actInsert // by force when arg is 0 modulo 4
	actEject
	actAwait
	actWithdraw
	actLeave // or come back
	actReset
	actWait
	actCount
)

var acts = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) act {
	return act{rapid.IntRange(0, actCount-1).Draw(t, "what"), rapid.IntRange(0, 7).Draw(t, "arg")}
}), 300, 600)

// A testedDrive is what the check needs of a drive.
type testedDrive interface {
	scsi.LogicalUnit
	scsi.NexusWatcher
	scsi.Resetter
	Insert(ctx context.Context, in Medium, force bool) error
	Eject(ctx context.Context, force bool) error
	AwaitEject()
	WithdrawEject()
	Status() Status
	Close() error
}

// A check runs acts against a drive and the model, and compares all answers.
type check struct {
	drive testedDrive
	m     *model
	hosts [2]*scsi.Nexus // nil while it is away
	discs []*fakeDisc
}

var begun = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// run does acts, and returns the first difference between drive and model. It
// runs in a synctest bubble.
func (c *check) run(list []act) error {
	defer c.drive.Close()
	for i := range c.hosts {
		c.comeOrGo(i)
	}
	for i, a := range list {
		err := c.do(a)
		synctest.Wait()
		if err == nil {
			err = c.compare()
		}
		if err != nil {
			return fmt.Errorf("act %d, %+v: %w", i, a, err)
		}
	}
	_ = c.drive.Close()
	for i, d := range c.discs {
		synctest.Wait()
		if d.closed.Load() != 1 {
			return fmt.Errorf("disc %d was closed %d times", i, d.closed.Load())
		}
	}
	return nil
}

func (c *check) do(a act) error {
	host := a.arg % len(c.hosts)
	switch a.what {
	case actInsert:
		return c.insert(a.arg%4 == 0)
	case actEject:
		return refusal("eject", c.drive.Eject(begun, a.arg%4 == 0), c.m.eject(a.arg%4 == 0))
	case actAwait:
		c.drive.AwaitEject()
		c.m.awaited = true
	case actWithdraw:
		c.drive.WithdrawEject()
		c.m.withdraw()
	case actLeave:
		c.comeOrGo(host)
	case actReset:
		c.reset(host)
	case actWait:
		// None is a sum of the times in the drive: nothing is due just then.
		d := []time.Duration{97, 291, 970, 2910, 97, 291, 970, 400 * 970}[a.arg] * time.Millisecond
		wait(d)
		c.m.pass(d)
	default:
		if c.hosts[host] != nil {
			return c.command(a, c.hosts[host], c.m.hosts[c.hosts[host].Initiator])
		}
	}
	return nil
}

// refusal compares how an operator's act ended.
func refusal(what string, err error, refused bool) error {
	_, held := errors.AsType[*HeldError](err)
	if held != refused || err != nil && !held && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: error %v; want held %v", what, err, refused)
	}
	return nil
}

func (c *check) insert(force bool) error {
	d := newDisc(uint32(len(c.discs)+1), 1000)
	id := fmt.Sprint("disc ", d.seed)
	err := c.drive.Insert(begun, Medium{Disc: d, Name: id, ID: id}, force)
	if _, held := errors.AsType[*HeldError](err); !held {
		c.discs = append(c.discs, d)
	}
	return refusal("insert", err, c.m.insert(id, force))
}

// comeOrGo has a host leave, or come back. A target tells a new one of a power on.
func (c *check) comeOrGo(i int) {
	name := string(rune('a' + i))
	if n := c.hosts[i]; n != nil {
		c.drive.NexusLost(n)
		c.m.leave(name)
		c.hosts[i] = nil
		return
	}
	n := scsitest.NewNexus(name)
	c.m.join(name)
	if c.m.hosts[name].reset {
		n.Raise(scsi.ErrPowerOn)
	}
	c.drive.NexusJoined(n)
	c.hosts[i] = n
}

// reset is the task management function LOGICAL UNIT RESET by a host.
func (c *check) reset(by int) {
	if c.hosts[by] == nil {
		return
	}
	c.drive.Reset()
	for i, n := range c.hosts {
		if n != nil && i != by {
			n.Raise(scsi.ErrPowerOn)
		}
	}
	c.m.logicalUnitReset(c.hosts[by].Initiator)
}

// commands are the CDBs of acts.
var commands = map[int]string{
	actTUR: tur, actEvent: gesn, actRead: readFirst, actSense: "03 00 00 00 12", actStart: "1b 00 00 00 01",
	actHostEject: hostEject, actHostLoad: hostLoad,
}

// command compares the answer of a command.
func (c *check) command(a act, n *scsi.Nexus, h *modelHost) error {
	text := commands[a.what]
	if a.what == actPrevent {
		text = fmt.Sprintf("1e 00 00 00 %02x", a.arg/2)
	}
	var cdb scsi.CDB
	for i, b := range strings.Fields(text) {
		_, _ = fmt.Sscanf(b, "%02x", &cdb[i])
	}
	in, err := scsitest.Execute(context.Background(), c.drive, n, cdb, 1<<20, nil)
	data, want := c.expect(a, n, h)
	if want == nil != (err == nil) || want != nil && !errors.Is(err, want) {
		return fmt.Errorf("%s of host %s: %v; want %v", text, n.Initiator, err, want)
	}
	if err == nil && string(in.Data) != string(data) {
		return fmt.Errorf("%s of host %s: % x; want % x", text, n.Initiator, in.Data[:min(len(in.Data), 18)], data[:min(len(data), 18)])
	}
	return nil
}

// expect is the model's answer.
func (c *check) expect(a act, n *scsi.Nexus, h *modelHost) (data []byte, err error) {
	switch a.what {
	case actEvent:
		event, status := c.m.event(h)
		return []byte{0, 6, 4, 16, event, status, 0, 0}, nil
	case actSense:
		s, _ := errors.AsType[scsi.Sense](c.m.attention(h))
		if s.Key == 0 && c.m.loading {
			done := c.m.now - (c.m.readyAt - c.m.load)
			s = scsi.ErrBecomingReady.Progress(int64(done), int64(c.m.load))
		}
		return s.AppendFixed(nil), nil
	}
	if err := c.m.attention(h); err != nil {
		return nil, err
	}
	switch a.what {
	case actTUR:
		return nil, c.m.testUnitReady(h)
	case actRead:
		if err := c.m.access(h); err != nil {
			return nil, err
		}
		var seed uint32
		_, _ = fmt.Sscanf(c.m.disc, "disc %d", &seed)
		return blocksOf(seed, 0, 1), nil
	case actStart:
		return nil, c.m.access(h)
	case actHostEject:
		return nil, c.m.hostEject(n.Initiator)
	case actHostLoad:
		c.m.hostLoad(n.Initiator)
	case actPrevent:
		if on := a.arg/2&1 != 0; a.arg/2&2 != 0 {
			h.persistent = on
		} else {
			h.prevent = on
		}
	}
	return nil, nil
}

// compare looks at what status shows.
func (c *check) compare() error {
	s := c.drive.Status()
	holders := 0
	for _, h := range c.m.hosts {
		if h.prevent || h.persistent {
			holders++
		}
	}
	got := fmt.Sprintf("%s, disc %q, next %q, %d holders of %d hosts", s.State, s.Medium, s.Next, len(s.Holders), len(s.Nexuses))
	next := c.m.coming
	if c.m.loading && s.Next == c.m.disc {
		next = c.m.disc // inserted and loading; loaded by a host, there is none
	}
	want := fmt.Sprintf("%s, disc %q, next %q, %d holders of %d hosts", c.m.state(), c.m.disc, next, holders, len(c.m.hosts))
	if got != want {
		return fmt.Errorf("status is %s; want %s", got, want)
	}
	return nil
}

// modelOptions are the drives that the model is run against, by a number.
func modelOptions(i int) Options {
	o := testOptions
	o.Host = Hosts()[i%len(Hosts())]
	if i/5%3 == 0 {
		o.SwapHold = -1
	}
	if i/15%3 == 2 {
		o.LoadTime = time.Second
	}
	o.RemoveOnEject = i/45%4 == 3
	return o
}

// TestModel compares a drive with the model over tens of thousands of acts of
// two hosts and an operator.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := modelOptions(rapid.IntRange(0, 179).Draw(rt, "options"))
		list := acts.Draw(rt, "acts")
		if err := inBubble(t, func() error { return (&check{drive: New(o), m: newModel(&o)}).run(list) }); err != nil {
			rt.Fatal(err)
		}
	})
}

// inBubble runs f in a synctest bubble. (One inside rapid has no deadline.)
func inBubble(t *testing.T, f func() error) (err error) {
	synctest.Test(t, func(*testing.T) { err = f() })
	return err
}
