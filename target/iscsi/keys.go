package iscsi

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"spindle/target/iscsi/chap"
)

// Sizes that this target declares or agrees to, in bytes.
const (
	loginDataLimit       = 8192      // MaxRecvDataSegmentLength during login (RFC 7143, 13.12)
	ourMaxRecv           = 64 << 10  // MaxRecvDataSegmentLength that we declare
	ourMaxBurst          = 1<<24 - 1 // MaxBurstLength
	ourFirstBurst        = 64 << 10  // FirstBurstLength
	maxKeyLen, maxValLen = 63, 255   // RFC 7143, 6.1; iSCSI names are the longest values, 223
)

// params are the results of negotiation that the data path needs. The zero
// value is not usable: start from defaultParams.
type params struct {
	initiatorName  string
	initiatorAlias string
	targetName     string
	discovery      bool

	headerDigest bool
	dataDigest   bool
	maxRecv      int // the initiator's MaxRecvDataSegmentLength
	maxBurst     int
	firstBurst   int
	initialR2T   bool
	immediate    bool
}

// defaultParams are those of RFC 7143, 13.
func defaultParams() params {
	return params{maxRecv: 8192, maxBurst: 262144, firstBurst: 65536, initialR2T: true, immediate: true}
}

// A key is a row of the negotiation table (RFC 7143, 13). Its function applies
// an offer to the parameters and returns the answer; an empty answer is none,
// as for declarations.
type key struct {
	name      string
	loginOnly bool
	apply     func(p *params, value string) (answer string)
}

// Answers that are not values (RFC 7143, 6.2).
const (
	reject        = "Reject"
	notUnderstood = "NotUnderstood"
)

var keys = []key{
	{"InitiatorName", true, declare(func(p *params, v string) { p.initiatorName = v })},
	{"InitiatorAlias", false, declare(func(p *params, v string) { p.initiatorAlias = v })},
	{"TargetName", true, declare(func(p *params, v string) { p.targetName = v })},
	{"SessionType", true, func(p *params, v string) string {
		p.discovery = v == "Discovery"
		if !p.discovery && v != "Normal" {
			return reject
		}
		return ""
	}},
	{"AuthMethod", true, nil}, // see security.go
	{"HeaderDigest", true, choose(func(p *params, v string) { p.headerDigest = v == "CRC32C" }, "CRC32C", "None")},
	{"DataDigest", true, choose(func(p *params, v string) { p.dataDigest = v == "CRC32C" }, "CRC32C", "None")},
	{"TaskReporting", true, choose(nil, "RFC3720")},
	{"MaxConnections", true, least(1, 65535, 1, nil)},
	{"InitialR2T", true, or(false, func(p *params, v bool) { p.initialR2T = v })},
	{"ImmediateData", true, and(true, func(p *params, v bool) { p.immediate = v })},
	{"MaxRecvDataSegmentLength", false, func(p *params, v string) string {
		n, ok := number(v, 512, 1<<24-1)
		if !ok {
			return reject
		}
		p.maxRecv = n
		return ""
	}},
	{"MaxBurstLength", true, least(512, 1<<24-1, ourMaxBurst, func(p *params, v int) { p.maxBurst = v })},
	{"FirstBurstLength", true, least(512, 1<<24-1, ourFirstBurst, func(p *params, v int) { p.firstBurst = v })},
	{"DefaultTime2Wait", true, most(0, 3600, 0)},
	{"DefaultTime2Retain", true, least(0, 3600, 0, nil)},
	{"MaxOutstandingR2T", true, least(1, 65535, 1, nil)},
	{"DataPDUInOrder", true, or(true, nil)},
	{"DataSequenceInOrder", true, or(true, nil)},
	{"ErrorRecoveryLevel", true, least(0, 2, 0, nil)},
	{"iSCSIProtocolLevel", true, least(0, 31, 1, nil)},
	// obsolete since RFC 7143: refused in the way that both RFCs allow
	{"IFMarker", true, and(false, nil)},
	{"OFMarker", true, and(false, nil)},
	{"IFMarkInt", true, func(*params, string) string { return reject }},
	{"OFMarkInt", true, func(*params, string) string { return reject }},
}

