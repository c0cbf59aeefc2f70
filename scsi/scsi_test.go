package scsi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestSenseBytes(t *testing.T) {
	tests := []struct {
		name       string
		s          Sense
		fixed      string
		descriptor string
	}{
		{"none", Sense{}, "70 00 00 00 00 00 00 0A 00 00 00 00 00 00 00 00 00 00", "72 00 00 00 00 00 00 00"},
		{"no medium", ErrMediumNotPresentTrayClosed, "70 00 02 00 00 00 00 0A 00 00 00 00 3A 01 00 00 00 00", "72 02 3A 01 00 00 00 00"},
		{"medium changed", ErrMediumMayHaveChanged, "70 00 06 00 00 00 00 0A 00 00 00 00 28 00 00 00 00 00", "72 06 28 00 00 00 00 00"},
		{
			"at a block", ErrUnrecoveredRead.At(100000),
			"F0 00 03 00 01 86 A0 0A 00 00 00 00 11 00 00 00 00 00",
			"72 03 11 00 00 00 00 0C 00 0A 80 00 00 00 00 00 00 01 86 A0",
		},
		{
			"progress", ErrBecomingReady.Progress(1, 2),
			"70 00 02 00 00 00 00 0A 00 00 00 00 04 01 00 80 80 00",
			"72 02 04 01 00 00 00 08 02 06 00 00 80 80 00 00",
		},
		{
			"field in CDB", FieldInCDB(2, 5),
			"70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 CD 00 02",
			"72 05 24 00 00 00 00 08 02 06 00 00 CD 00 02 00",
		},
		{
			"byte in CDB", FieldInCDB(0x123, -1),
			"70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 C0 01 23",
			"72 05 24 00 00 00 00 08 02 06 00 00 C0 01 23 00",
		},
		{
			"field in parameters", FieldInParameterList(8, 0),
			"70 00 05 00 00 00 00 0A 00 00 00 00 26 00 00 88 00 08",
			"72 05 26 00 00 00 00 08 02 06 00 00 88 00 08 00",
		},
		{
			"incorrect length",
			Sense{Key: NoSense, ILI: true},
			"70 00 20 00 00 00 00 0A 00 00 00 00 00 00 00 00 00 00",
			"72 00 00 00 00 00 00 04 05 02 00 20",
		},
		{
			"information not valid",
			Sense{Key: MediumError, Code: 0x1100, Info: 7},
			"70 00 03 00 00 00 00 0A 00 00 00 00 11 00 00 00 00 00", "72 03 11 00 00 00 00 00",
		},
	}
	spaced := func(b []byte) string { return strings.ToUpper(fmt.Sprintf("% x", b)) }
	for _, tt := range tests {
		if got := spaced(tt.s.AppendFixed(nil)); got != tt.fixed {
			t.Errorf("%s, fixed: %s, want %s", tt.name, got, tt.fixed)
		}
		prefix := []byte{0xAA}
		if got := spaced(tt.s.AppendDescriptor(prefix)[1:]); got != tt.descriptor {
			t.Errorf("%s, descriptor: %s, want %s", tt.name, got, tt.descriptor)
		}
	}
}

func TestProgress(t *testing.T) {
	for _, tt := range []struct {
		done, total int64
		want        string
	}{{0, 10, "800000"}, {10, 10, "80ffff"}, {11, 10, "80ffff"}, {5, 0, "800000"}} {
		s := ErrBecomingReady.Progress(tt.done, tt.total)
		if got := hex.EncodeToString(s.SKS[:]); got != tt.want {
			t.Errorf("Progress(%d, %d) = %s, want %s", tt.done, tt.total, got, tt.want)
		}
	}
}

func TestSenseError(t *testing.T) {
	for want, err := range map[string]error{
		"5/24/00 INVALID FIELD IN CDB":                FieldInCDB(2, 5),
		"3/11/00 UNRECOVERED READ ERROR at block 100": ErrUnrecoveredRead.At(100),
		"7/27/00":              Sense{Key: DataProtect, Code: 0x2700},
		"RESERVATION CONFLICT": ReservationConflict,
		"status 30h":           Status(0x30),
	} {
		if got := err.Error(); got != want {
			t.Errorf("Error() = %q, want %q", got, want)
		}
	}
	if !errors.Is(fmt.Errorf("x: %w", ErrUnrecoveredRead.At(7)), ErrUnrecoveredRead) || errors.Is(ErrInvalidOpcode, ErrInvalidFieldInCDB) {
		t.Error("errors.Is does not compare key and code")
	}
}

