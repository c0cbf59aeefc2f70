package ffs

import (
	"encoding/binary"
	"fmt"
)

// An eventType is what happened on ep0 (enum usb_functionfs_event_type).
type eventType byte

const (
	eventBind    eventType = iota // the gadget took the function in
	eventUnbind                   // and let it go: unplugged, as hosts see it
	eventEnable                   // the host chose the configuration
	eventDisable                  // it left it, or reset the port
	eventSetup                    // a control request for the interface
	eventSuspend
	eventResume
)

func (t eventType) String() string {
	names := [...]string{"bind", "unbind", "enable", "disable", "setup", "suspend", "resume"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("event %d", byte(t))
}

// eventSize is the size of struct usb_functionfs_event: the SETUP packet, the
// type, 3 bytes of padding.
const eventSize = 12

// maxEvents is how many events one read can return; the kernel keeps 4.
const maxEvents = 8

// An event is one of ep0.
type event struct {
	eventType
	setup setup // of eventSetup
}

// A setup is a control request (USB 2.0, 9.3). For the interface's, the kernel
// has made index the number of it in the function, which is 0.
type setup struct {
	requestType, request byte
	value, index, length uint16
}

// Class requests of Bulk-Only Transport 1.0, 3.1 and 3.2.
const (
	toInterface   = 0x21
	fromInterface = 0xA1
	deviceToHost  = 0x80
	requestReset  = 0xFF
	requestMaxLUN = 0xFE
)

// isReset is Bulk-Only Mass Storage Reset.
func (s setup) isReset() bool {
	return s == setup{toInterface, requestReset, 0, 0, 0}
}

// isMaxLUN is Get Max LUN.
func (s setup) isMaxLUN() bool {
	return s == setup{fromInterface, requestMaxLUN, 0, 0, 1}
}

// appendEvents appends the events in b to list. One read returns several; what
// is not a whole one is dropped, as the kernel never sends it.
func appendEvents(list []event, b []byte) []event {
	for ; len(b) >= eventSize; b = b[eventSize:] {
		list = append(list, event{eventType(b[8]), setup{
			b[0], b[1],
			binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]),
		}})
	}
	return list
}
