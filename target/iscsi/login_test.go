package iscsi_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// What each key is answered with (RFC 7143, 13). An empty answer is none.
func TestNegotiation(t *testing.T) {
	b := serve(t, iscsi.Options{})
	tests := []struct{ offer, answer string }{
		{"HeaderDigest=None", "None"},
		{"HeaderDigest=CRC32C,None", "CRC32C"},
		{"HeaderDigest=None,CRC32C", "None"},
		{"HeaderDigest=None,CRC32", "None"}, // EDK2's spelling
		{"HeaderDigest=CRC32", "Reject"},
		{"DataDigest=FOO,CRC32C", "CRC32C"},
		{"MaxConnections=8", "1"},
		{"MaxConnections=0", "Reject"},
		{"InitialR2T=Yes", "Yes"},
		{"InitialR2T=No", "No"},
		{"InitialR2T=Maybe", "Reject"},
		{"ImmediateData=Yes", "Yes"},
		{"ImmediateData=No", "No"},
		{"MaxRecvDataSegmentLength=262144", ""},
		{"MaxBurstLength=16776192", "16776192"},
		{"MaxBurstLength=0x1000", "4096"},
		{"MaxBurstLength=511", "Reject"},
		{"MaxBurstLength=16777216", "Reject"},
		{"MaxBurstLength=-1", "Reject"},
		{"FirstBurstLength=262144", "65536"},
		{"FirstBurstLength=512", "512"},
		{"DefaultTime2Wait=2", "2"},
		{"DefaultTime2Wait=0", "0"},
		{"DefaultTime2Retain=20", "0"},
		{"MaxOutstandingR2T=16", "1"},
		{"DataPDUInOrder=No", "Yes"},
		{"DataSequenceInOrder=Yes", "Yes"},
		{"ErrorRecoveryLevel=2", "0"},
		{"ErrorRecoveryLevel=3", "Reject"},
		{"iSCSIProtocolLevel=2", "1"},
		{"TaskReporting=FastAbort,RFC3720", "RFC3720"},
		{"IFMarker=Yes", "No"},
		{"OFMarker=No", "No"},
		{"IFMarkInt=2048~8192", "Reject"},
		{"OFMarkInt=2048", "Reject"},
		{"InitiatorAlias=a host", ""},
		{"X-com.example.thing=1", "NotUnderstood"},
		{"Sesame=open", "NotUnderstood"},
		{"MaxBurstLength=Reject", ""}, // an answer to nothing
	}
	for _, tt := range tests {
		t.Run(tt.offer, func(t *testing.T) {
			c := b.dial(t)
			got, err := c.Login(initiator.Options{Target: iqn, Keys: []string{tt.offer}})
			if err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(tt.offer, "=")
			if name == "MaxRecvDataSegmentLength" && tt.answer == "" {
				tt.answer = "65536" // ours: a declaration, not an answer
			}
			if got[name] != tt.answer {
				t.Errorf("%s is answered %q, want %q", tt.offer, got[name], tt.answer)
			}
			if got["TargetPortalGroupTag"] != "1" || got["MaxRecvDataSegmentLength"] == "" {
				t.Errorf("declarations are missing: %v", got)
			}
		})
	}
}

