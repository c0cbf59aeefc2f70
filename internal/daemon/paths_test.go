package daemon

import (
	"os"
	"testing"
)

func TestPaths(t *testing.T) {
	for _, name := range []string{"XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "SPINDLE_STATE", "SPINDLE_SOCKET", "SPINDLE_LIBRARY", "STATE_DIRECTORY"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", "/h")
	if got, want := userPaths(), (Paths{"/h/.local/state/spindle", "/h/.local/state/spindle/spindle.sock", "/h/.local/share/spindle/images"}); got != want {
		t.Errorf("without XDG: %+v, want %+v", got, want)
	}
	t.Setenv("XDG_STATE_HOME", "/x/state")
	t.Setenv("XDG_DATA_HOME", "/x/data")
	t.Setenv("XDG_RUNTIME_DIR", "/x/run")
	if got, want := userPaths(), (Paths{"/x/state/spindle", "/x/run/spindle/spindle.sock", "/x/data/spindle/images"}); got != want {
		t.Errorf("with XDG: %+v, want %+v", got, want)
	}
	want := systemPaths
	if os.Geteuid() != 0 {
		want = userPaths()
	}
	if got := DefaultPaths(); got != want {
		t.Errorf("of this user: %+v, want %+v", got, want)
	}
	t.Setenv("STATE_DIRECTORY", "/s/one:/s/two")
	if got, want := DefaultPaths(), (Paths{"/s/one", systemPaths.Socket, "/s/one/images"}); got != want {
		t.Errorf("in a unit: %+v, want %+v", got, want)
	}
	t.Setenv("SPINDLE_STATE", "/e/state")
	t.Setenv("SPINDLE_SOCKET", "/e/s")
	t.Setenv("SPINDLE_LIBRARY", "/e/images")
	if got, want := DefaultPaths(), (Paths{"/e/state", "/e/s", "/e/images"}); got != want {
		t.Errorf("of the environment: %+v, want %+v", got, want)
	}
	if got := ClientSocket(); got != "/e/s" {
		t.Errorf("client's socket %s", got)
	}
}

func TestTargetName(t *testing.T) {
	for in, want := range map[string]string{"cd0": "cd0", "CD_1": "cd-1", "x y": "x-y"} {
		if got := nameOf(in); got != want {
			t.Errorf("nameOf(%q) = %q, want %q", in, got, want)
		}
	}
}
