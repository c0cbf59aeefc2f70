//go:build !linux

package gadget

import (
	"context"

	"spindle/target"
)

// A Gadget is a composed gadget that is bound to its UDC; on this system there
// is none.
type Gadget struct{}

// Open fails: gadgets are Linux's.
func Open(Options, []*target.Unit) (*Gadget, error) { return nil, ErrSystem }

// Serve fails.
func (g *Gadget) Serve(context.Context) error { return ErrSystem }

// Close does nothing.
func (g *Gadget) Close() error { return nil }

// Status is that of no gadget.
func (g *Gadget) Status() Status { return Status{} }

// Check says that this system has no gadgets.
func Check(string) []Finding { return []Finding{{Reason: ErrSystem.Error()}} }
