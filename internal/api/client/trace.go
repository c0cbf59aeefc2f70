package client

import "time"

// A TraceEntry is a line of a trace behind its header, as far as people want to
// see it: a command when CDB is set, an event otherwise. docs/trace.md has all.
type TraceEntry struct {
	Time      time.Time     `json:"time"`
	Event     string        `json:"event"`
	Nexus     uint32        `json:"nexus"` // number; Host of the event "nexus-joined" says who it is
	CDB       string        `json:"cdb"`   // hex
	Name      string        `json:"name"`
	Status    string        `json:"status"`
	Error     string        `json:"error"`
	In        int64         `json:"in"`
	Out       int64         `json:"out"`
	Residual  int64         `json:"residual"`
	Took      time.Duration `json:"took_ns"`
	Aborted   bool          `json:"aborted"`
	Running   bool          `json:"running"`
	Host      *TraceHost    `json:"host"`
	Medium    *TraceMedium  `json:"medium"`
	Initiator string        `json:"by"`
	Force     bool          `json:"force"`
	Base      bool          `json:"base"`
	Lost      uint64        `json:"lost"`
}

// A TraceHost is the other end of a nexus.
type TraceHost struct {
	Initiator string `json:"initiator"`
	Address   string `json:"address"`
}

// A TraceMedium is the disc of an event.
type TraceMedium struct {
	Name string `json:"name"`
}
