package iscsi_test

import (
	"bytes"
	"fmt"
	"testing"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// Data-In is cut to what the initiator declared, F ends each burst, and the
// status comes with the last PDU (RFC 7143, 11.7).
func TestDataIn(t *testing.T) {
	b := serve(t, iscsi.Options{})
	tests := []struct {
		blocks       int
		segment      int // MaxRecvDataSegmentLength
		burst        int // MaxBurstLength
		headerDigest string
		dataDigest   string
	}{
		{1, 8192, 262144, "None", "None"},
		{8, 512, 512, "None", "None"},
		{9, 4096, 8192, "CRC32C", "CRC32C"},
		{300, 8192, 262144, "CRC32C", "None"},
		{300, 262144, 16776192, "None", "CRC32C"},
		{1000, 65535, 100001, "None", "None"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d blocks in %d of %d", tt.blocks, tt.segment, tt.burst), func(t *testing.T) {
			c := b.login(t, fmt.Sprint("MaxRecvDataSegmentLength=", tt.segment), fmt.Sprint("MaxBurstLength=", tt.burst),
				"HeaderDigest="+tt.headerDigest, "DataDigest="+tt.dataDigest)
			if c.HeaderDigest != (tt.headerDigest == "CRC32C") || c.DataDigest != (tt.dataDigest == "CRC32C") {
				t.Fatalf("digests agreed: header %v, data %v", c.HeaderDigest, c.DataDigest)
			}
			r := mustDo(t, c, read10(0, tt.blocks), tt.blocks*2048, nil, 0)
			if want := blocks(tt.blocks); !bytes.Equal(r.Data, want) {
				t.Fatalf("%d bytes came, want %d; or they differ", len(r.Data), len(want))
			}
			checkDataIn(t, r.PDUs, tt.segment, tt.burst)
		})
	}
}

func checkDataIn(t *testing.T, pdus []*initiator.PDU, segment, burst int) {
	t.Helper()
	inBurst := 0
	for i, p := range pdus {
		last := i == len(pdus)-1
		inBurst += len(p.Data)
		wantF := last || inBurst == burst
		switch {
		case p.Op() != initiator.DataIn:
			t.Fatalf("PDU %d has opcode %02x", i, p.Op())
		case len(p.Data) > segment || inBurst > burst:
			t.Errorf("PDU %d has %d bytes, %d in its burst", i, len(p.Data), inBurst)
		case p.U32(36) != uint32(i):
			t.Errorf("PDU %d has DataSN %d", i, p.U32(36))
		case p.Header[1]&0x80 != 0 != wantF || p.Header[1]&1 != 0 != last:
			t.Errorf("PDU %d has flags %02x; final %v, last %v", i, p.Header[1], wantF, last)
		case p.U32(20) != initiator.NoTag:
			t.Errorf("PDU %d has target transfer tag %08x", i, p.U32(20))
		}
		if wantF {
			inBurst = 0
		}
	}
}

func blocks(n int) []byte {
	b := make([]byte, n*2048)
	for i := range b {
		b[i] = byte(i / 2048)
	}
	return b
}

const (
	overflow  = 4
	underflow = 2
)

// Residuals of both directions (RFC 7143, 11.4.5), which libiscsi's suite
// reaches for reads only on a drive that cannot be written.
func TestResiduals(t *testing.T) {
	b := serve(t, iscsi.Options{})
	out := bytes.Repeat([]byte("0123456789abcdef"), 16<<10) // 256 KiB
	tests := []struct {
		name      string
		cdb       []byte
		read      int
		out       []byte
		immediate int
		status    byte
		data      int
		flags     byte
		residual  uint32
	}{
		{"read exact", read10(0, 1), 2048, nil, 0, 0, 2048, 0, 0},
		{"read less than expected", read10(0, 1), 4096, nil, 0, 0, 2048, underflow, 2048},
		{"read more than expected", read10(0, 2), 2048, nil, 0, 0, 2048, overflow, 2048},
		{"read more, to an odd length", read10(0, 2), 100, nil, 0, 0, 100, overflow, 3996},
		{"read without an expected length", read10(0, 1), 0, nil, 0, 0, 0, overflow, 2048},
		{"read nothing", read10(0, 0), 2048, nil, 0, 0, 0, underflow, 2048},
		{"short answer", cdb(opShort), 512, nil, 0, 0, 8, underflow, 504},
		{"failed read", cdb(opFail), 512, nil, 0, 2, 0, underflow, 512},
		{"partial data, then a medium error", cdb(opHalf), 16384, nil, 0, 2, 8192, underflow, 8192},
		{"write exact, immediate", sink(16), 0, out[:16], 16, 0, 0, 0, 0},
		{"write exact, solicited", sink(16), 0, out[:16], 0, 0, 0, 0, 0},
		{"write exact, in parts", sink(20000), 0, out[:20000], 5000, 0, 0, 0, 0},
		{"write of several requests", sink(200000), 0, out[:200000], 0, 0, 0, 0, 0},
		{"write less than expected", sink(10), 0, out[:16], 16, 0, 0, underflow, 6},
		{"write nothing of what is expected", sink(0), 0, out[:16], 0, 0, 0, underflow, 16},
		{"write more than expected", sink(30), 0, out[:16], 16, 0, 0, overflow, 14},
		{"write that fails before its data", cdb(opFail), 0, out[:16], 0, 2, 0, underflow, 16},
		{"write that fails with immediate data", cdb(opFail), 0, out[:16], 16, 2, 0, underflow, 16},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := b.login(t)
			r := mustDo(t, c, tt.cdb, tt.read, tt.out, tt.immediate)
			if r.Status != tt.status || len(r.Data) != tt.data || r.Flags != tt.flags || r.Residual != tt.residual {
				t.Errorf("status %d, %d bytes, flags %x, residual %d; want %d, %d, %x, %d",
					r.Status, len(r.Data), r.Flags, r.Residual, tt.status, tt.data, tt.flags, tt.residual)
			}
			if tt.out != nil && tt.status == 0 {
				b.checkSunk(t, tt.out[:min(len(tt.out), int(tt.cdb[6])<<16|int(tt.cdb[7])<<8|int(tt.cdb[8]))])
			}
			mustDo(t, c, read10(0, 1), 2048, nil, 0) // the session goes on
		})
	}
}