// A login of every stage, with parts of keys and empty requests between, as
// open-iscsi, Windows and EDK2 send them.
func TestLoginStages(t *testing.T) {
	b := serve(t, iscsi.Options{})
	type step struct {
		flags byte
		data  string
		want  byte   // flags of the response
		keys  string // that it must hold
	}
	names := "InitiatorName=iqn.a\x00TargetName=" + iqn + "\x00SessionType=Normal\x00"
	tests := []struct {
		name  string
		steps []step
	}{
		{"security, operational, full", []step{
			{0x81, names + "AuthMethod=CHAP,None\x00", 0x81, "AuthMethod=None"},
			{0x87, names + "HeaderDigest=None\x00", 0x87, "HeaderDigest=None"}, // libiscsi names itself in each stage
		}},
		{"security straight to full", []step{{0x83, names + "AuthMethod=None\x00", 0x83, "AuthMethod=None"}}},
		{"a stage in several requests", []step{
			{0x00, names, 0x00, "TargetPortalGroupTag=1"},
			{0x00, "AuthMethod=None\x00", 0x00, "AuthMethod=None"},
			{0x81, "", 0x81, ""},
			{0x04, "MaxBurstLength=8192\x00", 0x04, "MaxBurstLength=8192"},
			{0x87, "", 0x87, ""},
		}},
		{"keys in parts", []step{
			{0x44, "InitiatorName=iq", 0x04, ""},
			{0x44, "n.a\x00TargetName=" + iqn, 0x04, ""},
			{0x87, "\x00DataDigest=None\x00", 0x87, "DataDigest=None"},
		}},
		{"the same key in two requests of a stage is answered again", []step{
			{0x04, names + "ErrorRecoveryLevel=2\x00", 0x04, "ErrorRecoveryLevel=0"},
			{0x87, "ErrorRecoveryLevel=0\x00", 0x87, "ErrorRecoveryLevel=0"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := b.dial(t)
			for i, s := range tt.steps {
				p := loginPDU(s.flags, s.data)
				send(t, c, p)
				r := recv(t, c)
				last := i == len(tt.steps)-1
				switch {
				case r.Op() != initiator.LoginResp || r.U16(36) != 0 || r.Header[1] != s.want:
					t.Fatalf("step %d: opcode %02x, status %04x, flags %02x; want flags %02x", i, r.Op(), r.U16(36), r.Header[1], s.want)
				case !strings.Contains(string(r.Data), s.keys):
					t.Errorf("step %d: %q lacks %q", i, r.Data, s.keys)
				case string(r.Header[8:14]) != string(p.Header[8:14]) || (r.U16(14) != 0) != last:
					t.Errorf("step %d: ISID %x, TSIH %d", i, r.Header[8:14], r.U16(14))
				case r.U32(24) != uint32(i+1) || r.U32(28) != 1:
					t.Errorf("step %d: StatSN %d, ExpCmdSN %d", i, r.U32(24), r.U32(28))
				}
			}
			c.ITT, c.ExpStatSN = 2, 1
			mustDo(t, c, cdb(opReady), 0, nil, 0)
		})
	}
}

func loginPDU(flags byte, data string) *initiator.PDU {
	p := initiator.New(initiator.Login|initiator.Immediate, flags)
	p.PutBytes(8, 0x80, 0, 0, 0, 0, 9).Put32(16, 1).Put32(24, 1)
	p.Data = []byte(data)
	return p
}

// Logins that are refused, with the status that each gets (RFC 7143, 11.13.5).
func TestLoginRefused(t *testing.T) {
	b := serve(t, iscsi.Options{})
	names := "InitiatorName=iqn.a\x00TargetName=" + iqn + "\x00"
	set := func(p *initiator.PDU, at int, v ...byte) *initiator.PDU { return p.PutBytes(at, v...) }
	tests := []struct {
		name   string
		pdus   []*initiator.PDU
		status uint16
		rfc    string
	}{
		{"no initiator name", one(0x87, "TargetName="+iqn+"\x00"), 0x0207, "6.3"},
		{"no target name", one(0x87, "InitiatorName=iqn.a\x00"), 0x0207, "6.3"},
		{"no such target", one(0x87, "InitiatorName=iqn.a\x00TargetName=iqn.other\x00"), 0x0203, "11.13.5"},
		{"no such session type", one(0x87, names+"SessionType=Party\x00"), 0x0209, "13.21"},
		{"no method of authentication that we have", one(0x81, names+"AuthMethod=KRB5,SRP\x00"), 0x0201, "12.1"},
		{"version 1 at least", []*initiator.PDU{set(loginPDU(0x87, names), 3, 1)}, 0x0205, "11.12.5"},
		{"TSIH of no session", []*initiator.PDU{set(loginPDU(0x87, names), 14, 0x12, 0x34)}, 0x020A, "6.3.1"},
		{"a segment length below 512", one(0x87, names+"MaxRecvDataSegmentLength=511\x00"), 0x0200, "13.12"},
		{"text without =", one(0x87, names+"Nonsense\x00"), 0x0200, "6.1"},
		{"a key twice", one(0x87, names+names), 0x0200, "6.1"},
		{"a key longer than 63 bytes", one(0x87, names+strings.Repeat("k", 64)+"=1\x00"), 0x0200, "6.1"},
		{"a value longer than 255 bytes", one(0x87, names+"k="+strings.Repeat("v", 256)+"\x00"), 0x0200, "6.1"},
		{"a name longer than 223 bytes", one(0x87, "InitiatorName=iqn."+strings.Repeat("v", 224)+"\x00TargetName="+iqn+"\x00"), 0x0200, "4.2.7.1"},
		{"more answers than fit", one(0x87, names+manyKeys(1000)), 0x0200, "13.12"},
		{"text without end", repeat(loginPDU(0x44, names+strings.Repeat("x", 8000)), 3), 0x0200, "6.2"},
		{"requests without end", append(one(0x04, names), repeat(loginPDU(0x04, ""), 32)...), 0x0200, "6.3"},
		{"reserved stage 2", one(0x8B, names), 0x0200, "11.12.3"},
		{"full feature phase at once", one(0x8F, names), 0x0200, "11.12.3"},
		{"transition backwards", one(0x84, names), 0x0200, "11.12.3"},
		{"transition to stage 2", one(0x86, names), 0x0200, "11.12.3"},
		{"T and C at once", one(0xC7, names), 0x0200, "11.12.2"},
		{"another stage than agreed", append(one(0x04, names), loginPDU(0x81, "")), 0x0200, "11.12.3"},
		{"another ISID midway", append(one(0x04, names), set(loginPDU(0x87, ""), 8, 1)), 0x0200, "11.12.6"},
		{"another initiator midway", append(one(0x04, names), loginPDU(0x87, "InitiatorName=iqn.b\x00")), 0x0200, "6.2"},
		{"another session type midway", append(one(0x04, names), loginPDU(0x87, "SessionType=Discovery\x00")), 0x0200, "6.2"},
		{"a name that a terminal would obey", one(0x87, "InitiatorName=iqn.\x1b]0;a\x07\x00TargetName="+iqn+"\x00"), 0x0200, "4.2.7.2"},
		{"a name that is not UTF-8", one(0x87, "InitiatorName=iqn.\xff\x00TargetName="+iqn+"\x00"), 0x0200, "4.2.7.2"},
		{"another CmdSN midway", append(one(0x04, names), set(loginPDU(0x87, ""), 27, 9)), 0x0200, "11.12.8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := b.dial(t)
			var r *initiator.PDU
			for _, p := range tt.pdus {
				if err := c.Send(p); err != nil {
					break // refused before the last
				}
				r = recv(t, c)
				if r.U16(36) != 0 {
					break
				}
			}
			if r.Op() != initiator.LoginResp || r.U16(36) != tt.status || r.Header[1]&0x80 != 0 {
				t.Fatalf("opcode %02x, status %04x, flags %02x; want status %04x (RFC 7143, %s)", r.Op(), r.U16(36), r.Header[1], tt.status, tt.rfc)
			}
			if _, err := c.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("after the refusal: %v, want the connection closed", err)
			}
		})
	}
}

