package chap

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync/atomic"
)

// Lengths of the parts of a challenge, in bytes.
const (
	nonceSize = 16
	sealSize  = 16
)

// A Challenger makes challenges, each once, and recognises every one that it
// made without keeping any: half of one is random, half a seal over that half
// with a key of the Challenger's own.
type Challenger struct {
	key [32]byte
	id  atomic.Uint32
}

// NewChallenger returns one with a key of its own.
func NewChallenger() *Challenger {
	c := &Challenger{}
	rand.Read(c.key[:])
	return c
}

// Next returns a challenge of 32 bytes and its identifier, which is another
// than that of the challenge before.
func (c *Challenger) Next() (id byte, challenge []byte) {
	nonce := make([]byte, nonceSize, nonceSize+sealSize)
	rand.Read(nonce)
	return byte(c.id.Add(1)), append(nonce, c.seal(nonce)...)
}

// Made reports whether challenge came from Next. Who sends such a one back wants
// the answer to it from us (RFC 7143, 9.2.1).
func (c *Challenger) Made(challenge []byte) bool {
	if len(challenge) != nonceSize+sealSize {
		return false
	}
	return hmac.Equal(c.seal(challenge[:nonceSize]), challenge[nonceSize:])
}

func (c *Challenger) seal(nonce []byte) []byte {
	h := hmac.New(sha256.New, c.key[:])
	h.Write(nonce)
	return h.Sum(nil)[:sealSize]
}
