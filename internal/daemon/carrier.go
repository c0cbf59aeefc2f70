package daemon

import (
	"errors"
	"strings"

	"spindle/config"
	"spindle/gadget"
	"spindle/internal/api/client"
)

// openCarrier composes the kind of USB front end that a gadget asks for.
func (d *Daemon) openCarrier(w *wanted) (carrier, error) {
	switch {
	case w.cfg.USBIP != "":
		return nil, errors.New("USB/IP is not served yet (hint: take usbip out)")
	case w.cfg.Mode == config.Kernel:
		return nil, errors.New(`the kernel's mass storage is not served yet (hint: take mode = "kernel" out)`)
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
