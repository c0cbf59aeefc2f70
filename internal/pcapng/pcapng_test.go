package pcapng

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spindle/internal/lab"
)

// nop is a NOP-Out or NOP-In PDU with so much data.
func nop(op byte, n int) []byte {
	b := make([]byte, 48, 48+n)
	b[0], b[1] = op, 0x80
	b[5], b[6], b[7] = byte(n>>16), byte(n>>8), byte(n)
	binary.BigEndian.PutUint32(b[16:], 1)
	binary.BigEndian.PutUint32(b[20:], 0xFFFFFFFF)
	return append(b, bytes.Repeat([]byte{0x5A}, n)...)
}

// dissect runs tshark on a capture and returns a line a packet: the fields.
func dissect(t *testing.T, file []byte, port uint16, args ...string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.pcapng")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-n", "-r", path, "-d", fmt.Sprintf("tcp.port==%d,iscsi", port), "-T", "fields", "-E", "separator= "}, args...)
	cmd := lab.ToolCmd(t.Context(), "tshark", args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, out)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestTshark has tshark read what is written: every PDU is one, sequence numbers
// and checksums are right, and what is cut or lost does not hide what follows.
func TestTshark(t *testing.T) {
	lab.Need(t, "tshark")
	for _, tt := range []struct {
		name           string
		client, server string
		keep           int
	}{
		{"IPv4", "192.0.2.1:40000", "192.0.2.7:3260", 0},
		{"IPv6", "[2001:db8::1]:40000", "[2001:db8::7]:3260", 0},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:40000", "192.0.2.7:3260", 0},
		{"cut", "192.0.2.1:40000", "192.0.2.7:3260", 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			o := Options{Client: netip.MustParseAddrPort(tt.client), Server: netip.MustParseAddrPort(tt.server), Program: "test", Comment: "of a test"}
			w, err := New(&b, o)
			at := time.Date(2026, 11, 27, 10, 0, 0, 5000, time.UTC)
			try := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			try(err)
			try(w.Open(at))
			for i, n := range []int{0, 100, 200_000, 4096, maxSegment - 48, maxSegment, 4} {
				op := byte(0x00)
				if i%2 == 1 {
					op = 0x20
				}
				pdu := nop(op, n)
				m := Message{Time: at.Add(time.Duration(i) * time.Millisecond), FromServer: op != 0, Data: pdu, Length: len(pdu)}
				if tt.keep > 0 {
					m.Data = pdu[:min(tt.keep, len(pdu))]
				}
				if i == 5 {
					m.Missed = 5000
				}
				try(w.Write(&m))
			}
			try(w.Lost(at, 3))
			try(w.Close(at.Add(time.Second)))
			try(w.Flush())
			var got []string
			for _, line := range dissect(t, b.Bytes(), 3260, "-e", "iscsi.opcode", "-Y", "iscsi") {
				got = append(got, strings.Split(line, ",")...)
			}
			if want := "0x00 0x20 0x00 0x20 0x00 0x20 0x00"; strings.Join(got, " ") != want {
				t.Errorf("opcodes %v; want %s", got, want)
			}
			bad := dissect(t, b.Bytes(), 3260, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
				"-Y", "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment || tcp.analysis.retransmission || tcp.checksum.status == 0 || ip.checksum.status == 0 || _ws.malformed",
				"-e", "frame.number")
			if want := "12 14"; tt.keep == 0 && strings.Join(bad, " ") != want { // the one behind the gap, and the next that acknowledges it
				t.Errorf("packets %v are odd to tshark; want %s", bad, want)
			}
		})
	}
}
