package initiator

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// A CHAP is how a login authenticates itself (RFC 7143, 12.1.3).
type CHAP struct {
	Name, Secret string
	Algorithms   string // the offer of CHAP_A; "5" when empty
	Base64       bool   // the encoding of what is sent; hexadecimal when false

	// The target has to prove that it is TargetName with TargetSecret, when
	// they are not empty.
	TargetName, TargetSecret string
}

// Refused is the status of a Login Response that refuses, class and detail. It
// is an [ErrLogin].
type Refused uint16

func (r Refused) Error() string { return fmt.Sprintf("login refused with status %04x", uint16(r)) }

// Unwrap returns ErrLogin.
func (Refused) Unwrap() error { return ErrLogin }

// ErrTarget reports a target that did not prove itself.
var ErrTarget = errors.New("the target did not prove itself")

// hashes are the algorithms by their numbers in CHAP_A.
var hashes = map[string]func() hash.Hash{
	"5": md5.New,
	"6": sha1.New,
	"7": sha256.New,
	"8": func() hash.Hash { return sha3.New256() },
}

// Respond returns the response to a challenge of the identifier id, of an
// algorithm 5 to 8.
func Respond(algorithm, id, secret string, challenge []byte) []byte {
	n, _ := strconv.Atoi(id)
	h := hashes[algorithm]()
	h.Write([]byte{byte(n)})
	h.Write([]byte(secret))
	h.Write(challenge)
	return h.Sum(nil)
}

// Names are the keys with which every login begins.
func (o Options) Names() []string {
	o.Keys = nil
	return strings.Split(strings.TrimSuffix(string(o.text()), "\x00"), "\x00")
}

// LoginStep sends a Login Request with the flags of its byte 1 and returns the
// response and its keys. A response that refuses is [Refused].
func (c *Conn) LoginStep(o Options, flags byte, keys ...string) (map[string]string, *PDU, error) {
	p := New(Login|Immediate, flags)
	isid := o.isid()
	p.PutBytes(8, isid[:]...).Put32(16, c.ITT).Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)
	if len(keys) > 0 {
		p.Data = []byte(strings.Join(keys, "\x00") + "\x00")
	}
	if err := c.Send(p); err != nil {
		return nil, nil, err
	}
	r, err := c.Recv()
	switch {
	case err != nil:
		return nil, nil, err
	case r.Op() != LoginResp:
		return nil, r, fmt.Errorf("%w: opcode %02x", ErrLogin, r.Op())
	case r.U16(36) != 0:
		return nil, r, Refused(r.U16(36))
	}
	c.ExpStatSN = r.U32(24) + 1
	return ParseText(r.Data), r, nil
}

// LoginCHAP logs in through the security stage and returns the keys of the last
// answer, as Login does.
func (c *Conn) LoginCHAP(o Options, a CHAP) (map[string]string, error) {
	got, _, err := c.LoginStep(o, 0x00, append(o.Names(), "AuthMethod=CHAP,None")...)
	if err != nil {
		return nil, err
	}
	if got["AuthMethod"] == "CHAP" {
		if err := c.authenticate(o, a); err != nil {
			return nil, err
		}
	} else if _, _, err := c.LoginStep(o, 0x81); err != nil {
		return nil, err
	}
	got, r, err := c.LoginStep(o, 0x87, o.Keys...)
	if err != nil {
		return nil, err
	}
	if r.Header[1]&0x83 != 0x83 {
		return nil, fmt.Errorf("%w: flags %02x at the end", ErrLogin, r.Header[1])
	}
	c.TSIH = r.U16(14)
	c.ITT++
	c.HeaderDigest, c.DataDigest = got["HeaderDigest"] == "CRC32C", got["DataDigest"] == "CRC32C"
	return got, nil
}

func (a CHAP) encode(b []byte) string {
	if a.Base64 {
		return "0b" + base64.StdEncoding.EncodeToString(b)
	}
	return "0x" + hex.EncodeToString(b)
}

func (c *Conn) authenticate(o Options, a CHAP) error {
	offer := a.Algorithms
	if offer == "" {
		offer = "5"
	}
	got, _, err := c.LoginStep(o, 0x00, "CHAP_A="+offer)
	if err != nil {
		return err
	}
	algorithm := got["CHAP_A"]
	challenge, err := hex.DecodeString(strings.TrimPrefix(got["CHAP_C"], "0x"))
	if err != nil || hashes[algorithm] == nil || len(challenge) < 16 {
		return fmt.Errorf("%w: the challenge is %v", ErrLogin, got)
	}
	keys := []string{"CHAP_N=" + a.Name, "CHAP_R=" + a.encode(Respond(algorithm, got["CHAP_I"], a.Secret, challenge))}
	ours := []byte("a challenge that the test chose!")
	if a.TargetName != "" {
		keys = append(keys, "CHAP_I=201", "CHAP_C="+a.encode(ours))
	}
	got, r, err := c.LoginStep(o, 0x81, keys...)
	switch {
	case err != nil:
		return err
	case r.Header[1]&0x80 == 0:
		return fmt.Errorf("%w: the security stage does not end", ErrLogin)
	case a.TargetName == "":
		return nil
	}
	want := "0x" + hex.EncodeToString(Respond(algorithm, "201", a.TargetSecret, ours))
	if got["CHAP_N"] != a.TargetName || !strings.EqualFold(got["CHAP_R"], want) {
		return fmt.Errorf("%w: %v", ErrTarget, got)
	}
	return nil
}
