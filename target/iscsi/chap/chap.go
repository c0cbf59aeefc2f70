// Package chap is the arithmetic of CHAP as iSCSI has it (RFC 1994; RFC 7143,
// 12.1.3): algorithms, challenges, responses and their text forms. It knows no
// connection and no login.
package chap

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"fmt"
	"slices"
	"strconv"
)

// An Algorithm is a hash by the number that CHAP_A gives it (IANA, "PPP
// Authentication Algorithms").
type Algorithm byte

// The algorithms of iSCSI.
const (
	MD5     Algorithm = 5
	SHA1    Algorithm = 6
	SHA256  Algorithm = 7
	SHA3256 Algorithm = 8
)

// An algorithm is a row of the table, the best first.
type algorithm struct {
	Algorithm
	name string
	sum  func([]byte) []byte
}

var algorithms = []algorithm{
	{SHA3256, "SHA3-256", func(b []byte) []byte { h := sha3.Sum256(b); return h[:] }},
	{SHA256, "SHA-256", func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }},
	{SHA1, "SHA1", func(b []byte) []byte { h := sha1.Sum(b); return h[:] }},
	{MD5, "MD5", func(b []byte) []byte { h := md5.Sum(b); return h[:] }},
}

// Algorithms returns all, the best first.
func Algorithms() []Algorithm {
	list := make([]Algorithm, len(algorithms))
	for i, a := range algorithms {
		list[i] = a.Algorithm
	}
	return list
}

// Parse returns the algorithm that String calls name.
func Parse(name string) (Algorithm, error) {
	i := slices.IndexFunc(algorithms, func(a algorithm) bool { return a.name == name })
	if i < 0 {
		return 0, fmt.Errorf("CHAP has no algorithm %q (hint: there are SHA3-256, SHA-256, SHA1 and MD5)", name)
	}
	return algorithms[i].Algorithm, nil
}

func (a Algorithm) row() *algorithm {
	i := slices.IndexFunc(algorithms, func(r algorithm) bool { return r.Algorithm == a })
	if i < 0 {
		return nil
	}
	return &algorithms[i]
}

// String returns the name of the algorithm: SHA3-256, SHA-256, SHA1 or MD5.
func (a Algorithm) String() string {
	if r := a.row(); r != nil {
		return r.name
	}
	return "algorithm " + strconv.Itoa(int(a))
}

// Response returns the hash of the identifier, the secret and the challenge
// (RFC 1994, 4.1), of an algorithm of [Algorithms].
func (a Algorithm) Response(id byte, secret, challenge []byte) []byte {
	return a.row().sum(slices.Concat([]byte{id}, secret, challenge))
}

// Verify reports whether response is that of secret, in a time that does not
// depend on how much of it is right.
func (a Algorithm) Verify(id byte, secret, challenge, response []byte) bool {
	return subtle.ConstantTimeCompare(a.Response(id, secret, challenge), response) == 1
}
