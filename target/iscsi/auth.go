package iscsi

import (
	"slices"

	"spindle/target"
	"spindle/target/iscsi/chap"
)

// An Algorithm is a hash of CHAP by its number in CHAP_A.
type Algorithm = chap.Algorithm

// The algorithms of CHAP.
const (
	MD5     = chap.MD5
	SHA1    = chap.SHA1
	SHA256  = chap.SHA256
	SHA3256 = chap.SHA3256
)

// Algorithms returns all, the best first.
func Algorithms() []Algorithm { return chap.Algorithms() }

// ParseAlgorithm returns the algorithm of a name: SHA3-256, SHA-256, SHA1 or
// MD5.
func ParseAlgorithm(name string) (Algorithm, error) { return chap.Parse(name) }

// An Auth is a demand for CHAP (RFC 7143, 12.1.3).
type Auth struct {
	// Users are who may log in. With none nobody may.
	Users []User

	// Mutual is how the target proves itself to an initiator that asks for it.
	// When it is nil such an initiator is refused. Its secret must be another
	// than that of each user: a login of one with the same is refused.
	Mutual *User

	// Algorithms are those that are taken, the best first: the first that the
	// initiator offers too is used, whatever its order. When there are none it
	// is those of [Algorithms].
	Algorithms []Algorithm
}

// A User is a name and the secret that proves it. Secrets are bytes as they
// are: without a line end that an editor leaves.
type User struct {
	Name   string // CHAP_N; names that differ in case are two
	Secret []byte
}

func (a *Auth) user(name string) *User {
	i := slices.IndexFunc(a.Users, func(u User) bool { return u.Name == name })
	if i < 0 {
		return nil
	}
	return &a.Users[i]
}

func (a *Auth) algorithms() []Algorithm {
	if len(a.Algorithms) == 0 {
		return Algorithms()
	}
	return a.Algorithms
}

// A Discovery says who may ask what targets there are. The zero value lets
// everybody ask; each is told of the targets that [target.Target.Check] lets it
// log in to.
type Discovery struct {
	Auth  *Auth // nil asks for no CHAP
	Rules target.Rules
}
