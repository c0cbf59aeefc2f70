package daemon

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
)

// Paths are where a daemon keeps things.
type Paths struct {
	State   string // directory of state
	Socket  string // of the API
	Library string // image directory
}

// systemPaths are those of a daemon that root or systemd runs.
var systemPaths = Paths{
	State: "/var/lib/spindle", Socket: "/run/spindle/spindle.sock", Library: "/var/lib/spindle/images",
}

// DefaultPaths returns the paths that hold for this user when neither flag nor
// file names others: those of the environment (SPINDLE_STATE, SPINDLE_SOCKET,
// SPINDLE_LIBRARY) first, then the system's for root and in a unit of systemd,
// then XDG's.
func DefaultPaths() Paths {
	p := systemPaths
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		dir, _, _ = strings.Cut(dir, ":")
		p.State, p.Library = dir, filepath.Join(dir, "images")
	} else if os.Geteuid() != 0 {
		p = userPaths()
	}
	p.State = cmp.Or(os.Getenv("SPINDLE_STATE"), p.State)
	p.Socket = cmp.Or(os.Getenv("SPINDLE_SOCKET"), p.Socket)
	p.Library = cmp.Or(os.Getenv("SPINDLE_LIBRARY"), p.Library)
	return p
}

func userPaths() Paths {
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	state := filepath.Join(cmp.Or(os.Getenv("XDG_STATE_HOME"), filepath.Join(home, ".local", "state")), "spindle")
	data := filepath.Join(cmp.Or(os.Getenv("XDG_DATA_HOME"), filepath.Join(home, ".local", "share")), "spindle")
	socket := filepath.Join(state, "spindle.sock")
	if run := os.Getenv("XDG_RUNTIME_DIR"); run != "" {
		socket = filepath.Join(run, "spindle", "spindle.sock")
	}
	return Paths{State: state, Socket: socket, Library: filepath.Join(data, "images")}
}

// ClientSocket returns the socket where a client finds the daemon when nobody
// names one: this user's own, or the system's when only that exists.
func ClientSocket() string {
	socket := DefaultPaths().Socket
	if os.Getenv("SPINDLE_SOCKET") != "" || exists(socket) || !exists(systemPaths.Socket) {
		return socket
	}
	return systemPaths.Socket
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
