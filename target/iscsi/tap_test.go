package iscsi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// only returns the one session, which is listed a moment after the last
// response of its login.
func (b *bench) only(t *testing.T) iscsi.SessionDetail {
	t.Helper()
	for late := time.Now().Add(limit); ; runtime.Gosched() {
		list := b.srv.Details()
		if len(list) == 1 {
			return list[0]
		}
		if time.Now().After(late) {
			t.Fatalf("%d sessions; want 1", len(list))
		}
	}
}

func (b *bench) tap(t *testing.T, keep int) *iscsi.Tap {
	t.Helper()
	tap, err := b.srv.Tap(b.only(t).TSIH, keep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return tap
}

// next takes n PDUs of a tap and returns their opcodes, those sent with a "+".
func next(t *testing.T, tap *iscsi.Tap, n int) (ops string, list []iscsi.PDU) {
	t.Helper()
	for len(list) < n {
		more, _, err := tap.Next(t.Context())
		if err != nil {
			t.Fatalf("after %s: %v", opsOf(list), err)
		}
		list = append(list, more...)
	}
	return opsOf(list), list
}

func opsOf(list []iscsi.PDU) string {
	const hex = "0123456789abcdef"
	var ops []string
	for _, p := range list {
		op, sign := p.Data[0]&0x3F, "-"
		if p.Sent {
			sign = "+"
		}
		ops = append(ops, sign+string([]byte{hex[op>>4], hex[op&15]}))
	}
	return strings.Join(ops, " ")
}

// TestTap has every kind of PDU followed that passes, byte for byte, with digests
// and without.
func TestTap(t *testing.T) {
	for _, digest := range []string{"None", "CRC32C"} {
		t.Run(digest, func(t *testing.T) {
			b := serve(t, iscsi.Options{})
			c := b.login(t, "HeaderDigest="+digest, "DataDigest="+digest, "MaxRecvDataSegmentLength=4096", "InitialR2T=Yes", "ImmediateData=Yes")
			tap := b.tap(t, 0)
			if got := opsOf(tap.Login()); got != "-03 +23" {
				t.Errorf("the login is %s; want -03 +23", got)
			}
			if who, where := tap.Ends(); who.String() != c.LocalAddr().String() || where.String() != b.addr {
				t.Errorf("Ends = %v, %v", who, where)
			}
			mustDo(t, c, read10(3, 4), 4*2048, nil, 0)
			mustDo(t, c, sink(5001), 0, bytes.Repeat([]byte{7}, 5001), 1001)
			mustDo(t, c, cdb(opFail), 0, nil, 0)
			ping := initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, 77).Put32(20, initiator.NoTag)
			ping.Data = []byte("hello")
			send(t, c, ping)
			recv(t, c)
			snack := initiator.New(initiator.SNACK, 0x80)
			snack.Data = []byte("skipped")
			send(t, c, snack)
			recv(t, c)
			const want = "-01 +25 +25 -01 +31 -05 +21 -01 +21 -00 +20 -10 +3f"
			got, list := next(t, tap, 13)
			if got != want {
				t.Errorf("PDUs %s\nwant %s", got, want)
			}
			checkPDUs(t, list, digest == "CRC32C")
			c.Close()
			if _, lost, err := tap.Next(t.Context()); !errors.Is(err, io.EOF) || lost != 0 {
				t.Errorf("at the end: %v, %d lost; want EOF and none", err, lost)
			}
		})
	}
}

// checkPDUs reads each PDU as an initiator does, which checks its digests.
func checkPDUs(t *testing.T, list []iscsi.PDU, digest bool) {
	t.Helper()
	for i, p := range list {
		if p.Length != len(p.Data) || p.Missed != 0 || p.Time.IsZero() {
			t.Errorf("PDU %d: length %d of %d bytes, missed %d, at %v", i, p.Length, len(p.Data), p.Missed, p.Time)
		}
		c := initiator.NewConn(oneWay{r: bytes.NewReader(p.Data)})
		c.HeaderDigest, c.DataDigest = digest, digest
		if _, err := c.Recv(); err != nil {
			t.Errorf("PDU %d: %v", i, err)
		}
		if _, err := c.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("PDU %d: more than one: %v", i, err)
		}
	}
}

