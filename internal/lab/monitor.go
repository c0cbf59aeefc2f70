package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// A monitor is QEMU's own control channel, the QEMU Machine Protocol: one JSON object
// a command, one an answer, and events in between.
type monitor struct {
	end    *os.File
	in     *json.Decoder
	opened bool // its greeting was answered
}

func newMonitor(end *os.File) *monitor { return &monitor{end: end, in: json.NewDecoder(end)} }

func (m *monitor) close() { m.end.Close() }

// run executes one command and waits for its answer.
func (m *monitor) run(command string, arguments map[string]any) error {
	if !m.opened {
		var greeting struct{ QMP json.RawMessage }
		if err := m.in.Decode(&greeting); err != nil {
			return fmt.Errorf("greeting of QEMU's monitor: %w", err)
		}
		m.opened = true
		if err := m.run("qmp_capabilities", nil); err != nil {
			return err
		}
	}
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.end).Encode(request); err != nil {
		return err
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := m.in.Decode(&answer); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		switch {
		case answer.Error != nil:
			return fmt.Errorf("%s: %s", command, answer.Error.Desc)
		case answer.Return != nil:
			return nil
		}
	}
}

// link is the hook that pulls the cable of a guest with Net, or puts it back: nothing
// passes while it is out, and neither end is told by the other.
func (m *monitor) link(args []string) (string, error) {
	if len(args) != 1 || args[0] != "on" && args[0] != "off" {
		return "", errors.New("usage: host link on|off")
	}
	return "", m.run("set_link", map[string]any{"name": netdev, "up": args[0] == "on"})
}
