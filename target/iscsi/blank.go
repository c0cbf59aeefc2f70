package iscsi

import "bytes"

// secretKeys are the keys whose values tell about a CHAP secret to who can
// guess: identifier, challenge and response together (RFC 7143, 12.1.3).
var secretKeys = [][]byte{[]byte("CHAP_I"), []byte("CHAP_C"), []byte("CHAP_R")}

// longestSecretKey bounds what a blanker remembers of a key.
const longestSecretKey = 6

// A blanker overwrites values of secret keys in the text of one direction, with
// as many x. Keys and values may be parted over PDUs.
type blanker struct {
	key     [longestSecretKey + 1]byte
	keyLen  int // len(key) for one that is longer than any secret one
	inValue bool
	secret  bool
}

// blank overwrites in text, in place; more says that the text goes on in the
// next PDU (the C bit).
func (b *blanker) blank(text []byte, more bool) {
	for i, c := range text {
		switch {
		case c == 0:
			*b = blanker{}
		case b.inValue:
			if b.secret {
				text[i] = 'x'
			}
		case c == '=':
			b.inValue, b.secret = true, isSecret(b.key[:b.keyLen])
		case b.keyLen < len(b.key):
			b.key[b.keyLen] = c
			b.keyLen++
		}
	}
	if !more {
		*b = blanker{}
	}
}

// isSecret takes a key in any case: a wrong one is refused, but may have come
// with the right value.
func isSecret(key []byte) bool {
	for _, k := range secretKeys {
		if bytes.EqualFold(k, key) {
			return true
		}
	}
	return false
}
