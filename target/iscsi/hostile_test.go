package iscsi_test

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// An answer is what a hostile PDU gets.
type answer struct {
	reject byte   // reason of Reject; 0 is none
	status uint16 // login status + 1; 0 is none
	silent bool   // nothing comes, and the session goes on
	closed bool   // the connection ends, after the answer if there is one
	op     byte   // another PDU, by its opcode
}

// Hostile input by what it gets and the section of RFC 7143 that says so. Each
// runs on a connection of its own; the session beside it must not notice.
func TestHostile(t *testing.T) {
	b := serve(t, iscsi.Options{})
	victim := b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 7}})
	long := initiator.New(initiator.NopOut|initiator.Immediate, 0x80).Put32(16, 9).Put32(20, initiator.NoTag)
	long.PutBytes(5, 0xFF, 0xFF, 0xFF)
	cmd := func(c *initiator.Conn, change func(p *initiator.PDU)) *initiator.PDU {
		p := c.NewCommand(read10(0, 1), 2048, 0)
		change(p)
		return p
	}
	tests := []struct {
		name string
		rfc  string
		raw  bool // before the login
		pdu  func(c *initiator.Conn) []*initiator.PDU
		want answer
	}{
		{"command before login", "6.3", true, pdus(initiator.New(initiator.Command, 0x81)), answer{closed: true}},
		{"zeros before login", "6.3", true, pdus(initiator.New(0, 0)), answer{closed: true}},
		{"target's opcode before login", "6.3", true, pdus(initiator.New(initiator.DataIn, 0x80)), answer{closed: true}},
		{"login with a long data segment", "13.12", true, pdus(func() *initiator.PDU {
			p := loginPDU(0x87, "x")
			return p.PutBytes(5, 0, 0x20, 1)
		}()), answer{closed: true}},
		{
			"command during the login", "6.3", true, pdus(loginPDU(0x04, "InitiatorName=iqn.a\x00TargetName="+iqn+"\x00"), initiator.New(initiator.Command, 0x81)),
			answer{op: initiator.LoginResp, reject: 4, closed: true},
		},
		{"TSIH that does not exist", "6.3.1", true, pdus(loginPDU(0x87, "InitiatorName=iqn.a\x00TargetName="+iqn+"\x00").Put16(14, 0x7777)), answer{status: 0x020A + 1, closed: true}},
		{"login again", "6.3", false, pdus(loginPDU(0x87, "")), answer{reject: 4, closed: true}},
		{"data segment of 16 MiB", "13.12", false, pdus(long), answer{closed: true}},
		{"unknown opcode", "7.9", false, pdus(initiator.New(0x1C|initiator.Immediate, 0x80).Put32(16, 9)), answer{reject: 5}},
		{"target's opcode", "7.9", false, pdus(initiator.New(initiator.NopIn, 0x80).Put32(16, 9)), answer{reject: 5}},
		{"SNACK at ERL 0", "11.16", false, pdus(initiator.New(initiator.SNACK, 0x80).Put32(16, 9)), answer{reject: 3}},
		{"data-out of no task", "11.7", false, pdus(dataOut(0xDEAD, initiator.NoTag, 0, 0, 512)), answer{reject: 9}},
		{"data-out of a read", "11.7", false, func(c *initiator.Conn) []*initiator.PDU {
			p := cmd(c, func(p *initiator.PDU) { copy(p.Header[32:], cdb(opBlock)) })
			return []*initiator.PDU{p, dataOut(p.U32(16), initiator.NoTag, 0, 0, 512)}
		}, answer{reject: 4, closed: true}},
		{"data-out past its bounds", "11.7.4", false, solicited(0, 0, 512, 9000), answer{reject: 4, closed: true}},
		{"data-out at another offset", "11.7.4", false, solicited(0, 512, 0, 512), answer{reject: 4, closed: true}},
		{"data-out with another DataSN", "11.7.3", false, solicited(5, 0, 0, 512), answer{reject: 4, closed: true}},
		{"data-out that ends too soon", "11.7", false, solicited(0, 0, 0, 512), answer{reject: 4, closed: true}},
		{"unsolicited data where R2T is due", "11.3.4", false, func(c *initiator.Conn) []*initiator.PDU {
			p := c.NewCommand(sink(512), 0, 512)
			p.Header[1] &^= 0x80
			return []*initiator.PDU{p}
		}, answer{reject: 4, closed: true}},
		{"a tag that is in use", "11.3", false, func(c *initiator.Conn) []*initiator.PDU {
			p := cmd(c, func(p *initiator.PDU) { copy(p.Header[32:], cdb(opBlock)) })
			q := cmd(c, func(p *initiator.PDU) { p.Put32(24, c.CmdSN+1) })
			return []*initiator.PDU{p, q}
		}, answer{reject: 7}},
		{"the reserved tag", "11.2.1.8", false, func(c *initiator.Conn) []*initiator.PDU {
			return []*initiator.PDU{cmd(c, func(p *initiator.PDU) { p.Put32(16, initiator.NoTag) })}
		}, answer{reject: 9}},
		{"ACA", "11.3.1", false, func(c *initiator.Conn) []*initiator.PDU {
			return []*initiator.PDU{cmd(c, func(p *initiator.PDU) { p.Header[1] |= 4 })}
		}, answer{reject: 9}},
		{"bidirectional", "11.3", false, func(c *initiator.Conn) []*initiator.PDU {
			return []*initiator.PDU{cmd(c, func(p *initiator.PDU) { p.Header[1] |= 0x20 })}
		}, answer{reject: 5}},
		{"extended CDB", "11.2.2.3", false, func(c *initiator.Conn) []*initiator.PDU {
			return []*initiator.PDU{cmd(c, func(p *initiator.PDU) { p.AHS = []byte{0, 5, 1, 0, 1, 2, 3, 4} })}
		}, answer{reject: 5}},
		{"255 words of AHS", "11.2.2", false, func(c *initiator.Conn) []*initiator.PDU {
			return []*initiator.PDU{cmd(c, func(p *initiator.PDU) { p.AHS = make([]byte, 1020) })}
		}, answer{reject: 5}},
		{"CmdSN below the window", "4.2.2.1", false, func(c *initiator.Conn) []*initiator.PDU {
			return []*initiator.PDU{cmd(c, func(p *initiator.PDU) { p.Put32(24, c.CmdSN-1) })}
		}, answer{silent: true}},
		{"CmdSN above the window", "4.2.2.1", false, func(c *initiator.Conn) []*initiator.PDU {
			return []*initiator.PDU{cmd(c, func(p *initiator.PDU) { p.Put32(24, c.CmdSN+1000) })}
		}, answer{silent: true}},
		{"more immediate data than FirstBurstLength", "4.2.5.1", false, func(c *initiator.Conn) []*initiator.PDU {
			p := c.NewCommand(sink(8), 0, 8)
			p.Data = make([]byte, 4096)
			return []*initiator.PDU{p}
		}, answer{op: initiator.Response}},
		{"text with no end", "6.2", false, func(c *initiator.Conn) []*initiator.PDU {
			p := initiator.New(initiator.Text|initiator.Immediate, 0x40).Put32(16, 5).Put32(20, initiator.NoTag)
			p.Data = []byte(strings.Repeat("x", 60000))
			return []*initiator.PDU{p}
		}, answer{reject: 0x0A}},
		{"text with another exchange's tag", "11.10.4", false, pdus(initiator.New(initiator.Text|initiator.Immediate, 0x80).Put32(16, 5).Put32(20, 77)), answer{reject: 9}},
		{"transfer length of 4 GiB", "11.3.4", false, func(c *initiator.Conn) []*initiator.PDU {
			return []*initiator.PDU{cmd(c, func(p *initiator.PDU) { p.Put32(20, 0xFFFFFFFF) })}
		}, answer{op: initiator.DataIn}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := b.dial(t)
			if !tt.raw {
				c = b.login(t, "InitialR2T=Yes")
			}
			for _, p := range tt.pdu(c) {
				if p.Op() == initiator.DataOut && p.U32(20) == thatOfR2T {
					p.Put32(20, recv(t, c).U32(20))
				}
				if c.Send(p) != nil {
					break
				}
			}
			tt.want.check(t, c, tt.rfc)
			mustDo(t, victim, read10(0, 100), 100*2048, nil, 0)
		})
	}
}

