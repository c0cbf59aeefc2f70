package daemon

import (
	"context"
	"errors"
	"sync"
	"time"
)

// abandon undoes a start that failed.
func (d *Daemon) abandon() {
	if d.usb != nil {
		d.usb.closeAll()
	}
	for _, dr := range d.drives {
		dr.close()
	}
	for _, l := range d.listeners {
		l.Close()
	}
	if d.api != nil {
		d.api.close()
	}
	if d.watcher != nil {
		d.watcher.Close()
	}
	if d.cache != nil {
		d.cache.Close()
	}
	if d.lock != nil {
		d.lock.Close()
	}
}

// Run serves until ctx is done, then stops: initiators are asked to log out
// and have Options.StopTime for it.
func (d *Daemon) Run(ctx context.Context) error {
	serve, end := context.WithCancel(context.WithoutCancel(ctx))
	helpers, stop := context.WithCancel(serve)
	defer end()
	defer stop()
	var saving, looping sync.WaitGroup
	saveCtx, endSaving := context.WithCancel(serve)
	loopCtx, endLoop := context.WithCancel(serve)
	defer endSaving()
	defer endLoop()
	saving.Go(func() { d.saver.run(saveCtx) })
	// From here on the loop owns d.cfg and its like.
	path, drives, portals, socket := d.cfg.Path, len(d.drives), d.portals(), d.cfg.Daemon.Socket
	for _, l := range d.listeners {
		d.serve(l)
	}
	d.serveGotgt(helpers)
	d.libs.life = helpers
	d.runLibrary(d.library.Load())
	d.serving.Go(func() { d.index.Run(helpers) })
	looping.Go(func() { d.loop.run(loopCtx, d.systemd.period(), d.turned) })
	d.api.start(service{d}, d.log)
	d.serving.Go(func() { d.reloader(helpers) })
	if d.watcher != nil {
		d.serving.Go(func() { d.watch(helpers, d.watcher, path) })
	}
	d.serving.Go(func() { d.watchdog(helpers) })
	d.serving.Go(func() { d.usb.run(helpers) })
	d.systemd.ready()
	d.log.Info("serving", "drives", drives, "portals", portals, "socket", socket)

	<-ctx.Done()
	d.log.Info("stopping", "reason", context.Cause(ctx))
	d.systemd.stopping()
	d.loop.post(func() {
		d.stopping = true
		for _, dr := range d.drives {
			d.endRequest(dr, errStopped)
		}
	})
	grace, cancel := context.WithTimeout(serve, d.o.StopTime)
	defer cancel()
	stop()
	d.server.Shutdown(grace)
	d.api.stop(grace)
	stuck := !within(d.o.hung, d.serving.Wait) || !within(d.o.hung, d.workers.Wait)
	endLoop()
	looping.Wait()
	d.flush() // the loop has ended: its state is this goroutine's
	endSaving()
	stuck = !within(d.o.hung, saving.Wait) || stuck
	d.abandon()
	if stuck {
		return errors.New("storage does not answer: what waits for it is left behind")
	}
	return nil
}

// within reports whether wait returned in time. Storage may hang for ever, and
// a service must end all the same.
func within(limit time.Duration, wait func()) bool {
	done := make(chan struct{})
	go func() { defer close(done); wait() }()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// Reload makes the daemon read its configuration again.
func (d *Daemon) Reload() {
	select {
	case d.reloads <- nil:
	default:
	}
}
