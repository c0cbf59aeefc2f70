package iscsi

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"spindle/scsi"
	"spindle/target"
)

// Stages of a connection (RFC 7143, 11.12.3).
const (
	stageSecurity    = 0
	stageOperational = 1
	stageFullFeature = 3
)

// A loginStatus is the status class and detail of a Login Response, as an error
// when it ends the login (RFC 7143, 11.13.5).
type loginStatus uint16

const (
	loginSuccess        loginStatus = 0x0000
	loginMoved          loginStatus = 0x0101
	loginMovedForGood   loginStatus = 0x0102
	loginInitiatorError loginStatus = 0x0200
	loginAuthFailed     loginStatus = 0x0201
	loginForbidden      loginStatus = 0x0202
	loginNotFound       loginStatus = 0x0203
	loginRemoved        loginStatus = 0x0204
	loginBadVersion     loginStatus = 0x0205
	loginTooMany        loginStatus = 0x0206
	loginMissing        loginStatus = 0x0207
	loginBadSessionType loginStatus = 0x0209
	loginNoSession      loginStatus = 0x020A
	loginUnavailable    loginStatus = 0x0301
	loginOutOfResources loginStatus = 0x0302

	versionRFC7143 = 0
	firstStatSN    = 1
	maxNameLen     = 223 // bytes of an iSCSI name (RFC 7143, 4.2.7.1)

	stageShift = 2 // of CSG in byte 1
	stageMask  = 3 // of CSG and NSG
)

var loginStatusNames = map[loginStatus]string{
	loginMoved:          "target moved temporarily",
	loginMovedForGood:   "target moved permanently",
	loginInitiatorError: "initiator error",
	loginAuthFailed:     "authentication failure",
	loginForbidden:      "authorization failure",
	loginNotFound:       "target not found",
	loginRemoved:        "target removed",
	loginBadVersion:     "unsupported version",
	loginTooMany:        "too many connections",
	loginMissing:        "missing parameter",
	loginBadSessionType: "session type not supported",
	loginNoSession:      "session does not exist",
	loginUnavailable:    "service unavailable",
	loginOutOfResources: "out of resources",
}

func (s loginStatus) class() byte { return byte(s >> 8) }

func (s loginStatus) Error() string {
	return fmt.Sprintf("login status %02x%02x, %s", byte(s>>8), byte(s), loginStatusNames[s])
}

var errNotLogin = errors.New("PDU before login")

// An exchange is the login of one connection while it goes on.
type exchange struct {
	c        *conn
	began    time.Time
	limits   *Limits // those of its beginning
	deadline *time.Timer
	first    header // the first request; the later ones must agree with it
	stage    byte
	text     []byte // of requests with C
	count    int
	named    bool // the keys of the first request were checked
	told     bool // our declarations were sent

	target   *target.Target // nil for discovery
	security security
	user     string // that the initiator says it is
}

// login runs the login phase (RFC 7143, 6.3). On success the session exists
// and the connection is in the full feature phase.
func (c *conn) login() error {
	x := &exchange{c: c, began: time.Now(), limits: c.srv.limits.Load()}
	c.out.statSN = firstStatSN
	x.startTimer()
	defer func() { x.deadline.Stop() }()
	for {
		var h header
		if err := c.in.next(&h); err != nil {
			return err
		}
		if h.op() != opLogin {
			return x.notLogin(&h)
		}
		done, err := x.take(&h)
		if status, ok := errors.AsType[loginStatus](err); ok {
			x.refuse(&h, status, err)
			return err
		}
		if done || err != nil {
			return err
		}
	}
}

// startTimer ends the connection when its first request is late, and then when
// the login is.
func (x *exchange) startTimer() {
	l := x.limits
	late := l.over(limitFirstRequest, nil)
	if l.LoginTimeout <= l.FirstRequestTimeout {
		late = l.over(limitLogin, nil)
	}
	x.deadline = time.AfterFunc(min(l.FirstRequestTimeout, l.LoginTimeout), func() { x.c.fail(late) })
}

