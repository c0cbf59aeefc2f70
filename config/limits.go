package config

import (
	"fmt"
	"time"
)

// Limits is the table [iscsi.limits]: what initiators can make the server keep.
// The meaning, the default and the reason of each is in docs/limits.md.
type Limits struct {
	Connections           int           // in all
	ConnectionsPerAddress int           // of one address, or of one /64 of IPv6
	Sessions              int           // in all
	FirstRequestTimeout   time.Duration // from the connection to its first login request; LoginTimeout when that is shorter
	LoginTimeout          time.Duration // from the connection to the end of the login
	LoginsPerSecond       int           // of one address, in the long run
	LoginBurst            int           // of one address, at once
	Window                int           // commands that a session may have under way
	Queue                 int           // commands that a drive may have under way
	Memory                int64         // bytes of answers, and of data-out that was asked for
	UnsolicitedMemory     int64         // bytes of data-out that came unasked
	Text                  int64         // bytes of one negotiation
	TextPDUs              int           // requests of one negotiation
}

// defaultLimits are those of package iscsi, which this one does not import.
func defaultLimits() Limits {
	return Limits{
		Connections: 1280, ConnectionsPerAddress: 64, Sessions: 1024,
		FirstRequestTimeout: 5 * time.Second, LoginTimeout: 15 * time.Second,
		LoginsPerSecond: 50, LoginBurst: 500, Window: 64, Queue: 2048,
		Memory: 48 << 20, UnsolicitedMemory: 16 << 20, Text: 16 << 10, TextPDUs: 32,
	}
}

// limitRanges are the keys of [iscsi.limits] with where their values are and
// what they may be: of one kind each, numbers, times or sizes.
var limitRanges = []struct {
	key      string
	number   func(*Limits) *int
	time     func(*Limits) *time.Duration
	size     func(*Limits) *int64
	min, max int64
	hint     string
}{
	{key: "connections", number: func(l *Limits) *int { return &l.Connections }, min: 1, max: 65536, hint: "each takes 16 KiB, and a file descriptor"},
	{key: "connections_per_address", number: func(l *Limits) *int { return &l.ConnectionsPerAddress }, min: 1, max: 65536, hint: "a host needs one a drive, and two while it logs in"},
	{key: "sessions", number: func(l *Limits) *int { return &l.Sessions }, min: 1, max: 65535, hint: "iSCSI tells no more apart"},
	{key: "first_request_timeout", time: func(l *Limits) *time.Duration { return &l.FirstRequestTimeout }, min: int64(100 * time.Millisecond), max: int64(5 * time.Minute), hint: `"5s" is enough for any host that is well`},
	{key: "login_timeout", time: func(l *Limits) *time.Duration { return &l.LoginTimeout }, min: int64(100 * time.Millisecond), max: int64(5 * time.Minute), hint: `hosts give up after "15s"`},
	{key: "logins_per_second", number: func(l *Limits) *int { return &l.LoginsPerSecond }, min: 1, max: 1e6, hint: "it is for each address on its own"},
	{key: "login_burst", number: func(l *Limits) *int { return &l.LoginBurst }, min: 1, max: 1e6, hint: "it is for each address on its own"},
	{key: "window", number: func(l *Limits) *int { return &l.Window }, min: 1, max: 1024, hint: "Linux has 32 commands of a drive under way"},
	{key: "queue", number: func(l *Limits) *int { return &l.Queue }, min: 1, max: 1 << 20, hint: "a command that waits takes some 5 KiB"},
	{key: "memory", size: func(l *Limits) *int64 { return &l.Memory }, min: 1 << 20, max: 1 << 40, hint: `write it as "48MiB": one connection takes up to 512 KiB of it`},
	{key: "unsolicited_memory", size: func(l *Limits) *int64 { return &l.UnsolicitedMemory }, min: 1 << 20, max: 1 << 40, hint: `write it as "16MiB": one command takes up to 64 KiB of it`},
	{key: "text", size: func(l *Limits) *int64 { return &l.Text }, min: 1 << 10, max: 1 << 20, hint: `write it as "16KiB": a host's login has less than 1 KiB`},
	{key: "text_pdus", number: func(l *Limits) *int { return &l.TextPDUs }, min: 4, max: 1024, hint: "a login with CHAP takes four"},
}

// read fills l from the table.
func (l *Limits) read(t *table) {
	for _, r := range limitRanges {
		switch {
		case r.number != nil:
			t.int(r.key, r.number(l))
		case r.time != nil:
			t.duration(r.key, r.time(l))
		default:
			t.size(r.key, r.size(l))
		}
	}
	t.done()
}

// problems returns what is wrong with l.
func (l *Limits) problems() (errs []*Error) {
	for _, r := range limitRanges {
		var have int64
		text := func(n int64) string { return fmt.Sprint(n) }
		switch {
		case r.number != nil:
			have = int64(*r.number(l))
		case r.time != nil:
			have = int64(*r.time(l))
			text = func(n int64) string { return time.Duration(n).String() }
		default:
			have, text = *r.size(l), sizeText
		}
		if have < r.min || have > r.max {
			reason := fmt.Sprintf("%s is not between %s and %s", text(have), text(r.min), text(r.max))
			errs = append(errs, &Error{Key: []string{"iscsi", "limits", r.key}, Reason: reason, Hint: r.hint})
		}
	}
	return errs
}

// sizeText is a number of bytes in the largest unit of which it is a multiple.
func sizeText(n int64) string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		for _, have := range sizeUnits {
			if have.name == u && n >= have.n && n%have.n == 0 {
				return fmt.Sprint(n/have.n) + u
			}
		}
	}
	return fmt.Sprint(n) + "B"
}

// connectionMemory is what one connection takes of Limits.Memory at most, in
// bytes.
const connectionMemory = 512 << 10

// warnings say where limits do not keep initiators from each other, and which
// are never met because others are lower.
func (l *Limits) warnings() (list []string) {
	if int64(l.ConnectionsPerAddress)*connectionMemory > l.Memory {
		list = append(list, fmt.Sprintf("iscsi.limits: %d connections_per_address can hold all memory of %s, so that one address can keep all others waiting (hint: memory = %q)",
			l.ConnectionsPerAddress, sizeText(l.Memory), sizeText(int64(l.ConnectionsPerAddress)*connectionMemory*3/2)))
	}
	for _, k := range []struct {
		key, most   string
		have, limit any
		over        bool
	}{
		{"sessions", "connections", l.Sessions, l.Connections, l.Sessions > l.Connections},
		{"connections_per_address", "connections", l.ConnectionsPerAddress, l.Connections, l.ConnectionsPerAddress > l.Connections},
		{"first_request_timeout", "login_timeout", l.FirstRequestTimeout, l.LoginTimeout, l.FirstRequestTimeout > l.LoginTimeout},
	} {
		if k.over {
			list = append(list, fmt.Sprintf("iscsi.limits: %s = %v is never met: %s = %v comes before (hint: raise that, too, or lower this)", k.key, k.have, k.most, k.limit))
		}
	}
	return list
}
