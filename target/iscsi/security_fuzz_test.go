package iscsi_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"spindle/internal/initiator"
	"spindle/target"
	"spindle/target/iscsi"
)

// FuzzSecurity says any keys at any step of CHAP, then tries to go on: whoever
// has no secret has no session, and each request has an answer or an end.
func FuzzSecurity(f *testing.F) {
	for _, text := range []string{
		"", "AuthMethod=CHAP,None", "AuthMethod=None", "CHAP_A=5", "CHAP_A=8,7,6,5,0x5,,x",
		"CHAP_N=alice\x00CHAP_R=0x00112233445566778899aabbccddeeff",
		"CHAP_N=alice\x00CHAP_R=0bAAAA\x00CHAP_I=1\x00CHAP_C=0x00",
		"CHAP_R=" + strings.Repeat("00", 1025), "CHAP_N=\x00CHAP_R=", "HeaderDigest=CRC32C\x00CHAP_X=",
		"AuthMethod=CHAP\x00CHAP_A=5\x00CHAP_N=alice\x00CHAP_R=0x",
	} {
		for step := range byte(3) {
			f.Add(step, byte(0x00), text)
			f.Add(step, byte(0x81), text)
		}
	}
	f.Add(byte(0), byte(0x87), "AuthMethod=CHAP")
	f.Add(byte(2), byte(0x40), "CHAP_N=al")
	legit := []sayer{names("AuthMethod=CHAP"), say("CHAP_A=7")}
	f.Fuzz(func(t *testing.T, step, flags byte, text string) {
		if len(text) > 8000 {
			return
		}
		srv := iscsi.NewServer(iscsi.Options{})
		auth := &iscsi.Auth{Users: []iscsi.User{alice}, Mutual: &self}
		srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: target.New(iqn, nil), Auth: auth}}})
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		go srv.Serve(context.Background(), l)
		ours, theirs := net.Pipe()
		l.conns <- theirs
		c := initiator.NewConn(ours)
		o := initiator.Options{}
		for i := range int(step) % 3 {
			if _, _, err := c.LoginStep(o, 0x00, legit[i](nil)...); err != nil {
				t.Fatal(err)
			}
		}
		keys := strings.Split(text, "\x00")
		if step%3 == 0 {
			keys = append(names()(nil), keys...)
		}
		for _, m := range []move{{flags, say(keys...), 0}, {0x81, say(), 0}, {0x87, say(), 0}} {
			_, r, err := c.LoginStep(o, m.flags, m.say(nil)...)
			if err == nil && r.Header[1]&0x83 != 0 {
				t.Errorf("step %d, %q: the login goes on with flags %02x", step, text, r.Header[1])
			}
			if err != nil {
				break
			}
		}
		if list := srv.Sessions(); len(list) != 0 {
			t.Errorf("step %d, %q: there is a session: %+v", step, text, list)
		}
		ours.Close()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(over)
	})
}