// take reads the data of a request and serves it.
func (x *exchange) take(h *header) (done bool, err error) {
	c := x.c
	if x.count == 0 && !c.srv.addresses.login(c.from, x.limits) {
		return false, x.limits.over(limitLoginRate, loginOutOfResources)
	}
	data := make([]byte, h.dataLen())
	if err := c.in.data(data); err != nil {
		return false, err
	}
	if x.count == 0 && x.deadline.Stop() {
		late := x.limits.over(limitLogin, nil)
		x.deadline = time.AfterFunc(x.limits.LoginTimeout-time.Since(x.began), func() { c.fail(late) })
	}
	return x.step(h, data)
}

// notLogin ends a connection that speaks out of turn: silently before the
// first request, with Reject during the login (RFC 7143, 6.3 and 7.9).
func (x *exchange) notLogin(h *header) error {
	if x.count == 0 {
		return errNotLogin
	}
	return x.c.violation(h, "the login is not complete")
}

// step serves one request and reports whether the login is complete.
func (x *exchange) step(h *header, data []byte) (done bool, err error) {
	if err := x.check(h); err != nil {
		return false, err
	}
	if x.text = append(x.text, data...); int64(len(x.text)) > x.limits.Text {
		return false, x.limits.over(limitText, loginInitiatorError)
	}
	if h.flags()&flagContinue != 0 {
		return false, x.respond(h, loginSuccess, x.stage<<stageShift, nil)
	}
	pairs, err := parseText(x.text)
	if err != nil {
		return false, fmt.Errorf("%w: %w", loginInitiatorError, err)
	}
	x.text = x.text[:0]
	answer, err := x.negotiate(pairs, h.flags()&flagFinal != 0)
	if err != nil {
		return false, err
	}
	next, flags := h.flags()&stageMask, x.stage<<stageShift
	if h.flags()&flagFinal == 0 || x.security.pending() {
		return false, x.respond(h, loginSuccess, flags, answer)
	}
	flags |= flagFinal | next
	if next == stageFullFeature {
		return true, x.finish(h, flags, answer)
	}
	x.stage = next
	return false, x.respond(h, loginSuccess, flags, answer)
}

// check holds the request against the rules of the header (RFC 7143, 11.12).
func (x *exchange) check(h *header) error {
	stage := h.flags() >> stageShift & stageMask
	next := h.flags() & stageMask
	transit := h.flags()&flagFinal != 0
	if x.count++; x.count == 1 {
		x.first, x.stage = *h, stage
		x.c.cid = uint16(h.u32(20) >> 16)
	}
	switch {
	case h[3] > versionRFC7143:
		return loginBadVersion
	case x.count > x.limits.TextPDUs:
		return x.limits.over(limitTextPDUs, loginInitiatorError)
	case stage != x.stage || stage > stageOperational:
		return fmt.Errorf("%w: request of stage %d in stage %d", loginInitiatorError, stage, x.stage)
	case transit && (next <= stage || next == 2):
		return fmt.Errorf("%w: transition from stage %d to %d", loginInitiatorError, stage, next)
	case transit && h.flags()&flagContinue != 0:
		return fmt.Errorf("%w: T and C in one request", loginInitiatorError)
	case h.isid() != x.first.isid() || h.tsih() != x.first.tsih() || h.itt() != x.first.itt() || h.cmdSN() != x.first.cmdSN():
		return fmt.Errorf("%w: ISID, TSIH, task tag or CmdSN changed during the login", loginInitiatorError)
	}
	return nil
}

