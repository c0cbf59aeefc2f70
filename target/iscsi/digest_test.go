package iscsi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"spindle/internal/initiator"
	"spindle/target"
	"spindle/target/iscsi"
)

// sendDamaged flips a bit of the byte at, or of one from the end, after the
// digests were computed.
func sendDamaged(t *testing.T, c *initiator.Conn, p *initiator.PDU, at int) {
	t.Helper()
	raw := c.Marshal(p)
	if at < 0 {
		at += len(raw)
	}
	raw[at] ^= 0x10
	if _, err := c.Write(raw); err != nil {
		t.Fatal(err)
	}
}

// mustReject takes a Reject of reason 2 that holds the header of p.
func mustReject(t *testing.T, c *initiator.Conn, p *initiator.PDU) {
	t.Helper()
	r := recv(t, c)
	want := p.Header
	want[7] = byte(len(p.Data))
	want[6] = byte(len(p.Data) >> 8)
	if r.Op() != initiator.Reject || r.Header[2] != 2 || !bytes.Equal(r.Data, want[:]) {
		t.Fatalf("opcode %02x, reason %d, data %x; want Reject 2 of %x (RFC 7143, 7.8)", r.Op(), r.Header[2], r.Data, want)
	}
}

// mustFail takes the response to a task that was answered with Reject: B/47/05.
func mustFail(t *testing.T, c *initiator.Conn, tag uint32) {
	t.Helper()
	r, err := c.Wait(tag, nil)
	if err != nil || r.Status != 2 || len(r.Sense) < 14 || r.Sense[2] != 0x0B || r.Sense[12] != 0x47 || r.Sense[13] != 0x05 {
		t.Fatalf("task %d: status %02x, sense %x, %v; want B/47/05", tag, r.Status, r.Sense, err)
	}
}

// mustEnd reads to the end of the connection.
func mustEnd(t *testing.T, c *initiator.Conn) {
	t.Helper()
	if p, err := c.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("%+v, %v; want the end of the connection", p, err)
	}
}

