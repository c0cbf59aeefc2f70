package filter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// script is a logical unit that does what its test says.
type script func(cmd *scsi.Command) error

func (f script) Execute(_ context.Context, cmd *scsi.Command) error { return f(cmd) }
func (script) NexusJoined(n *scsi.Nexus)                            { n.Raise(scsi.ErrMediumMayHaveChanged) }
func (script) NexusLost(*scsi.Nexus)                                {}
func (script) Reset()                                               {}

// entries returns what r holds, with times of zero.
func entries(t *testing.T, r *Recorder) (list []Entry) {
	t.Helper()
	err := r.Read(t.Context(), false, func(some []Entry) error {
		for _, e := range some {
			e.Time, e.Took = time.Time{}, 0
			list = append(list, e)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return list
}

// numbered is n bytes that differ.
func numbered(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

// TestRecord compares entries, field by field, with what happened.
func TestRecord(t *testing.T) {
	answer := numbered(5000)
	sum := func(p []byte) Hex { h := sha256.Sum256(p); return h[:] }
	tests := []struct {
		name   string
		length int64
		out    []byte
		run    script
		want   Entry
	}{
		{"reply", 100, nil, func(cmd *scsi.Command) error { return cmd.In.Reply(answer[:36]) }, Entry{
			Status: "GOOD", Total: 36, In: 36, Data: answer[:36], SHA256: sum(answer[:36]), Residual: 64,
		}},
		{"overflow", 10, nil, func(cmd *scsi.Command) error { return cmd.In.Reply(answer[:36]) }, Entry{
			Status: "GOOD", Total: 36, In: 10, Data: answer[:10], SHA256: sum(answer[:10]), Residual: -26,
		}},
		{"chunks", 6000, nil, func(cmd *scsi.Command) error {
			_, err := cmd.In.Begin(5000)
			for p := answer; err == nil && len(p) > 0; {
				var b []byte
				if b, err = cmd.In.Buffer(); err == nil {
					n := copy(b[:min(len(b), 1000)], p)
					p, err = p[n:], cmd.In.Send(n)
				}
			}
			return err
		}, Entry{Status: "GOOD", Total: 5000, In: 5000, Data: answer[:MaxData], SHA256: sum(answer), Residual: 1000}},
		{"chunks past what the host takes", 3000, nil, func(cmd *scsi.Command) error {
			_, err := cmd.In.Begin(4096)
			for at := 0; err == nil && at < 4096; at += 2048 {
				var b []byte
				if b, err = cmd.In.Buffer(); err == nil {
					copy(b[:2048], answer[at:])
					err = cmd.In.Send(2048)
				}
			}
			return err
		}, Entry{Status: "GOOD", Total: 4096, In: 3000, Data: answer[:MaxData], SHA256: sum(answer[:3000]), Residual: -1096}},
		{"sense after data", 4096, nil, func(cmd *scsi.Command) error {
			_, _ = cmd.In.Begin(4096)
			b, _ := cmd.In.Buffer()
			copy(b, answer[:2048])
			_ = cmd.In.Send(2048)
			return fmt.Errorf("disc: %w", scsi.ErrUnrecoveredRead.At(17))
		}, Entry{
			Status: "CHECK CONDITION", Total: 4096, In: 2048, Data: answer[:MaxData], SHA256: sum(answer[:2048]),
			Sense: scsi.ErrUnrecoveredRead.At(17).AppendFixed(nil), Error: "3/11/00 UNRECOVERED READ ERROR at block 17",
		}},
		{"status", 0, nil, func(*scsi.Command) error { return scsi.Busy }, Entry{Status: "BUSY", SHA256: nil}},
		{"no sense", 0, nil, func(*scsi.Command) error { return io.ErrUnexpectedEOF }, Entry{
			Status: "CHECK CONDITION", Sense: scsi.ErrInternal.AppendFixed(nil), Error: scsi.ErrInternal.Error(),
		}},
		{"data-out", 5000, answer, func(cmd *scsi.Command) error {
			_, err := io.ReadAll(cmd.Out)
			return err
		}, Entry{Status: "GOOD", Out: 5000, OutData: answer[:MaxOut]}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, lu := Record(tt.run)
			n := scsitest.NewNexus("a")
			n.Raise(scsi.ErrPowerOn)
			in := &scsitest.DataIn{Limit: tt.length}
			cmd := &scsi.Command{Nexus: n, CDB: scsi.CDB{0x12, 4: 36, 5: 1}, In: in, Out: bytes.NewReader(tt.out), Length: tt.length}
			_ = lu.Execute(t.Context(), cmd)
			want := tt.want
			want.N, want.Nexus, want.CDB, want.Length = 1, 1, Hex{0x12, 0, 0, 0, 36, 1}, tt.length
			want.Pending = []string{"6/29/00"}
			got := entries(t, r)
			if len(got) != 1 || line(t, got[0]) != line(t, want) {
				t.Errorf("entries = %s; want %s", line(t, got), line(t, want))
			}
			if cmd.In != in || in.Misuse != nil {
				t.Errorf("data-in given back: %v, misuse %v", cmd.In == in, in.Misuse)
			}
		})
	}
}

// TestRecordEvents checks the events of nexus, reset and tray, and their order.
func TestRecordEvents(t *testing.T) {
	r, lu := Record(script(func(*scsi.Command) error { return nil }))
	n := scsitest.NewNexus("a")
	n.Raise(scsi.ErrPowerOn)
	w, _ := scsi.As[scsi.NexusWatcher](lu)
	reset, _ := scsi.As[scsi.Resetter](lu)
	w.NexusJoined(n)
	held := errors.New("held by a")
	if err := r.Act(Entry{Event: EventInsert, Medium: &Medium{Name: "d", Kind: "CD"}}, func() error {
		r.Event(Entry{Event: "ready"})
		return held
	}); !errors.Is(err, held) {
		t.Errorf("Act = %v; want %v", err, held)
	}
	reset.Reset()
	w.NexusLost(n)
	want := []Entry{
		{N: 1, Event: EventJoined, Nexus: 1, Host: hostOf(n), Pending: []string{"6/29/00"}},
		{N: 3, Event: "ready"},
		{N: 2, Event: EventInsert, Medium: &Medium{Name: "d", Kind: "CD"}, Error: "held by a"},
		{N: 4, Event: EventReset},
		{N: 5, Event: EventLost, Nexus: 1},
	}
	if got := entries(t, r); line(t, got) != line(t, want) {
		t.Errorf("entries = %s\nwant %s", line(t, got), line(t, want))
	}
}

// TestRingBounds fills the ring by count and by bytes, and checks what is left,
// the sum of bytes, and the state in which it says that the rest begins.
func TestRingBounds(t *testing.T) {
	tests := []struct {
		name string
		out  int
		n    int
	}{
		{"count", 0, MaxEntries + 1000},
		{"bytes", MaxOut, 1500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, lu := Record(script(func(cmd *scsi.Command) error {
				_, err := io.Copy(io.Discard, cmd.Out)
				return err
			}))
			w, _ := scsi.As[scsi.NexusWatcher](lu)
			a, b := scsitest.NewNexus("a"), scsitest.NewNexus("b")
			w.NexusJoined(a)
			w.NexusJoined(b)
			r.Event(Entry{Event: EventInsert, Medium: &Medium{Name: "old"}})
			r.Event(Entry{Event: EventInsert, Medium: &Medium{Name: "new"}})
			r.Event(Entry{Event: EventHostOut})
			w.NexusLost(b)
			in, out := &scsitest.DataIn{}, make([]byte, tt.out)
			for i := range tt.n {
				cmd := &scsi.Command{Nexus: a, CDB: scsi.CDB{0x55, 8: byte(i)}, In: in, Out: bytes.NewReader(out)}
				_ = lu.Execute(t.Context(), cmd)
				sum := MaxEntries * slotSize
				for n := r.ring.tail; i%500 == 0 && n < r.ring.head; n++ {
					sum += len(r.ring.extra[n%MaxEntries])
				}
				if r.ring.bytes > MaxBytes || i%500 == 0 && sum != r.ring.bytes {
					t.Fatalf("after %d commands the ring counts %d bytes and has %d; %d is the most", i, r.ring.bytes, sum, MaxBytes)
				}
			}
			want := MaxEntries
			if tt.out > 0 {
				want = (MaxBytes - MaxEntries*slotSize) / tt.out
			}
			got := entries(t, r)
			head := []Entry{
				{Event: EventGap, Lost: uint64(6 + tt.n - want)},
				{N: 1, Event: EventJoined, Nexus: 1, Host: hostOf(a), Base: true},
				{N: 4, Event: EventInsert, Medium: &Medium{Name: "new"}, Base: true},
				{N: 5, Event: EventHostOut, Base: true},
			}
			if len(got) != want+len(head) || line(t, got[:len(head)]) != line(t, head) || got[len(got)-1].N != uint64(6+tt.n) {
				t.Errorf("%d entries, begin %s; want %d, begin %s", len(got), line(t, got[:len(head)]), want+len(head), line(t, head))
			}
		})
	}
}

// TestFollow checks that a follower gets everything, in order, or hears how
// many entries it missed.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := Record(unit{})
		r.Event(Entry{Event: "a"})
		ctx, cancel := context.WithCancel(t.Context())
		lines, stop := make(chan Entry), make(chan error)
		go func() {
			stop <- r.Read(ctx, true, func(some []Entry) error {
				for _, e := range some {
					lines <- e
				}
				return nil
			})
		}()
		synctest.Wait()
		for range MaxEntries + 100 { // the follower has taken "a" and waits for us
			r.Event(Entry{Event: "b"})
		}
		r.Event(Entry{Event: "c"})
		var seen, lost uint64
		for e := range lines {
			if seen++; e.Event == EventGap {
				seen, lost = seen-1, lost+e.Lost
			} else if e.N != seen+lost {
				t.Fatalf("entry %d came after %d seen and %d lost", e.N, seen, lost)
			}
			if e.Event == "c" {
				break
			}
		}
		if lost == 0 || seen < MaxEntries {
			t.Errorf("%d seen, %d lost", seen, lost)
		}
		r.Close()
		if err := r.Read(ctx, true, func([]Entry) error { return nil }); err != nil {
			t.Errorf("Read of a closed recorder = %v", err)
		}
		if err := <-stop; err != nil {
			t.Errorf("Read = %v when the recorder was closed", err)
		}
		r, _ = Record(unit{})
		go func() { stop <- r.Read(ctx, true, func([]Entry) error { return nil }) }()
		synctest.Wait()
		cancel()
		if err := <-stop; !errors.Is(err, context.Canceled) || len(r.ring.followers) != 0 {
			t.Errorf("Read = %v with %d followers left", err, len(r.ring.followers))
		}
	})
}

