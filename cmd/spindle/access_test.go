package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spindle/internal/api/client"
)

// A socket that systemd passes is held against what it is bound to, not against
// [iscsi] listen.
func TestPassedSocketIsOpen(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	config, socket := filepath.Join(dir, "spindle.toml"), filepath.Join(dir, "s")
	text := "[iscsi]\nlisten = [\"127.0.0.1:0\"]\n[drive.cd0]\n[drive.cd1]\n[drive.cd1.iscsi]\nnetworks = [\"192.0.2.0/24\"]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// exec leaves the process its id, by which it knows that the sockets are its own.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "sh", filepath.Join(program, "spindle"),
		"serve", "--config", config, "--state", filepath.Join(dir, "state"), "--library", dir, "--socket", socket)
	var log bytes.Buffer
	cmd.Stderr, cmd.ExtraFiles = &log, []*os.File{file}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	s := awaitStatus(t, client.New(socket), tick)
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	want := "cd0 is open to whoever reaches " + l.Addr().String()
	if len(s.Warnings) != 1 || !strings.HasPrefix(s.Warnings[0], want) {
		t.Errorf("status warns %q, want %q", s.Warnings, want)
	}
	if !strings.Contains(log.String(), "level=WARN msg=\""+want) {
		t.Errorf("the log has no %q:\n%s", want, &log)
	}
}
