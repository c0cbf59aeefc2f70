package iscsi_test

import (
	"bytes"
	"net"
	"testing"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// An overheard is a connection of which both directions are kept.
type overheard struct {
	net.Conn
	said []byte
}

func (o *overheard) Write(p []byte) (int, error) {
	o.said = append(o.said, p...)
	return o.Conn.Write(p)
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	o.said = append(o.said, p[:n]...)
	return n, err
}

// What is kept of a login for captures has the keys of CHAP, and none of the
// values that tell about a secret.
func TestCHAPIsNotKept(t *testing.T) {
	b, _ := secured(t, &iscsi.Auth{Users: []iscsi.User{alice}, Mutual: &self})
	nc, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	wire := &overheard{Conn: nc}
	a := initiator.CHAP{Name: "alice", Secret: asAlice.Secret, TargetName: "drive", TargetSecret: string(self.Secret), Algorithms: "7"}
	if _, err := initiator.NewConn(wire).LoginCHAP(initiator.Options{Target: iqn}, a); err != nil {
		t.Fatal(err)
	}
	var kept []byte
	for _, p := range b.tap(t, 0).Login() {
		kept = append(kept, p.Data...)
	}
	var values int
	for item := range bytes.SplitSeq(wire.said, []byte{0}) {
		for _, key := range []string{"CHAP_R=", "CHAP_C="} {
			_, value, ok := bytes.Cut(item, []byte(key))
			if !ok {
				continue
			}
			values++
			if bytes.Contains(kept, value) || !bytes.Contains(kept, []byte(key+"xxx")) {
				t.Errorf("%s%s: what is kept is %q", key, value, kept)
			}
		}
	}
	if values != 4 {
		t.Errorf("%d values were seen on the wire, want a challenge and a response each way", values)
	}
}
