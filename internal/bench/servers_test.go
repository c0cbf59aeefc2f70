//go:build linux

// Package bench compares spindle with its peers: make bench.
package bench

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"spindle/internal/initiator"
	"spindle/internal/lab"
)

// A server is one end of the comparison.
type server struct {
	name string
	addr string
	iqn  string
	lun  byte
	pid  int
}

// servers starts both ends on one disc: tgtd, with those keys, then spindle.
func servers(b *testing.B, iso string, keys ...lab.Key) [2]server {
	b.Helper()
	peer := lab.Tgtd(b, iso, keys...)
	return [2]server{{"tgtd", peer.Addr, peer.IQN, 1, peer.PID}, spindle(b, iso)}
}

// cpu is the processor time that the server has used in all its threads, those
// that ended included. Clock numbers of processes: clock_getcpuclockid(3).
func (s server) cpu(b *testing.B) time.Duration {
	b.Helper()
	const scheduled = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^s.pid<<3|scheduled), &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// resident is the server's resident memory in bytes.
func (s server) resident(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.pid) + "/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return n << 10
}

// plain is what open-iscsi offers.
var plain = []string{"MaxRecvDataSegmentLength=262144", "MaxBurstLength=16776192", "FirstBurstLength=262144", "InitialR2T=No", "ImmediateData=Yes"}

// session logs in as initiator port n and takes the unit attentions.
func (s server) session(b *testing.B, n int, keys []string) *initiator.Conn {
	b.Helper()
	c, err := initiator.Dial(s.addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	o := initiator.Port(n)
	o.Target, o.Keys = s.iqn, keys
	if _, err := c.Login(o); err != nil {
		b.Fatal(err)
	}
	for range 3 {
		p := c.NewCommand([]byte{0}, 0, 0)
		p.Header[9] = s.lun
		if err := c.SendCommand(p); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Wait(p.U32(16), nil); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// program builds spindle, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return "", err
	}
	atEnd = append(atEnd, func() { os.RemoveAll(dir) })
	bin := filepath.Join(dir, "spindle")
	cmd := exec.Command("go", "build", "-o", bin, "spindle/cmd/spindle")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return bin, cmd.Run()
})

var atEnd []func()

func TestMain(m *testing.M) {
	status := m.Run()
	for _, f := range atEnd {
		f()
	}
	os.Exit(status)
}

// A daemon is a spindle of the real program.
type daemon struct {
	server
	bin, socket string
}

// spindle starts the real program on iso.
func spindle(b *testing.B, iso string) server { return startDaemon(b, iso).server }

// unlimited lets one client log in as often as it can, as tgtd does.
const unlimited = "[iscsi.limits]\nlogins_per_second = 1000000\nlogin_burst = 1000000\nconnections_per_address = 2000\nsessions = 2000\nconnections = 4000\n[drive.cd0]\n"

func startDaemon(b *testing.B, iso string) *daemon {
	b.Helper()
	bin, err := program()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	d := &daemon{bin: bin, socket: filepath.Join(dir, "socket")}
	addr := lab.FreeAddr(b)
	ctx, cancel := context.WithCancel(context.Background())
	config := filepath.Join(dir, "spindle.toml")
	if err := os.WriteFile(config, []byte(unlimited), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, bin, "serve", iso, "--config", config, "--listen", addr, "--state", filepath.Join(dir, "state"), "--socket", d.socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	errs, err := cmd.StderrPipe() // a log that somebody reads, as journald does
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go io.Copy(io.Discard, errs)
	b.Cleanup(func() { cancel(); cmd.Wait() })
	d.server = server{"spindle", addr, waitForTarget(b, addr), 0, cmd.Process.Pid}
	return d
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
