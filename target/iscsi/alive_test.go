package iscsi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/target/iscsi"
)

func pinged(s iscsi.Settings, p iscsi.Ping) iscsi.Settings {
	s.Ping = p
	return s
}

// An initiator that goes silent is dropped a time-out after its first ping,
// whatever the interval, also when the settings change under its session.
func TestPingSettings(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ping  iscsi.Ping
		pings []time.Duration // since the last thing that the initiator said
		drop  time.Duration   // likewise; 0: it is not dropped
	}{
		{"several pings", iscsi.Ping{Interval: 2 * time.Second, Timeout: 5 * time.Second}, []time.Duration{2e9, 4e9, 6e9}, 7 * time.Second},
		{"a short time-out", iscsi.Ping{Interval: 20 * time.Second, Timeout: time.Second}, []time.Duration{20e9}, 21 * time.Second},
		{"off", iscsi.Ping{Interval: -1, Timeout: time.Second}, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			open := exported(oneUnit(iqn, &disk{}))
			underGlass(t, pinged(open, iscsi.Ping{Interval: time.Second}), func(t *testing.T, b *glass) {
				c := b.login(t, initiator.Options{Target: iqn})
				b.srv.Set(pinged(open, tt.ping)) // from the next ping on, which comes in a second
				scsitest.Pause(t.Context(), 900*time.Millisecond)
				mustDo(t, c, cdb(opReady), 0, nil, 0)
				if tt.drop == 0 {
					scsitest.Pause(t.Context(), time.Hour)
					mustDo(t, c, cdb(opReady), 0, nil, 0)
					return
				}
				scsitest.Pause(t.Context(), 100*time.Millisecond)
				start := time.Now()
				for i, want := range tt.pings {
					if p := recv(t, c); p.Op() != initiator.NopIn || time.Since(start) != want {
						t.Errorf("ping %d: opcode %02x after %v, want %v", i, p.Op(), time.Since(start), want)
					}
				}
				closedAfter(t, c)
				if d := time.Since(start); d != tt.drop {
					t.Errorf("dropped after %v, want %v", d, tt.drop)
				}
			})
		})
	}
}

// told is a log that tells when words are in it.
type told struct {
	words string
	heard chan struct{}
}

func (w told) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.words)) {
		w.heard <- struct{}{}
	}
	return len(p), nil
}

// The kernel keeps nothing for an initiator that is gone: its connection is
// reset.
func TestGoneInitiatorIsReset(t *testing.T) {
	log := told{"connection dropped", make(chan struct{}, 1)}
	b := serve(t, iscsi.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	// Nobody is asked: only who takes nothing is gone.
	b.srv.Set(pinged(exported(oneUnit(iqn, &disk{})), iscsi.Ping{Interval: -1, Timeout: 100 * time.Millisecond}))
	c := b.login(t)
	var all []byte
	for range 16 { // more than the kernel takes
		all = append(all, c.Marshal(c.NewCommand(read10(0, 2048), 2048*2048, 0))...)
		c.ITT++
		c.CmdSN++
	}
	if _, err := c.Write(all); err != nil { // at once: it may be gone after the first
		t.Fatal(err)
	}
	<-log.heard
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}

// A busyDisk counts the commands that it executes.
type busyDisk struct {
	disk
	running atomic.Int32
	began   chan struct{}
}

func (d *busyDisk) Execute(ctx context.Context, cmd *scsi.Command) error {
	d.running.Add(1)
	defer d.running.Add(-1)
	if cmd.CDB[0] != opReady {
		d.began <- struct{}{}
	}
	return d.disk.Execute(ctx, cmd)
}

// A host that comes back while its session is full of commands, from another
// address and with the same ISID, finds them ended when its login is answered,
// and is told nothing by the drive.
func TestReinstatementUnderLoad(t *testing.T) {
	b := serve(t, iscsi.Options{})
	d := &busyDisk{began: make(chan struct{}, 64)}
	b.srv.Set(exported(oneUnit(iqn, d)))
	old := b.login(t)
	for i := range 16 { // half wait, half have data that nobody takes
		c := cdb(opBlock)
		if i%2 == 1 {
			c = read10(0, 2048)
		}
		if err := old.SendCommand(old.NewCommand(c, 2048*2048, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for range 16 {
		<-d.began
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	nc, err := from.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := initiator.NewConn(nc)
	if _, err := c.Login(initiator.Options{Target: iqn}); err != nil {
		t.Fatal(err)
	}
	if n := d.running.Load(); n != 0 {
		t.Errorf("%d commands of the old session run when the new one is answered", n)
	}
	if r := mustDo(t, c, cdb(opReady), 0, nil, 0); r.Status != 0 {
		t.Errorf("the first command: status %02x, sense %x", r.Status, r.Sense)
	}
	if s := b.srv.Sessions(); len(s) != 1 || s[0].Address != nc.LocalAddr().String() {
		t.Errorf("sessions %+v, want the one of %v", s, nc.LocalAddr())
	}
}

// Of logins of one initiator port that race the last stays, whole.
func TestRacingLogins(t *testing.T) {
	b := serve(t, iscsi.Options{})
	b.login(t)
	const racers = 16
	conns := make([]*initiator.Conn, racers)
	for i := range conns {
		conns[i] = b.dial(t)
	}
	var logins sync.WaitGroup
	var in atomic.Int32
	for _, c := range conns {
		logins.Go(func() {
			if _, err := c.Login(initiator.Options{Target: iqn}); err == nil {
				in.Add(1)
			}
		})
	}
	logins.Wait()
	if in.Load() == 0 {
		t.Error("no login succeeded")
	}
	works := 0
	for _, c := range conns {
		if r, err := c.Do(cdb(opReady), 0, nil, 0); err == nil && r.Status == 0 {
			works++
		}
	}
	if s := b.srv.Sessions(); works != 1 || len(s) != 1 {
		t.Errorf("%d connections work, sessions %+v; want one", works, s)
	}
}
