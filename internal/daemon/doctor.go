package daemon

import (
	"slices"

	"spindle/gadget"
)

// A Lack is something that this machine has not and a front end needs.
type Lack struct {
	For    string `json:"for"`    // what it keeps from working
	Reason string `json:"reason"` // what is wrong
	Remedy string `json:"remedy"` // the command that mends it; empty when none does
}

// Doctor looks for what this machine lacks. root is put before the paths that
// it looks at, in tests.
func Doctor(root string) []Lack {
	lacks := []Lack{}
	for _, f := range gadget.Check(root) {
		lacks = append(lacks, Lack{"a USB drive on a cable", f.Reason, f.Remedy})
	}
	return slices.Clip(lacks)
}
