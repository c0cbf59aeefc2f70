package iscsi_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/mmcemu"
	"spindle/target/iscsi"
)

// greedy readers have depth commands of 1 MiB each under way, reader i from
// block i*share on; the small one reads behind them all.
const (
	greedy = 31
	depth  = 32
	share  = depth * 512
	small  = greedy * share
)

// A countingDisc has every read of it wait for the test.
type countingDisc struct {
	disc.Disc
	reads chan read
	open  chan struct{} // closed to let all reads pass
}

// A read is one chunk on its way. It goes on when let is closed.
type read struct {
	lba disc.LBA
	let chan struct{}
}

func (d *countingDisc) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	r := read{lba, make(chan struct{})}
	select {
	case d.reads <- r:
		select {
		case <-r.let:
		case <-d.open:
		}
	case <-d.open:
	}
	return d.Disc.ReadBlocks(p, lba)
}

// A contest is a fleet of one drive with a countingDisc, all greedy readers and
// the small one logged in.
type contest struct {
	*fleet
	disc    *countingDisc
	readers [greedy]*initiator.Conn
	small   *initiator.Conn
}

func newContest(t *testing.T, l iscsi.Limits) *contest {
	t.Helper()
	d := &countingDisc{disctest.Synthetic(disctest.DataDisc(small + 16)), make(chan read), make(chan struct{})}
	c := &contest{fleet: newFleet(t, l, 1), disc: d}
	if err := c.drives[0].Insert(context.Background(), mmcemu.Medium{Disc: d, Name: "counted"}, true); err != nil {
		t.Fatal(err)
	}
	c.listen(t)
	t.Cleanup(func() { close(d.open) })
	for n := range c.readers {
		c.readers[n] = c.login(t, n)
	}
	c.small = c.login(t, greedy)
	c.small.SetDeadline(time.Now().Add(limit))
	return c
}

// login returns a connection to drive 0 whose unit attentions are taken.
func (f *fleet) login(t *testing.T, port int) *initiator.Conn {
	t.Helper()
	c, err := initiator.Dial(f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	o := initiator.Port(port)
	o.Target = f.targets[0].Name
	if _, err := c.Login(o); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		mustDo(t, c, cdb(0), 0, nil, 0)
	}
	return c
}

// ask queues the reads of the greedy readers from one on and before another,
// and takes what comes.
func (c *contest) ask(t *testing.T, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		r := c.readers[n]
		for i := range depth {
			if err := r.SendCommand(r.NewCommand(read10(n*share+i*512, 512), 512*2048, 0)); err != nil {
				t.Fatal(err)
			}
		}
		go io.Copy(io.Discard, r)
	}
}

// settleQueue waits until so many answers wait for the memory of all.
func settleQueue(t *testing.T, s *iscsi.Server, n int) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.WaitForMemory() < n {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d answers wait for memory, want %d", s.WaitForMemory(), n)
		}
	}
}

// With memory for two chunks in all, a read of 2 KiB beside 31 readers of 1 MiB
// at depth 32 has its turn after at most two chunks of each, whenever it comes.
// What is counted is what the disc reads for whom, one chunk after another, so
// that no clock has a say.
//
// Seen to fail at the third chunk of a reader when who waits is served last come
// first served, and when connections have no quota of their own.
func TestSmallReaderGetsItsTurn(t *testing.T) {
	for _, before := range []int{1, greedy / 2, greedy} {
		t.Run(fmt.Sprintf("behind %d readers", before), func(t *testing.T) {
			c := newContest(t, iscsi.Limits{Memory: 1})
			c.ask(t, 0, before)
			settleQueue(t, c.srv, before*chunks-chunks) // two are out
			if err := c.small.SendCommand(c.small.NewCommand(read10(small, 1), 2048, 0)); err != nil {
				t.Fatal(err)
			}
			settleQueue(t, c.srv, before*chunks-chunks+1)
			c.ask(t, before, greedy)
			settleQueue(t, c.srv, greedy*chunks-chunks+1)
			c.playFair(t)
			if r, err := c.small.Wait(c.small.ITT-1, nil); err != nil || len(r.Data) != 2048 || r.Status != 0 {
				t.Errorf("the small read: %+v, %v", r, err)
			}
		})
	}
}

// chunks are those that a reader may get before the small one has its turn, and
// those that the memory holds.
const chunks = 2

// playFair lets one chunk after another go on until it is the small reader's
// turn.
func (c *contest) playFair(t *testing.T) {
	t.Helper()
	var served [greedy]int
	var out []read
	for r := range c.disc.reads {
		if r.lba >= small {
			close(r.let)
			break
		}
		n := r.lba / share
		if served[n]++; served[n] > chunks {
			t.Fatalf("reader %d got %d chunks before the small one's turn; all: %v", n, served[n], served)
		}
		if out = append(out, r); len(out) == chunks {
			close(out[0].let)
			out = out[1:]
		}
	}
	t.Logf("chunks of each before it: %v", served)
}

// With the memory that a server has by default, a small read waits for nobody:
// it is served while not one chunk of the others goes on.
func TestSmallReaderWaitsForNobody(t *testing.T) {
	c := newContest(t, iscsi.Limits{})
	c.ask(t, 0, greedy)
	for range greedy * chunks {
		<-c.disc.reads
	}
	go func() {
		for {
			select {
			case r := <-c.disc.reads:
				if r.lba >= small {
					close(r.let)
				}
			case <-c.disc.open:
				return
			}
		}
	}()
	for i := range 100 {
		mustDo(t, c.small, read10(small+i%16, 1), 2048, nil, 0)
	}
}
