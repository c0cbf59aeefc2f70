package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// An Error is one thing that is wrong with a configuration.
type Error struct {
	File   string   // empty when the configuration came from no file
	Line   int      // from 1; 0 when not known
	Key    []string // the path of the key, for what is not an error of syntax
	Reason string
	Hint   string // what to do; may be empty
}

// Error is "file:line: key: reason (hint: …)", as compilers write it.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if len(e.Key) > 0 {
		b.WriteString(toml.Key(e.Key).String() + ": ")
	}
	b.WriteString(e.Reason)
	if e.Hint != "" {
		b.WriteString(" (hint: " + e.Hint + ")")
	}
	return b.String()
}

// maxErrors bounds how many errors of one file are reported.
const maxErrors = 20

// locate adds file and line to errs and joins them in the order of lines.
func locate(name, text string, errs []*Error) error {
	left := len(errs) - maxErrors
	if left > 0 {
		errs = errs[:maxErrors]
	}
	for _, e := range errs {
		e.File, e.Line = name, lineOf(text, e.Key)
	}
	slices.SortStableFunc(errs, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	joined := join(errs)
	if left > 0 {
		joined = errors.Join(joined, &Error{File: name, Reason: fmt.Sprintf("%d more errors", left)})
	}
	return joined
}

func join(errs []*Error) error {
	list := make([]error, len(errs))
	for i, e := range errs {
		list[i] = e
	}
	return errors.Join(list...)
}

// lineOf returns the line of a key in text, or 0. Package toml keeps positions
// to itself but puts them into the errors of decoding: a value that refuses to
// be decoded tells where it stands. A table that only the names of others
// imply, as [drive.cd0.iscsi] does drive.cd0, stands where one of those does.
func lineOf(text string, key []string) (line int) {
	var t map[string]toml.Primitive
	md, err := toml.Decode(text, &t)
	for i := 0; err == nil && (i < len(key) || line == 0 && len(t) > 0); i++ {
		name := ""
		if i < len(key) {
			name = key[i]
		} else {
			name = slices.Min(slices.Collect(maps.Keys(t)))
		}
		p, ok := t[name]
		if !ok {
			break
		}
		line = 0
		if pe, ok := errors.AsType[toml.ParseError](md.PrimitiveDecode(p, new(refusal))); ok {
			line = pe.Position.Line
		}
		t = nil
		err = md.PrimitiveDecode(p, &t)
	}
	return line
}

// A refusal is a value that cannot be decoded.
type refusal struct{}

// UnmarshalTOML implements toml.Unmarshaler.
func (*refusal) UnmarshalTOML(any) error { return errors.New("where am I") }