// TestRunning looks at a drive in which commands hang.
func TestRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, release := make(chan struct{}), make(chan struct{})
		r, lu := Record(script(func(cmd *scsi.Command) error {
			_, _ = cmd.In.Begin(2048)
			hang <- struct{}{}
			<-release
			return scsi.Busy
		}))
		n := scsitest.NewNexus("a")
		done := make(chan struct{})
		for i := range 3 {
			go func() {
				_ = lu.Execute(t.Context(), &scsi.Command{Nexus: n, CDB: scsi.CDB{0x00, byte(i)}, In: &scsitest.DataIn{}, Out: scsitest.NoData})
				done <- struct{}{}
			}()
			<-hang
		}
		r.Event(Entry{Event: "e"})
		want := []Entry{{N: 4, Event: "e"}}
		for i := range 3 {
			want = append(want, Entry{N: uint64(i) + 1, Nexus: 1, CDB: Hex{0, byte(i), 0, 0, 0, 0}, Running: true})
		}
		if got := entries(t, r); line(t, got) != line(t, want) {
			t.Errorf("entries = %s\nwant %s", line(t, got), line(t, want))
		}
		for range 3 { // in any order
			release <- struct{}{}
			<-done
		}
		if got := entries(t, r); len(got) != 4 || got[3].Running || r.ring.running != nil {
			t.Errorf("when all has ended: %s", line(t, got))
		}
	})
}