func TestStatusOf(t *testing.T) {
	tests := []struct {
		err    error
		status Status
		sense  Sense
	}{
		{nil, Good, Sense{}},
		{ErrInvalidOpcode, CheckCondition, ErrInvalidOpcode},
		{fmt.Errorf("x: %w", ErrInvalidOpcode), CheckCondition, ErrInvalidOpcode},
		{fmt.Errorf("x: %w", Busy), Busy, Sense{}},
		{CheckCondition, CheckCondition, ErrInternal},
		{io.ErrUnexpectedEOF, CheckCondition, ErrInternal},
	}
	for _, tt := range tests {
		if st, se := StatusOf(tt.err); st != tt.status || se != tt.sense {
			t.Errorf("StatusOf(%v) = %v, %v; want %v, %v", tt.err, st, se, tt.status, tt.sense)
		}
	}
}

func take(n *Nexus) (codes []uint16) {
	for s, ok := n.Take(); ok; s, ok = n.Take() {
		codes = append(codes, s.Code)
	}
	return codes
}

func TestNexusQueue(t *testing.T) {
	ua := func(code uint16) Sense { return Sense{Key: UnitAttention, Code: code} }
	tests := []struct {
		name  string
		raise []uint16
		drop  uint16
		want  []uint16
	}{
		{"none", nil, 0, nil},
		{"in order", []uint16{0x2800, 0x2A01}, 0, []uint16{0x2800, 0x2A01}},
		{"the more urgent first", []uint16{0x2F00, 0x2A01, 0x2800, 0x3F03, 0x3F0E, 0x2A09}, 0, []uint16{0x3F03, 0x3F0E, 0x2800, 0x2A01, 0x2A09, 0x2F00}},
		{"once", []uint16{0x2800, 0x2A01, 0x2800}, 0, []uint16{0x2800, 0x2A01}},
		{"reset drops the earlier", []uint16{0x2800, 0x2A01, 0x2900, 0x3F0E}, 0, []uint16{0x2900, 0x3F0E}},
		{"reset drops a reset", []uint16{0x2900, 0x2903}, 0, []uint16{0x2903}},
		{"no longer so", []uint16{0x2900, 0x2800, 0x2A01}, 0x2800, []uint16{0x2900, 0x2A01}},
		{"bounded", []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0, []uint16{1, 2, 3, 4, 5, 6, 7, 8}},
	}
	for _, tt := range tests {
		n := new(Nexus)
		for _, code := range tt.raise {
			n.Raise(ua(code))
		}
		n.Drop(ua(tt.drop))
		pending := n.Pending()
		got := take(n)
		if fmt.Sprintf("%X", got) != fmt.Sprintf("%X", tt.want) || pending != (len(tt.want) > 0) || n.Pending() {
			t.Errorf("%s: queue %X, pending %v; want %X", tt.name, got, pending, tt.want)
		}
	}
	if got, want := (&Nexus{Initiator: "iqn.x", ISID: [6]byte{1, 2, 3, 4, 5, 6}}).Key(), "iqn.x,i,0x010203040506"; got != want {
		t.Errorf("Key = %s, want %s", got, want)
	}
}

type bare struct{}

func (bare) Execute(context.Context, *Command) error { return nil }

type resetting struct{ bare }

func (resetting) Reset() {}

type wrapper struct{ lu LogicalUnit }

func (wrapper) Execute(context.Context, *Command) error { return nil }
func (w wrapper) Unwrap() LogicalUnit                   { return w.lu }

func TestAs(t *testing.T) {
	tests := []struct {
		name string
		lu   LogicalUnit
		want bool
	}{
		{"nil", nil, false},
		{"without", bare{}, false},
		{"with", resetting{}, true},
		{"wrapped twice", wrapper{wrapper{resetting{}}}, true},
		{"wrapped without", wrapper{bare{}}, false},
		{"around nothing", wrapper{nil}, false},
	}
	for _, tt := range tests {
		if _, ok := As[Resetter](tt.lu); ok != tt.want {
			t.Errorf("%s: As[Resetter] = %v, want %v", tt.name, ok, tt.want)
		}
	}
	if w, ok := As[wrapper](wrapper{bare{}}); !ok || w.lu != (bare{}) {
		t.Error("As does not find the outermost")
	}
}