// What ERL 0 asks of a target that meets a wrong digest (RFC 7143, 7.8): a
// header ends the connection, for nobody knows where the next PDU starts; data
// is rejected and its task fails, once nothing more comes for it.
func TestDigestErrors(t *testing.T) {
	const header, data = "header digest differs", "data digest differs: the network"
	tests := []struct {
		name  string
		keys  []string
		play  func(t *testing.T, c *initiator.Conn)
		ended bool // the connection
		says  string
	}{
		{"header of a command", nil, func(t *testing.T, c *initiator.Conn) {
			sendDamaged(t, c, c.NewCommand(read10(0, 1), 2048, 0), 37)
		}, true, header},
		{"length in a header", nil, func(t *testing.T, c *initiator.Conn) {
			sendDamaged(t, c, c.NewCommand(read10(0, 1), 2048, 0), 6)
		}, true, header},
		{"header digest", nil, func(t *testing.T, c *initiator.Conn) {
			sendDamaged(t, c, c.NewCommand(read10(0, 1), 2048, 0), -1)
		}, true, header},
		{"additional header", nil, func(t *testing.T, c *initiator.Conn) {
			p := c.NewCommand(read10(0, 1), 2048, 0)
			p.AHS = []byte{0, 5, 1, 0, 1, 2, 3, 4}
			sendDamaged(t, c, p, 50)
		}, true, header},
		{"immediate data", nil, func(t *testing.T, c *initiator.Conn) {
			p := c.NewCommand(sink(1001), 0, 1001)
			p.Data = make([]byte, 1001)
			sendDamaged(t, c, p, 500)
			c.ITT, c.CmdSN = c.ITT+1, c.CmdSN+1
			mustReject(t, c, p)
			mustFail(t, c, p.U32(16))
		}, false, data},
		{"padding of immediate data", nil, func(t *testing.T, c *initiator.Conn) {
			p := c.NewCommand(sink(1001), 0, 1001)
			p.Data = make([]byte, 1001)
			sendDamaged(t, c, p, -5)
			c.ITT, c.CmdSN = c.ITT+1, c.CmdSN+1
			mustReject(t, c, p)
			mustFail(t, c, p.U32(16))
		}, false, data},
		{"immediate data that more follows", []string{"InitialR2T=No"}, func(t *testing.T, c *initiator.Conn) {
			p := c.NewCommand(sink(2000), 0, 2000)
			p.Header[1] &^= 0x80
			p.Data = make([]byte, 1000)
			sendDamaged(t, c, p, 500)
			mustReject(t, c, p)
		}, true, data},
		{"unsolicited data", []string{"InitialR2T=No"}, func(t *testing.T, c *initiator.Conn) {
			p := c.NewCommand(sink(3000), 0, 3000)
			p.Header[1] &^= 0x80
			if err := c.SendCommand(p); err != nil {
				t.Fatal(err)
			}
			playDamaged(t, c, p, initiator.NoTag, 1000)
		}, false, data},
		{"solicited data", nil, func(t *testing.T, c *initiator.Conn) {
			p := c.NewCommand(sink(3000), 0, 3000)
			if err := c.SendCommand(p); err != nil {
				t.Fatal(err)
			}
			playDamaged(t, c, p, recv(t, c).U32(20), 1000)
		}, false, data},
		{"data of no task", nil, func(t *testing.T, c *initiator.Conn) {
			p := dataOut(0xDEAD, 7, 0, 0, 512)
			sendDamaged(t, c, p, 300)
			mustReject(t, c, p)
		}, false, data},
		{"data of a task that has had it all", nil, func(t *testing.T, c *initiator.Conn) {
			p := c.NewCommand(cdb(opBlock), 0, 16)
			p.Data = make([]byte, 16)
			if err := c.SendCommand(p); err != nil {
				t.Fatal(err)
			}
			late := dataOut(p.U32(16), initiator.NoTag, 0, 0, 16)
			sendDamaged(t, c, late, 55)
			mustReject(t, c, late)
		}, false, data},
		{"ping", nil, func(t *testing.T, c *initiator.Conn) {
			p := initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, 0x77).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
			p.Data = []byte("are you there?")
			sendDamaged(t, c, p, 60)
			mustReject(t, c, p) // and no answer: the PDU was discarded
			send(t, c, p)
			if r := recv(t, c); r.Op() != initiator.NopIn || !bytes.Equal(r.Data, p.Data) {
				t.Errorf("opcode %02x, data %q; want the answer to the ping that came whole", r.Op(), r.Data)
			}
		}, false, data},
		{"text", nil, func(t *testing.T, c *initiator.Conn) {
			p := initiator.New(initiator.Text|initiator.Immediate, 0x80).Put32(16, 0x77).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
			p.Data = []byte("SendTargets=\x00")
			sendDamaged(t, c, p, 60)
			mustReject(t, c, p)
		}, false, data},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := warned{first: make(chan struct{})}
			b := serve(t, iscsi.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			c := b.login(t, append(tt.keys, "HeaderDigest=CRC32C", "DataDigest=CRC32C")...)
			tt.play(t, c)
			if tt.ended {
				mustEnd(t, c)
			} else {
				mustDo(t, c, read10(0, 1), 2048, nil, 0)
			}
			log.check(t, tt.says)
			mustDo(t, b.login(t), read10(0, 1), 2048, nil, 0)
		})
	}
}

// playDamaged sends the data of p in parts, of which the first is damaged. The task fails after the last part, not before (RFC 7143, 7.8).
func playDamaged(t *testing.T, c *initiator.Conn, p *initiator.PDU, tag uint32, part int) {
	t.Helper()
	total := int(p.U32(20))
	for sn, at := 0, 0; at < total; sn++ {
		out := dataOut(p.U32(16), tag, uint32(sn), at, part)
		out.Header[1] = 0
		if at += part; at == total {
			pingBetween(t, c) // nothing came for the task
			out.Header[1] = 0x80
		}
		if sn > 0 {
			send(t, c, out)
			continue
		}
		sendDamaged(t, c, out, 100)
		mustReject(t, c, out)
	}
	mustFail(t, c, p.U32(16))
}

// pingBetween takes the answer to a ping as the next PDU.
func pingBetween(t *testing.T, c *initiator.Conn) {
	t.Helper()
	send(t, c, initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, 0x99).Put32(20, initiator.NoTag).Put32(24, c.CmdSN))
	if r := recv(t, c); r.Op() != initiator.NopIn {
		t.Fatalf("opcode %02x before the last of the data; want NOP-In", r.Op())
	}
}

