package scsi

import (
	"errors"
	"fmt"
)

// A Status is a SAM-5 status code, as an error when it is not GOOD.
type Status byte

// Status codes (SAM-5, 5.3.1).
const (
	Good                Status = 0x00
	CheckCondition      Status = 0x02
	Busy                Status = 0x08
	ReservationConflict Status = 0x18
	TaskSetFull         Status = 0x28
	TaskAborted         Status = 0x40
)

var statusNames = map[Status]string{
	Good:                "GOOD",
	CheckCondition:      "CHECK CONDITION",
	Busy:                "BUSY",
	ReservationConflict: "RESERVATION CONFLICT",
	TaskSetFull:         "TASK SET FULL",
	TaskAborted:         "TASK ABORTED",
}

// Error is the standard's name for the status.
func (s Status) Error() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status %02Xh", byte(s))
}

// StatusOf returns the status to send for what Execute returned, and the sense
// that goes with CHECK CONDITION: [ErrInternal] when err carries neither.
func StatusOf(err error) (Status, Sense) {
	if err == nil {
		return Good, Sense{}
	}
	if s, ok := errors.AsType[Status](err); ok && s != CheckCondition {
		return s, Sense{}
	}
	return CheckCondition, SenseOf(err)
}
