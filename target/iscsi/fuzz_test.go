package iscsi_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"spindle/internal/initiator"
	"spindle/target"
	"spindle/target/iscsi"
)

// FuzzConnection plays bytes to a server, before a login or after one, over a
// pipe: it must neither panic nor hang, and end the connection at its end.
func FuzzConnection(f *testing.F) {
	names := "InitiatorName=iqn.a\x00TargetName=" + iqn + "\x00"
	var c initiator.Conn
	c.CmdSN, c.ITT = 1, 2
	f.Add(false, c.Marshal(loginPDU(0x87, names+"HeaderDigest=CRC32C,None\x00")))
	f.Add(false, c.Marshal(loginPDU(0x44, names)))
	f.Add(true, c.Marshal(c.NewCommand(read10(0, 4), 8192, 0)))
	out := c.NewCommand(sink(16), 0, 16)
	out.Data = []byte("0123456789abcdef")
	f.Add(true, c.Marshal(out))
	f.Add(true, append(c.Marshal(c.NewCommand(sink(9000), 0, 9000)), c.Marshal(dataOut(2, 1, 0, 0, 9000))...))
	f.Add(true, append(c.Marshal(c.NewCommand(cdb(opBlock), 512, 0)), c.Marshal(manage(&c, 5))...))
	text := initiator.New(initiator.Text, 0x80).Put32(16, 3).Put32(20, initiator.NoTag).Put32(24, 1)
	text.Data = []byte("SendTargets=All\x00")
	f.Add(true, c.Marshal(text))
	f.Add(true, c.Marshal(initiator.New(initiator.NopOut, 0x80).Put32(16, 3).Put32(24, 1)))
	f.Add(true, c.Marshal(initiator.New(initiator.Logout, 0x80).Put32(16, 3).Put32(24, 1)))
	f.Fuzz(func(t *testing.T, loggedIn bool, input []byte) {
		srv := iscsi.NewServer(iscsi.Options{})
		d := &disk{let: make(chan struct{})}
		close(d.let)
		srv.Set(exported(target.New(iqn, map[uint16]*target.Unit{0: target.NewUnit("cd0", d, target.UnitOptions{})})))
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		go srv.Serve(context.Background(), l)
		ours, theirs := net.Pipe()
		l.conns <- theirs
		conn := initiator.NewConn(ours)
		if loggedIn {
			if _, err := conn.Login(initiator.Options{Target: iqn}); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			ours.Write(input)
			ours.Close()
		}()
		io.Copy(io.Discard, ours)
		ours.Close()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(over)
	})
}

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
