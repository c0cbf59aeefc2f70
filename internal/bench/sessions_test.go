//go:build linux

package bench

import (
	"context"
	"sync"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/internal/lab"
)

// many is how many sessions are there at once.
const many = 1000

func sessionsDisc(b *testing.B) string {
	lab.Need(b, "tgtd", "tgtadm", "xorriso")
	return lab.ISO(b, lab.Image{Size: 1 << 20, Seed: 8})
}

// storm is one with what open-iscsi offers, from 16 addresses.
func (s server) storm(sessions int) initiator.Storm {
	return initiator.Storm{
		Addr: s.addr, Target: s.iqn, LUN: s.lun, Keys: plain, Sessions: sessions,
		From: initiator.Loopback(16),
	}
}

func run(b *testing.B, s initiator.Storm) *initiator.Report {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	r := s.Run(ctx)
	if err := r.Err(); err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkIdleSessions is the resident memory that a session costs which has
// logged in, asked whether the drive is ready, and says nothing. Each sample is
// of servers that were just started.
func BenchmarkIdleSessions(b *testing.B) {
	iso := sessionsDisc(b)
	figures := []figure{{"KiB/session", "%.1f"}}
	for range b.N {
		interleave(b, [2]server{{name: "tgtd"}, {name: "spindle"}}, 3, figures, func(s server) []float64 {
			var kib float64
			b.Run("start", func(b *testing.B) { // for its Cleanup
				both := servers(b, iso)
				if s.name == both[0].name {
					s = both[0]
				} else {
					s = both[1]
				}
				kib = idle(b, s)
			})
			return []float64{kib}
		})
	}
}

func idle(b *testing.B, s server) (kib float64) {
	storm := s.storm(many)
	var ready sync.WaitGroup
	ready.Add(many)
	storm.Meet = true
	before := s.resident(b)
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		ready.Wait()
		kib = float64(s.resident(b)-before) / many / 1024
	}()
	storm.Work = func(ctx context.Context, one *initiator.Session) error {
		err := one.Ready()
		ready.Done()
		select {
		case <-measured:
			return err
		case <-ctx.Done(): // not all came so far
			return ctx.Err()
		}
	}
	run(b, storm)
	return kib
}

// BenchmarkLogins is how many times a second one client logs in and out, and how
// many for a CPU second of the server.
func BenchmarkLogins(b *testing.B) {
	both := servers(b, sessionsDisc(b))
	figures := []figure{{"logins", "%.0f/s"}, {"logins/CPU", "%.0f"}}
	for range b.N {
		interleave(b, both, pairs, figures, func(s server) []float64 {
			storm := s.storm(1)
			storm.Rounds = 3000
			before := s.cpu(b)
			r := run(b, storm)
			return []float64{float64(r.Logins.Load()) / r.Took.Seconds(), float64(r.Logins.Load()) / (s.cpu(b) - before).Seconds()}
		})
	}
}

// BenchmarkLoginStorm is how long it takes until the last of 1,000 sessions is
// in that begin at once.
func BenchmarkLoginStorm(b *testing.B) {
	both := servers(b, sessionsDisc(b))
	for range b.N {
		interleave(b, both, pairs, []figure{{"time-to-last", "%.0f ms"}}, func(s server) []float64 {
			storm := s.storm(many)
			storm.Meet = true
			return []float64{float64(run(b, storm).Meeting) / float64(time.Millisecond)}
		})
	}
}
