package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"spindle/internal/api/client"
	"spindle/internal/initiator"
)

// A host that does not log out holds a stop up for seconds; a second signal
// does not wait for it.
func TestSecondSignal(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.CommandContext(t.Context(), filepath.Join(program, "spindle"), "serve", "--listen", "127.0.0.1:0",
		"--state", filepath.Join(dir, "state"), "--library", dir, "--socket", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	s := awaitStatus(t, client.New(socket), tick)
	c, err := initiator.Dial(s.Portals[0])
	if err == nil {
		defer c.Close()
		_, err = c.Login(initiator.Options{Target: s.Drives[0].Target})
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails once it has ended
		select {
		case err := <-ended:
			e, ok := errors.AsType[*exec.ExitError](err)
			if !ok || e.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("it ended with %v, want the signal", err)
			}
			return
		case <-tick.C:
		}
	}
}

func awaitStatus(t *testing.T, c *client.Client, tick *time.Ticker) client.Status {
	t.Helper()
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		s, err := c.Status(ctx)
		if err == nil {
			return s
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}
