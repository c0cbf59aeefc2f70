package iscsi

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"spindle/target/iscsi/chap"
)

// A security is the authentication of one login (RFC 7143, 12.1). The zero
// value asks for none.
type security struct {
	auth *Auth // that the target, or discovery, asks for; nil asks for none
	step authStep

	algorithm chap.Algorithm
	id        byte   // of challenge
	challenge []byte // ours
	user      string // that is authenticated; empty before
}

// An authStep is what the initiator has to send next.
type authStep byte

const (
	stepMethod authStep = iota
	stepAlgorithm
	stepResponse
	stepDone
)

// authSteps are the keys that go together in one request, and what answers
// them. Keys that a step may have beside those that it must have come last.
var authSteps = [...]struct {
	must, may []string
	serve     func(x *exchange, keys map[string]string) ([]byte, error)
}{
	stepMethod:    {[]string{"AuthMethod"}, nil, (*exchange).authMethod},
	stepAlgorithm: {[]string{"CHAP_A"}, nil, (*exchange).authAlgorithm},
	stepResponse:  {[]string{"CHAP_N", "CHAP_R"}, []string{"CHAP_I", "CHAP_C"}, (*exchange).authResponse},
	stepDone:      {},
}

// isSecurityKey says which keys belong to authentication.
func isSecurityKey(name string) bool {
	return name == "AuthMethod" || strings.HasPrefix(name, "CHAP_")
}

// pending reports whether the login must not leave the security stage yet.
func (s *security) pending() bool { return s.auth != nil && s.step != stepDone }

// authenticate serves the security keys of one request. An initiator that wants
// to go on without what is asked for is refused.
func (x *exchange) authenticate(list []pair, transit bool) ([]byte, error) {
	s := &x.security
	if s.auth == nil {
		return unasked(list)
	}
	if s.pending() && (x.stage != stageSecurity || len(list) == 0 && transit) {
		return nil, fmt.Errorf("%w: CHAP is asked for and the initiator does none (hint: give the initiator a user and its secret)", loginAuthFailed)
	}
	if len(list) == 0 {
		return nil, nil
	}
	step := &authSteps[s.step]
	keys := map[string]string{}
	for _, kv := range list {
		if !slices.Contains(step.must, kv.name) && !slices.Contains(step.may, kv.name) {
			return nil, fmt.Errorf("%w: %s out of turn", loginInitiatorError, kv.name)
		}
		keys[kv.name] = kv.value
	}
	for _, name := range step.must {
		if _, ok := keys[name]; !ok {
			return nil, fmt.Errorf("%w: %s", loginMissing, name)
		}
	}
	answer, err := step.serve(x, keys)
	s.step++
	return answer, err
}

// unasked answers security keys where no CHAP is asked for.
func unasked(list []pair) (answer []byte, err error) {
	for _, kv := range list {
		if kv.name != "AuthMethod" {
			answer = appendPair(answer, kv.name, notUnderstood)
			continue
		}
		if !offers(kv.value, "None") {
			return nil, fmt.Errorf("%w: AuthMethod=%s; this target offers None (hint: let the initiator log in without a secret, or give the target users)", loginAuthFailed, kv.value)
		}
		answer = appendPair(answer, kv.name, "None")
	}
	return answer, nil
}

func offers(list, value string) bool { return slices.Contains(strings.Split(list, ","), value) }

func (x *exchange) authMethod(keys map[string]string) ([]byte, error) {
	if v := keys["AuthMethod"]; !offers(v, "CHAP") {
		return nil, fmt.Errorf("%w: AuthMethod=%s; this target asks for CHAP (hint: give the initiator a user and its secret)", loginAuthFailed, v)
	}
	return appendPair(nil, "AuthMethod", "CHAP"), nil
}