func (a answer) check(t *testing.T, c *initiator.Conn, rfc string) {
	t.Helper()
	if a.op != 0 {
		if p := recv(t, c); p.Op() != a.op {
			t.Fatalf("opcode %02x, want %02x (RFC 7143, %s)", p.Op(), a.op, rfc)
		}
	}
	if a.status != 0 {
		if p := recv(t, c); p.Op() != initiator.LoginResp || p.U16(36) != a.status-1 {
			t.Fatalf("opcode %02x, status %04x; want status %04x (RFC 7143, %s)", p.Op(), p.U16(36), a.status-1, rfc)
		}
	}
	if a.reject != 0 {
		if p := recv(t, c); p.Op() != initiator.Reject || p.Header[2] != a.reject || len(p.Data) != 48 {
			t.Fatalf("opcode %02x, reason %d, %d bytes; want Reject %d (RFC 7143, %s)", p.Op(), p.Header[2], len(p.Data), a.reject, rfc)
		}
	}
	if !a.closed {
		ping(t, c)
		return
	}
	if p, err := c.Recv(); err == nil {
		t.Errorf("opcode %02x came, want the connection closed (RFC 7143, %s)", p.Op(), rfc)
	}
}

func pdus(list ...*initiator.PDU) func(*initiator.Conn) []*initiator.PDU {
	return func(*initiator.Conn) []*initiator.PDU { return list }
}

func dataOut(tag, ttt, sn uint32, offset, n int) *initiator.PDU {
	p := initiator.New(initiator.DataOut, 0x80).Put32(16, tag).Put32(20, ttt).Put32(36, sn).Put32(40, uint32(offset))
	p.Data = make([]byte, n)
	return p
}

// thatOfR2T stands for the target transfer tag of the R2T that comes before.
const thatOfR2T = 0xAAAAAAAA

