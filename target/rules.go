package target

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// An Initiator is who asks for a target: the name that it gives itself, which
// proves nothing, and the address that it comes from. Address is the zero value
// where there is none, as on USB.
type Initiator struct {
	Name    string
	Address netip.Addr
}

// Rules say who may reach a logical unit. The zero value lets everybody in;
// with both lists an initiator must be in both.
type Rules struct {
	// Initiators are names of initiators. A * stands for any characters, none
	// too. Names that differ in case are one name (RFC 7143, 4.2.7.2).
	Initiators []string

	// Networks are where initiators come from.
	Networks []netip.Prefix
}

// Reasons for which an initiator is refused.
var (
	ErrNameRefused    = errors.New("initiators does not list the name")
	ErrAddressRefused = errors.New("networks does not hold the address")
)

// Check returns nil when who may come in, else [ErrNameRefused] or
// [ErrAddressRefused], whichever list is the first without it.
func (r Rules) Check(who Initiator) error {
	name := strings.ToLower(who.Name)
	named := func(pattern string) bool { return match(strings.ToLower(pattern), name) }
	if len(r.Initiators) > 0 && !slices.ContainsFunc(r.Initiators, named) {
		return fmt.Errorf("%w %q", ErrNameRefused, who.Name)
	}
	// a zone is an interface of ours: no rule says one
	address := who.Address.Unmap().WithZone("")
	near := func(p netip.Prefix) bool { return unmap(p).Contains(address) }
	if len(r.Networks) > 0 && !slices.ContainsFunc(r.Networks, near) {
		return fmt.Errorf("%w %v", ErrAddressRefused, address)
	}
	return nil
}

// match reports whether s is what pattern describes. It goes back to the last *
// only, so that the time is at most the product of both lengths.
func match(pattern, s string) bool {
	star, from := -1, 0 // the last *, and where what it stands for ends
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// unmap is p in the form of the addresses that it is held against: IPv4 in IPv6
// is IPv4.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// SetRules replaces the rules of the logical units; those that rules does not
// name are for everybody. It is safe while the target serves. Sessions keep the
// logical units of their login: [Session.Refused] tells which of them ought to
// end.
func (t *Target) SetRules(rules map[uint16]Rules) {
	rules = maps.Clone(rules)
	t.rules.Store(&rules)
}

// Map returns the logical units that who may reach, by number.
func (t *Target) Map(who Initiator) map[uint16]*Unit {
	units := map[uint16]*Unit{}
	for lun, u := range t.luns {
		if t.check(lun, who) == nil {
			units[lun] = u
		}
	}
	return units
}

func (t *Target) check(lun uint16, who Initiator) error {
	if rules := t.rules.Load(); rules != nil {
		return (*rules)[lun].Check(who)
	}
	return nil
}

// Check returns nil when who may log in: some logical unit lets it, or there is
// none to refuse it. Else it is the reason of the lowest one.
func (t *Target) Check(who Initiator) error {
	var first error
	for _, lun := range slices.Sorted(maps.Keys(t.luns)) {
		err := t.check(lun, who)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Refused returns nil while the rules in force let the session have every
// logical unit that it has, else the reason of the lowest that they refuse.
// What newer rules add is there at the next login.
func (s *Session) Refused() error {
	for _, lun := range slices.Sorted(maps.Keys(s.places)) {
		if err := s.target.check(lun, s.who); err != nil {
			return err
		}
	}
	return nil
}