func findKey(name string) *key {
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &keys[i]
}

func declare(set func(*params, string)) func(*params, string) string {
	return func(p *params, v string) string { set(p, v); return "" }
}

// choose takes the first of the initiator's list that we know (RFC 7143, 6.2.1).
func choose(set func(*params, string), known ...string) func(*params, string) string {
	return func(p *params, v string) string {
		for offer := range strings.SplitSeq(v, ",") {
			if slices.Contains(known, offer) {
				if set != nil {
					set(p, offer)
				}
				return offer
			}
		}
		return reject
	}
}

func least(low, high, ours int, set func(*params, int)) func(*params, string) string {
	return func(p *params, v string) string {
		n, ok := number(v, low, high)
		if !ok {
			return reject
		}
		n = min(n, ours)
		if set != nil {
			set(p, n)
		}
		return strconv.Itoa(n)
	}
}

func most(low, high, ours int) func(*params, string) string {
	return func(_ *params, v string) string {
		n, ok := number(v, low, high)
		if !ok {
			return reject
		}
		return strconv.Itoa(max(n, ours))
	}
}

func or(ours bool, set func(*params, bool)) func(*params, string) string {
	return boolean(func(v bool) bool { return v || ours }, set)
}

func and(ours bool, set func(*params, bool)) func(*params, string) string {
	return boolean(func(v bool) bool { return v && ours }, set)
}

func boolean(result func(bool) bool, set func(*params, bool)) func(*params, string) string {
	return func(p *params, v string) string {
		if v != "Yes" && v != "No" {
			return reject
		}
		r := result(v == "Yes")
		if set != nil {
			set(p, r)
		}
		if r {
			return "Yes"
		}
		return "No"
	}
}

// number parses a decimal or hexadecimal numerical value (RFC 7143, 6.1).
func number(v string, low, high int) (int, bool) {
	base := 10
	if len(v) > 2 && v[0] == '0' && (v[1] == 'x' || v[1] == 'X') {
		v, base = v[2:], 16
	}
	n, err := strconv.ParseUint(v, base, 32)
	if err != nil || int64(n) < int64(low) || int64(n) > int64(high) {
		return 0, false
	}
	return int(n), true
}

// A pair is one key=value of login or text data.
type pair struct{ name, value string }

var errText = errors.New("malformed text")

// parseText splits the data of a negotiation. A key may come once only.
func parseText(data []byte) ([]pair, error) {
	var list []pair
	seen := map[string]bool{}
	for item := range bytes.SplitSeq(data, []byte{0}) {
		if len(item) == 0 {
			continue // the last terminator, or padding that some initiators count
		}
		name, value, ok := strings.Cut(string(item), "=")
		switch {
		case !ok || name == "":
			return nil, fmt.Errorf("%w: %.40q is not key=value", errText, item)
		case len(name) > maxKeyLen || len(value) > valueLimit(name):
			return nil, fmt.Errorf("%w: key %.40q is too long or its value is", errText, name)
		case seen[name]:
			return nil, fmt.Errorf("%w: key %q came twice", errText, name)
		}
		seen[name] = true
		list = append(list, pair{name, value})
	}
	return list, nil
}

// valueLimit is how long the value of a key may be. Those of RFC 7143, 12.1.3,
// that are binary are longer than others.
func valueLimit(name string) int {
	if name == "CHAP_C" || name == "CHAP_R" {
		return chap.MaxText
	}
	return maxValLen
}

func appendPair(b []byte, name, value string) []byte {
	b = append(append(b, name...), '=')
	return append(append(b, value...), 0)
}
