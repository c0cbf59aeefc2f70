package iscsi

import (
	"fmt"
	"math"
	"time"
)

// Limits bound what initiators can make the server keep. The zero value of each
// is its default. A change by [Server.Set] is for what comes next: it ends no
// connection and no session.
type Limits struct {
	Connections           int           // in all
	ConnectionsPerAddress int           // of one address, or of one /64 of IPv6
	Sessions              int           // in all, those of discovery among them
	FirstRequestTimeout   time.Duration // from the connection to the end of its first login request
	LoginTimeout          time.Duration // from the connection to the end of the login
	LoginsPerSecond       int           // of one address, in the long run
	LoginBurst            int           // of one address, at once
	Window                int           // commands that a session may have under way (RFC 7143, 4.2.2.1)
	Queue                 int           // commands in the task set of a drive
	Memory                int64         // bytes of answers, and of data-out that R2T asked for
	UnsolicitedMemory     int64         // bytes of data-out that came unasked
	Text                  int64         // bytes of one negotiation, over all its PDUs
	TextPDUs              int           // requests of one negotiation
}

// DefaultLimits returns the limits that hold where none are set: a machine with
// 1 GiB and four slow cores survives an initiator that uses them all. The
// reason for each is in docs/limits.md.
func DefaultLimits() Limits {
	return Limits{
		Connections: 1280, ConnectionsPerAddress: 64, Sessions: 1024,
		FirstRequestTimeout: 5 * time.Second, LoginTimeout: 15 * time.Second,
		LoginsPerSecond: 50, LoginBurst: 500,
		Window: 64, Queue: 2048,
		Memory: 48 << 20, UnsolicitedMemory: 16 << 20,
		Text: 16 << 10, TextPDUs: 32,
	}
}

// complete puts defaults where l has none.
func (l Limits) complete() *Limits {
	d := DefaultLimits()
	setDefault(&l.Connections, d.Connections)
	setDefault(&l.ConnectionsPerAddress, d.ConnectionsPerAddress)
	setDefault(&l.Sessions, d.Sessions)
	setDefault(&l.FirstRequestTimeout, d.FirstRequestTimeout)
	setDefault(&l.LoginTimeout, d.LoginTimeout)
	setDefault(&l.LoginsPerSecond, d.LoginsPerSecond)
	setDefault(&l.LoginBurst, d.LoginBurst)
	setDefault(&l.Window, d.Window)
	setDefault(&l.Queue, d.Queue)
	setDefault(&l.Memory, d.Memory)
	setDefault(&l.UnsolicitedMemory, d.UnsolicitedMemory)
	setDefault(&l.Text, d.Text)
	setDefault(&l.TextPDUs, d.TextPDUs)
	return &l
}

// memoryOf is a number of bytes as this machine counts what it has.
func memoryOf(n int64) int { return int(min(n, math.MaxInt/2)) }

// A limit is one of Limits, where something was refused by it.
type limit int

const (
	limitNone limit = iota // none: a connection that ended before its login for another reason
	limitTalk              // none: a session that began or ended
	limitConnections
	limitPerAddress
	limitSessions
	limitFirstRequest
	limitLogin
	limitLoginRate
	limitWindow
	limitQueue
	limitUnsolicited
	limitText
	limitTextPDUs
	limitCount
)

// limitRows say what a limit is called in the configuration, and what it is.
var limitRows = [limitCount]struct {
	key   string
	value func(*Limits) any
	more  string // what is logged of those that are not
}{
	limitNone:         {more: "more connections were dropped before a login"},
	limitTalk:         {more: "more sessions began and ended"},
	limitConnections:  {key: "connections", value: func(l *Limits) any { return l.Connections }},
	limitPerAddress:   {key: "connections_per_address", value: func(l *Limits) any { return l.ConnectionsPerAddress }},
	limitSessions:     {key: "sessions", value: func(l *Limits) any { return l.Sessions }},
	limitFirstRequest: {key: "first_request_timeout", value: func(l *Limits) any { return l.FirstRequestTimeout }},
	limitLogin:        {key: "login_timeout", value: func(l *Limits) any { return l.LoginTimeout }},
	limitLoginRate:    {key: "logins_per_second", value: func(l *Limits) any { return l.LoginsPerSecond }},
	limitWindow:       {key: "window", value: func(l *Limits) any { return l.Window }},
	limitQueue:        {key: "queue", value: func(l *Limits) any { return l.Queue }},
	limitUnsolicited:  {key: "unsolicited_memory", value: func(l *Limits) any { return l.UnsolicitedMemory }},
	limitText:         {key: "text", value: func(l *Limits) any { return l.Text }},
	limitTextPDUs:     {key: "text_pdus", value: func(l *Limits) any { return l.TextPDUs }},
}

// An overLimit is a refusal by a limit, as an error: what it wraps, if anything,
// is the status that the initiator is told.
type overLimit struct {
	by    limit
	value any
	told  error
}

// over is a refusal by a limit of l.
func (l *Limits) over(by limit, told error) *overLimit {
	return &overLimit{by, limitRows[by].value(l), told}
}

func (o *overLimit) Error() string {
	text := fmt.Sprintf("over the limit %s = %v of [iscsi.limits]", limitRows[o.by].key, o.value)
	if o.told != nil {
		text = o.told.Error() + ": " + text
	}
	return text
}

func (o *overLimit) Unwrap() error { return o.told }
