//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"spindle/internal/api/client"
	"spindle/internal/lab"
)

// A daemon is a `spindle serve` with a state directory and a socket of its own.
type daemon struct {
	t      testing.TB
	args   []string
	dir    string // of socket and state; short, for a socket's path must be
	listen string
	passed *os.File // that it is passed as systemd does; nil: it listens itself
	log    *os.File
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	portal string        // host:port
	fails  bool          // it has to log errors
}

// serve starts a daemon on a free port of the loopback and returns when it is
// ready. It is stopped as systemd stops it, and has to end with 0.
func serve(t testing.TB, args ...string) *daemon {
	t.Helper()
	return serveOn(t, lab.FreeAddr(t), args...) // a test may start it again
}

func serveOn(t testing.TB, listen string, args ...string) *daemon {
	t.Helper()
	return serveWith(t, nil, listen, args...)
}

func serveWith(t testing.TB, socket *os.File, listen string, args ...string) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.CreateTemp(t.ArtifactDir(), "spindle-*.log")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, args: args, dir: dir, listen: listen, passed: socket, log: log}
	t.Cleanup(func() {
		d.stop()
		log.Close()
		os.RemoveAll(dir)
		text, _ := os.ReadFile(log.Name())
		if fails := bytes.Contains(text, []byte("level=ERROR")); fails != d.fails {
			t.Errorf("the daemon logged an error: %v; want %v", fails, d.fails)
		}
		if t.Failed() {
			lines := bytes.SplitAfter(text, []byte("\n"))
			t.Logf("end of the daemon's log (%s):\n%s", log.Name(), bytes.Join(lines[max(0, len(lines)-40):], nil))
		}
	})
	d.start()
	return d
}

func (d *daemon) socket() string { return filepath.Join(d.dir, "socket") }

// start starts the process and returns when it has told that it is ready, as it
// tells systemd.
func (d *daemon) start() {
	d.t.Helper()
	notify := filepath.Join(d.dir, "notify")
	os.Remove(notify) // of an earlier start
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer ready.Close()
	args := append([]string{"serve", "--listen", d.listen, "--state", filepath.Join(d.dir, "state"), "--socket", d.socket()}, d.args...)
	d.cmd = exec.Command(program(d.t), args...)
	d.cmd.Env = append(environ(), "NOTIFY_SOCKET="+notify)
	if d.passed != nil { // what the shell becomes has its number
		d.cmd = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, program(d.t)}, args...)...)
		d.cmd.Env = append(environ(), "NOTIFY_SOCKET="+notify, "LISTEN_FDS=1", "LISTEN_FDNAMES=iscsi")
		d.cmd.ExtraFiles = []*os.File{d.passed}
	}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan struct{})
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
		ready.Close()
	}()
	if err := awaitReady(ready); err != nil {
		d.t.Fatalf("spindle %q: not ready: %v", args, err)
	}
	portals := d.status().Portals
	if len(portals) != 1 {
		d.t.Fatalf("portals are %q; want one", portals)
	}
	d.portal, d.listen = portals[0], portals[0] // a restart takes the same port
}

// environ lets a process that looks for races end without a rest of a second.
func environ() []string { return append(os.Environ(), "GORACE=atexit_sleep_ms=0") }

// awaitReady reads sd_notify messages until one says READY=1.
func awaitReady(c *net.UnixConn) error {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	p := make([]byte, 4096)
	for {
		n, err := c.Read(p)
		if err != nil {
			return err
		}
		if slices.Contains(strings.Split(string(p[:n]), "\n"), "READY=1") {
			return nil
		}
	}
}

// kill ends the process as a crash does.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// stop ends the process, unless it has ended, and checks its exit status.
func (d *daemon) stop() {
	if d.exited == nil {
		return
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Error(err)
	}
	select {
	case <-d.exited:
	case <-time.After(limit):
		d.t.Error("the daemon does not end after SIGTERM")
		d.kill()
	}
	if s := d.cmd.ProcessState; s.ExitCode() != 0 {
		d.t.Errorf("the daemon ended with %v; want status 0", s)
	}
}

// run runs a client verb and returns what it printed on standard output. An
// error holds what it printed on standard error.
func (d *daemon) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(d.t), append(args, "--socket", d.socket())...)
	cmd.Env = environ()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = &verbError{args, err, stderr.String()}
	}
	return string(out), err
}

// A verbError is a client verb that failed.
type verbError struct {
	args   []string
	err    error
	stderr string
}

func (e *verbError) Error() string { return fmt.Sprintf("spindle %q: %v: %s", e.args, e.err, e.stderr) }

// status returns what `spindle status --json` prints.
func (d *daemon) status() (s client.Status) {
	d.t.Helper()
	out, err := d.run("status", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// cd0 returns what status says of the drive that all tests use.
func (d *daemon) cd0() *client.Drive {
	d.t.Helper()
	s := d.status()
	drive := s.Drive("cd0")
	if drive == nil {
		d.t.Fatalf("status has no drive cd0: %+v", s)
	}
	return drive
}

// expect waits until cd0 is in a state with a disc.
func (d *daemon) expect(state, disc string) {
	d.t.Helper()
	until(d.t, func() error {
		if c := d.cd0(); c.State != state || c.Disc != disc {
			return fmt.Errorf("cd0 is %s with disc %q; want %s with %q", c.State, c.Disc, state, disc)
		}
		return nil
	})
}

// url names cd0 as libiscsi's tools and QEMU take it.
func (d *daemon) url() string { return "iscsi://" + d.portal + "/" + d.cd0().Target + "/0" }
