//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/api/client"
	"spindle/internal/initiator"
	"spindle/internal/lab"
)

// TestSessionTrace captures a session of PDUs that are known and has tshark list
// the same opcodes, in each direction, with digests and without.
func TestSessionTrace(t *testing.T) {
	lab.Need(t, "tshark", "xorriso")
	t.Parallel()
	d := serve(t, lab.ISO(t, lab.Image{Size: 4 << 20, Seed: 8}))
	for _, digest := range []string{"None", "CRC32C"} {
		t.Run(digest, func(t *testing.T) { traceSession(t, d, digest) })
	}
}

// traced are commands whose answers are of every kind.
var traced = []struct {
	cdb  string
	read int
	out  []byte
}{
	{"\x00\x00\x00\x00\x00\x00", 0, nil},                              // reports the unit attention
	{"\x12\x00\x00\x00\x60\x00", 96, nil},                             // INQUIRY
	{"\x25\x00\x00\x00\x00\x00\x00\x00\x00\x00", 8, nil},              // READ CAPACITY
	{"\x28\x00\x00\x00\x00\x00\x00\x02\x00\x00", 1 << 20, nil},        // READ(10) of 1 MiB
	{"\x55\x10\x00\x00\x00\x00\x00\x00\x10\x00", 0, make([]byte, 16)}, // MODE SELECT: R2T and Data-Out
	{"\xEE\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0, nil},      // no command
	{"\xA0\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00", 64, nil},     // REPORT LUNS
	{"\x28\x00\x00\x00\x00\x00\x00\x00\x21\x00", 33 * 2048, nil},      // READ(10) of more than one PDU
}

func traceSession(t *testing.T, d *daemon, digest string) {
	nc, err := net.Dial("tcp", d.portal)
	if err != nil {
		t.Fatal(err)
	}
	said := &overheard{Conn: nc}
	c := initiator.NewConn(said)
	defer c.Close()
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.Login(initiator.Options{
		Target: d.cd0().Target, Initiator: "iqn.2026-11.net.example:" + strings.ToLower(digest),
		Keys: []string{"HeaderDigest=" + digest, "DataDigest=" + digest, "MaxRecvDataSegmentLength=65536", "InitialR2T=Yes"},
	})
	try(err)
	api := client.New(d.socket())
	defer api.Close()
	var id string
	until(t, func() error { // a session is listed a moment after its login was answered
		s, err := api.Sessions(t.Context())
		if err == nil && len(s.Sessions) != 1 {
			err = fmt.Errorf("%d sessions; want 1", len(s.Sessions))
		}
		if err == nil {
			id = s.Sessions[0].ID
		}
		return err
	})
	r, err := api.TraceSession(t.Context(), id, client.TraceRequest{})
	try(err)
	defer r.Close()

	for _, cmd := range traced {
		_, err := c.Do([]byte(cmd.cdb), cmd.read, cmd.out, 0)
		try(err)
	}
	for _, p := range []*initiator.PDU{
		initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, 0x1000).Put32(20, initiator.NoTag),
		initiator.New(initiator.TaskMgmt|initiator.Immediate, 0x85).Put32(16, 0x1001).Put32(20, initiator.NoTag),
		initiator.New(initiator.Logout|initiator.Immediate, 0x80).Put32(16, 0x1002),
	} {
		try(c.Send(p.Put32(24, c.CmdSN).Put32(28, c.ExpStatSN)))
		_, err := c.Recv()
		try(err)
	}
	c.Close()

	var file bytes.Buffer
	got, err := client.CopyCapture(&file, r)
	if err != nil || got.Lost != 0 {
		t.Fatalf("the capture: %+v, %v; want none lost", got, err)
	}
	path := filepath.Join(t.TempDir(), "a.pcapng")
	try(os.WriteFile(path, file.Bytes(), 0o600))
	_, port, _ := net.SplitHostPort(d.portal)
	sent, received := tshark(t, path, port)
	for _, tt := range []struct {
		who    string
		stream []byte
		got    []string
	}{{"initiator", said.written, received}, {"target", said.read, sent}} {
		got, want := strings.Join(tt.got, " "), strings.Join(opcodes(t, tt.stream, digest == "CRC32C"), " ")
		if got != want {
			t.Errorf("tshark lists of the %s\n%s\nwant what passed\n%s", tt.who, got, want)
		}
	}
}

// tshark returns the opcodes that tshark lists, of PDUs that the port sent and
// that it received.
func tshark(t *testing.T, path, port string) (sent, received []string) {
	t.Helper()
	cmd := lab.ToolCmd(t.Context(), "tshark", "-n", "-r", path, "-d", "tcp.port=="+port+",iscsi", "-Y", "iscsi",
		"-T", "fields", "-e", "tcp.srcport", "-e", "iscsi.opcode")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		from, ops, _ := strings.Cut(strings.TrimSpace(line), "\t")
		to := &received
		if from == port {
			to = &sent
		}
		*to = append(*to, strings.Split(ops, ",")...)
	}
	return sent, received
}

// opcodes returns those of a stream of PDUs, whose login has no digests.
func opcodes(t *testing.T, b []byte, digests bool) (ops []string) {
	t.Helper()
	for len(b) > 0 {
		op, data := b[0]&0x3F, int(b[5])<<16|int(b[6])<<8|int(b[7])
		size := 48 + 4*int(b[4]) + data + -data&3
		if digests && op != initiator.Login && op != initiator.LoginResp {
			size += 4
			if data > 0 {
				size += 4
			}
		}
		if len(b) < size {
			t.Fatalf("the stream ends within a PDU of opcode %02x", op)
		}
		ops, b = append(ops, fmt.Sprintf("0x%02x", op)), b[size:]
	}
	return ops
}

// overheard is a connection that keeps all that passes.
type overheard struct {
	net.Conn
	written, read []byte
}

func (o *overheard) Write(p []byte) (int, error) {
	n, err := o.Conn.Write(p)
	o.written = append(o.written, p[:n]...)
	return n, err
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	o.read = append(o.read, p[:n]...)
	return n, err
}
