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

// FuzzLoginText negotiates any text: the login ends with an answer.
func FuzzLoginText(f *testing.F) {
	f.Add("MaxBurstLength=0x1000\x00InitialR2T=No\x00")
	f.Add("HeaderDigest=None,CRC32\x00X-a=b\x00")
	f.Add(strings.Repeat("k=\x00", 20))
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8000 {
			return
		}
		srv := iscsi.NewServer(iscsi.Options{})
		srv.Set(exported(target.New(iqn, nil)))
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		go srv.Serve(context.Background(), l)
		ours, theirs := net.Pipe()
		l.conns <- theirs
		c := initiator.NewConn(ours)
		send(t, c, loginPDU(0x87, "InitiatorName=iqn.a\x00TargetName="+iqn+"\x00"+text))
		if p := recv(t, c); p.Op() != initiator.LoginResp || p.U16(36) == 0 && p.Header[1] != 0x87 {
			t.Errorf("%q: opcode %02x, status %04x, flags %02x", text, p.Op(), p.U16(36), p.Header[1])
		}
		ours.Close()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(over)
	})
}
