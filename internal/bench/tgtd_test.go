//go:build linux

// Package bench compares spindle with its peers: make bench.
package bench

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/internal/lab"
)

const (
	pairs    = 7
	each     = 600 * time.Millisecond
	discSize = 300 << 20
	gib      = 1 << 30
)

// The shapes of reading: the first three sequential, then random.
var shapes = []struct {
	blocks int
	random bool
}{{32, false}, {128, false}, {512, false}, {1, true}, {2, true}}

// A server is one end of the comparison.
type server struct {
	name string
	addr string
	iqn  string
	lun  byte
	pid  int
}

// A sample is one run of one server.
type sample struct {
	rate float64 // MB/s of data
	cpu  float64 // server CPU seconds for a GiB
}

// BenchmarkAgainstTgtd reads one file through tgtd's CD logical unit and
// through spindle, in turns, with the same client, and reports the median of
// the ratios spindle/tgtd of seven pairs. The raw runs go to the log (-v).
func BenchmarkAgainstTgtd(b *testing.B) {
	lab.Need(b, "tgtd", "tgtadm", "genisoimage")
	iso := lab.ISO(b, lab.Image{Size: discSize, Seed: 6})
	peer := lab.Tgtd(b, iso)
	both := [2]server{{"tgtd", peer.Addr, peer.IQN, 1, peer.PID}, spindle(b, iso)}
	for _, depth := range []int{1, 16} {
		for _, s := range shapes {
			kind := "sequential"
			if s.random {
				kind = "random"
			}
			b.Run(fmt.Sprintf("%s/%dKiB/depth%d", kind, s.blocks*2, depth), func(b *testing.B) {
				load := initiator.Load{Blocks: s.blocks, Depth: depth, Random: s.random, Span: discSize / 2048, For: each}
				for range b.N {
					compare(b, both, load)
				}
			})
		}
	}
}

func compare(b *testing.B, both [2]server, load initiator.Load) {
	b.Helper()
	var rates, cpus []float64
	var raw [2][]sample
	for i := range pairs {
		var got [2]sample
		for j := range both {
			k := (i + j) % 2 // who goes first changes each time
			got[k] = measure(b, both[k], load)
			raw[k] = append(raw[k], got[k])
		}
		rates = append(rates, got[1].rate/got[0].rate)
		cpus = append(cpus, got[1].cpu/got[0].cpu)
	}
	for k, s := range both {
		var line strings.Builder
		for _, r := range raw[k] {
			fmt.Fprintf(&line, "  %.0f MB/s %.2f", r.rate, r.cpu)
		}
		b.Logf("%-8s%s  (MB/s, CPU s/GiB)", s.name, line.String())
	}
	slices.Sort(rates)
	slices.Sort(cpus)
	b.Logf("ratio of throughput %.2f [%.2f to %.2f], of CPU for a GiB %.2f [%.2f to %.2f]",
		rates[pairs/2], rates[0], rates[pairs-1], cpus[pairs/2], cpus[0], cpus[pairs-1])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rates[pairs/2], "x-throughput")
	b.ReportMetric(rates[0], "x-least")
	b.ReportMetric(rates[pairs-1], "x-most")
	b.ReportMetric(cpus[pairs/2], "x-cpu/GiB")
}

func measure(b *testing.B, s server, load initiator.Load) sample {
	b.Helper()
	c, err := initiator.Dial(s.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	// what open-iscsi offers
	keys := []string{"MaxRecvDataSegmentLength=262144", "MaxBurstLength=16776192", "FirstBurstLength=262144", "InitialR2T=No", "ImmediateData=Yes"}
	if _, err := c.Login(initiator.Options{Target: s.iqn, Keys: keys}); err != nil {
		b.Fatal(err)
	}
	for range 3 { // unit attentions
		p := c.NewCommand([]byte{0}, 0, 0)
		p.Header[9] = s.lun
		if err := c.SendCommand(p); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Wait(p.U32(16), nil); err != nil {
			b.Fatal(err)
		}
	}
	load.LUN = s.lun
	before := lab.CPUTime(b, s.pid)
	n, took, err := load.Run(c)
	if err != nil {
		b.Fatal(err)
	}
	cpu := lab.CPUTime(b, s.pid) - before
	return sample{float64(n) / took.Seconds() / 1e6, max(cpu.Seconds(), 0.005) / float64(n) * gib}
}

// spindle builds and starts the real program on iso.
func spindle(b *testing.B, iso string) server {
	b.Helper()
	dir := b.TempDir()
	bin := filepath.Join(dir, "spindle")
	if out, err := exec.Command("go", "build", "-o", bin, "spindle/cmd/spindle").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	addr := lab.FreeAddr(b)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, "serve", iso, "--listen", addr, "--state", filepath.Join(dir, "state"), "--socket", filepath.Join(dir, "socket"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	errs, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cancel(); cmd.Wait() })
	go io.Copy(io.Discard, errs)
	return server{"spindle", addr, waitForTarget(b, addr), 0, cmd.Process.Pid}
}

// waitForTarget asks for the name of the target until the server answers.
func waitForTarget(b *testing.B, addr string) string {
	b.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		if name := discover(addr); name != "" {
			return name
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatal("spindle does not answer")
		}
	}
}

func discover(addr string) string {
	c, err := initiator.Dial(addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	if _, err := c.Login(initiator.Options{}); err != nil {
		return ""
	}
	p := initiator.New(initiator.Text|initiator.Immediate, 0x80).Put32(16, 7).Put32(20, initiator.NoTag).Put32(24, c.CmdSN)
	p.Data = []byte("SendTargets=All\x00")
	if c.Send(p) != nil {
		return ""
	}
	r, err := c.Recv()
	if err != nil {
		return ""
	}
	return initiator.ParseText(r.Data)["TargetName"]
}
