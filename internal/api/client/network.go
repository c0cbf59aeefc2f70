package client

import "time"

// A Network says how near the limits of the iSCSI target are.
type Network struct {
	Connections       Share     `json:"connections"`
	Sessions          Share     `json:"sessions"`
	Memory            Share     `json:"memory"`             // bytes
	UnsolicitedMemory Share     `json:"unsolicited_memory"` // bytes
	Addresses         int       `json:"addresses"`          // that have connections
	Refused           []Refused `json:"refused"`
}

// A Share is how much of a limit is used.
type Share struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// A Refused is what one limit refused since the daemon started.
type Refused struct {
	Limit string    `json:"limit"` // key of [iscsi.limits]
	Value string    `json:"value"` // of the limit when it refused the last
	Count uint64    `json:"count"`
	Last  string    `json:"last"` // address of the last that was refused
	At    time.Time `json:"at"`
}
