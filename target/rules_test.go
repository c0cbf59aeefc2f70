package target_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"spindle/scsi"
	"spindle/scsi/scsitest"
	"spindle/target"
)

func who(name, address string) target.Initiator {
	w := target.Initiator{Name: name}
	if address != "" {
		w.Address = netip.MustParseAddr(address)
	}
	return w
}

func nets(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestRules(t *testing.T) {
	tests := []struct {
		rules   target.Rules
		name    string
		address string
		want    error
	}{
		{target.Rules{}, "iqn.a", "192.0.2.1", nil},
		{target.Rules{}, "", "", nil},
		{target.Rules{Initiators: []string{"iqn.a"}}, "iqn.a", "", nil},
		{target.Rules{Initiators: []string{"iqn.A"}}, "IQN.a", "", nil},
		{target.Rules{Initiators: []string{"iqn.a"}}, "iqn.ab", "", target.ErrNameRefused},
		{target.Rules{Initiators: []string{"iqn.a"}}, "", "", target.ErrNameRefused},
		{target.Rules{Initiators: []string{"iqn.b", "eui.02004567A425678D"}}, "eui.02004567a425678d", "", nil},
		{target.Rules{Initiators: []string{"iqn.*:host"}}, "iqn.2026-11.example:a:host", "", nil},
		{target.Rules{Initiators: []string{"iqn.*:host"}}, "iqn.2026-11.example:hosts", "", target.ErrNameRefused},
		{target.Rules{Initiators: []string{"iqn.*"}}, "iqn.", "", nil},
		{target.Rules{Initiators: []string{"*"}}, "", "", nil},
		{target.Rules{Initiators: []string{"a**b*c*"}}, "aXbbYc", "", nil},
		{target.Rules{Initiators: []string{"a*b"}}, "abab", "", nil},
		{target.Rules{Initiators: []string{"a.b"}}, "axb", "", target.ErrNameRefused},
		{target.Rules{Initiators: []string{"a?b", "[a-z]"}}, "axb", "", target.ErrNameRefused},
		{target.Rules{Initiators: []string{""}}, "iqn.a", "", target.ErrNameRefused},
		{target.Rules{Networks: nets("192.0.2.0/24")}, "iqn.a", "192.0.2.255", nil},
		{target.Rules{Networks: nets("192.0.2.0/24")}, "iqn.a", "::ffff:192.0.2.7", nil},
		{target.Rules{Networks: nets("::ffff:192.0.2.0/120")}, "iqn.a", "192.0.2.7", nil},
		{target.Rules{Networks: nets("192.0.2.0/24")}, "iqn.a", "192.0.3.0", target.ErrAddressRefused},
		{target.Rules{Networks: nets("0.0.0.0/0")}, "iqn.a", "2001:db8::1", target.ErrAddressRefused},
		{target.Rules{Networks: nets("fe80::/10")}, "iqn.a", "fe80::1%eth0", nil},
		{target.Rules{Networks: nets("0.0.0.0/0", "::/0")}, "iqn.a", "", target.ErrAddressRefused},
		{target.Rules{Initiators: []string{"iqn.a"}, Networks: nets("::1/128")}, "iqn.a", "::1", nil},
		{target.Rules{Initiators: []string{"iqn.a"}, Networks: nets("::1/128")}, "iqn.a", "::2", target.ErrAddressRefused},
		{target.Rules{Initiators: []string{"iqn.a"}, Networks: nets("::1/128")}, "iqn.b", "::1", target.ErrNameRefused},
	}
	for _, tt := range tests {
		err := tt.rules.Check(who(tt.name, tt.address))
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%+v: %s from %s: %v, want %v", tt.rules, tt.name, tt.address, err, tt.want)
		}
	}
}

// A pattern of many * costs no more than the product of the lengths: this would
// not end if each * were tried with each end of the one before it.
func TestPatternTime(t *testing.T) {
	r := target.Rules{Initiators: []string{strings.Repeat("a*", 110) + "b"}}
	if err := r.Check(who(strings.Repeat("a", 223), "")); !errors.Is(err, target.ErrNameRefused) {
		t.Error(err)
	}
}