func (x *exchange) authAlgorithm(keys map[string]string) ([]byte, error) {
	s := &x.security
	var ok bool
	if s.algorithm, ok = chap.Choose(s.auth.algorithms(), keys["CHAP_A"]); !ok {
		return nil, fmt.Errorf("%w: the initiator offers %s in CHAP_A; this target takes %v (hint: have the initiator offer one of these, or list one of its in algorithms)",
			loginAuthFailed, chap.Names(keys["CHAP_A"]), s.auth.algorithms())
	}
	s.id, s.challenge = x.c.srv.challenger.Next()
	b := appendPair(nil, "CHAP_A", fmt.Sprint(byte(s.algorithm)))
	b = appendPair(b, "CHAP_I", fmt.Sprint(s.id))
	return appendPair(b, "CHAP_C", chap.Encode(s.challenge)), nil
}

// authResponse holds the response against the secret of the user, and then,
// only then, proves the target when it is asked to.
func (x *exchange) authResponse(keys map[string]string) ([]byte, error) {
	s := &x.security
	name := keys["CHAP_N"]
	x.user = name
	if x.c.srv.penalties.full(x.c.who().Address) {
		return nil, fmt.Errorf("%w: too many refusals are waiting, the response is not looked at", loginOutOfResources)
	}
	user := s.auth.user(name)
	secret := x.c.srv.noSecret[:] // has an unknown user take the time of a known one
	if user != nil {
		secret = user.Secret
	}
	response, err := chap.Decode(keys["CHAP_R"])
	right := s.algorithm.Verify(s.id, secret, s.challenge, response)
	switch {
	case user == nil:
		return nil, fmt.Errorf("%w: there is no user %q here (hint: name one of the target's users at the initiator)", loginAuthFailed, name)
	case err != nil:
		return nil, fmt.Errorf("%w: CHAP_R of user %q: %w", loginAuthFailed, name, err)
	case !right:
		return nil, fmt.Errorf("%w: the response of user %q is wrong (hint: compare the secret at the initiator with that of the user here)", loginAuthFailed, name)
	}
	answer, err := x.prove(user, keys)
	if err == nil {
		s.user = name
	}
	return answer, err
}

var (
	errNoMutual  = errors.New("the initiator wants the target to prove itself, and the target has no secret (hint: set mutual here, or ask for one-way CHAP at the initiator)")
	errSame      = errors.New("the secrets of initiator and target are the same (hint: give mutual a secret of its own)")
	errReflected = errors.New("the initiator sent a challenge that was made here")
)

// prove answers the challenge of an initiator that wants mutual CHAP. One that
// has our own answered here would know the response to it (RFC 7143, 9.2.1 and
// 12.1.3).
func (x *exchange) prove(user *User, keys map[string]string) ([]byte, error) {
	s := &x.security
	idText, asksI := keys["CHAP_I"]
	text, asksC := keys["CHAP_C"]
	if !asksI && !asksC {
		return nil, nil
	}
	if !asksI || !asksC {
		return nil, fmt.Errorf("%w: CHAP_I and CHAP_C go together", loginMissing)
	}
	id, err := chap.DecodeID(idText)
	if err != nil {
		return nil, fmt.Errorf("%w: CHAP_I: %w", loginAuthFailed, err)
	}
	challenge, err := chap.Decode(text)
	mutual := s.auth.Mutual
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: CHAP_C: %w", loginAuthFailed, err)
	case x.c.srv.challenger.Made(challenge):
		return nil, fmt.Errorf("%w: %w", loginAuthFailed, errReflected)
	case mutual == nil:
		return nil, fmt.Errorf("%w: %w", loginAuthFailed, errNoMutual)
	case subtle.ConstantTimeCompare(mutual.Secret, user.Secret) == 1:
		return nil, fmt.Errorf("%w: %w", loginAuthFailed, errSame)
	}
	b := appendPair(nil, "CHAP_N", mutual.Name)
	return appendPair(b, "CHAP_R", chap.Encode(s.algorithm.Response(id, mutual.Secret, challenge))), nil
}
