package gadget

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"spindle/gadget/bot"
	"spindle/gadget/ffs"
	"spindle/target"
)

// A Gadget is a composed gadget that is bound to its UDC.
type Gadget struct {
	o           Options
	composition *composition // nil in somebody else's
	function    *ffs.Function
	transport   *bot.Transport
	close       func() error
}

// Open composes a gadget of units, which are its LUN 0 and up, and binds it.
// The host finds it at once, and waits for Serve. Open does all that can fail;
// then its error is an [*Error] where a remedy is known, and nothing is left
// behind.
func Open(o Options, units []*target.Unit) (*Gadget, error) {
	if err := o.check(len(units)); err != nil {
		return nil, err
	}
	g := &Gadget{o: o}
	g.close = sync.OnceValue(g.release)
	if err := g.open(); err != nil {
		return nil, errors.Join(err, g.close())
	}
	g.transport = bot.New(units, g.function, bot.Options{Host: "usb:" + o.Name, Stall: o.Stall, Log: o.Log})
	return g, nil
}

func (g *Gadget) open() (err error) {
	dir := g.o.FunctionFS
	if dir == "" {
		if g.composition, err = compose(&g.o, kernel(g.o.Root)); err != nil {
			return err
		}
		dir = g.composition.at
	}
	if g.function, err = ffs.Open(dir, ffs.Options{Subclass: g.o.Subclass, Log: g.o.Log}); err != nil {
		return explain(fmt.Sprintf("FunctionFS at %s", dir), err)
	}
	if g.composition != nil {
		return g.composition.bind(g.o.UDC)
	}
	return nil
}

// Serve carries commands until ctx is done, when it returns nil, or until the
// kernel takes the function away. It is called once.
func (g *Gadget) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- g.transport.Serve(ctx) }()
	go func() { ended <- g.function.Serve(ctx, g.transport) }()
	err := <-ended
	cancel()
	return errors.Join(err, <-ended)
}

// Close takes the gadget off the bus and out of configfs. Serve must have
// returned, or never been called.
func (g *Gadget) Close() error { return g.close() }

func (g *Gadget) release() error {
	var err error
	if g.composition != nil {
		err = g.composition.unbind() // while the endpoints are whole, for a clean end
	}
	if g.function != nil {
		err = errors.Join(err, g.function.Close())
	}
	if g.composition != nil {
		err = errors.Join(err, g.composition.remove())
	}
	return err
}

// Status returns what the gadget is now.
func (g *Gadget) Status() Status {
	s := Status{Since: g.function.Since()}
	if g.composition != nil {
		s.UDC = g.composition.udc
		dir := filepath.Join(g.o.Root, udcDir, s.UDC)
		s.State, s.Speed = attribute(dir, "state"), attribute(dir, "current_speed")
	}
	return s
}

// attribute reads a file of sysfs or configfs, empty when it cannot.
func attribute(dir, name string) string {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(b))
}