// negotiate applies the keys of a request and returns the answer.
func (x *exchange) negotiate(pairs []pair, transit bool) ([]byte, error) {
	p, was := &x.c.p, x.c.p
	var answer []byte
	var security []pair
	for _, kv := range pairs {
		k := findKey(kv.name)
		switch {
		case isSecurityKey(kv.name):
			security = append(security, kv) // when the target is known
			continue
		case kv.value == reject || kv.value == notUnderstood || kv.value == "Irrelevant":
			continue // an answer to a key of ours: we send declarations only
		case k == nil:
			answer = appendPair(answer, kv.name, notUnderstood)
			continue
		}
		got := k.apply(p, kv.value)
		if err := refusedKey(kv, got); err != nil {
			return nil, err
		}
		if got != "" {
			answer = appendPair(answer, kv.name, got)
		}
	}
	if x.named && (p.initiatorName != was.initiatorName || p.targetName != was.targetName || p.discovery != was.discovery) {
		return nil, fmt.Errorf("%w: InitiatorName, TargetName or SessionType changed during the login", loginInitiatorError)
	}
	if !x.named {
		if err := cmp.Or(x.checkNames(), x.checkAccess()); err != nil {
			return nil, err
		}
		if err := x.redirect(); err != nil {
			return nil, err
		}
		x.named = true
		if !p.discovery {
			answer = appendPair(answer, "TargetPortalGroupTag", strconv.Itoa(int(x.c.group)))
		}
	}
	more, err := x.authenticate(security, transit)
	if err != nil {
		return nil, err
	}
	answer = append(answer, more...)
	if x.stage == stageOperational && !x.told {
		x.told = true
		answer = appendPair(answer, "MaxRecvDataSegmentLength", strconv.Itoa(ourMaxRecv))
	}
	p.firstBurst = min(p.firstBurst, p.maxBurst)
	if len(answer) > loginDataLimit {
		return nil, fmt.Errorf("%w: the answer to its keys is longer than %d bytes", loginInitiatorError, loginDataLimit)
	}
	return answer, nil
}

// refusedKey reports the keys without whose agreement there is no session.
func refusedKey(kv pair, answer string) error {
	if answer != reject {
		return nil
	}
	switch kv.name {
	case "SessionType":
		return fmt.Errorf("%w: SessionType=%s", loginBadSessionType, kv.value)
	case "MaxRecvDataSegmentLength": // a declaration: there is nothing to negotiate
		return fmt.Errorf("%w: MaxRecvDataSegmentLength=%s", loginInitiatorError, kv.value)
	}
	return nil
}

// checkNames holds the first request against RFC 7143, 6.3: it names who calls
// and what is called.
func (x *exchange) checkNames() error {
	p := &x.c.p
	switch {
	case p.initiatorName == "":
		return fmt.Errorf("%w: InitiatorName", loginMissing)
	case len(p.initiatorName) > maxNameLen || len(p.targetName) > maxNameLen:
		return fmt.Errorf("%w: name longer than %d bytes", loginInitiatorError, maxNameLen)
	case strings.ContainsFunc(p.initiatorName, unprintable):
		return fmt.Errorf("%w: InitiatorName=%q", loginInitiatorError, p.initiatorName)
	case !p.discovery && p.targetName == "":
		return fmt.Errorf("%w: TargetName", loginMissing)
	}
	return nil
}

// unprintable is what RFC 3722 forbids in a name and what a terminal that shows
// it would obey.
func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// finish makes the session, then sends the last response.
func (x *exchange) finish(h *header, flags byte, answer []byte) error {
	c := x.c
	s := newSession(c, h.cmdSN())
	s.initiator, s.who, s.isid = c.p.initiatorName, c.who(), h.isid()
	if h.tsih() != 0 {
		return c.srv.joinSession(s.initiator, s.isid, h.tsih())
	}
	s.target, s.user = x.target, x.security.user
	if err := c.srv.begin(s); err != nil {
		return err
	}
	c.sess = s
	if err := c.srv.open(s, x.port()); err != nil {
		return err
	}
	if err := x.respond(h, loginSuccess, flags, answer); err != nil {
		return err
	}
	c.in.headerDigest, c.in.dataDigest = c.p.headerDigest, c.p.dataDigest
	c.log = c.log.With("name", s.initiator)
	c.talk(slog.LevelInfo, "session began", "target", c.p.targetName, "discovery", c.p.discovery, "user", s.user, "alias", c.p.initiatorAlias)
	return nil
}

// port is the target port: a portal group of the target (RFC 7143, 4.4.1).
func (x *exchange) port() scsi.Port {
	return scsi.Port{
		Protocol:   scsi.ISCSI,
		Name:       fmt.Sprintf("%s,t,0x%04x", x.c.p.targetName, x.c.group),
		RelativeID: x.c.group,
		Group:      x.c.group,
	}
}

// respond sends a Login Response (RFC 7143, 11.13).
func (x *exchange) respond(h *header, status loginStatus, flags byte, text []byte) error {
	var r header
	r.answerLogin(h, status, flags, x.limits.Window)
	if s := x.c.sess; s != nil {
		r.put16(14, s.tsih)
	}
	return x.c.out.send(&r, statAdvance, text)
}

var _ target.Owner = (*task)(nil)
