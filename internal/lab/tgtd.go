package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A Peer is a running tgtd with one target: the implementation to compare with.
// LUN 0 is tgtd's controller; the disc is LUN 1.
type Peer struct {
	Addr string // host:port on the loopback
	IQN  string
	PID  int // whose CPU time a benchmark reads
}

// URL names the disc as libiscsi's tools and QEMU take it.
func (p *Peer) URL() string { return "iscsi://" + p.Addr + "/" + p.IQN + "/1" }

// Port is the port of Addr, for initiators that want it apart.
func (p *Peer) Port() string {
	_, port, _ := net.SplitHostPort(p.Addr)
	return port
}

// A Key is what tgtd says to a key of the login that it would not take by itself:
// HeaderDigest and DataDigest with "CRC32C,None".
type Key struct{ Name, Value string }

// Tgtd starts tgtd on a free port of the loopback, with a CD drive whose disc is the
// given file, and ends it with the test. It ends by SIGKILL: tgtd ignores SIGTERM as
// long as it has targets, and one that lives on would serve the old disc to the next test.
func Tgtd(t testing.TB, file string, keys ...Key) *Peer {
	t.Helper()
	Need(t, "tgtd", "tgtadm")
	dir, err := os.MkdirTemp("", "tgtd") // short: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr := FreeAddr(t)
	p := &Peer{Addr: addr, IQN: "iqn.2026-11.lab:cd"}

	// A control socket of its own; its default place is shared by all.
	env := "TGT_IPC_SOCKET=" + filepath.Join(dir, "socket")
	var log bytes.Buffer
	cmd := ToolCmd(context.WithoutCancel(t.Context()), "tgtd", "-f", "--iscsi", "portal="+addr)
	cmd.Env = append(cmd.Environ(), env)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.PID = cmd.Process.Pid
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = cmd.Wait()
		cancel()
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		wg.Wait()
		if t.Failed() && log.Len() > 0 {
			t.Logf("tgtd:\n%s", &log)
		}
	})
	file, err = filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	p.configure(ctx, t, env, file, keys)
	return p
}

// configure waits for tgtd's control socket and makes the target.
func (p *Peer) configure(ctx context.Context, t testing.TB, env, file string, keys []Key) {
	t.Helper()
	admin := func(args ...string) error {
		args = append([]string{"--lld", "iscsi", "--tid", "1"}, args...)
		cmd := ToolCmd(ctx, "tgtadm", args...)
		cmd.Env = append(cmd.Environ(), env)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("tgtadm %q: %w: %s", args, err, bytes.TrimSpace(out))
		}
		return err
	}
	create := func() error {
		return admin("--mode", "target", "--op", "new", "-T", p.IQN)
	}
	if err := retry(ctx, 20*time.Millisecond, create); err != nil {
		t.Fatal(err)
	}
	steps := [][]string{{"--mode", "logicalunit", "--op", "new", "--lun", "1", "-b", file, "--device-type=cd"}}
	for _, k := range keys {
		steps = append(steps, []string{"--mode", "target", "--op", "update", "-n", k.Name, "-v", k.Value})
	}
	for _, args := range append(steps, []string{"--mode", "target", "--op", "bind", "-I", "ALL"}) {
		if err := admin(args...); err != nil {
			t.Fatal(err)
		}
	}
}

// retry calls f until it returns nil or the context ends.
func retry(ctx context.Context, pause time.Duration, f func() error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// CPUTime returns the processor time that a process has used so far, in all its threads.
func CPUTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	// The second field is a name in parentheses and may hold anything; user and
	// system time are the fields 14 and 15, in ticks of 10 ms.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	user, uerr := strconv.ParseInt(string(fields[11]), 10, 64)
	system, serr := strconv.ParseInt(string(fields[12]), 10, 64)
	if uerr != nil || serr != nil {
		t.Fatalf("pid %d: cannot read %q", pid, text)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