// A warned is a log that tells of its first warning.
type warned struct {
	mu    sync.Mutex
	text  strings.Builder
	told  bool
	first chan struct{} // closed then
}

func (w *warned) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.told && bytes.Contains(p, []byte("level=WARN")) {
		w.told = true
		close(w.first)
	}
	return w.text.Write(p)
}

// check waits for a warning, and wants these words once.
func (w *warned) check(t *testing.T, says string) {
	t.Helper()
	<-w.first
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := strings.Count(w.text.String(), says); n != 1 {
		t.Errorf("%q is said %d times in\n%s", says, n, w.text.String())
	}
}

// Kinds of PDU that FuzzDamaged sends.
const (
	wholeCommand = iota
	openCommand  // F is not set: more data follow unasked
	openData
	lastData
)

// scripted returns the bytes of a PDU with digests: kind, tag, transfer tag,
// DataSN, offset, length, length of the command, which byte is damaged if any.
func scripted(c *initiator.Conn, b [8]byte) []byte {
	var p *initiator.PDU
	kind := b[0] & 3
	if kind < openData {
		p = c.NewCommand(sink(int(b[6])), 0, int(b[6])).Put32(16, uint32(b[1]))
		p.Data = make([]byte, b[5])
		c.CmdSN++
	} else {
		p = dataOut(uint32(b[1]), uint32(b[2]), uint32(b[3]), int(b[4]), int(b[5]))
		if b[2] == 0 {
			p.Put32(20, initiator.NoTag)
		}
	}
	if kind == openCommand || kind == openData {
		p.Header[1] &^= 0x80
	}
	raw := c.Marshal(p)
	if b[7] != 0 {
		raw[int(b[7])%len(raw)] ^= 1
	}
	return raw
}

// FuzzDamaged plays PDUs to a session, of which some are damaged: it must
// neither panic nor hang, and end the connection at its end. Each eight bytes
// of input are a PDU.
func FuzzDamaged(f *testing.F) {
	for _, script := range [][][8]byte{
		{{wholeCommand, 1, 0, 0, 0, 8, 8, 60}},
		{{openCommand, 1, 0, 0, 0, 4, 8, 60}, {lastData, 1, 0, 0, 4, 4}},
		{{openCommand, 1, 0, 0, 0, 0, 8}, {openData, 1, 0, 0, 0, 4, 0, 60}, {lastData, 1, 0, 1, 4, 4}},
		{{wholeCommand, 1, 0, 0, 0, 0, 8}, {openData, 1, 1, 0, 0, 4, 0, 60}, {lastData, 1, 1, 1, 4, 4}},
		{{wholeCommand, 1, 0, 0, 0, 0, 8}, {lastData, 1, 1, 0, 0, 8, 0, 60}, {lastData, 1, 1, 0, 0, 8, 0, 60}},
		{{openCommand, 1, 0, 0, 0, 0, 8}, {wholeCommand, 2, 0, 0, 0, 8, 8}, {lastData, 1, 0, 0, 0, 8, 0, 10}},
	} {
		var input []byte
		for _, b := range script {
			input = append(input, b[:]...)
		}
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		srv := iscsi.NewServer(iscsi.Options{})
		d := &disk{let: make(chan struct{})}
		close(d.let)
		srv.Set(exported(target.New(iqn, map[uint16]*target.Unit{0: target.NewUnit("cd0", d, target.UnitOptions{})})))
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		go srv.Serve(context.Background(), l)
		ours, theirs := net.Pipe()
		l.conns <- theirs
		c := initiator.NewConn(ours)
		if _, err := c.Login(initiator.Options{Target: iqn, Keys: []string{"HeaderDigest=CRC32C", "DataDigest=CRC32C", "InitialR2T=No"}}); err != nil {
			t.Fatal(err)
		}
		mustDo(t, c, cdb(opReady), 0, nil, 0) // takes the unit attention
		go func() {
			for ; len(input) >= 8; input = input[8:] {
				if _, err := ours.Write(scripted(c, [8]byte(input))); err != nil {
					break
				}
			}
			// when this has gone, all before it was served
			ours.Write(c.Marshal(initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, initiator.NoTag).Put32(20, initiator.NoTag)))
			ours.Close()
		}()
		io.Copy(io.Discard, ours)
		ours.Close()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(over)
	})
}
