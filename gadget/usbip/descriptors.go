package usbip

import (
	"encoding/binary"
	"unicode/utf16"
)

// A Speed is that of the emulated device, as USB/IP and Linux number it.
type Speed uint32

// The speeds at which the device can be. A client needs a port of that speed:
// Linux's and Windows' have both.
const (
	HighSpeed  Speed = 3
	SuperSpeed Speed = 5
)

// packet is the size in bytes of the largest packet of a bulk endpoint.
func (s Speed) packet() int {
	if s == HighSpeed {
		return 512
	}
	return 1024
}

// Descriptor types (USB 3.2, table 9-6).
const (
	typeDevice     = 1
	typeConfig     = 2
	typeString     = 3
	typeInterface  = 4
	typeEndpoint   = 5
	typeQualifier  = 6
	typeOtherSpeed = 7
	typeBOS        = 15
	typeCapability = 16
	typeCompanion  = 48
)

const (
	bcdDevice   = 0x0100
	configValue = 1
	endpointIn  = 0x81
	endpointOut = 0x02
	english     = 0x0409

	classStorage = 0x08
	bulkOnly     = 0x50
)

// descriptor returns the descriptor of a type, or nothing when there is none.
func (o *Options) descriptor(kind, index byte) []byte {
	switch {
	case kind == typeDevice:
		return o.deviceDescriptor()
	case kind == typeConfig && index == 0:
		return o.configDescriptor(typeConfig, o.Speed.packet())
	case kind == typeString:
		return o.stringDescriptor(index)
	case kind == typeQualifier && o.Speed == HighSpeed:
		return []byte{10, typeQualifier, 0, 2, 0, 0, 0, 64, 1, 0}
	case kind == typeOtherSpeed && index == 0 && o.Speed == HighSpeed:
		return o.configDescriptor(typeOtherSpeed, 64)
	case kind == typeBOS && o.Speed == SuperSpeed:
		return bosDescriptor()
	}
	return nil
}

func (o *Options) deviceDescriptor() []byte {
	usb, packet := uint16(0x0200), byte(64)
	if o.Speed == SuperSpeed {
		usb, packet = 0x0300, 9 // an exponent of two
	}
	b := binary.LittleEndian.AppendUint16([]byte{18, typeDevice}, usb)
	b = append(b, 0, 0, 0, packet)
	for _, v := range []uint16{o.VendorID, o.ProductID, bcdDevice} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return append(b, 1, 2, 3, 1) // strings, one configuration
}

// configDescriptor is the configuration with its one interface. It says that
// the device has power of its own.
func (o *Options) configDescriptor(kind byte, packet int) []byte {
	b := []byte{9, kind, 0, 0, 1, configValue, 0, 0xC0, 1}
	b = append(b, 9, typeInterface, 0, 0, 2, classStorage, o.Subclass, bulkOnly, 0)
	for _, address := range []byte{endpointIn, endpointOut} {
		b = append(b, 7, typeEndpoint, address, 2)
		b = binary.LittleEndian.AppendUint16(b, uint16(packet))
		b = append(b, 0)
		if o.Speed == SuperSpeed {
			b = append(b, 6, typeCompanion, 15, 0, 0, 0) // bursts of 16 packets
		}
	}
	binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func (o *Options) stringDescriptor(index byte) []byte {
	if index == 0 {
		return binary.LittleEndian.AppendUint16([]byte{4, typeString}, english)
	}
	texts := []string{o.Manufacturer, o.Product, o.Serial}
	if int(index) > len(texts) {
		return nil
	}
	units := utf16.Encode([]rune(texts[index-1]))
	b := []byte{0, typeString}
	for _, u := range units[:min(len(units), 126)] {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	b[0] = byte(len(b))
	return b
}

// bosDescriptor has the capabilities that every superspeed device must tell
// (USB 3.2, 9.6.2): the extension of USB 2.0, and the speeds.
func bosDescriptor() []byte {
	return []byte{
		5, typeBOS, 22, 0, 2,
		7, typeCapability, 2, 2, 0, 0, 0, // link power management
		10, typeCapability, 3, 0, 0x0C, 0, 2, 0, 0, 0, // high and super, all there is from high on
	}
}

// appendDevice appends what replies say of the device (struct usbip_usb_device).
func (o *Options) appendDevice(b []byte) []byte {
	field := func(s string, n int) {
		p := make([]byte, n)
		copy(p[:n-1], s)
		b = append(b, p...)
	}
	field("/sys/devices/spindle/usb1/"+o.BusID, 256)
	field(o.BusID, busIDSize)
	for _, v := range []uint32{1, 2, uint32(o.Speed)} { // bus and device number
		b = binary.BigEndian.AppendUint32(b, v)
	}
	for _, v := range []uint16{o.VendorID, o.ProductID, bcdDevice} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return append(b, 0, 0, 0, configValue, 1, 1)
}
