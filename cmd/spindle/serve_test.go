package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
)

// A path that the file names stands, also when it is what another user would
// have by default.
func TestFileBeforeEnvironment(t *testing.T) {
	t.Setenv("SPINDLE_LIBRARY", "/other/images")
	t.Setenv("SPINDLE_STATE", "/other")
	t.Setenv("SPINDLE_SOCKET", "/other/s")
	file := filepath.Join(t.TempDir(), "spindle.toml")
	text := "[library]\ndirs = [\"/var/lib/spindle/images\"]\n[daemon]\nstate = \"/var/lib/spindle\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &serve{app: &app{}, config: file, flags: pflag.NewFlagSet("serve", pflag.ContinueOnError)}
	c, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	if c.Library.Dirs[0] != "/var/lib/spindle/images" || c.Daemon.State != "/var/lib/spindle" || c.Daemon.Socket != "/other/s" {
		t.Errorf("library %q, state %s, socket %s", c.Library.Dirs, c.Daemon.State, c.Daemon.Socket)
	}
}
