package iscsi_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"spindle/internal/initiator"
	"spindle/isostore/disc/disctest"
	"spindle/mmcemu"
	"spindle/target"
	"spindle/target/iscsi"
)

// A fleet is a server with real emulated drives, each with a disc and a target
// of its own.
type fleet struct {
	srv     *iscsi.Server
	addr    string
	drives  []*mmcemu.Drive
	targets []*target.Target
}

// fleetBlocks is the length of the discs.
const fleetBlocks = 4000

func newFleet(t testing.TB, o iscsi.Options, drives int) *fleet {
	t.Helper()
	f := &fleet{srv: iscsi.NewServer(o)}
	for i := range drives {
		d := mmcemu.New(mmcemu.Options{Serial: fmt.Sprintf("00000000CD%02d", i), SwapHold: -1})
		t.Cleanup(func() { d.Close() })
		f.drives = append(f.drives, d)
		f.insert(t, i, "first")
		name := fmt.Sprintf("iqn.2026-11.spindle.test:cd%d", i)
		unit := target.NewUnit(fmt.Sprintf("cd%d", i), d, target.UnitOptions{})
		f.targets = append(f.targets, target.New(name, map[uint16]*target.Unit{0: unit}))
	}
	f.srv.Set(exported(f.targets...))
	return f
}

// insert puts a disc into drive i.
func (f *fleet) insert(t testing.TB, i int, name string) {
	t.Helper()
	m := mmcemu.Medium{Disc: disctest.Synthetic(disctest.DataDisc(fleetBlocks)), Name: name, ID: name}
	if err := f.drives[i].Insert(context.Background(), m, true); err != nil {
		t.Error(err)
	}
}

// listen serves on the loopback until the test ends.
func (f *fleet) listen(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	done := make(chan struct{})
	go func() { defer close(done); f.srv.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		f.srv.Shutdown(over)
		<-done
	})
}

// storm is a storm at this fleet: session n speaks to drive n modulo their number.
func (f *fleet) storm(sessions int) initiator.Storm {
	return initiator.Storm{
		Addr: f.addr, From: initiator.Loopback(8), Sessions: sessions,
		Login: func(n, _ int) initiator.Options {
			o := initiator.Port(n)
			o.Target = f.targets[n%len(f.targets)].Name
			return o
		},
	}
}
