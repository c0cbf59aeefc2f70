package chap

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxBinary is the longest value of CHAP_C and CHAP_R, in bytes (RFC 7143,
	// 12.1.3).
	MaxBinary = 1024

	// MaxText is the longest text of such a value, with its prefix.
	MaxText = 2 + 2*MaxBinary
)

var errBinary = errors.New("not a binary value")

// Encode returns b as CHAP_C and CHAP_R have it.
func Encode(b []byte) string { return "0x" + hex.EncodeToString(b) }

// Decode returns the bytes of a hexadecimal or base64 constant (RFC 7143, 6.1):
// at least one, at most [MaxBinary].
func Decode(v string) ([]byte, error) {
	if len(v) > MaxText {
		return nil, fmt.Errorf("%w: longer than %d bytes", errBinary, MaxBinary)
	}
	var b []byte
	var err error
	prefix := v[:min(len(v), 2)]
	switch text := v[len(prefix):]; {
	case strings.EqualFold(prefix, "0x"):
		b, err = hex.DecodeString(text)
	case strings.EqualFold(prefix, "0b") && !strings.ContainsAny(text, "\r\n"): // which the decoder skips
		b, err = base64.StdEncoding.Strict().DecodeString(text)
	default:
		return nil, fmt.Errorf("%w: neither 0x and hexadecimal digits nor 0b and base64", errBinary)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errBinary, err)
	case len(b) == 0:
		return nil, fmt.Errorf("%w: empty", errBinary)
	case len(b) > MaxBinary:
		return nil, fmt.Errorf("%w: longer than %d bytes", errBinary, MaxBinary)
	}
	return b, nil
}

// DecodeID returns the identifier of CHAP_I: one byte, decimal or hexadecimal.
func DecodeID(v string) (byte, error) {
	base := 10
	if len(v) > 2 && strings.EqualFold(v[:2], "0x") {
		v, base = v[2:], 16
	}
	n, err := strconv.ParseUint(v, base, 8)
	if err != nil {
		return 0, fmt.Errorf("identifier %.20q is not a number below 256", v)
	}
	return byte(n), nil
}

// Choose returns the first of ours that offer, the value of CHAP_A, has too.
func Choose(ours []Algorithm, offer string) (Algorithm, bool) {
	var offered [256]bool
	for item := range strings.SplitSeq(offer, ",") {
		if id, err := DecodeID(item); err == nil {
			offered[id] = true
		}
	}
	for _, a := range ours {
		if a.row() != nil && offered[a] {
			return a, true
		}
	}
	return 0, false
}

// longOffer is what no initiator's list of algorithms reaches, in bytes.
const longOffer = 64

// Names returns offer, the value of CHAP_A, for people: each number with the name of
// its algorithm, "7 (SHA-256)", and what is none as it stands there. One of more
// than 64 bytes is nobody's, and is not made longer still.
func Names(offer string) string {
	if len(offer) > longOffer {
		return offer
	}
	var names []string
	for item := range strings.SplitSeq(offer, ",") {
		if id, err := DecodeID(item); err == nil && Algorithm(id).row() != nil {
			item += " (" + Algorithm(id).String() + ")"
		}
		names = append(names, item)
	}
	return strings.Join(names, ", ")
}