func (b *bench) checkSunk(t *testing.T, want []byte) {
	t.Helper()
	b.disk.mu.Lock()
	defer b.disk.mu.Unlock()
	if got := b.disk.sunk[len(b.disk.sunk)-1]; !bytes.Equal(got, want) {
		t.Errorf("the logical unit took %d bytes, want %d; or they differ", len(got), len(want))
	}
}

// Data that follows a command unasked, where InitialR2T=No allows it.
func TestUnsolicitedData(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t, "InitialR2T=No", "ImmediateData=Yes", "FirstBurstLength=4096")
	out := bytes.Repeat([]byte("ODD "), 2500)
	cmd := c.NewCommand(sink(len(out)), 0, len(out))
	cmd.Header[1] &^= 0x80
	cmd.Data = out[:1000]
	if err := c.SendCommand(cmd); err != nil {
		t.Fatal(err)
	}
	for sn, at := uint32(0), 1000; at < 4096; sn++ {
		n := min(4096-at, 1500)
		p := initiator.New(initiator.DataOut, 0).Put32(16, cmd.U32(16)).Put32(20, initiator.NoTag).Put32(36, sn).Put32(40, uint32(at))
		p.Data = out[at : at+n]
		if at += n; at == 4096 {
			p.Header[1] = 0x80
		}
		send(t, c, p)
	}
	r, err := c.Wait(cmd.U32(16), out)
	if err != nil || r.Status != 0 || r.R2Ts != 1 {
		t.Fatalf("status %d, %d R2T, %v; want GOOD after one R2T", r.Status, r.R2Ts, err)
	}
	b.checkSunk(t, out)
}

// The data of a command that has ended is swallowed, not an error, of a whole
// window of such commands too.
func TestLateDataOut(t *testing.T) {
	b := serve(t, iscsi.Options{})
	c := b.login(t, "InitialR2T=No", "ImmediateData=No", "FirstBurstLength=4096")
	for range 2 { // the second time in place of the first
		var tags []uint32
		for range iscsi.DefaultLimits().Window {
			cmd := c.NewCommand(cdb(opFail), 0, 2048)
			cmd.Header[1] &^= 0x80
			if err := c.SendCommand(cmd); err != nil {
				t.Fatal(err)
			}
			tags = append(tags, cmd.U32(16))
			if r, err := c.Wait(cmd.U32(16), nil); err != nil || r.Status != 2 {
				t.Fatalf("status %d, %v", r.Status, err)
			}
		}
		for _, tag := range tags {
			p := initiator.New(initiator.DataOut, 0x80).Put32(16, tag).Put32(20, initiator.NoTag)
			p.Data = make([]byte, 2048)
			send(t, c, p)
		}
		mustDo(t, c, read10(0, 1), 2048, nil, 0)
	}
}

// Sixteen commands at once come back whole, whatever order they end in.
func TestQueue(t *testing.T) {
	b := serveWith(t, iscsi.Options{}, iscsi.Limits{Memory: 1, UnsolicitedMemory: 1}) // the least: two chunks
	c := b.login(t)
	for i := range 16 {
		if err := c.SendCommand(c.NewCommand(read10(0, 100+i), (100+i)*2048, 0)); err != nil {
			t.Fatal(err)
		}
	}
	got := map[uint32]int{}
	for done := 0; done < 16; {
		p := recv(t, c)
		got[p.U32(16)] += len(p.Data)
		if p.Header[1]&1 != 0 {
			done++
		}
	}
	for tag, n := range got {
		if want := (100 + int(tag) - 3) * 2048; n != want {
			t.Errorf("task %d got %d bytes, want %d", tag, n, want)
		}
	}
}
