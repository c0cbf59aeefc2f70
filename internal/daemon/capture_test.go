package daemon

import (
	"bytes"
	"context"
	"net"
	"testing"

	"spindle/internal/initiator"
	"spindle/internal/pcapng"
	"spindle/target"
	"spindle/target/iscsi"
)

// A capture whose time is over ends, however busy its session is, and has what
// passed until then.
func TestCaptureEnds(t *testing.T) {
	const iqn, mark = "iqn.2026-11.spindle.test:cd0", "the last words"
	srv := iscsi.NewServer(iscsi.Options{})
	srv.Set(iscsi.Settings{Exports: []iscsi.Export{{Target: target.New(iqn, nil)}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(t.Context(), l) }()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() { srv.Shutdown(over); <-served }()
	c, err := initiator.Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Login(initiator.Options{Target: iqn}); err != nil {
		t.Fatal(err)
	}
	ping := func() {
		p := initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, c.ITT).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
		p.Data = []byte(mark)
		if err := c.Send(p); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	ping() // the session is listed when this is answered
	tap, err := srv.Tap(c.TSIH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	ping()
	var file bytes.Buffer
	initiatorEnd, targetEnd := tap.Ends()
	out, err := pcapng.New(&file, pcapng.Options{Client: initiatorEnd, Server: targetEnd})
	if err != nil {
		t.Fatal(err)
	}
	if err := capture(over, tap, out, 0); err != nil {
		t.Error(err)
	}
	if n := bytes.Count(file.Bytes(), []byte(mark)); n != 2 {
		t.Errorf("the file has %d of a ping and its answer", n)
	}
}