// TestTapKeeps cuts what is long, and never login and text.
func TestTapKeeps(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	tap := b.tap(t, 60)
	if p := tap.Login()[0]; len(p.Data) != p.Length || p.Length <= 60 {
		t.Errorf("of a login of %d bytes %d were kept", p.Length, len(p.Data))
	}
	if _, err := b.srv.Tap(b.only(t).TSIH, 0); !errors.Is(err, iscsi.ErrTapped) {
		t.Errorf("a second tap: %v; want ErrTapped", err)
	}
	if _, err := b.srv.Tap(999, 0); !errors.Is(err, iscsi.ErrNoSession) {
		t.Errorf("a tap of no session: %v; want ErrNoSession", err)
	}
	mustDo(t, c, read10(3, 1), 2048, nil, 0)
	_, list := next(t, tap, 2)
	if p := list[1]; p.Length != 48+2048 || len(p.Data) != 60 {
		t.Errorf("of a Data-In of %d bytes %d were kept", p.Length, len(p.Data))
	}
	tap.Close()
	least := b.tap(t, 1)
	mustDo(t, c, read10(3, 1), 2048, nil, 0)
	if _, list := next(t, least, 2); len(list[0].Data) != 48 || len(list[1].Data) != 48 {
		t.Errorf("with 1 byte to keep, %d and %d were kept; want the headers", len(list[0].Data), len(list[1].Data))
	}
	least.Close()
	if list, _, err := tap.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("a tap that was closed has %s, %v", opsOf(list), err)
	}
	if b.only(t).Traced {
		t.Error("the session is traced still")
	}
}

// TestTapLoses has a tap that nobody reads not hold up its session, and say what
// it lost.
func TestTapLoses(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t, "MaxRecvDataSegmentLength=262144", "MaxBurstLength=16776192")
	tap := b.tap(t, 0)
	const megabyte = 512
	for range 12 {
		mustDo(t, c, read10(0, megabyte), megabyte*2048, nil, 0)
	}
	list, lost, err := tap.Next(t.Context())
	if err != nil || lost == 0 {
		t.Fatalf("12 MiB: %d PDUs, %d lost, %v; want some lost", len(list), lost, err)
	}
	var kept int64
	for _, p := range list {
		kept += int64(len(p.Data))
	}
	if kept > 8<<20 || kept < 7<<20 {
		t.Errorf("%d bytes were held; want up to 8 MiB", kept)
	}
	mustDo(t, c, cdb(opFail), 0, nil, 0)
	_, after := next(t, tap, 2)
	all := int64(12 * (48 + 4*48 + megabyte*2048)) // 12 commands and 4 Data-In each
	for _, p := range append(list, after...) {
		kept += p.Missed
	}
	if kept != all {
		t.Errorf("kept and missed are %d bytes; want %d", kept, all)
	}
}

// TestTapBlanks has an initiator say a CHAP response where none is expected, in
// parts: it is nowhere in what is kept.
func TestTapBlanks(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.dial(t)
	const secret = "0x5ec2e75ec2e75ec2e7"
	text := "InitiatorName=iqn.2026-11.spindle:test\x00TargetName=" + iqn + "\x00CHAP_N=joe\x00CHAP_R=" + secret + "\x00CHAP_C=" + secret + "\x00"
	cut := strings.Index(text, secret) - 3
	login := func(flags byte, part string) {
		p := initiator.New(initiator.Login|initiator.Immediate, flags).PutBytes(8, 0x80, 0, 0, 0, 0, 1).Put32(24, 1)
		p.Data = []byte(part)
		send(t, c, p)
		recv(t, c)
	}
	login(0x44, text[:cut])
	login(0x87, text[cut:])
	tap := b.tap(t, 0)
	list := tap.Login()
	if got := opsOf(list); got != "-03 +23 -03 +23" {
		t.Fatalf("the login is %s", got)
	}
	var all []byte
	for _, p := range list {
		all = append(all, p.Data...)
	}
	for _, word := range []string{secret, secret[2:8], "CHAP_R=0"} {
		if bytes.Contains(all, []byte(word)) {
			t.Errorf("%q is in the login that is kept", word)
		}
	}
	x := strings.Repeat("x", len(secret))
	want := text[cut : cut+3]
	want += x + "\x00CHAP_C=" + x + "\x00"
	if !bytes.Contains(all, []byte(want)) || !bytes.Contains(all, []byte("CHAP_N=joe")) {
		t.Errorf("the login is %q; want %q in it", all, want)
	}
}

// TestLoginLogIsBounded has a login that is longer than what is kept of it.
func TestLoginLogIsBounded(t *testing.T) {
	b := serve(t, iscsi.Options{})
	keys := []string{}
	for i := range 30 {
		keys = append(keys, "X-key"+string(rune('a'+i%26))+string(rune('a'+i/26))+"="+strings.Repeat("v", 230))
	}
	b.login(t, keys...)
	size := 0
	for _, p := range b.tap(t, 0).Login() {
		size += len(p.Data)
	}
	if size < 4<<10 || size > 8<<10 {
		t.Errorf("%d bytes of the login are kept; want most of 8 KiB", size)
	}
}