func one(flags byte, data string) []*initiator.PDU {
	return []*initiator.PDU{loginPDU(flags, data)}
}

func repeat(p *initiator.PDU, n int) (list []*initiator.PDU) {
	for range n {
		list = append(list, p)
	}
	return list
}

func manyKeys(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(string([]byte{'a' + byte(i/676), 'a' + byte(i/26%26), 'a' + byte(i%26), '=', 0}))
	}
	return s.String()
}

// A login with the name and ISID of a session takes its place; one into the
// session is refused, since a session has one connection (RFC 7143, 6.3.5).
func TestReinstatement(t *testing.T) {
	b := serve(t, iscsi.Options{})
	first := b.login(t)
	into := b.dial(t)
	p := into.LoginRequest(initiator.Options{Target: iqn}).Put16(14, first.TSIH)
	send(t, into, p)
	if r := recv(t, into); r.U16(36) != 0x0206 {
		t.Errorf("a second connection: status %04x, want 0206", r.U16(36))
	}
	mustDo(t, first, cdb(opReady), 0, nil, 0)

	second := b.dial(t)
	if _, err := second.Login(initiator.Options{Target: iqn}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Recv(); err == nil {
		t.Error("the first session lives on")
	}
	if r := mustDo(t, second, cdb(opReady), 0, nil, 0); r.Status != 0 {
		t.Errorf("the port that came back is told %x", r.Sense)
	}
	other := b.dial(t)
	if _, err := other.Login(initiator.Options{Target: iqn, ISID: [6]byte{0x80, 1}}); err != nil {
		t.Fatal(err)
	}
	if r := mustDo(t, other, cdb(opReady), 0, nil, 0); r.Status != 2 || r.Sense[12] != 0x29 {
		t.Errorf("another ISID: status %d, sense %x; want 6/29/00", r.Status, r.Sense)
	}
	mustDo(t, second, cdb(opReady), 0, nil, 0)
	if got := b.srv.Sessions(); len(got) != 2 {
		t.Errorf("%d sessions, want 2: %+v", len(got), got)
	}
}
