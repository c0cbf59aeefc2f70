// Package gotgt puts the iSCSI port of the gotgt library in front of package
// target: a second opinion on the wire for tests, and an experiment for the
// brave. Package target/iscsi is the engine that serves.
//
// gotgt keeps its targets in variables of its package, listens on every
// address, and ends the process when the port is taken or an initiator is
// hostile. So there is one [Engine] a process, and [Limits] says what it lacks.
package gotgt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gostor/gotgt/pkg/config"
	_ "github.com/gostor/gotgt/pkg/port/iscsit" // registers its driver
	"github.com/gostor/gotgt/pkg/scsi"
	_ "github.com/gostor/gotgt/pkg/scsi/backingstore" // registers the null store

	"spindle/target"
)

// Limits are what the engine cannot do, a line each, for people.
var Limits = []string{
	"it listens on all addresses, with no CHAP, no rules of access, no limits and no digests",
	"commands of a session run one after another; task management, pings and large transfers are poor",
	"drives are those of the start: one that comes later needs a restart",
	"a hostile initiator can end the process",
}

// Options are the settings of an Engine.
type Options struct {
	Log     *slog.Logger // discards when nil
	Port    int          // TCP, on all addresses
	Targets []*target.Target
}

// An Engine serves targets by gotgt.
type Engine struct {
	log    *slog.Logger
	port   int
	driver scsi.SCSITargetDriver
	units  map[string]*unit // by target name
	stop   atomic.Bool
}

// ErrTwice reports a second Engine in one process.
var ErrTwice = errors.New("gotgt: one engine a process, its targets are variables of the library")

var taken atomic.Bool

// lastWords is how long initiators hear NOT READY before the end.
const lastWords = 500 * time.Millisecond

// New returns an engine that serves o.Targets, LUN 0 of each. It fails when the
// port is taken.
func New(o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	// gotgt's Run ends the process when it cannot listen.
	l, err := net.Listen("tcp", ":"+strconv.Itoa(o.Port))
	if err != nil {
		return nil, fmt.Errorf("gotgt: %w", err)
	}
	l.Close()
	if !taken.CompareAndSwap(false, true) {
		return nil, ErrTwice
	}
	redirectLog(o.Log)
	c, err := configOf(o)
	if err != nil {
		return nil, err
	}
	if err := scsi.InitSCSILUMap(c); err != nil {
		return nil, fmt.Errorf("gotgt: %w", err)
	}
	service := scsi.NewSCSITargetService()
	e := &Engine{log: o.Log, port: o.Port, units: map[string]*unit{}}
	if e.driver, err = scsi.NewTargetDriver("iscsi", service); err != nil {
		return nil, fmt.Errorf("gotgt: %w", err)
	}
	for _, t := range o.Targets {
		u := newUnit(e, t)
		e.units[t.Name] = u
		scsi.GetLU(t.Name, 0).PerformCommand = u.perform
		if err := e.driver.NewTarget(t.Name, c); err != nil {
			return nil, fmt.Errorf("gotgt: target %s: %w", t.Name, err)
		}
	}
	for _, t := range service.Targets {
		t.ITNexus = nil // logins write this map while commands read it: a fatal error of the runtime
	}
	return e, nil
}

// configOf is o in gotgt's terms. A session finds its target only where the
// portal is, letter by letter, the address that its connection came in on.
func configOf(o Options) (*config.Config, error) {
	c := &config.Config{ISCSITargets: map[string]config.ISCSITarget{}}
	addrs, err := localAddresses()
	if err != nil {
		return nil, fmt.Errorf("gotgt: addresses of this machine: %w", err)
	}
	var portals []uint64
	for i, a := range addrs {
		portals = append(portals, uint64(i))
		c.ISCSIPortals = append(c.ISCSIPortals, config.ISCSIPortalInfo{ID: uint16(i), Portal: net.JoinHostPort(a, strconv.Itoa(o.Port))})
	}
	for i, t := range o.Targets {
		id := uint64(i + 1)
		c.Storages = append(c.Storages, config.BackendStorage{DeviceID: id, Path: "null:x", Online: true, BlockShift: 11})
		c.ISCSITargets[t.Name] = config.ISCSITarget{TPGTs: map[string][]uint64{"1": portals}, LUNs: map[string]uint64{"0": id}}
	}
	return c, nil
}

// localAddresses are those of all interfaces, as a socket writes them.
func localAddresses() (list []string, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				ip := net.IPAddr{IP: n.IP}
				if n.IP.IsLinkLocalUnicast() && n.IP.To4() == nil {
					ip.Zone = i.Name
				}
				list = append(list, ip.String())
			}
		}
	}
	return list, nil
}

// Set replaces the targets. One that went answers as a logical unit that is not
// ready; the names of those that came and are not served are returned.
func (e *Engine) Set(targets []*target.Target) (unknown []string) {
	now := map[string]*target.Target{}
	for _, t := range targets {
		if now[t.Name] = t; e.units[t.Name] == nil {
			unknown = append(unknown, t.Name)
		}
	}
	for name, u := range e.units {
		u.set(now[name])
	}
	return unknown
}

// Serve runs until ctx is done. Connections that are open then hear NOT READY
// for a moment; gotgt cannot end them.
func (e *Engine) Serve(ctx context.Context) error {
	var running sync.WaitGroup
	var err error
	running.Go(func() { err = e.driver.Run(e.port) })
	<-ctx.Done()
	e.stop.Store(true)
	time.Sleep(lastWords)
	cerr := e.driver.Close()
	running.Wait()
	for _, u := range e.units {
		u.set(nil)
	}
	return errors.Join(err, cerr)
}