// TestCounts has commands of each kind counted.
func TestCounts(t *testing.T) {
	b := serve(t, iscsi.Options{})
	before := time.Now()
	c := b.login(t, "HeaderDigest=CRC32C")
	mustDo(t, c, read10(3, 4), 4*2048, nil, 0)
	mustDo(t, c, sink(5000), 0, make([]byte, 5000), 0)
	mustDo(t, c, cdb(opFail), 0, nil, 0)
	send(t, c, initiator.New(initiator.SNACK, 0x80))
	recv(t, c)
	d := b.only(t)
	for d.Counts.Commands < 4 { // the last may be counted after its response has come
		d = b.only(t)
	}
	d.Counts.Reads[0], d.Counts.Others[0] = d.Counts.Reads.Count(), d.Counts.Others.Count()
	clear(d.Counts.Reads[1:])
	clear(d.Counts.Others[1:])
	n := d.Counts
	if n.Commands != 4 || n.Errors != 2 || n.Busy != 0 || n.Aborted != 0 || n.In != 4*2048 || n.Out != 5000 || n.Reads[0] != 1 || n.Others[0] != 3 {
		t.Errorf("counts %+v; want 4 commands, 1 of them a read, 2 errors, 8192 bytes in, 5000 out", n)
	}
	if d.Rejects != 1 || d.DigestErrors != 0 || d.TaskManagement != 0 || !d.HeaderDigest || d.DataDigest {
		t.Errorf("detail %+v", d)
	}
	if d.Since.Before(before) || d.LastCommand.Before(d.Since.Add(-time.Millisecond)) {
		t.Errorf("since %v, last command %v; the test began %v", d.Since, d.LastCommand, before)
	}
}

// TestCountsTrouble has an abort and digest errors counted.
func TestCountsTrouble(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t, "DataDigest=CRC32C")
	send(t, c, initiator.New(initiator.Command, 0x80).Put32(16, c.ITT).Put32(24, c.CmdSN).PutBytes(32, opBlock))
	tmf := initiator.New(initiator.TaskMgmt|initiator.Immediate, 0x81).Put32(16, 99).Put32(20, c.ITT).Put32(24, c.CmdSN+1).Put32(32, c.CmdSN)
	send(t, c, tmf)
	if p := recv(t, c); p.Op() != initiator.TaskMgmtResp || p.Header[2] != 0 {
		t.Fatalf("ABORT TASK: %x", p.Header)
	}
	bad := initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, 5).Put32(20, initiator.NoTag)
	bad.Data = []byte("hello")
	wire := c.Marshal(bad)
	wire[len(wire)-1] ^= 1
	if _, err := c.Write(wire); err != nil {
		t.Fatal(err)
	}
	if p := recv(t, c); p.Op() != initiator.Reject {
		t.Fatalf("a wrong digest: %x", p.Header)
	}
	if d := b.only(t); d.Counts.Aborted != 1 || d.TaskManagement != 1 || d.DigestErrors != 1 || d.Rejects != 1 {
		t.Errorf("detail %+v; want 1 aborted, 1 task management, 1 digest error, 1 reject", d)
	}
}

// TestDrop has the operator end a session: its host is told, and nothing is left.
func TestDrop(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	tsih := b.only(t).TSIH
	told := make(chan byte, 1)
	go func() {
		p, err := c.Recv()
		if err != nil {
			told <- 0
			return
		}
		told <- p.Header[36]
		c.Close()
	}()
	if err := b.srv.Drop(t.Context(), tsih); err != nil {
		t.Fatal(err)
	}
	const dropAll = 3
	if event := <-told; event != dropAll {
		t.Errorf("the host was told event %d; want %d", event, dropAll)
	}
	if n := len(b.srv.Details()); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if err := b.srv.Drop(context.Background(), tsih); !errors.Is(err, iscsi.ErrNoSession) {
		t.Errorf("dropped again: %v; want ErrNoSession", err)
	}
}

// oneWay is a connection that only reads.
type oneWay struct {
	net.Conn
	r io.Reader
}

func (o oneWay) Read(p []byte) (int, error) { return o.r.Read(p) }

// TestTapEnds has the time of a tap over while there is always more: it gives
// what there is, and says that it is over.
func TestTapEnds(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t)
	tap := b.tap(t, 0)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	mustDo(t, c, cdb(opFail), 0, nil, 0)
	if list, _, err := tap.Next(over); len(list) == 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d PDUs, %v; want them, and that it is over", len(list), err)
	}
}
