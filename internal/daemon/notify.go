package daemon

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"spindle/internal/api/client"
)

// A notifier tells systemd what the daemon does (sd_notify). Without systemd
// it does nothing.
type notifier struct{}

func (notifier) send(state string) { _, _ = daemon.SdNotify(false, state) } // nobody to tell of an error

func (n notifier) ready()          { n.send(daemon.SdNotifyReady) }
func (n notifier) stopping()       { n.send(daemon.SdNotifyStopping) }
func (n notifier) status(s string) { n.send("STATUS=" + s) }

// reloading must come with the time (Type=notify-reload wants it, and systemd
// before 253 ignores it).
func (n notifier) reloading() {
	n.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// watchdog returns the interval within which systemd wants a sign of life, or
// 0.
func (notifier) watchdog() time.Duration {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err != nil || usec <= 0 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// period is how often loops turn that have nothing to do: often enough for the
// watchdog.
func (n notifier) period() time.Duration {
	if w := n.watchdog(); w > 0 {
		return min(w/8, time.Second)
	}
	return time.Second
}

// watchdog gives systemd a sign of life when the accept loop, the API and the
// daemon's loop have each turned within the last half interval. Storage is none
// of them: a slow disk stops nothing here.
func (d *Daemon) watchdog(ctx context.Context) {
	interval := d.systemd.watchdog()
	if interval == 0 {
		return
	}
	half := interval / 2
	answers := make(chan time.Time, 1)
	d.serving.Go(func() { d.askAPI(ctx, half, answers) })
	api := time.Now()
	tick := time.NewTicker(d.systemd.period())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case api = <-answers:
		case now := <-tick.C:
			last := []time.Time{api, d.loop.lastTurn()}
			if d.accepts.Load() > 0 {
				last = append(last, d.server.LastTurn())
			}
			if turnedSince(last, now.Add(-half)) {
				d.systemd.send(daemon.SdNotifyWatchdog)
			}
		}
	}
}

func turnedSince(last []time.Time, since time.Time) bool {
	for _, t := range last {
		if t.Before(since) {
			return false
		}
	}
	return true
}

// askAPI asks the API through its own socket, again and again, and tells when
// it answered.
func (d *Daemon) askAPI(ctx context.Context, half time.Duration, answers chan<- time.Time) {
	c := client.New(d.api.l.Addr().String())
	defer c.Close()
	tick := time.NewTicker(d.systemd.period())
	defer tick.Stop()
	for {
		ask, cancel := context.WithTimeout(ctx, half)
		err := c.Health(ask)
		cancel()
		if err == nil {
			select {
			case answers <- time.Now():
			case <-ctx.Done():
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