// TestRecordPanic has a command panic: it is in the trace as the host saw it,
// and runs no more.
func TestRecordPanic(t *testing.T) {
	r, lu := Record(script(func(*scsi.Command) error { panic("a bug") }))
	in := &scsitest.DataIn{}
	cmd := &scsi.Command{Nexus: scsitest.NewNexus("a"), CDB: scsi.CDB{0x00}, In: in, Out: scsitest.NoData}
	func() {
		defer func() {
			if p := recover(); p != "a bug" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = lu.Execute(t.Context(), cmd)
	}()
	want := []Entry{{
		N: 1, Nexus: 1, CDB: Hex{0, 0, 0, 0, 0, 0}, Status: "CHECK CONDITION",
		Sense: scsi.ErrInternal.AppendFixed(nil), Error: scsi.ErrInternal.Error(),
	}}
	if got := entries(t, r); line(t, got) != line(t, want) || r.ring.running != nil || cmd.In != in {
		t.Errorf("entries = %s; want %s; given back: %v", line(t, got), line(t, want), cmd.In == in)
	}
}

// TestHashAllowance reads much in no time, then waits, then follows.
func TestHashAllowance(t *testing.T) {
	const size = 1 << 20
	r := &ring{}
	r.init()
	now := int64(1e18)
	hashed := func(n int64) (count int) {
		for range 100 {
			if r.mayHash(n, now) {
				count++
			}
		}
		return count
	}
	if got := hashed(hashAlways); got != 100 {
		t.Errorf("%d of 100 short answers are hashed", got)
	}
	if got := hashed(size); got != hashSaved/size {
		t.Errorf("%d answers of 1 MiB are hashed; want %d", got, hashSaved/size)
	}
	now += int64(time.Second)
	if got := hashed(size); got != hashRate/size {
		t.Errorf("%d answers of 1 MiB are hashed a second later; want %d", got, hashRate/size)
	}
	now += int64(time.Hour)
	if got := hashed(size); got != hashSaved/size {
		t.Errorf("%d answers of 1 MiB are hashed an hour later; want %d", got, hashSaved/size)
	}
	r.followers[&follower{}] = struct{}{}
	if got := hashed(size); got != 100 {
		t.Errorf("%d of 100 answers are hashed for a follower", got)
	}
}
