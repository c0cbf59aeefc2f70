package usbip

import "io"

// Standard requests (USB 3.2, table 9-5), and those of Bulk-Only Transport 1.0,
// 3.1 and 3.2.
const (
	getStatus        = 0
	clearFeature     = 1
	setFeature       = 3
	getDescriptor    = 6
	getConfiguration = 8
	setConfiguration = 9
	getInterface     = 10
	setInterface     = 11
	setSEL           = 48
	setIsochDelay    = 49

	massStorageReset = 0xFF
	getMaxLUN        = 0xFE
)

// Recipients and the direction of a request, in its first byte.
const (
	toHost      = 0x80
	toDevice    = 0x00
	toInterface = 0x01
	toEndpoint  = 0x02
	class       = 0x20
)

const featureHalt = 0

// Features of a superspeed device that concern its link only (table 9-8).
const (
	featureU1  = 48
	featureLTM = 50
)

// control carries out a request to endpoint 0 at once: none of them waits for
// the host.
func (d *device) control(h *header) error {
	s := h.setup
	if h.in != (s.requestType&toHost != 0) && s.length > 0 {
		return d.refuseControl(h)
	}
	if !h.in && h.length > 0 { // no request with data means anything to us
		if _, err := io.CopyN(io.Discard, d.r, int64(h.length)); err != nil {
			return err
		}
	}
	data, ok := d.request(s)
	if !ok {
		return d.answer(h, urbStall, 0, nil)
	}
	if !h.in {
		return d.answer(h, 0, int(h.length), nil)
	}
	data = data[:min(len(data), int(s.length), int(h.length))]
	return d.answer(h, 0, len(data), data)
}

func (d *device) refuseControl(h *header) error {
	if h.in {
		return d.answer(h, urbStall, 0, nil)
	}
	return d.refuse(h, urbStall)
}

// request answers a request; ok is false for one that is not known, which is
// stalled.
func (d *device) request(s setup) (data []byte, ok bool) {
	switch kind := s.requestType &^ toHost; {
	case kind&class != 0:
		return d.classRequest(s)
	case s.requestType == toHost && s.request == getDescriptor:
		data = d.o.descriptor(byte(s.value>>8), byte(s.value))
		return data, data != nil
	case s.requestType == toHost && s.request == getConfiguration:
		return []byte{d.config}, true
	case s.requestType&toHost != 0 && s.request == getStatus:
		return d.status(s)
	case s.requestType == toDevice && s.request == setConfiguration:
		return nil, d.configure(byte(s.value))
	case s.requestType == toHost|toInterface && s.request == getInterface && s.index == 0:
		return []byte{0}, d.config != 0
	case s.requestType == toInterface && s.request == setInterface && s.index == 0 && s.value == 0 && d.config != 0:
		d.bot.Reset()
		d.ep.configured()
		return nil, true
	case s.request == setFeature || s.request == clearFeature:
		return nil, d.feature(s)
	case s.requestType == toDevice && (s.request == setSEL || s.request == setIsochDelay):
		return nil, d.o.Speed == SuperSpeed
	}
	return nil, false
}

// configure is nexus loss: a host does it at first, and after each reset of the
// port, which itself is not seen over USB/IP.
func (d *device) configure(value byte) bool {
	if value > configValue {
		return false
	}
	d.bot.NexusLoss()
	d.ep.mu.Lock()
	d.config = value
	d.ep.mu.Unlock()
	d.ep.configured()
	return true
}

func (d *device) classRequest(s setup) (data []byte, ok bool) {
	switch {
	case s.value != 0 || s.index != 0 || d.config == 0:
	case s.requestType == class|toInterface && s.request == massStorageReset && s.length == 0:
		d.bot.Reset()
		return nil, true
	case s.requestType == toHost|class|toInterface && s.request == getMaxLUN && s.length == 1:
		return []byte{d.bot.MaxLUN()}, true
	}
	return nil, false
}

// endpoint is the bulk endpoint of an address, or nil.
func (d *device) endpoint(address uint16) *pipe {
	switch {
	case d.config != 0 && address == endpointIn:
		return &d.ep.in
	case d.config != 0 && address == endpointOut:
		return &d.ep.out
	}
	return nil
}

func (d *device) status(s setup) (data []byte, ok bool) {
	switch s.requestType &^ toHost {
	case toDevice:
		return []byte{1, 0}, true // it has power of its own
	case toInterface:
		return []byte{0, 0}, s.index == 0 && d.config != 0
	case toEndpoint:
		p := d.endpoint(s.index)
		if p != nil && d.ep.isHalted(p) {
			return []byte{1, 0}, true
		}
		return []byte{0, 0}, p != nil || s.index&0x7F == 0
	}
	return nil, false
}

func (d *device) feature(s setup) bool {
	switch s.requestType {
	case toEndpoint:
		p := d.endpoint(s.index)
		if p == nil || s.value != featureHalt {
			return s.value == featureHalt && s.index&0x7F == 0
		}
		if s.request == setFeature {
			return d.ep.setHalt(p) == nil
		}
		d.ep.clearHalt(p)
		return true
	case toDevice:
		return d.o.Speed == SuperSpeed && s.value >= featureU1 && s.value <= featureLTM
	case toInterface: // FUNCTION_SUSPEND
		return d.o.Speed == SuperSpeed && s.value == 0
	}
	return false
}