// A session sees, and reaches, the logical units that the rules gave it.
func TestMap(t *testing.T) {
	units := map[uint16]*target.Unit{}
	for _, n := range []uint16{0, 1, 2} {
		units[n] = target.NewUnit("cd", ready{}, target.UnitOptions{})
	}
	tg := target.New("iqn.test", units)
	tg.SetRules(map[uint16]target.Rules{
		0: {Initiators: []string{"iqn.a"}},
		1: {Networks: nets("192.0.2.0/24")},
		2: {Initiators: []string{"iqn.a"}},
	})
	all, one, none := who("iqn.a", "192.0.2.1"), who("iqn.b", "192.0.2.1"), who("iqn.b", "::1")
	if err := tg.Check(none); !errors.Is(err, target.ErrNameRefused) || len(tg.Map(none)) != 0 {
		t.Errorf("Check %v, Map %v; want nothing for %v", err, tg.Map(none), none)
	}
	if m := tg.Map(one); tg.Check(one) != nil || len(m) != 1 || m[1] != units[1] {
		t.Errorf("Map is %v, want unit 1", m)
	}
	a, b := tg.Open(all, isid, scsi.Port{}, ""), tg.Open(one, isid, scsi.Port{}, "")
	defer a.Close()
	defer b.Close()
	if got := reported(t, a); got != "012" {
		t.Errorf("REPORT LUNS of %v lists %q", all, got)
	}
	if got := reported(t, b); got != "1" {
		t.Errorf("REPORT LUNS of %v lists %q", one, got)
	}
	if _, err := do(t, b, 1, scsi.CDB{}); err != nil {
		t.Errorf("unit 1, which is in the map: %v", err)
	}
	for _, n := range []byte{0, 2, 3} {
		if _, err := do(t, b, n, scsi.CDB{}); !errors.Is(err, scsi.ErrLogicalUnitNotSupported) {
			t.Errorf("unit %d, which is not in the map: %v", n, err)
		}
		if err := b.ResetUnit(target.LUN{0, n}); !errors.Is(err, target.ErrNoLUN) {
			t.Errorf("reset of unit %d: %v", n, err)
		}
	}

	tg.SetRules(map[uint16]target.Rules{0: {Initiators: []string{"iqn.b"}}})
	if err := a.Refused(); !errors.Is(err, target.ErrNameRefused) {
		t.Errorf("a session with a unit that new rules refuse: %v", err)
	}
	if err := b.Refused(); err != nil {
		t.Errorf("a session with no unit that new rules refuse: %v", err)
	}
	if got := reported(t, b); got != "1" {
		t.Errorf("a session has the units of its login, REPORT LUNS lists %q", got)
	}
}

// Rules change while sessions come and go.
func TestRulesWhileServing(t *testing.T) {
	tg := target.New("iqn.test", map[uint16]*target.Unit{0: target.NewUnit("cd", ready{}, target.UnitOptions{})})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				s := tg.Open(who("iqn.a", ""), isid, scsi.Port{}, "")
				if err := s.Refused(); err != nil && !errors.Is(err, target.ErrNameRefused) {
					t.Error(err)
				}
				s.Close()
			}
		})
	}
	for i := range 100 {
		tg.SetRules(map[uint16]target.Rules{0: {Initiators: []string{[]string{"iqn.a", "iqn.b"}[i%2]}}})
	}
	wg.Wait()
}

// do runs one command to its end and returns its data.
func do(t *testing.T, s *target.Session, lun byte, cdb scsi.CDB) ([]byte, error) {
	t.Helper()
	in := &scsitest.DataIn{Limit: 4096}
	j := &job{ended: make(chan result, 1)}
	j.CDB, j.In, j.Out, j.Owner = cdb, in, scsitest.NoData, j
	s.Submit(target.LUN{0, lun}, &j.Task)
	r := <-j.ended
	return in.Data, r.err
}

// reported returns the digits of the logical units in REPORT LUNS.
func reported(t *testing.T, s *target.Session) (list string) {
	t.Helper()
	b, err := do(t, s, 0, scsi.CDB{0xA0, 9: 255})
	if err != nil || len(b) != 8+int(binary.BigEndian.Uint32(b)) {
		t.Fatalf("REPORT LUNS is %x, %v", b, err)
	}
	for lun := range slices.Chunk(b[8:], 8) {
		list += string('0' + rune(lun[1]))
	}
	return list
}

// ready is a logical unit that is always ready.
type ready struct{}

func (ready) Execute(context.Context, *scsi.Command) error { return nil }
