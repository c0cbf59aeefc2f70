package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"spindle/config"
	"spindle/target"
	"spindle/target/gotgt"
)

var errPassedToGotgt = errors.New(`systemd passes a socket, and gotgt opens its own (hint: disable spindle.socket, or take engine = "gotgt" out)`)

// startGotgt makes the engine of gotgt when the configuration asks for it, and
// says what it cannot do.
func (d *Daemon) startGotgt() (err error) {
	if d.cfg.ISCSI.Engine != config.GoTGT {
		return nil
	}
	port := d.cfg.ISCSI.Port()
	if d.gotgt, err = gotgt.New(gotgt.Options{Log: d.log, Port: port, Targets: d.targets()}); err != nil {
		return fmt.Errorf("port %d: %w", port, err)
	}
	for _, what := range gotgt.Limits {
		d.log.Warn("engine gotgt: " + what)
	}
	d.alarm("engine", "gotgt serves, for experiments: "+strings.Join(gotgt.Limits, "; "))
	return nil
}

func (d *Daemon) targets() (list []*target.Target) {
	for _, dr := range d.drives {
		list = append(list, dr.target)
	}
	return list
}

// setGotgt has the engine see the drives as they are now.
func (d *Daemon) setGotgt() {
	if d.gotgt == nil {
		return
	}
	if unknown := d.gotgt.Set(d.targets()); len(unknown) > 0 {
		d.alarm("engine-targets", "gotgt serves these after a restart only: "+strings.Join(unknown, ", "))
		return
	}
	d.clearAlarm("engine-targets")
}

// serveGotgt runs the engine until ctx is done.
func (d *Daemon) serveGotgt(ctx context.Context) {
	if e := d.gotgt; e != nil {
		d.serving.Go(func() {
			if err := e.Serve(ctx); err != nil {
				d.log.Error("engine gotgt", "error", err)
			}
		})
	}
}