// solicited answers an R2T for 8192 bytes with a bad Data-Out.
func solicited(sn uint32, offset, skip, n int) func(*initiator.Conn) []*initiator.PDU {
	return func(c *initiator.Conn) []*initiator.PDU {
		p := c.NewCommand(sink(8192), 0, 8192)
		return []*initiator.PDU{p, dataOut(p.U32(16), thatOfR2T, sn, offset+skip, n)}
	}
}

// A tally is what a storm must leave as it was.
type tally struct{ goroutines, files, bytes int }

func takeTally(t *testing.T) tally {
	t.Helper()
	for range 3 { // pools let go of what they hold in the second, stacks in the third
		runtime.GC()
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return tally{runtime.NumGoroutine(), len(files), int(m.HeapAlloc + m.StackInuse)}
}

// settle waits until no goroutine and no file of a storm is left.
func settle(t *testing.T, rest tally) tally {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now := takeTally(t)
		if now.goroutines <= rest.goroutines && now.files <= rest.files {
			return now
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("at rest %+v, after the storm %+v", rest, now)
		}
	}
}

// weather runs storm until its memory is within 10 % of what it was before.
// The runtime keeps what its goroutines once needed at most, so that the first
// storms grow it; what a storm leaks, the last one leaks too.
func weather(t *testing.T, rest tally, storm func()) {
	t.Helper()
	storm()
	before := settle(t, rest)
	for range 5 {
		storm()
		after := settle(t, rest)
		t.Logf("before %+v, after %+v", before, after)
		if after.bytes <= before.bytes+before.bytes/10 {
			return
		}
		before = after
	}
	t.Error("every storm leaves memory behind")
}

func TestStorms(t *testing.T) {
	rounds := 1
	if os.Getenv("SPINDLE_SOAK") != "" {
		rounds = 200
	}
	tests := []struct {
		name  string
		storm func(t *testing.T, b *bench)
	}{
		{"1,000 idle connections", func(t *testing.T, b *bench) {
			l := wide
			l.LoginTimeout = 500 * time.Millisecond
			b.limit(l)
			var all []net.Conn
			for range 1000 {
				nc, err := net.Dial("tcp", b.addr)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, nc)
			}
			c := b.dial(t)
			for late := time.Now().Add(limit); ; c = b.dial(t) {
				_, err := c.Login(initiator.Options{Target: iqn})
				if err == nil {
					break
				}
				if c.Close(); time.Now().After(late) { // else it was too late itself
					t.Fatal(err)
				}
			}
			mustDo(t, c, cdb(opReady), 0, nil, 0)
			mustDo(t, c, read10(0, 100), 100*2048, nil, 0)
			for _, nc := range all { // each is closed when its time for a login is over
				if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
					t.Fatalf("idle connection: %v", err)
				}
				nc.Close()
			}
			c.Close()
			b.limit(wide)
		}},
		{"reconnect storm during reads", func(t *testing.T, b *bench) {
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					for range 40 {
						c, err := initiator.Dial(b.addr)
						if err != nil {
							t.Error(err)
							return
						}
						if _, err := c.Login(initiator.Options{Target: iqn, ISID: [6]byte{0x80, byte(i / 2)}}); err == nil {
							for range 16 {
								c.SendCommand(c.NewCommand(read10(0, 500), 500*2048, 0))
							}
							c.Recv()
						}
						c.Close()
					}
				})
			}
			all.Wait()
		}},
		{"random bytes", func(t *testing.T, b *bench) {
			for i := range 200 {
				c, err := initiator.Dial(b.addr)
				if err != nil {
					t.Fatal(err)
				}
				if i%2 == 0 {
					c.Login(initiator.Options{Target: iqn})
				}
				c.Write(noise(i, 4096))
				c.Close()
			}
		}},
		{"queues of reads that nobody takes", func(t *testing.T, b *bench) {
			var all []*initiator.Conn
			for i := range 20 {
				c, err := initiator.Dial(b.addr)
				if err != nil {
					t.Fatal(err)
				}
				c.Login(initiator.Options{Target: iqn, ISID: [6]byte{0x80, 1, byte(i)}})
				for range 60 {
					c.SendCommand(c.NewCommand(read10(0, 65535), 65535*2048, 0))
				}
				all = append(all, c)
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if m.HeapInuse > 100<<20 {
				t.Errorf("1,200 queued reads of 128 MiB hold %d MiB", m.HeapInuse>>20)
			}
			for _, c := range all {
				c.Close()
			}
		}},
	}
	b := serve(t, iscsi.Options{})
	b.login(t).Close() // what is made once is made
	rest := takeTally(t)
	rest.goroutines++ // of the subtest
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			weather(t, rest, func() {
				for range rounds {
					tt.storm(t, b)
				}
			})
			mustDo(t, b.login(t), read10(0, 1), 2048, nil, 0)
		})
	}
}

// noise returns bytes that look random, and the same ones for the same seed.
func noise(seed, n int) []byte {
	b := make([]byte, n)
	x := uint64(seed)*0x9E3779B97F4A7C15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}
