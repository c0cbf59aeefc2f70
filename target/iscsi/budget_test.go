//go:build !race

// The race detector makes pools drop what they hold, so allocations are counted
// without it: make test runs these once more for that.

package iscsi_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// loads are the shapes of reading that the budgets are about.
var loads = []initiator.Load{
	{Blocks: 1, Depth: 1, Random: true},
	{Blocks: 2, Depth: 16, Random: true},
	{Blocks: 32, Depth: 1},
	{Blocks: 512, Depth: 16},
}

// The whole path of a READ, from socket to socket, makes at most two
// allocations a command (design.md, budgets). The client counts too.
func TestAllocationsPerCommand(t *testing.T) {
	b := serve(t, iscsi.Options{})
	for _, l := range loads {
		t.Run(fmt.Sprintf("%d blocks, depth %d", l.Blocks, l.Depth), func(t *testing.T) {
			c := b.login(t, "MaxRecvDataSegmentLength=262144", "MaxBurstLength=16776192")
			l.Span, l.For = 60000, 50*time.Millisecond
			l.Run(c) // fills pools
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n, _, err := l.Run(c)
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			commands := float64(n) / float64(l.Blocks*2048)
			each := float64(after.Mallocs-before.Mallocs) / commands
			t.Logf("%.0f commands, %.3f allocations each", commands, each)
			if each > 2 && commands > 50 {
				t.Errorf("%.2f allocations a command", each)
			}
		})
	}
}

// BenchmarkRead is the server's path over loopback; the client shares it.
func BenchmarkRead(b *testing.B) {
	s := serve(b, iscsi.Options{})
	for _, blocks := range []int{1, 32, 512} {
		b.Run(fmt.Sprintf("%dKiB", blocks*2), func(b *testing.B) {
			c := s.login(b, "MaxRecvDataSegmentLength=262144", "MaxBurstLength=16776192")
			b.SetBytes(int64(blocks) * 2048)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := (initiator.Load{Blocks: blocks, Depth: 1, Span: 60000, Count: 1}).Run(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An idle session costs at most 24 KiB of memory (design.md, budgets).
func TestIdleSession(t *testing.T) {
	b := serve(t, iscsi.Options{})
	const sessions = 200
	b.login(t).Close()
	before := takeTally(t)
	for i := range sessions {
		b.loginAs(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 3, byte(i)}})
	}
	each := (takeTally(t).bytes - before.bytes) / sessions
	client := clientSize(t)
	t.Logf("a session costs %d bytes, the client's %d not counted", each-client, client)
	if each-client > 24<<10 {
		t.Errorf("an idle session costs %d bytes", each-client)
	}
}

// clientSize measures what the client's end of a connection costs.
func clientSize(t *testing.T) int {
	t.Helper()
	const n = 50
	var keep []*initiator.Conn
	before := takeTally(t)
	for range n {
		keep = append(keep, initiator.NewConn(nil))
	}
	size := (takeTally(t).bytes - before.bytes) / n
	runtime.KeepAlive(keep)
	return size
}
