package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"spindle/config"
	"spindle/gadget"
	"spindle/gadget/usbip"
	"spindle/internal/api/client"
)

// openCarrier composes the kind of USB front end that a gadget asks for.
func (d *Daemon) openCarrier(w *wanted) (carrier, error) {
	switch {
	case w.cfg.USBIP != "":
		return d.openUSBIP(w)
	case w.cfg.Mode == config.Kernel:
		return d.openKernel(w)
	}
	return d.openGadget(w)
}

// usbSerial is the serial number of a gadget: what the configuration says, or
// one of this machine.
func (d *Daemon) usbSerial(c *config.Gadget) string {
	if c.Serial != "" {
		return strings.ToUpper(c.Serial)
	}
	serial, _ := d.id.of("gadget " + c.Name)
	return serial
}

func (d *Daemon) openGadget(w *wanted) (carrier, error) {
	c := &w.cfg
	g, err := gadget.Open(gadget.Options{
		Name: c.Name, UDC: c.UDC, VendorID: c.VendorID, ProductID: c.ProductID,
		Manufacturer: c.Manufacturer, Product: c.Product, Serial: d.usbSerial(c), Configuration: "Bulk-Only Transport",
		MaxPower: uint16(c.MaxPower), SelfPowered: c.SelfPowered, Subclass: byte(c.Subclass), Stall: c.Stall,
		FunctionFS: c.FunctionFS, RunDir: d.runDir, Log: d.log.With("gadget", c.Name),
	}, w.units)
	if err != nil {
		return nil, hinted(err)
	}
	return cable{g}, nil
}

// hinted puts the remedy of a gadget's error where the command line looks for
// hints.
func hinted(err error) error {
	e, ok := errors.AsType[*gadget.Error](err)
	if !ok || e.Remedy == "" {
		return err
	}
	return errors.New(e.Reason + " (hint: " + e.Remedy + ")")
}

// A cable is a gadget on a controller of this machine.
type cable struct{ *gadget.Gadget }

// Status implements carrier.
func (c cable) Status() client.Gadget {
	s := c.Gadget.Status()
	return client.Gadget{UDC: s.UDC, State: s.State, Speed: s.Speed}
}

// A network is a gadget that USB/IP clients import.
type network struct {
	server *usbip.Server
	l      net.Listener
}

func (d *Daemon) openUSBIP(w *wanted) (carrier, error) {
	c := &w.cfg
	l, err := net.Listen("tcp", c.USBIP)
	if err != nil {
		return nil, fmt.Errorf("USB/IP: %w (hint: another program has that port, or the address is not of this machine)", err)
	}
	s := usbip.NewServer(usbip.Options{
		Log: d.log.With("gadget", c.Name), VendorID: c.VendorID, ProductID: c.ProductID, Subclass: byte(c.Subclass),
		Manufacturer: c.Manufacturer, Product: c.Product, Serial: d.usbSerial(c), Stall: c.Stall,
	}, w.units)
	return network{s, l}, nil
}

// Serve implements carrier.
func (n network) Serve(ctx context.Context) error { return n.server.Serve(ctx, n.l) }

// Close implements carrier.
func (n network) Close() error {
	if err := n.l.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Status implements carrier.
func (n network) Status() client.Gadget {
	s := client.Gadget{UDC: n.l.Addr().String(), State: "not attached"}
	if host := n.server.Importer(); host != "" {
		s.State = "imported by " + host
	}
	return s
}
