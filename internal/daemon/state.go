package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"spindle/mmcemu"
	"spindle/target"
)

// A state is what is, as against the configuration, which says what should be.
type state struct {
	Version int                    `json:"version"`
	Drives  map[string]*driveState `json:"drives"`
}

// A driveState is what is kept of a drive.
type driveState struct {
	// Configured is the last disc that file or flag asked for: another one
	// there is a new act of the operator.
	Configured string `json:"configured"`
	// Disc is the image in the drive or on its tray, or that should be.
	Disc string `json:"disc"`
	// Open: Disc lies on the open tray, where a host ejected it to.
	Open bool `json:"open,omitempty"`
	// Pending is set while Configured waits for a host to let go.
	Pending bool `json:"pending,omitempty"`

	UnitPorts  []target.PortRecord `json:"unit_ports,omitempty"`
	DrivePorts []mmcemu.PortRecord `json:"drive_ports,omitempty"`
}

const (
	stateFile    = "state.json"
	stateVersion = 1
)

// loadState reads the state in dir. When it cannot be read the error says so,
// the file is put aside, and the state is an empty one.
func loadState(dir string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	empty := &state{Version: stateVersion, Drives: map[string]*driveState{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	s := &state{}
	if err == nil {
		err = json.Unmarshal(b, s)
	}
	if err == nil && s.Version != stateVersion {
		err = fmt.Errorf("it is of version %d, not %d", s.Version, stateVersion)
	}
	if err != nil {
		aside := path + ".damaged"
		return empty, fmt.Errorf("state is lost: %s: %w (hint: it is kept as %s)", path, errors.Join(err, os.Rename(path, aside)), aside)
	}
	if s.Drives == nil {
		s.Drives = empty.Drives
	}
	for name, d := range s.Drives {
		if d == nil {
			delete(s.Drives, name)
		}
	}
	return s, nil
}

// writeFile writes a file whole or not at all: under another name, synced,
// renamed.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".spindle-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o640)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
